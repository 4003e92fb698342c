"""Runs ready for analysis: equilibration cut off, temperature and dynamics known.

What was chosen for the user on the way is kept as sentences, for every output to repeat.
"""

from __future__ import annotations

import warnings as python_warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np

from md_runs.analysis.sampling.equilibration import (
    LEAST_KEPT,
    Equilibration,
    EquilibrationRule,
    detect_equilibration,
)
from md_runs.analysis.spectra.dynamics import (
    PATH_INTEGRAL_METHODS,
    SAMPLING_ONLY,
    Dynamics,
    Method,
    VelocityUnit,
)
from md_runs.analysis.structure.internal_coordinates import radii_of_gyration
from md_runs.analysis.vibrations.degrees_of_freedom import degrees_of_freedom
from md_runs.run_folders import file_name, segment_paths
from md_runs.trajectories.lammps_files.units import UnitName
from md_runs.trajectories.trajectory import FRAME_FIELDS, Trajectory, has_moving_cell, with_frames
from mlpotential.errors import ConfigError, DataError
from mlpotential.settings_checks import named_values
from mlpotential.units import ASE_TIME_PER_FS, EV_PER_KELVIN

MOST_SAMPLES = 20_000  # chosen: of the series that tells the end of equilibration
PIECE_FRAMES = 1_000  # chosen: read at once for such a series
N_BLOCKS = 10  # chosen: error bars known to a quarter
FRAMES_PER_BLOCK = 2  # chosen: at least, for blocks that nobody asked for


@contextmanager
def noted_warnings(noted: list[str], run: str) -> Iterator[None]:
    """Puts warnings of the analysis into `noted`, with the name of the run, each once."""
    with python_warnings.catch_warnings(record=True) as caught:
        python_warnings.simplefilter("always")
        yield
    for warning in caught:
        text = f"{run}: {warning.message}"
        if text not in noted:
            noted.append(text)


@dataclass(frozen=True)
class PreparedRun:
    """A run after its equilibration, or several segments of one system.

    Attributes:
        name: short, unique among the runs of a command.
        path: where it was read.
        segments: independent pieces, each evenly spaced in time; arrays are read when sliced.
        temperature_K: of the ensemble; None where nobody knows.
        dynamics: what moved the atoms; None where nobody knows, or where nothing moved in time.
        dynamics_remark: how that is known, or what is assumed.
        is_pimd_sampling: a path-integral run whose motion in time has no meaning.
        n_blocks: blocks of frames for the error bars of distributions.
        assumptions: what was assumed of it.
        warnings: what must not be overlooked.
    """

    name: str
    path: Path
    segments: tuple[Trajectory, ...]
    temperature_K: float | None
    dynamics: Dynamics | None
    dynamics_remark: str
    is_pimd_sampling: bool
    n_blocks: int
    assumptions: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def trajectory(self) -> Trajectory:
        """The one segment. Raises DataError where there are several."""
        if len(self.segments) > 1:
            raise DataError(
                f"{self.path} holds {len(self.segments)} segments for spectra: give the run that "
                "they start from"
            )
        return self.segments[0]

    @property
    def n_beads(self) -> int:
        """Of the ring polymer."""
        return self.segments[0].n_beads

    @property
    def is_periodic(self) -> bool:
        """Whether there is a cell that counts."""
        return any(self.segments[0].pbc) and self.segments[0].cells is not None

    def check_is_motion(self) -> None:
        """Raises DataError for a run whose motion has no meaning in time."""
        if self.is_pimd_sampling:
            raise DataError(
                f"{self.path} is path-integral MD, which samples: its time has no meaning and "
                "gives no spectrum. Run RPMD or TRPMD, or say what it is (--dynamics RPMD, TRPMD "
                "or CMD)"
            )

    def known_temperature_K(self) -> tuple[float, str]:
        """The temperature and where it comes from: the record, or the velocities.

        Raises:
            DataError: if neither tells it.
        """
        if self.temperature_K is not None:
            return self.temperature_K, "as recorded or given"
        if self.n_beads == 1 and self.segments[0].velocities_angstrom_per_fs is not None:
            return measured_temperature_K(self.segments), "measured from the velocities"
        raise DataError(f"{self.path} does not tell its temperature: give --temperature-K")


