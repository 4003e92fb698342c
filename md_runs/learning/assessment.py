"""Whether a committee is good enough: its errors on fresh dynamics, and what it changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from calculators.ase_calculator import MLPotentialCalculator
from md_runs.analysis.sampling.uncertainty import block_average
from md_runs.analysis.vibrations.mode_comparison import compare_modes
from md_runs.analysis.vibrations.normal_modes import NormalModes, read_normal_modes
from md_runs.learning.committee import answers_of
from md_runs.learning.geometry import bonded_pairs
from md_runs.learning.settings import LearningRun
from md_runs.learning.watched_runs import FreshRuns
from md_runs.molecular_modes import molecular_modes
from md_runs.relax import relax
from mlpotential.errors import DataError, RunError
from mlpotential.inference.execution import Execution

MODES_NAME = "modes.json"
EQUILIBRATION_SHARE = 0.2  # of each run; beads begin in one point
N_BLOCKS = 5
SAME_BOND = 0.002  # A; chosen: smaller changes nobody asks for
SAME_MODES = 0.01  # of the wavenumbers, on average; chosen
REFERENCE_MODES = 0.03  # as well, from those of the reference; chosen
LARGEST_OUTSIDE = 1e-3  # share of structures; chosen: single beads of a good model, for a step


@dataclass(frozen=True)
class Bonds:
    """Mean lengths of bonds by kind, over all beads, with standard errors (A)."""

    means: Mapping[str, float]
    errors: Mapping[str, float]


@dataclass(frozen=True)
class Assessment:
    """Of the committee of a round.

    Attributes:
        expected_error: calibrated, of a force component in the fresh runs (eV/A).
        measured_error: of the same by labels of random structures (eV/A); None without.
        bonds: None where the runs were too short.
        modes_from_reference, modes_from_last: mean relative deviation of the wavenumbers from those
            of the reference and of the last round; None where there are none.
        doubts: all that is against stopping here, in words.
    """

    expected_error: float
    measured_error: float | None
    bonds: Bonds | None
    modes_from_reference: float | None
    modes_from_last: float | None
    doubts: tuple[str, ...]

    @property
    def record(self) -> dict[str, Any]:
        """As `round.json` has it."""
        return asdict(self)


def expected_force_error(
    models: Sequence[Path], runs: FreshRuns, minimum: Atoms, scale: float
) -> float:
    """Calibrated disagreement over all recorded structures, in the root mean square (eV/A)."""
    spreads = answers_of(models, minimum.numbers, runs.structures).of_structures
    return float(scale * np.sqrt((spreads**2).mean()))


def force_error(models: Sequence[Path], labelled: Sequence[Atoms]) -> float | None:
    """Of force components, root mean square (eV/A); None without labels."""
    if not labelled:
        return None
    positions = np.array([a.positions for a in labelled])
    found = answers_of(models, labelled[0].numbers, positions).forces
    return float(np.sqrt(((found - np.array([a.get_forces() for a in labelled])) ** 2).mean()))


def mean_bonds(runs: FreshRuns, minimum: Atoms) -> Bonds | None:
    """Over runs that were not stopped, without their beginning; None where there are none."""
    n_whole = max(len(frames) for frames in runs.frames)
    whole = [f[int(EQUILIBRATION_SHARE * n_whole) :] for f in runs.frames if len(f) == n_whole]
    frames = np.concatenate(whole)
    if len(frames) < 2 * N_BLOCKS or (runs.stopped and len(whole) == len(runs.stopped)):
        return None
    kinds: dict[str, list[np.ndarray]] = {}
    for i, j in bonded_pairs(minimum.positions, minimum.numbers):
        name = "-".join(sorted(chemical_symbols[minimum.numbers[k]] for k in (i, j)))
        lengths = np.linalg.norm(frames[:, :, i] - frames[:, :, j], axis=-1)
        kinds.setdefault(name, []).append(lengths.mean(axis=1))
    found = {name: block_average(np.mean(v, axis=0), N_BLOCKS) for name, v in kinds.items()}
    return Bonds(
        {name: float(e.value) for name, e in found.items()},
        {name: float(e.standard_error) for name, e in found.items()},
    )


def modes_of(models: Sequence[Path], minimum: Atoms, file: Path) -> NormalModes | None:
    """At the committee's own minimum, kept in a file; None where it has none nearby."""
    if file.exists():
        return read_normal_modes(file)
    names, execution = [str(m) for m in models], Execution("cpu", "float64", guard="off")
    atoms = minimum.copy()
    atoms.calc = MLPotentialCalculator(names, **asdict(execution))
    try:
        relaxed, _ = relax(atoms, 1e-3, max_steps=500)
        found = molecular_modes(relaxed, names, execution).modes
    except (RunError, DataError):  # a committee that is not yet good enough for it
        return None
    found.save_json(file)
    return found


def deviation_of_modes(modes: NormalModes | None, others: NormalModes | None) -> float | None:
    """Mean relative deviation of matched wavenumbers; None where they cannot be matched."""
    if modes is None or others is None:
        return None
    try:
        return float(compare_modes(modes, others).mean_relative_deviation)
    except DataError:  # another minimum
        return None


def doubts_of(
    settings: LearningRun,
    runs: FreshRuns,
    expected: float,
    measured: float | None,
    bonds: Bonds | None,
    last: Mapping[str, Any] | None,
    modes_from_last: float | None,
    modes_from_reference: float | None,
) -> tuple[str, ...]:
    """All that is against trusting the committee of a round, in words; nothing: it is learned."""
    bound, found = settings.force_error_eV_A, []
    if expected > bound:
        found.append(f"expected force error {expected:.3f} above {bound:g} eV/A")
    if measured is None:
        found.append("no labels of fresh dynamics to check by")
    elif measured > bound:
        found.append(f"measured force error {measured:.3f} above {bound:g} eV/A")
    if runs.reasons:
        found.append(f"{len(runs.reasons)} of {len(runs.frames)} runs stopped")
    outside = runs.n_outside / max(1, runs.n_evaluated)
    if outside > LARGEST_OUTSIDE:
        found.append(f"{100 * outside:.2g} % of the structures outside the training data")
    if modes_from_reference is None:
        found.append("no minimum like that of the reference")
    elif modes_from_reference > REFERENCE_MODES:
        off = 100 * modes_from_reference
        found.append(f"wavenumbers {off:.1f} % off those of the reference")
    return (*found, *_changes(bonds, last, modes_from_last))


def _changes(
    bonds: Bonds | None, last: Mapping[str, Any] | None, modes_from_last: float | None
) -> list[str]:
    """Of observables from the last round, in words."""
    before = last["bonds"] if last else None
    if bonds is None or before is None:
        return ["no mean bonds of two rounds to compare"]
    found = []
    for name, mean in bonds.means.items():
        error = np.hypot(bonds.errors[name], before["errors"][name])
        change = abs(mean - before["means"][name])
        if change > max(SAME_BOND, 2.0 * error):
            found.append(f"mean {name} bond changed by {change:.4f} A")
    if modes_from_last is None:
        found.append("no modes of two rounds to compare")
    elif modes_from_last > SAME_MODES:
        found.append(f"wavenumbers changed by {100 * modes_from_last:.1f} %")
    return found
