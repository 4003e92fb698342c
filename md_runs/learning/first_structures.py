"""Round 0: the minimum and its vibrations by the reference, and structures that these span.

Normal modes k of masses m are displaced as harmonic oscillators at several temperatures T,

    <q_k^2> = kT / omega_k^2  (classical),  hbar / (2 omega_k) coth(hbar omega_k / 2 kT)  (quantum),
                                                                                            (1)

with mass-weighted q. They miss how soft modes bend, which a short dynamics of the reference shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write
from ase.units import kB

from md_runs.analysis.path_integrals.energies import HBAR
from md_runs.analysis.vibrations.normal_modes import (
    NormalModes,
    curvatures_of_wavenumbers,
    read_normal_modes,
)
from md_runs.classical.run import run_classical
from md_runs.classical.settings import ClassicalRun
from md_runs.force_provider import CalculatorForces
from md_runs.learning.folders import (
    CHECKS,
    CHOSEN,
    MINIMUM_NAME,
    REFERENCE_MODES_NAME,
    RoundFolder,
    structures_of,
    write_frames,
)
from md_runs.learning.geometry import descriptors, farthest_points
from md_runs.learning.settings import LearningRun
from md_runs.molecular_modes import calculator_modes
from md_runs.relax import UnfinishedRelaxation, relax
from md_runs.trajectories.frames_file import read_trajectory
from mlpotential.labelling.worker_calculator import WorkerCalculator

FORCE_TOLERANCE = 1e-3  # eV/A; chosen: displacements of Eq. (1) do not see less
# Of the wanted temperature, and of the widths of Eq. (1): near rest, as it is, and beyond that, for
# temperature hardly widens zero-point motion. Chosen.
SAMPLES = ((0.25, 1.0), (1.0, 1.0), (2.0, 1.3))
SOFTEST_PER_CM = 150.0  # softer modes are displaced as this one: they are not harmonic so far
CANDIDATES = 4  # for each structure that is taken
TOO_NEAR = 0.5  # of the shortest distance of such a pair at the minimum; chosen: thrown away
MD_TIMESTEP_FS = 1.0
MD_STRIDE = 10
MD_TEMPERATURE_FACTOR = 1.5  # chosen: a few hundred steps see little else


@dataclass(frozen=True)
class Reference:
    """What the reference says of the molecule at rest.

    Attributes:
        minimum: relaxed, without calculator.
        modes: its vibrations.
    """

    minimum: Atoms
    modes: NormalModes


def make_reference(
    atoms: Atoms, forces: CalculatorForces, round_: RoundFolder, progress: bool
) -> Reference:
    """Relaxes, and makes the Hessian, or reads both; a stopped call goes on.

    Raises:
        RunError: if it does not relax, or the calculator gives nothing that can be used.
    """
    minimum_file, modes_file = (round_.path / x for x in (MINIMUM_NAME, REFERENCE_MODES_NAME))
    calculator = WorkerCalculator(forces.named, forces.drivers, forces.limit_s)
    try:
        if not minimum_file.exists():
            with round_.timed("relaxation"):
                kept = UnfinishedRelaxation(minimum_file, atoms, forces.named.identity)
                start = kept.start().copy()
                start.calc = calculator
                relaxed, _ = relax(start, FORCE_TOLERANCE, on_step=kept.save, progress=progress)
                relaxed.calc = None
                partial = minimum_file.with_name(f"partial_{minimum_file.name}")
                write(partial, relaxed)
                partial.replace(minimum_file)
                kept.remove()
        minimum = read(minimum_file)
        assert isinstance(minimum, Atoms)
        minimum.info, minimum.calc = dict(atoms.info), None
        minimum.set_masses(atoms.get_masses())
        if not modes_file.exists():
            with round_.timed("Hessian"):
                unfinished = modes_file.with_name(modes_file.name + ".unfinished")
                found, _ = calculator_modes(
                    minimum, calculator, kept_file=unfinished, progress=progress
                )
                found.modes.save_json(modes_file)
                unfinished.unlink(missing_ok=True)
        return Reference(minimum, read_normal_modes(modes_file))
    finally:
        calculator.workers.close()


def choose_first(
    reference: Reference,
    settings: LearningRun,
    forces: CalculatorForces,
    round_: RoundFolder,
    progress: bool,
) -> None:
    """Writes the first structures to label, those to check by apart."""
    if round_.frames(CHOSEN).exists():
        return
    random = np.random.default_rng([settings.seed, 0])
    pool = [_by_modes(reference, settings, random)]
    if settings.md_steps:
        with round_.timed("reference dynamics"):
            pool.append(_by_dynamics(reference, settings, forces, round_, progress))
    positions = np.concatenate(pool)
    drawn = [int(k) for k in random.permutation(len(positions))]
    order = drawn[: settings.first_labels]
    if settings.strategy == "disagreement":  # half of them; the far ones alone leave rest unknown
        points = descriptors(positions, reference.minimum.numbers)
        n_far = settings.first_labels // 2
        near = order[: settings.first_labels - n_far]
        order = near + farthest_points(points, points[near], n_far)
    order = [int(k) for k in random.permutation(order)]
    n_checks = settings.n_checks(len(order))
    for kind, numbers in ((CHECKS, order[:n_checks]), (CHOSEN, order[n_checks:])):
        frames = structures_of(reference.minimum, positions[numbers])
        write_frames(round_.frames(kind), frames)


def displaced_along_modes(
    modes: NormalModes,
    n_structures: int,
    temperature_K: float,
    is_quantum: bool,
    random: np.random.Generator,
) -> np.ndarray:
    """Structures of Eq. (1), [n_structures, n_atoms, 3] (A); soft modes as `SOFTEST_PER_CM`."""
    wavenumbers = np.maximum(np.abs(modes.wavenumbers_per_cm), SOFTEST_PER_CM)
    omega = np.sqrt(curvatures_of_wavenumbers(wavenumbers))
    kT = kB * temperature_K
    variances = kT / omega**2
    if is_quantum:
        variances = HBAR / (2.0 * omega) / np.tanh(HBAR * omega / (2.0 * kT))
    q = np.sqrt(variances) * random.normal(size=(n_structures, len(omega)))
    moves = np.einsum("fk,kad->fad", q, modes.modes) / np.sqrt(modes.masses)[:, None]
    return np.asarray(modes.positions + moves)


def _by_modes(
    reference: Reference, settings: LearningRun, random: np.random.Generator
) -> np.ndarray:
    n_each = -(-CANDIDATES * settings.first_labels // len(SAMPLES))
    is_quantum = settings.dynamics == "pimd"
    at_rest, found = reference.modes.positions, []
    for factor, width in SAMPLES:
        temperature_K = factor * settings.temperature_K
        drawn = displaced_along_modes(reference.modes, n_each, temperature_K, is_quantum, random)
        found.append(at_rest + width * (drawn - at_rest))
    positions = np.concatenate(found)
    first, second = np.triu_indices(len(reference.minimum), 1)
    shortest = np.linalg.norm(at_rest[first] - at_rest[second], axis=-1)
    distances = np.linalg.norm(positions[:, first] - positions[:, second], axis=-1)
    return np.asarray(positions[(distances > TOO_NEAR * shortest).all(axis=1)])


def _by_dynamics(
    reference: Reference,
    settings: LearningRun,
    forces: CalculatorForces,
    round_: RoundFolder,
    progress: bool,
) -> np.ndarray:
    """Frames of a short Langevin run of the reference, which goes on after a kill."""
    atoms = reference.minimum.copy()
    atoms.calc = WorkerCalculator(forces.named, 1, forces.limit_s)
    run = ClassicalRun(
        temperature_K=MD_TEMPERATURE_FACTOR * settings.temperature_K,
        timestep_fs=MD_TIMESTEP_FS,
        n_steps=settings.md_steps,
        stride=min(MD_STRIDE, settings.md_steps),
        seed=settings.seed,
        checkpoint_stride=MD_STRIDE,
    )
    folder = round_.path / "reference_md"
    try:
        result = run_classical(atoms, run, folder, progress)
    finally:
        atoms.calc.workers.close()
    return np.asarray(read_trajectory(Path(result.trajectory_file)).positions[1:, 0])