def open_runs(
    paths: Sequence[Path],
    leading: Sequence[str] = (),
    *,
    skip_ps: float | None = None,
    temperature_K: float | None = None,
    dynamics: Method | None = None,
    friction_per_fs: float | None = None,
    blocks: int | None = None,
    frame_interval_fs: float | None = None,
    structure: Path | None = None,
    extras_units: Sequence[str] | None = None,
    velocity_unit: VelocityUnit | None = None,
    units: UnitName | None = None,
    lammps_log: Path | None = None,
    elements: Sequence[str] | None = None,
    format: str | None = None,
) -> list[PreparedRun]:
    """The runs of a command, in order. What is None is found out.

    Args:
        paths: run folders or trajectory files.
        leading: as of `read_run`: which quantity decides on the frames.
        skip_ps: left out at the start, ps (until equilibrated, as detected).
        temperature_K: of the runs, K (as recorded).
        dynamics: what moved the atoms (as recorded).
        friction_per_fs: of a Langevin thermostat, 1/fs (as recorded).
        blocks: of frames, for the error bars of distributions (10).
        frame_interval_fs: time between frames, fs (as recorded).
        structure: file with elements, masses, pbc, where a run does not tell them.
        extras_units: of dipoles and other extras, dipole=debye (atomic units of i-PI, ASE's).
        velocity_unit: of velocities in a column or a dump of LAMMPS.
        units: of a dump of LAMMPS, by its name of them (as the dump or its log tells).
        lammps_log: of the run that wrote a dump (log.lammps beside it, if it names the dump).
        elements: of types 1, 2, ... of a dump of LAMMPS: C H (by its column or masses).
        format: of a file, as ASE names it (by its content or name).

    Raises:
        DataError, ConfigError, RunError: runs that cannot be read, or not as the options say.
    """
    from md_runs.reading import read_run
    from md_runs.trajectories.structure_file import read_structure

    paths = [Path(path) for path in paths]
    atoms = read_structure(structure) if structure else None
    of_extras = named_values(extras_units, "write it as dipole=debye") if extras_units else None

    def read(path: Path) -> Trajectory:
        return read_run(
            path,
            frame_interval_fs,
            atoms,
            extras_units=of_extras,
            leading=leading,
            format=format,
            velocity_unit=velocity_unit,
            units=units,
            lammps_log=lammps_log,
            elements=elements,
        )

    given = None if dynamics is None else Dynamics(dynamics, friction_per_fs)
    return [
        _prepared(path, name, read, skip_ps, temperature_K, given, friction_per_fs, blocks)
        for path, name in zip(paths, _names(paths), strict=True)
    ]


def _prepared(
    path: Path,
    name: str,
    read: Callable[[Path], Trajectory],
    skip_ps: float | None,
    temperature_K: float | None,
    given: Dynamics | None,
    friction_per_fs: float | None,
    n_blocks: int | None,
) -> PreparedRun:
    warnings: list[str] = []
    with noted_warnings(warnings, name):
        places = segment_paths(path)
        is_segmented = bool(places)
        whole = [read(place) for place in places or [path]]
    for trajectory in whole:
        _check_lengths(trajectory, path)
    first = whole[0]
    dynamics, is_pimd_sampling, how = _dynamics(first, given, friction_per_fs, is_segmented)
    assumptions = [f"{name}: {_size(whole)}"]
    kept, equilibration = [], None
    rule = EquilibrationRule.recorded(path if path.is_dir() else path.parent)
    for trajectory in whole:
        if is_segmented and skip_ps is None:
            n_skipped, remark = 0, "segments begin in equilibrium: nothing left out"
        else:
            n_skipped, remark, equilibration = equilibration_cut(trajectory, skip_ps, rule)
        kept.append(with_frames(trajectory, np.arange(n_skipped, trajectory.n_frames)))
    assumptions.append(f"{name}: {remark}")
    n_frames = sum(trajectory.n_frames for trajectory in kept)
    if n_blocks is None:
        n_blocks = N_BLOCKS if n_frames >= FRAMES_PER_BLOCK * N_BLOCKS else 1
    if equilibration is not None:
        stride = stride_of_series(whole[0].n_frames)
        warnings += _sampling_warnings(equilibration, stride, n_frames, n_blocks, name)
    return PreparedRun(
        name=name,
        path=path,
        segments=tuple(kept),
        temperature_K=first.temperature_K if temperature_K is None else temperature_K,
        dynamics=dynamics,
        dynamics_remark=how,
        is_pimd_sampling=is_pimd_sampling,
        n_blocks=n_blocks,
        assumptions=tuple(assumptions),
        warnings=tuple(warnings),
    )


