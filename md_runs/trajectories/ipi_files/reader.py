"""The outputs of any simulation of i-PI as a `Trajectory`, by their prefix, folder or names.

Files tell by their first lines what they hold; units are those they name (extras name none: they
are in atomic units, as i-PI itself takes them, or in the unit that is given). Frames are told apart
by their steps: those that a restart repeated are left out, and quantities that were recorded at
different steps are read where they have steps in common.

i-PI writes a cell for molecules too. Whether it counts is said by the structure that is given.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers as number_of_symbol

from md_runs.analysis.path_integrals.energy_series import EnergySeries
from md_runs.trajectories.frame_arrays import (
    FrameArray,
    SubstituteFrames,
    centroid,
    missing_frames,
)
from md_runs.trajectories.frame_cache import FrameCache
from md_runs.trajectories.ipi_files.finding import ChosenFiles, IpiFiles, bead_of, choose_files
from md_runs.trajectories.ipi_files.quantities import (
    OF_BEADS,
    OF_EXTRAS,
    QUANTITIES,
    beads_of_series,
    cells_of_series,
    kept_frames,
)
from md_runs.trajectories.ipi_files.run_settings import (
    IpiRunSettings,
    converted,
    read_ipi_run_settings,
)
from md_runs.trajectories.ipi_files.series import (
    Series,
    read_extras_series,
    read_properties_file,
    read_trajectory_series,
)
from md_runs.trajectories.structure_file import element_of, mass_of, periodic_directions
from md_runs.trajectories.trajectory import REPEATED, Trajectory, last_records
from mlpotential.errors import RunError

PROPERTIES = ("step", "time", "potential", "bead_potentials", "kinetic_cv", "kinetic_td")
BELONG = "its files belong to different runs"

Properties = dict[str, tuple[np.ndarray, str]]  # values [n_records, ...] and unit, by i-PI's name


def read_ipi_files(
    files: IpiFiles,
    frame_interval_fs: float | None = None,
    structure: Atoms | None = None,
    of_centroid: bool = False,
    extras_units: dict[str, str] | None = None,
    progress: bool = True,
    leading: Sequence[str] = (),
) -> Trajectory:
    """Reads positions and whatever else was written.

    Args:
        files: of one simulation.
        frame_interval_fs: time between frames, where no file tells the time step.
        structure: masses, and whether the cell counts; None for the masses of the checkpoint or of
            the elements, and a molecule.
        of_centroid: prefer files of the centroid, where there are such.
        extras_units: i-PI's units of extras by name, {"dipole": "debye"}.
        progress: show bars, if standard error is a terminal.
        leading: fields of `Trajectory`, the first of which that is there decides which frames are
            read; without any, the frames that all quantities have. Where "energies" are asked for,
            a file of properties is enough.

    Raises:
        RunError: no positions; files that are damaged, end early or do not belong together; unknown
            times.

    Warns:
        UserWarning: frames that were cut, repeated or have no partner, and are left out; a cell
            that is not used.
    """
    settings = read_ipi_run_settings(files.folder, files.prefix)
    properties = _properties(files)
    chosen = choose_files(files, of_centroid, leading, settings.n_beads or _beads_of(properties))
    pbc = (False, False, False) if structure is None else periodic_directions(structure)
    read = _all_series(chosen, any(pbc), progress)
    fields = {QUANTITIES[name][0]: name for name in read}
    has_energies_alone = not fields and "energies" in leading and "step" in properties
    if not (fields.keys() & {*leading, "positions"}) and not has_energies_alone:
        raise RunError(f"{files.place} has no positions among its i-PI outputs")
    _check_extras_units(files, read, extras_units)
    numbers, masses = _atoms(
        [series for some in read.values() for series in some if series.symbols], structure, settings
    )
    steps = _frame_steps(files, read, fields, leading, properties)
    recorded: dict[str, Any] = {}
    for name, some in read.items():
        if all(np.isin(steps, series.steps).all() for series in some):
            recorded |= beads_of_series(name, some, steps, masses, extras_units)
    times_fs = _times(files, steps, properties, settings, frame_interval_fs)
    if chosen.of_centroid and fields.get("positions") in OF_BEADS and "positions" in recorded:
        stand_in = recorded["positions"]
        recorded["positions"] = SubstituteFrames(stand_in.shape, lambda a, b: stand_in[a:b])
    n_beads = chosen.n_beads if read else settings.n_beads or _beads_of(properties) or 1
    if "positions" not in recorded:
        recorded["positions"] = _positions_between(
            files,
            read.get(fields.get("positions", ""), []),
            steps,
            times_fs,
            masses,
            recorded,
            n_beads,
        )
    for series in (series for some in read.values() for series in some):
        if series.bead != bead_of(series.path):
            raise RunError(f"{series.path} holds bead {series.bead}, not that of its name")
    cells = None
    if any(pbc) and "positions" in fields:
        cells = cells_of_series(read[fields["positions"]][0], steps)
    return Trajectory(
        atomic_numbers=numbers,
        masses=masses,
        times_fs=times_fs,
        energies=_energies(properties, steps, n_beads if read else 1),
        cells=cells,
        pbc=pbc,
        temperature_K=settings.temperature_K,
        dynamics=settings.dynamics,
        friction_per_fs=settings.friction_per_fs,
        integration_timestep_fs=settings.timestep_fs,
        **recorded,
    )


def _all_series(chosen: ChosenFiles, with_cells: bool, progress: bool) -> dict[str, list[Series]]:
    """Of each quantity, by i-PI's name, a series of each bead."""
    cache, read = FrameCache(), dict[str, list[Series]]()
    for name, paths in chosen.quantities.items():
        if name in OF_EXTRAS:
            read[name] = [read_extras_series(path, cache) for path in paths]
            continue
        cells = with_cells and QUANTITIES[name][0] == "positions"
        read[name] = [read_trajectory_series(path, cache, cells, progress) for path in paths]
    return read


