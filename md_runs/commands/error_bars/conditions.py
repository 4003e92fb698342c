"""When `md-runs classical` and `md-runs pimd` end: options, free of all that is slow to import."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlpotential.errors import ConfigError

if TYPE_CHECKING:
    from ase import Atoms

Settings = TypeVar("Settings", bound=Any)
Result = TypeVar("Result", bound=Any)


@dataclass(frozen=True)
class Conditions:
    """When a run ends.

    Attributes:
        until: the run goes on, n_steps at a time, until the standard errors of these means are that
            small, such as 'mean_bond < 0.0005' (A, eV or K): potential, kinetic, temperature,
            nearest_neighbor, mean_bond, bond_C-H (all bonds of two elements), diameter or
            radius_of_gyration, over beads. Several: all of them.
        at_most: number of time steps of the whole run, with --until, such as 2e6.
    """

    until: Sequence[str] = ()
    at_most: float | None = None

    def __post_init__(self) -> None:
        if bool(self.until) != (self.at_most is not None):
            raise ConfigError(
                "--until and --at-most belong together: say which error bars end the run, and "
                "after how many steps it ends without them"
            )
        if self.at_most is not None and not (
            1.0 <= self.at_most < 1e15 and self.at_most == int(self.at_most)
        ):
            raise ConfigError(f"--at-most must be a whole number of steps, not {self.at_most:g}")

    def run(
        self,
        atoms: Atoms,
        settings: Settings,
        folder: Path,
        run: Callable[[Settings], Result],
    ) -> tuple[Result, bool]:
        """Runs to the end; the result, and whether that is where the conditions put it.

        Args:
            atoms: that the run begins with.
            settings: whose n_steps is the length of the run or, with conditions, of a block.
            folder: of the run.
            run: runs, or goes on, with settings.

        Raises:
            ConfigError: for error bars of what the atoms do not have.
        """
        if self.at_most is None:
            return run(settings), True
        from md_runs.commands.error_bars.quantities import parse_goals, quantities_of
        from md_runs.commands.error_bars.until import run_until

        goals = parse_goals(self.until, quantities_of(atoms))
        return run_until(goals, int(self.at_most), settings, folder, run)