def _sampling_warnings(
    equilibration: Equilibration, stride: int, n_frames: int, n_blocks: int, name: str
) -> list[str]:
    """What a run that is too short, or too correlated for its blocks, must not be believed."""
    warnings = []
    if not equilibration.is_trustworthy:
        n_kept = equilibration.n_frames - equilibration.n_equilibration
        warnings.append(
            f"{name}: too short to tell when it has equilibrated: the {n_kept * stride} frames "
            f"that are kept are worth {equilibration.n_effective:.0f} independent ones (run "
            "longer, or set the start with --skip-ps)"
        )
    correlated = equilibration.statistical_inefficiency * stride
    if n_blocks > 1 and correlated > n_frames / n_blocks:
        warnings.append(
            f"{name}: the energy stays correlated over {correlated:.0f} frames, longer than a "
            f"block of {n_frames // n_blocks}: error bars of distributions may be too small"
        )
    return warnings


def _names(paths: Sequence[Path]) -> list[str]:
    """Last part of each path, with the folders before it and the suffix where they are needed.

    Names differ as names of files, too, in which some characters become others.
    """
    whole = [path.resolve() for path in paths]
    if len(set(whole)) < len(whole):
        raise ConfigError("a run is given twice: name each once")
    for n_parts in range(1, max(len(path.parts) for path in whole) + 1):
        names = ["/".join(path.parts[-n_parts:]) for path in whole]
        stems = [
            name.removesuffix(path.suffix) if path.is_file() else name
            for name, path in zip(names, whole, strict=True)
        ]
        for some in (stems, names):
            if len({file_name(name) for name in some}) == len(some):
                return some
    return [f"{k + 1}: {path.name}" for k, path in enumerate(whole)]


def _size(segments: Sequence[Trajectory]) -> str:
    first, n_frames = segments[0], sum(s.n_frames for s in segments)
    length_ps = sum(float(s.times_fs[-1] - s.times_fs[0]) for s in segments) / 1000
    beads = beads_text(first.n_beads)
    if first.n_beads == 1 and first.dynamics not in (*PATH_INTEGRAL_METHODS, SAMPLING_ONLY):
        beads = "classical"
    several = f"{len(segments)} segments, " if len(segments) > 1 else ""
    atoms = f"{first.n_atoms} atoms" if first.n_atoms else "atoms not recorded"
    return f"{several}{n_frames} frames, {length_ps:.6g} ps, {atoms}, {beads}"


def beads_text(n_beads: int) -> str:
    """`1 bead`, `8 beads`."""
    return "1 bead" if n_beads == 1 else f"{n_beads} beads"


def _check_lengths(trajectory: Trajectory, path: Path) -> None:
    """Raises DataError unless every quantity has as many frames as there are times."""
    times = trajectory.times_fs
    for field in FRAME_FIELDS:
        values = getattr(trajectory, field)
        if values is not None and values.shape[0] != len(times):
            raise DataError(
                f"{path}: {len(times)} frames have times, but {values.shape[0]} have {field}: cut "
                "both to what they share"
            )


def _dynamics(
    trajectory: Trajectory,
    given: Dynamics | None,
    friction_per_fs: float | None,
    is_segmented: bool,
) -> tuple[Dynamics | None, bool, str]:
    """What moved the atoms, whether it only samples, and a sentence on it."""
    if given is not None:
        return given, False, f"dynamics as given: {given}"
    recorded: Any = trajectory.dynamics
    if recorded == SAMPLING_ONLY or (recorded is None and trajectory.n_beads > 1):
        return None, True, "path-integral MD, which samples: its time has no meaning"
    if recorded in get_args(Method):
        found = Dynamics(recorded, friction_per_fs or trajectory.friction_per_fs)
        return found, False, f"dynamics: {found}"
    if is_segmented:
        return Dynamics("NVE"), False, "dynamics: NVE"
    return None, False, "dynamics not recorded, taken as NVE: give --dynamics"