def _check_extras_units(
    files: IpiFiles, read: Mapping[str, object], extras_units: Mapping[str, str] | None
) -> None:
    """Raises RunError for a unit of something that was not read."""
    for name in extras_units or {}:
        if name not in read:
            raise RunError(
                f"{files.place} has no extras {name!r} that a unit could be of (--extras-units): "
                f"it has {', '.join(n for n in read if n in OF_EXTRAS) or 'none'}"
            )


def _frame_steps(
    files: IpiFiles,
    read: Mapping[str, list[Series]],
    fields: Mapping[str, str],
    leading: Sequence[str],
    properties: Properties,
) -> np.ndarray:
    """The steps whose frames are read: of what leads, of all, or of the properties alone."""
    if not read:
        steps = properties["step"][0].astype(np.int64)
        return steps[last_records(steps.astype(np.float64))]
    lead = next((field for field in leading if field in fields), None)
    every = {name: _common_steps(files, some) for name, some in read.items()}
    _check_ends([series for some in read.values() for series in some])
    if lead is None:
        return _steps_of_all(list(every.values()))
    # The others are read at the steps of what leads, or not at all: it must not be thinned out.
    steps = every[fields[lead]]
    for name, others in every.items():
        behind = steps[steps > others[-1]]
        if len(behind) == 1 and len(others) == len(steps) - 1:  # killed between two files
            steps = steps[:-1]
        if QUANTITIES[name][0] == "positions" and lead != "positions":
            continue
        if not np.isin(steps, others).all():
            warnings.warn(
                f"{files.place}: {name} are not used, which {fields[lead]} are recorded more often "
                f"than ({len(steps)} frames against {len(others)})",
                stacklevel=5,
            )
    return steps


