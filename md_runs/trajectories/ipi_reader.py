"""The outputs of any simulation of i-PI as a `Trajectory`, by their prefix, folder or names.

Files tell by their first lines what they hold; units are those they name (extras name none: they
are in atomic units, as i-PI itself takes them, or in the unit that is given). Frames are told apart
by their steps: those that a restart repeated are left out, and quantities that were recorded at
different steps are read where they have steps in common.

i-PI writes a cell for molecules too. Whether it counts is said by the structure that is given.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_masses
from ase.data import atomic_numbers as number_of_symbol

from md_runs.trajectories.frame_arrays import (
    FrameArray,
    beads_together,
    changed_frames,
    chosen_frames,
)
from md_runs.trajectories.frame_cache import FrameCache
from md_runs.trajectories.ipi_run_settings import IpiRunSettings, converted, read_ipi_run_settings
from md_runs.trajectories.ipi_series import (
    Series,
    output_kind,
    read_extras_series,
    read_properties_file,
    read_trajectory_series,
)
from md_runs.trajectories.structure_file import periodic_directions
from md_runs.trajectories.trajectory import REPEATED, Trajectory, last_records
from mlpotential.errors import RunError

# i-PI's name: field of `Trajectory`, family of units.
OF_BEADS = {
    "positions": ("positions", "length"),
    "velocities": ("velocities_angstrom_per_fs", "velocity"),
    "momenta": ("velocities_angstrom_per_fs", "momentum"),
    "forces": ("forces", "force"),
}
OF_CENTROID = {
    "x_centroid": ("positions", "length"),
    "v_centroid": ("velocities_angstrom_per_fs", "velocity"),
    "p_centroid": ("velocities_angstrom_per_fs", "momentum"),
    "f_centroid": ("forces", "force"),
}
OF_EXTRAS = {
    "dipole": ("dipoles", "electric-dipole"),
    "polarizability": ("polarizabilities", ""),
    "charges": ("charges", ""),
}
QUANTITIES = OF_BEADS | OF_CENTROID | OF_EXTRAS
PROPERTIES = ("step", "time", "potential", "bead_potentials")
HYDROGENS = {"D": 1, "T": 1}

Properties = dict[str, tuple[np.ndarray, str]]  # values [n_records, ...] and unit, by i-PI's name


@dataclass(frozen=True)
class IpiFiles:
    """The files of one simulation.

    Attributes:
        folder: where they are.
        prefix: what their names begin with.
        trajectories: xyz files by i-PI's name of the quantity.
        extras: by what they hold.
        properties: files of properties.
    """

    folder: Path
    prefix: str
    trajectories: dict[str, list[Path]]
    extras: dict[str, list[Path]]
    properties: list[Path]


def find_ipi_files(place: Path) -> IpiFiles | None:
    """The simulation that a prefix, a folder or one of its files belongs to; None for no i-PI.

    Raises:
        RunError: a folder with the outputs of several simulations.
    """
    folder = place if place.is_dir() else place.parent
    if not folder.is_dir() or (place.is_file() and output_kind(place) is None):
        return None
    files = sorted(path for path in folder.iterdir() if path.is_file())
    outputs = {path: found for path in files if (found := output_kind(path))}
    prefixes = {_prefix(path) for path in outputs}
    if not place.is_dir():
        prefixes &= {_prefix(place)}
    if len(prefixes) > 1:
        raise RunError(
            f"{folder} holds outputs of several simulations: give the prefix of one of them, "
            + " or ".join(str(folder / prefix) for prefix in sorted(prefixes))
        )
    if not prefixes:
        return None
    prefix = prefixes.pop()
    trajectories, extras = dict[str, list[Path]](), dict[str, list[Path]]()
    properties: dict[str, list[Path]] = {"": []}
    of_kind = {"trajectory": trajectories, "extras": extras, "properties": properties}
    for path, (kind, name) in outputs.items():
        if _prefix(path) == prefix:
            of_kind[kind].setdefault(name, []).append(path)
    return IpiFiles(folder, prefix, trajectories, extras, properties[""])


def _prefix(path: Path) -> str:
    return path.name.split(".")[0]


def read_ipi_files(
    files: IpiFiles,
    frame_interval_fs: float | None = None,
    structure: Atoms | None = None,
    of_centroid: bool = False,
    extras_units: dict[str, str] | None = None,
    progress: bool = True,
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

    Raises:
        RunError: no positions; files that are damaged, end early or do not belong together; unknown
            times.

    Warns:
        UserWarning: frames that were cut, repeated or have no partner, and are left out; a cell
            that is not used.
    """
    settings = read_ipi_run_settings(files.folder, files.prefix)
    pbc = (False, False, False) if structure is None else periodic_directions(structure)
    read = _all_series(files, of_centroid, any(pbc), progress)
    steps = _common_steps([series for some in read.values() for series in some])
    properties = _properties(files)
    numbers, masses = _atoms(
        [series for some in read.values() for series in some if series.symbols], structure, settings
    )
    recorded: dict[str, Any] = {}
    for name, some in read.items():
        recorded |= beads_of_series(name, some, steps, masses, extras_units)
    positions_name = next(name for name in read if QUANTITIES[name][0] == "positions")
    return Trajectory(
        atomic_numbers=numbers,
        masses=masses,
        times_fs=_times(files, steps, properties, settings, frame_interval_fs),
        energies=_energies(properties, steps, recorded["positions"].shape[1]),
        cells=_cells(read[positions_name][0], steps) if any(pbc) else None,
        pbc=pbc,
        temperature_K=settings.temperature_K,
        dynamics=settings.dynamics,
        friction_per_fs=settings.friction_per_fs,
        integration_timestep_fs=settings.timestep_fs,
        **recorded,
    )


