"""RPMD and TRPMD: segments of ring-polymer dynamics from decorrelated frames of a PIMD run.

Positions of the beads come from the frames, velocities are drawn anew from the Maxwell-Boltzmann
distribution of the beads, of which the positions are independent. The velocity of the centroid is
the mean over the beads. Each segment is a run in a folder of its own, which is finished, continued
or begun by the same call.

    RPMD:  I. R. Craig, D. E. Manolopoulos, J. Chem. Phys. 121, 3368 (2004), doi:10.1063/1.1777575
    TRPMD: M. Rossi, M. Ceriotti, D. E. Manolopoulos, J. Chem. Phys. 140, 234116 (2014),
           doi:10.1063/1.4883861
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import kB

from md_runs.analysis.sampling.uncertainty import Estimate, mean_of_blocks
from md_runs.force_provider import IpiDriver
from md_runs.pimd.ipi_input import RingPolymer
from md_runs.pimd.ipi_run import run_with_driver
from md_runs.pimd.record import OWN_INPUT, RECORDED, read_record
from md_runs.pimd.results import PimdResult
from md_runs.pimd.settings import PimdRun
from md_runs.pimd.stored_runs import read_pimd_trajectory
from md_runs.run_folders import RECORD_NAME, SEGMENT_NAME, SOURCE_NAME
from md_runs.run_identity import differences, structure_of
from md_runs.thermal_velocities import LINEAR_KEY, thermal_motion, without_rigid_motion
from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import ConfigError, RunError
from mlpotential.inference.guard import GuardReport
from mlpotential.run_folder import lock_folder
from mlpotential.units import ASE_TIME_PER_FS

LONGEST_INTERVAL_FS = 4.0  # chosen: frames see wavenumbers up to 1 / (2 c interval), here 4170 / cm
SAME_START = 6  # decimals (A); the digits that i-PI writes of a frame, but for rounding


@dataclass(frozen=True)
class SegmentRun:
    """One of the runs that segments are made of.

    Attributes:
        settings: of it.
        folder: made where needed.
        start: of the beads; None for thermal ones.
        title: of the progress bar.
    """

    settings: PimdRun
    folder: Path
    start: RingPolymer | None = None
    title: str = "PIMD"


RunOne = Callable[[IpiDriver, SegmentRun], PimdResult]  # the driver says what the run is of


@dataclass(frozen=True)
class SegmentsResult:
    """Finished segments.

    Attributes:
        trajectories: one for each segment.
        centroid_temperature_K: kinetic, of the centroids, with its standard error over segments.
        energy_spread: largest minus smallest conserved energy in the worst segment, of each bead
            (eV/atom).
        extrapolation: how much of all runs was outside the training data of the model; None where
            nobody counted.
    """

    trajectories: list[Trajectory]
    centroid_temperature_K: Estimate
    energy_spread: float
    extrapolation: GuardReport | None = None

    def __str__(self) -> str:
        first, n_segments = self.trajectories[0], len(self.trajectories)
        return (
            f"{n_segments} {first.dynamics} segment{'s' if n_segments > 1 else ''} of "
            f"{first.times_fs[-1] / 1000.0:g} ps with {first.n_beads} beads, centroid temperature "
            f"{self.centroid_temperature_K} K, conserved energy within "
            f"{1000.0 * self.energy_spread:.2g} meV/atom"
        )


def run_segments_with_driver(
    atoms: Atoms,
    driver: IpiDriver,
    settings: PimdRun,
    folder: Path,
    source: Path | None,
    progress: bool,
    stall_limit_s: float,
) -> SegmentsResult:
    """`run_ring_polymer_segments` by i-PI with any driver: atoms in i-PI's frame."""

    def run_one(driver: IpiDriver, part: SegmentRun) -> PimdResult:
        return run_with_driver(
            atoms, driver, part.settings, part.folder, progress, stall_limit_s, part.start,
            part.title,
        )  # fmt: skip

    return run_segments(atoms, driver, settings, folder, source, run_one, stacklevel=4)


