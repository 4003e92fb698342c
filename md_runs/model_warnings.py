"""What a run says of its model: a hard cutoff, and how much was outside the training data."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlpotential.errors import RunError
from mlpotential.inference.guard import ADVICE, ExtrapolationGuard, GuardReport

if TYPE_CHECKING:
    from mlpotential.models.potential import ModelTraits

REPORT_NAME = "extrapolation.json"
LONGEST_DEPARTURE = 0.03  # of a run; chosen: hot frames come back within some steps
SHORTEST_DEPARTURE = 20  # structures; chosen: of runs too short to tell


class RunGuard:
    """The guard of a calculator, for one run that may be continued.

    Args:
        calculator: its `guard` counts; one without is not watched.
        folder: of the run.
        continues: the run goes on with what was counted before.
    """

    def __init__(self, calculator: Any, folder: Path, continues: bool) -> None:
        self._calculator, self._folder = calculator, folder
        self._earlier = read_report(folder) if continues else None
        guard = self._guard
        if guard is not None:
            guard.start_run()

    @property
    def _guard(self) -> ExtrapolationGuard | None:
        guard = getattr(self._calculator, "guard", None)
        return guard if isinstance(guard, ExtrapolationGuard) else None

    @property
    def report(self) -> GuardReport | None:
        """From the beginning of the run; None where nobody counts."""
        guard = self._guard
        if guard is None:
            return self._earlier
        return guard.report if self._earlier is None else self._earlier + guard.report

    def save(self) -> None:
        """Raises RunError if the folder cannot be written."""
        if (report := self.report) is not None:
            report.write(self._folder / REPORT_NAME)


def refuse_departure(report: GuardReport | None, folder: Path, n_beads: int = 1) -> None:
    """Raises RunError for a run that left the training data of its model for long.

    Args:
        report: of the whole run; None where nobody counted.
        folder: of the run.
        n_beads: structures of a step.
    """
    if report is None or not report.checks:
        return
    longest = report.longest_stretch
    if longest >= max(SHORTEST_DEPARTURE, LONGEST_DEPARTURE * report.n_evaluated):
        raise RunError(
            f"the run in {folder} left the training data of its model at step "
            f"{report.stretch_start // n_beads} and stayed outside for {longest} of "
            f"{report.n_evaluated} structures: {report.worst}. {ADVICE} Lower the time step or the "
            "temperature, relax the structure, or train on such structures. The run is kept, and "
            "guard 'off' takes it as it is"
        )


def read_report(folder: Path) -> GuardReport | None:
    """Of the run in a folder; None where none was kept. Raises RunError if it is damaged."""
    path = folder / REPORT_NAME
    return GuardReport.read(path) if path.exists() else None


def warn_of_hard_cutoff(traits: ModelTraits | None, stacklevel: int = 3) -> None:
    """Warns unless the model is smooth at its cutoff, or its traits are unknown.

    Args:
        traits: of the model; None for a calculator that states none.
        stacklevel: who is named, as of `warnings.warn`; by default the caller's caller.
    """
    if traits is not None and not traits.smooth_at_cutoff:
        warnings.warn(
            "the model has a hard cutoff: its forces jump where atoms cross it, so that dynamics "
            "does not conserve the energy. Train a model with a cosine cutoff for dynamics",
            stacklevel=stacklevel,
        )