def _positions_between(
    files: IpiFiles,
    some: Sequence[Series],
    steps: np.ndarray,
    times_fs: np.ndarray,
    masses: np.ndarray,
    recorded: Mapping[str, FrameArray],
    n_beads: int,
) -> FrameArray:
    """Positions at steps where they were not recorded: from the last ones on by the velocities.

    They are x(t) = x(t_k) + integral of v from t_k to t by the trapezoidal rule, where t_k is the
    last time at which positions are known; without velocities there are none.
    """
    velocities = recorded.get("velocities_angstrom_per_fs")
    shape = next(iter(recorded.values())).shape[:2] if recorded else (len(steps), n_beads)
    absent = missing_frames((*shape, len(masses), 3), f"{files.place} has no positions")
    if not some:
        return absent
    known = _common_steps(files, some)
    anchors = np.searchsorted(steps, known[np.isin(known, steps)])
    remark = f"positions are recorded at {len(known)} steps, other quantities at {len(steps)}"
    if velocities is None or len(anchors) == 0 or anchors[0] > 0:
        return missing_frames((*shape, len(masses), 3), f"{files.place}: {remark}")
    warnings.warn(
        f"{files.place}: {remark}: those between follow from the velocities", stacklevel=4
    )
    name = next(n for n in QUANTITIES if QUANTITIES[n][0] == "positions" and n in files.quantities)
    positions = beads_of_series(name, some, steps[anchors], masses)["positions"]
    if velocities.shape[1] == 1:
        positions = centroid(positions, keep_bead=True)

    def read(start: int, stop: int) -> np.ndarray:
        first, last = np.searchsorted(anchors, [start, stop - 1], side="right") - 1
        begin = anchors[first]
        v = np.asarray(velocities[begin:stop], np.float64)
        interval = np.diff(times_fs[begin:stop])[:, None, None, None]
        path = np.zeros_like(v)
        np.cumsum(0.5 * (v[1:] + v[:-1]) * interval, axis=0, out=path[1:])
        at = anchors[first : last + 1] - begin
        which = np.searchsorted(at, np.arange(stop - begin), side="right") - 1
        found = positions[first : last + 1][which] + path - path[at][which]
        return found[start - begin :]

    return SubstituteFrames((len(steps), *velocities.shape[1:]), read)


def _common_steps(files: IpiFiles, some: Sequence[Series]) -> np.ndarray:
    """Steps that every bead has, ascending. Raises RunError where there is none."""
    common = some[0].steps[kept_frames(some[0])]
    for series in some[1:]:
        common = np.intersect1d(common, series.steps[kept_frames(series)], assume_unique=True)
    if len(common) == 0:
        raise RunError(f"the beads of {some[0].path} have no step in common: {BELONG}")
    return common


def _check_ends(all_series: Sequence[Series]) -> None:
    """Raises RunError for a file that ends early; warns of frames that a restart repeated."""
    n_repeated = max(len(series.steps) - len(kept_frames(series)) for series in all_series)
    if n_repeated:
        warnings.warn(REPEATED.format(n_repeated), stacklevel=6)
    # A file may lack the frames of one stride at its end: the run was killed between two files.
    every = [series.steps[kept_frames(series)] for series in all_series]
    end = max(steps[-1] for steps in every)
    for series, steps in zip(all_series, every, strict=True):
        stride = int(np.median(np.diff(steps))) if len(steps) > 1 else 0
        if end - steps[-1] > max(1, 2 * stride) and len(all_series) > 1:
            raise RunError(
                f"{series.path} ends at step {steps[-1]}, others go on to step {end}: it was cut. "
                "Shorten the others to the same step, or move it away"
            )


def _steps_of_all(every: Sequence[np.ndarray]) -> np.ndarray:
    """Quantities with strides of their own meet where all strides do."""
    common = every[0]
    for steps in every[1:]:
        common = np.intersect1d(common, steps, assume_unique=True)
    if len(common) == 0:
        raise RunError(f"the quantities of a run have no step in common: {BELONG}")
    n_most = max(map(len, every))
    if n_most - len(common) > 1:
        warnings.warn(
            f"quantities were recorded at different steps: the {len(common)} frames are used that "
            f"all have, of {n_most}",
            stacklevel=5,
        )
    return common