def _all_series(
    files: IpiFiles, of_centroid: bool, with_cells: bool, progress: bool
) -> dict[str, list[Series]]:
    """Of each quantity that is there, by i-PI's name, a series of each bead."""
    there = files.trajectories
    no_beads = "positions" not in there
    wanted = OF_CENTROID if "x_centroid" in there and (of_centroid or no_beads) else OF_BEADS
    # Velocities may be there as momenta, too: the first of each field is read.
    name_of_field = {wanted[name][0]: name for name in reversed(wanted) if name in there}
    if "positions" not in name_of_field:
        raise RunError(f"{files.folder / files.prefix} has no positions among its i-PI outputs")
    cache = FrameCache()
    read = {
        name: [
            read_trajectory_series(path, cache, with_cells and field == "positions", progress)
            for path in there[name]
        ]
        for name, (field, _) in wanted.items()
        if name_of_field.get(field) == name
    }
    extras = {name: files.extras[name] for name in OF_EXTRAS if name in files.extras}
    return read | {
        name: [read_extras_series(path, cache) for path in paths] for name, paths in extras.items()
    }


def _kept(series: Series) -> np.ndarray:
    """Numbers of the frames that no restart repeated."""
    return last_records(series.steps.astype(np.float64))


def _frames_at(series: Series, steps: np.ndarray) -> np.ndarray:
    """Numbers of the frames with these steps, which the series has; [n_steps]."""
    kept = _kept(series)
    return kept[np.searchsorted(series.steps[kept], steps)]


def _common_steps(all_series: Sequence[Series]) -> np.ndarray:
    """Steps that every series has, ascending. Raises RunError for a file that ends early."""
    n_repeated = max(len(series.steps) - len(_kept(series)) for series in all_series)
    if n_repeated:
        warnings.warn(REPEATED.format(n_repeated), stacklevel=4)
    # A file may lack the frames of one stride at its end: the run was killed between two files.
    every = [series.steps[_kept(series)] for series in all_series]
    end = max(steps[-1] for steps in every)
    for series, steps in zip(all_series, every, strict=True):
        stride = int(np.median(np.diff(steps))) if len(steps) > 1 else 0
        if end - steps[-1] > max(1, 2 * stride) and len(all_series) > 1:
            raise RunError(
                f"{series.path} ends at step {steps[-1]}, others go on to step {end}: it was cut. "
                "Shorten the others to the same step, or move it away"
            )
    # Quantities with strides of their own meet where all strides do.
    common = every[0]
    for steps in every[1:]:
        common = np.intersect1d(common, steps, assume_unique=True)
    if len(common) == 0:
        raise RunError(
            f"{all_series[0].path} and the files beside it have no step in common: they belong to "
            "different runs"
        )
    n_most = max(map(len, every))
    if n_most - len(common) > 1:
        warnings.warn(
            f"quantities were recorded at different steps: the {len(common)} frames are used that "
            f"all have, of {n_most}",
            stacklevel=4,
        )
    return common


