"""Relaxation of a structure to the nearest minimum, by ASE's optimizers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms
from ase.optimize import BFGS, FIRE
from tqdm import tqdm

from mlpotential.errors import RunError
from mlpotential.messages import bar_hidden
from mlpotential.run_folder import write_atomically
from mlpotential.settings_checks import check_choice, check_count, check_number

OPTIMIZERS = {"bfgs": BFGS, "fire": FIRE}


@dataclass(frozen=True)
class RelaxationResult:
    """Where a relaxation ended.

    Attributes:
        energy: (eV).
        max_force: length of the longest force (eV/A).
        n_steps: steps of the optimizer.
    """

    energy: float
    max_force: float
    n_steps: int


def relax(
    atoms: Atoms,
    force_tolerance: float = 1e-4,
    max_steps: int = 2000,
    optimizer: Literal["bfgs", "fire"] = "bfgs",
    trajectory_file: Path | None = None,
    log_file: Path | None = None,
    on_step: Callable[[Atoms, int], None] | None = None,
    progress: bool = False,
) -> tuple[Atoms, RelaxationResult]:
    """The relaxed structure (a copy, with the same calculator and at rest) and how it was reached.

    Args:
        atoms: with a calculator; not changed. Constraints are kept.
        force_tolerance: no force is longer than this at the end (eV/A).
        max_steps: give up after so many steps.
        optimizer: "bfgs" (fewest evaluations) or "fire" (robust far from a minimum).
        trajectory_file: an ASE trajectory of the steps.
        log_file: ASE's log of the steps.
        on_step: called with the structure and the number of each step.
        progress: show the steps, if standard error is a terminal; how many are left nobody knows.

    Raises:
        ConfigError: a tolerance, number of steps or optimizer that cannot be used.
        RunError: not converged (the residual force is told), or a force that is not finite.
    """
    check_settings(force_tolerance, max_steps, optimizer)
    relaxed = atoms.copy()
    relaxed.calc = atoms.calc
    relaxed.set_momenta(None)
    _check_finite_forces(relaxed, 0)
    with (
        OPTIMIZERS[optimizer](relaxed, trajectory=trajectory_file, logfile=log_file) as steps,
        tqdm(desc="relaxation", unit="step", disable=bar_hidden(not progress)) as bar,
    ):
        for _ in steps.irun(fmax=force_tolerance, steps=max_steps):
            _check_finite_forces(relaxed, steps.nsteps)
            if on_step is not None:
                on_step(relaxed, int(steps.nsteps))
            longest = f"longest force {_max_force(relaxed):.2e} of {force_tolerance:.2e} eV/A"
            bar.set_postfix_str(longest, refresh=False)
            bar.update()
    result = RelaxationResult(
        energy=float(relaxed.get_potential_energy()),
        max_force=_max_force(relaxed),
        n_steps=int(steps.nsteps),
    )
    if result.max_force >= force_tolerance:
        raise RunError(
            f"not relaxed after {result.n_steps} steps: the longest force is "
            f"{result.max_force:.3g} eV/A, not {force_tolerance:.3g}. Raise max_steps or "
            "force_tolerance (a float32 model may not reach 1e-4 eV/A)"
        )
    return relaxed, result


class UnfinishedRelaxation:
    """The newest structure of a relaxation beside its output, for one that is killed.

    Args:
        output: of the relaxation.
        atoms: that it began with.
        identity: of the forces.
    """

    def __init__(self, output: Path, atoms: Atoms, identity: Mapping[str, str]) -> None:
        self.path = output.with_name(output.name + ".unfinished")
        self._atoms = atoms
        arrays = (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc)
        content = b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)
        content += json.dumps(dict(identity), sort_keys=True).encode()
        self._identity = hashlib.sha256(content).hexdigest()

    def start(self) -> Atoms:
        """The structure to go on from: the newest of the same relaxation, or the first."""
        if not self.path.exists():
            return self._atoms
        try:
            content = json.loads(self.path.read_text())
            if content["identity"] != self._identity:
                raise RunError(
                    f"{self.path} is of a relaxation of another structure, or by another "
                    "calculator: remove it, or choose another output"
                )
            newest = self._atoms.copy()
            newest.positions = np.array(content["positions"])
        except (OSError, ValueError, KeyError) as error:
            if isinstance(error, RunError):
                raise
            raise RunError(f"{self.path} is damaged: remove it") from error
        return newest

    def save(self, atoms: Atoms, step: int) -> None:
        """Raises RunError if the disk is full."""
        content = {
            "identity": self._identity,
            "step": step,
            "positions": atoms.positions.tolist(),
        }
        write_atomically(self.path, json.dumps(content))

    def remove(self) -> None:
        """Once the output is written."""
        self.path.unlink(missing_ok=True)


def check_settings(force_tolerance: float, max_steps: int, optimizer: str) -> None:
    """Raises ConfigError for settings that `relax` refuses."""
    check_number("force_tolerance", force_tolerance)
    check_count("max_steps", max_steps)
    check_choice("optimizer", optimizer, list(OPTIMIZERS))


def _max_force(atoms: Atoms) -> float:
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max())


def _check_finite_forces(atoms: Atoms, step: int) -> None:
    finite = np.isfinite(atoms.get_forces()).all(axis=1)
    if not finite.all():
        raise RunError(f"the force on atom {int(np.argmin(finite))} is not finite at step {step}")