def _atoms(
    some: Sequence[Series], structure: Atoms | None, settings: IpiRunSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers and masses (amu)."""
    if not some:
        if structure is None:
            return np.empty(0, int), np.empty(0)
        return structure.get_atomic_numbers(), structure.get_masses()
    symbols = some[0].symbols
    other = next((series for series in some if series.symbols != symbols), None)
    if other is not None:
        raise RunError(f"{other.path} has other atoms than {some[0].path}")
    numbers = [number_of_symbol.get(element_of(s), 0) for s in symbols]
    if structure is not None:
        if len(structure) != len(symbols):
            raise RunError(
                f"{some[0].path} has {len(symbols)} atoms, but the structure has {len(structure)}"
            )
        if any(n not in (0, own) for n, own in zip(numbers, structure.numbers, strict=True)):
            raise RunError(f"{some[0].path} has other elements than the structure")
        return structure.get_atomic_numbers(), structure.get_masses()
    if 0 in numbers:
        raise RunError(
            f"{some[0].path} has atoms called {symbols[numbers.index(0)]!r}, which is no element: "
            "give the structure (elements and masses)"
        )
    warnings.warn(
        f"the cell in {some[0].path} is not used, as i-PI writes one for molecules too: give the "
        "structure with its periodic directions if it counts",
        stacklevel=4,
    )
    of_elements = np.array([mass_of(s) for s in symbols])
    found = of_elements if settings.masses is None else settings.masses
    return np.array(numbers), found if len(found) == len(numbers) else of_elements


def _beads_of(properties: Properties) -> int | None:
    """How many beads have a potential energy of their own, where that is told."""
    return properties["bead_potentials"][0].shape[1] if "bead_potentials" in properties else None


def _properties(files: IpiFiles, *needed: str) -> Properties:
    """Of the first file that counts steps, and has what is needed."""
    for path in files.properties:
        found = read_properties_file(path, PROPERTIES)
        if {"step", *needed} <= found.keys():
            return found
    return {}


def read_ipi_energies(files: IpiFiles) -> EnergySeries | None:
    """The series that path-integral energies are made of; None where they were not recorded.

    Raises:
        RunError: a file that is damaged, or unknown times.
    """
    found = _properties(files, "kinetic_cv", "potential")
    if not found:
        return None
    kept = last_records(found["step"][0])
    steps = found["step"][0][kept].astype(np.int64)
    settings = read_ipi_run_settings(files.folder, files.prefix)

    def energies(name: str) -> np.ndarray:
        values, unit = found[name]
        return np.asarray(converted(values[kept], "energy", unit, "electronvolt"))

    return EnergySeries(
        times_fs=_times(files, steps, found, settings, None),
        kinetic=energies("kinetic_cv"),
        potentials=energies("potential"),
        primitive=energies("kinetic_td") if "kinetic_td" in found else None,
    )


def _times(
    files: IpiFiles,
    steps: np.ndarray,
    properties: Properties,
    settings: IpiRunSettings,
    interval_fs: float | None,
) -> np.ndarray:
    """Of each frame (fs)."""
    if interval_fs is not None:
        return np.arange(len(steps)) * interval_fs
    timestep_fs = settings.timestep_fs
    if "time" in properties and len(properties["time"][0]) > 1:
        times, unit = properties["time"]
        per_step = (times[-1] - times[0]) / (properties["step"][0][-1] - properties["step"][0][0])
        timestep_fs = float(converted(per_step, "time", unit, "femtosecond"))
    if timestep_fs is None:
        raise RunError(
            f"no file of {files.place} tells the time step: give frame_interval_fs "
            "(--frame-interval-fs), or put the input or the property file with step and time "
            "beside them"
        )
    return steps * timestep_fs


def _energies(properties: Properties, steps: np.ndarray, n_beads: int) -> np.ndarray | None:
    """Potential energies of the beads, [n_frames, n_beads] (eV), where every frame has them."""
    name = "potential" if n_beads == 1 else "bead_potentials"
    if name not in properties:
        return None
    recorded = properties["step"][0].astype(np.int64)
    kept = last_records(recorded.astype(np.float64))
    if not np.isin(steps, recorded[kept]).all():
        return None
    values, unit = properties[name]
    chosen = values.reshape(len(values), -1)[kept[np.searchsorted(recorded[kept], steps)]]
    return chosen * converted(1.0, "energy", unit, "electronvolt")