def beads_of_series(
    name: str,
    some: Sequence[Series],
    steps: np.ndarray,
    masses: np.ndarray,
    extras_units: dict[str, str] | None = None,
) -> dict[str, FrameArray]:
    """One quantity of all beads in the units of `Trajectory`, by its field there; nothing is read.

    Args:
        name: of the quantity, one of `QUANTITIES`.
        some: of each bead, in any order.
        steps: whose frames are taken; every series has them.
        masses: [n_atoms] (amu).
        extras_units: i-PI's units of extras by name; None for atomic units.

    Raises:
        RunError: beads whose frames differ in shape, or a unit that i-PI does not know.
    """
    field = QUANTITIES[name][0]
    unit = (extras_units or {}).get(name, "") if name in OF_EXTRAS else some[0].unit
    factor = _factor(name, unit, some[0].path, masses)
    beads = []
    for series in sorted(some, key=lambda s: s.bead):
        values = chosen_frames(series.values, _frames_at(series, steps))  # [n_steps, ...]
        shape = (3, 3) if field == "polarizabilities" else values.shape[1:]
        beads.append(_scaled(values, factor, shape))
    if len({bead.shape for bead in beads}) > 1:
        raise RunError(f"{some[0].path} and the files of other beads have frames of other shapes")
    return {field: beads_together(beads)}  # [n_steps, n_beads, ...]


def _scaled(values: FrameArray, factor: np.ndarray, shape: tuple[int, ...]) -> FrameArray:
    return changed_frames(values, lambda frames: frames.reshape(-1, *shape) * factor, shape)


def _factor(name: str, unit: str, path: Path, masses: np.ndarray) -> np.ndarray:
    """What values in i-PI's `unit` are multiplied with to be in the units of `Trajectory`."""
    from ipi.utils.units import unit_to_internal, unit_to_user

    family = QUANTITIES[name][1]
    internal = 1.0
    if family:
        try:
            internal = unit_to_internal(family, unit, 1.0)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path} has {name} in {unit!r}, no unit of i-PI") from error
    bohr = unit_to_user("length", "angstrom", 1.0)
    velocity = bohr / unit_to_user("time", "femtosecond", 1.0)
    own: dict[str, Any] = {
        "length": bohr,
        "velocity": velocity,
        "momentum": velocity / (unit_to_internal("mass", "dalton", 1.0) * masses[:, None]),
        "force": unit_to_user("energy", "electronvolt", 1.0) / bohr,
        "electric-dipole": bohr,
        "": bohr**3 if name == "polarizability" else 1.0,
    }
    return np.asarray(own[family] * internal)


def _atoms(
    some: Sequence[Series], structure: Atoms | None, settings: IpiRunSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers and masses (amu)."""
    symbols = some[0].symbols
    other = next((series for series in some if series.symbols != symbols), None)
    if other is not None:
        raise RunError(f"{other.path} has other atoms than {some[0].path}")
    numbers = [number_of_symbol.get(s.capitalize(), HYDROGENS.get(s, 0)) for s in symbols]
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
    of_elements = atomic_masses[numbers]
    found = of_elements if settings.masses is None else settings.masses
    return np.array(numbers), found if len(found) == len(numbers) else of_elements


def _properties(files: IpiFiles) -> Properties:
    """Of the first file that counts steps."""
    found: Properties = {}
    for path in files.properties:
        here = read_properties_file(path, PROPERTIES)
        if "step" in here and not found:
            found = here
    return found


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
            f"no file of {files.folder / files.prefix} tells the time step: give frame_interval_fs "
            "(--frame-interval-fs), or put the input or the property file with step and time "
            "beside them"
        )
    return steps * timestep_fs


def _cells(series: Series, steps: np.ndarray) -> np.ndarray:
    """[n_frames, 3, 3] (A)."""
    assert series.cells is not None
    unit = series.cell_unit or "angstrom"  # extended XYZ names none: ASE's
    to_angstrom = converted(1.0, "length", unit, "angstrom")
    return np.asarray(series.cells)[_frames_at(series, steps)] * to_angstrom


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