def equilibration_cut(
    trajectory: Trajectory, skip_ps: float | None, rule: EquilibrationRule | None = None
) -> tuple[int, str, Equilibration | None]:
    """How many frames to leave out at the start, a sentence on it, and how it was detected.

    Args:
        trajectory: the whole run.
        skip_ps: as asked for; None to follow the rule or, without one, to detect it from the
            potential energy, the kinetic energy, or the radius of gyration, whichever is there
            first, from the volume where it changes, and from the spread of beads.
        rule: recorded with the run by the study that it belongs to.

    Raises:
        ConfigError: a time that is negative or leaves no frame.
    """
    times_ps = np.asarray(trajectory.times_fs) / 1000
    n_frames = len(times_ps)
    if skip_ps is not None:
        n_skipped = int(np.searchsorted(times_ps, times_ps[0] + skip_ps * (1 - 1e-12)))
        if not (np.isfinite(skip_ps) and skip_ps >= 0) or n_skipped >= n_frames:
            raise ConfigError(
                f"--skip-ps must leave some of the {times_ps[-1] - times_ps[0]:.6g} ps, not "
                f"{skip_ps}"
            )
        return n_skipped, f"the first {skip_ps:g} ps left out as asked ({n_skipped} frames)", None
    if rule is not None:
        n_skipped = rule.n_frames(np.asarray(trajectory.times_fs))
        text = f"the first {times_ps[n_skipped] - times_ps[0]:.4g} ps left out, {n_skipped} of "
        text += f"{n_frames} frames: {rule}, as recorded with the run (--skip-ps sets it)"
        return n_skipped, text, None
    stride = stride_of_series(n_frames)
    if n_frames < 3 / LEAST_KEPT:
        return 0, f"{n_frames} frames are too few to detect equilibration: nothing left out", None
    found = [
        (detect_equilibration(series), name)
        for name, series in _settling_series(trajectory, stride)
        if len(series) >= 3 / LEAST_KEPT and np.ptp(series) > 1e-12 * np.abs(series).max()
    ]
    if not found:
        return 0, "nothing to detect equilibration from: nothing left out", None
    equilibration, name = max(found, key=lambda pair: pair[0].n_equilibration)
    n_skipped = equilibration.n_equilibration * stride
    skipped_ps = float(times_ps[n_skipped] - times_ps[0])
    text = f"the first {skipped_ps:.4g} ps left out, {n_skipped} of {n_frames} frames"
    text = text if n_skipped else "nothing left out, in equilibrium from the start"
    return n_skipped, f"{text}: detected from the {name} (--skip-ps sets it)", equilibration


def stride_of_series(n_frames: int) -> int:
    """Frames from one to the next that equilibration is detected from."""
    return -(-n_frames // MOST_SAMPLES)


def _settling_series(trajectory: Trajectory, stride: int) -> Iterator[tuple[str, np.ndarray]]:
    """Quantities that take long to settle, by name, every `stride` frames."""
    masses = np.asarray(trajectory.masses, np.float64)
    positions, velocities = trajectory.positions, trajectory.velocities_angstrom_per_fs
    if trajectory.energies is not None:
        energies = np.asarray(trajectory.energies[:], np.float64)
        yield "potential energy", energies.mean(axis=1)[::stride]
    elif velocities is not None:
        pieces = (np.einsum("a,fbax,fbax->f", masses, v, v) for v in _pieces(velocities))
        yield "kinetic energy", np.concatenate(list(pieces))[::stride]
    elif trajectory.has_positions and not any(trajectory.pbc) and trajectory.n_atoms > 1:
        radii = (radii_of_gyration(r, masses).mean(axis=(1, 2)) for r in _pieces(positions))
        yield "radius of gyration", np.concatenate(list(radii))[::stride]
    if has_moving_cell(trajectory):
        yield "volume", np.abs(np.linalg.det(np.asarray(trajectory.cells)))[::stride]
    if trajectory.has_positions and trajectory.n_beads > 1:
        spreads = (r.var(axis=1).mean(axis=(1, 2)) for r in _pieces(positions))
        yield "spread of the beads", np.concatenate(list(spreads))[::stride]


def _pieces(frames: Any) -> Iterator[np.ndarray]:
    """Some frames at a time, [n, ...], float64."""
    for start in range(0, frames.shape[0], PIECE_FRAMES):
        yield np.asarray(frames[start : start + PIECE_FRAMES], np.float64)


def measured_temperature_K(segments: Sequence[Trajectory]) -> float:
    """Of the vibrations of a classical run, without rigid motion (a crystal: translation)."""
    first, masses = segments[0], np.asarray(segments[0].masses, np.float64)
    freedom = degrees_of_freedom(
        np.asarray(first.positions[:PIECE_FRAMES])[:, 0], masses, fixed=first.fixed, pbc=first.pbc
    )
    twice_kinetic, n_frames = 0.0, 0
    for segment in segments:
        assert segment.velocities_angstrom_per_fs is not None
        pieces = zip(
            _pieces(segment.velocities_angstrom_per_fs), _pieces(segment.positions), strict=True
        )
        for all_velocities, positions in pieces:
            v = freedom.without_rigid_motion(all_velocities[:, 0], positions[:, 0])
            twice_kinetic += float(np.einsum("a,fax,fax->", masses, v, v))
            n_frames += len(v)
    n_free = n_frames * freedom.n_thermal
    if n_free <= 0:
        raise DataError("an atom without vibrations does not tell the temperature: give it")
    return twice_kinetic / (ASE_TIME_PER_FS**2 * n_free * EV_PER_KELVIN)