def run_segments(
    atoms: Atoms,
    driver: IpiDriver,
    settings: PimdRun,
    folder: Path,
    source: Path | None,
    run_one: RunOne,
    stacklevel: int = 3,
) -> SegmentsResult:
    """`run_ring_polymer_segments` by any engine.

    Args:
        atoms: in i-PI's frame.
        driver: what identifies the forces.
        settings: of the segments.
        folder: made where needed.
        source: of first positions.
        run_one: makes a run, or the rest of it.
        stacklevel: who is warned, as of `warnings.warn`.
    """
    if not settings.records_velocities:
        raise ConfigError("segments are of rpmd or trpmd: set dynamics")
    interval_fs = settings.stride * settings.timestep_fs
    if interval_fs > LONGEST_INTERVAL_FS:
        warnings.warn(
            f"frames every {interval_fs:g} fs are too few for spectra of light atoms: lower stride",
            stacklevel=stacklevel,
        )
    n_segments = settings.n_steps // settings.segment_steps
    with lock_folder(folder):
        if (folder / RECORD_NAME).exists():
            raise RunError(f"{folder} holds another run: choose another folder")
        if source is None:
            source = folder / SOURCE_NAME
            thermal = _thermal_settings(settings, n_segments)
            run_one(driver, SegmentRun(thermal, source))
        frames = _start_frames(source, atoms, driver, settings, n_segments)
        begun = read_record(source)[0]  # not bent by its motion, as its frames are
        results = []
        for k, positions in enumerate(frames):
            segment = replace(
                settings, n_steps=settings.segment_steps, seed=_segment_seed(settings.seed, k)
            )
            digest = hashlib.sha256(np.round(positions, SAME_START).tobytes()).hexdigest()
            identity = {**driver.identity, "start (sha256)": digest, **_linear_identity(begun)}
            own = replace(driver, identity=identity)
            start = RingPolymer(positions, thermal_bead_velocities(begun, positions, segment))
            title = f"{settings.dynamics.upper()}, segment {k + 1} of {n_segments}"
            place = folder / SEGMENT_NAME.format(k)
            results.append(run_one(own, SegmentRun(segment, place, start, title)))
    return _result(begun, settings, results)


def _linear_identity(atoms: Atoms) -> dict[str, str]:
    """What tells segments of a linear molecule from those of versions that counted 3N - 6 there."""
    is_linear = thermal_motion(atoms, rotates=False).is_linear
    return {"degrees of freedom": "3N - 5"} if is_linear and len(atoms) > 2 else {}


def _thermal_settings(settings: PimdRun, n_segments: int) -> PimdRun:
    """Of the PIMD run that is just long enough."""
    n_steps = n_segments * _frame_spacing(settings, settings) * settings.stride
    return replace(settings, dynamics="pimd", n_steps=n_steps, record_forces=False)


def _frame_spacing(source: PimdRun, settings: PimdRun) -> int:
    """Frames of the source from the start of one segment to the next."""
    return max(1, round(1000.0 * settings.start_spacing_ps / (source.timestep_fs * source.stride)))


def _segment_seed(seed: int, k: int) -> int:
    """Independent of those of all other segments and runs."""
    return int(np.random.SeedSequence([seed, k]).generate_state(1)[0])


def _start_frames(
    source: Path, atoms: Atoms, driver: IpiDriver, settings: PimdRun, n_segments: int
) -> list[np.ndarray]:
    """Positions of the beads, each [n_beads, n_atoms, 3] (A).

    Raises:
        RunError: if the source is too short, or of anything else.
    """
    _check_source(source, atoms, driver, settings)
    there = read_record(source)[1]
    spacing = _frame_spacing(there, settings)
    positions = read_pimd_trajectory(source).positions
    if len(positions) <= n_segments * spacing:
        frame_ps = there.timestep_fs * there.stride / 1000.0
        raise RunError(
            f"{source} has {(len(positions) - 1) * frame_ps:g} ps, but {n_segments} segments "
            f"{spacing * frame_ps:g} ps apart need {n_segments * spacing * frame_ps:g}: make that "
            "run longer, or lower n_steps or start_spacing_ps"
        )
    return [np.array(positions[(k + 1) * spacing]) for k in range(n_segments)]


def _check_source(source: Path, atoms: Atoms, driver: IpiDriver, settings: PimdRun) -> None:
    """Raises RunError unless its frames are those of the ring polymer at hand."""
    there_atoms, there, identity = read_record(source)
    if there.moves_cell:
        raise RunError(
            f"segments cannot start from {source}: its cell moves, and theirs does not. Run pimd "
            "at its mean volume, without pressure_GPa, to start from"
        )

    def ensemble(atoms: Atoms, run: PimdRun) -> dict[str, object]:
        structure = structure_of(atoms)
        del structure["positions"]
        return {"n_beads": run.n_beads, "temperature_K": run.temperature_K, **structure}

    forces = {
        name: value for name, value in identity.items() if value != RECORDED and name != OWN_INPUT
    }
    differing = differences(
        ensemble(there_atoms, there) | {"dynamics": there.dynamics} | forces,
        ensemble(atoms, settings) | {"dynamics": "pimd"} | dict(driver.identity),
    )
    if differing:
        raise RunError(f"segments cannot start from {source}: {'; '.join(differing)}")


def thermal_bead_velocities(atoms: Atoms, positions: np.ndarray, settings: PimdRun) -> np.ndarray:
    """Velocities at n_beads times the temperature of the settings, by their seed.

    With a fixed center of mass the ring polymer neither drifts nor, unless periodic, turns; about
    the axis of a linear molecule it does, for that is the motion of its bends.

    Args:
        atoms: elements, masses, cell, and positions that tell whether the molecule is linear.
        positions: of the beads, [n_beads, n_atoms, 3] (A).
        settings: of the segment.

    Returns:
        [n_beads, n_atoms, 3] (A / ASE time).
    """
    n_beads = len(positions)
    beads = Atoms(
        np.tile(atoms.numbers, n_beads),
        positions=positions.reshape(-1, 3),
        masses=np.tile(atoms.get_masses(), n_beads),
        cell=atoms.cell,
        pbc=atoms.pbc,
        info={LINEAR_KEY: thermal_motion(atoms, rotates=False).is_linear},
    )
    masses = beads.get_masses()[:, None]
    normal = np.random.default_rng(settings.seed).standard_normal((len(beads), 3))
    momenta = np.sqrt(masses * kB * settings.temperature_K * n_beads) * normal
    if settings.fix_center_of_mass:
        momenta = without_rigid_motion(beads, momenta, rotates=False)
    return (momenta / masses).reshape(positions.shape)


def _result(atoms: Atoms, settings: PimdRun, results: Sequence[PimdResult]) -> SegmentsResult:
    n_dof = 3 * len(atoms)
    if settings.fix_center_of_mass:
        n_dof = thermal_motion(atoms, rotates=False).n_thermal
    temperatures_K = []
    for result in results:
        velocities = result.trajectory.velocities_angstrom_per_fs
        assert velocities is not None
        centroid = np.asarray(velocities).mean(axis=1) / ASE_TIME_PER_FS
        twice_kinetic = np.einsum("i,fix->f", atoms.get_masses(), centroid**2).mean()
        temperatures_K.append(twice_kinetic / (n_dof * kB))
    reports = [r.extrapolation for r in results if r.extrapolation is not None]
    return SegmentsResult(
        trajectories=[result.trajectory for result in results],
        centroid_temperature_K=mean_of_blocks(np.array(temperatures_K)),
        energy_spread=max(float(np.ptp(r.properties.conserved)) for r in results) / len(atoms),
        extrapolation=reduce(add, reports) if reports else None,
    )
