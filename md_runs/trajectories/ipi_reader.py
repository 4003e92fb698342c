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
from md_runs.trajectories.ipi_run_settings import IpiFacts, read_ipi_facts
from md_runs.trajectories.ipi_series import (
    Series,
    extras_name,
    is_properties,
    read_extras_series,
    read_properties_file,
    read_trajectory_series,
    trajectory_quantity,
)
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
OF_EXTRAS = {"dipole": "dipoles", "polarizability": "polarizabilities", "charges": "charges"}
PROPERTIES = ("step", "time", "potential", "bead_potentials")
HYDROGENS = {"D": 1, "T": 1}


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
    if not folder.is_dir() or (place.is_file() and not _is_output(place)):
        return None
    prefixes = {_prefix(path) for path in folder.iterdir() if _is_output(path)}
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
    files = IpiFiles(folder, prefix, {}, {}, [])
    for path in sorted(folder.glob(f"{prefix}.*")):
        quantity, extra = trajectory_quantity(path), extras_name(path)
        if quantity is not None:
            files.trajectories.setdefault(quantity[0], []).append(path)
        elif extra is not None:
            files.extras.setdefault(extra, []).append(path)
        elif is_properties(path):
            files.properties.append(path)
    return files


def _prefix(path: Path) -> str:
    return path.name.split(".")[0]


def _is_output(path: Path) -> bool:
    return path.is_file() and (
        trajectory_quantity(path) is not None
        or extras_name(path) is not None
        or is_properties(path)
    )


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
    wanted = OF_CENTROID if of_centroid or not files.trajectories.get("positions") else OF_BEADS
    if "x_centroid" not in files.trajectories and wanted is OF_CENTROID:
        wanted = OF_BEADS
    facts = read_ipi_facts(files.folder, files.prefix)
    pbc = (False, False, False)
    if structure is not None:
        pbc = (bool(structure.pbc[0]), bool(structure.pbc[1]), bool(structure.pbc[2]))
    fields = {wanted[name][0]: name for name in reversed(wanted) if name in files.trajectories}
    read = {
        name: [
            read_trajectory_series(path, any(pbc) and field == "positions", progress)
            for path in files.trajectories[name]
        ]
        for name, (field, _) in wanted.items()
        if fields.get(field) == name
    }
    if "positions" not in fields:
        raise RunError(f"{files.folder / files.prefix} has no positions among its i-PI outputs")
    read |= {
        name: [read_extras_series(path) for path in files.extras[name]]
        for name in OF_EXTRAS
        if name in files.extras
    }
    steps = _common_steps([series for some in read.values() for series in some])
    properties = _properties(files)
    numbers, masses = _atoms(
        [series for some in read.values() for series in some if series.symbols], structure, facts
    )
    recorded: dict[str, Any] = {}
    for name, some in read.items():
        field, factor = _field_and_factor(name, some[0], wanted, masses, extras_units or {})
        recorded[field] = _in_beads(some, steps, factor, field)
    positions = recorded["positions"]
    recorded["energies"] = _energies(properties, steps, positions.shape[1])
    return Trajectory(
        atomic_numbers=numbers,
        masses=masses,
        times_fs=_times(files, steps, properties, facts, frame_interval_fs),
        cells=_cells(read[fields["positions"]][0], steps) if any(pbc) else None,
        pbc=pbc,
        temperature_K=facts.temperature_K,
        dynamics=facts.dynamics,
        friction_per_fs=facts.friction_per_fs,
        integration_timestep_fs=facts.timestep_fs,
        **recorded,
    )


def _kept(series: Series) -> np.ndarray:
    """Numbers of the frames that no restart repeated."""
    return last_records(series.steps.astype(np.float64))


def _common_steps(all_series: Sequence[Series]) -> np.ndarray:
    """Steps that every series has. Raises RunError for a file that ends early."""
    n_repeated = max(len(series.steps) - len(_kept(series)) for series in all_series)
    if n_repeated:
        warnings.warn(REPEATED.format(n_repeated), stacklevel=4)
    every = [series.steps[_kept(series)] for series in all_series]
    end = max(steps[-1] for steps in every)
    common = every[0]
    for series, steps in zip(all_series, every, strict=True):
        stride = int(np.median(np.diff(steps))) if len(steps) > 1 else 0
        if end - steps[-1] > max(1, 2 * stride) and len(all_series) > 1:
            raise RunError(
                f"{series.path} ends at step {steps[-1]}, others go on to step {end}: it was cut. "
                "Shorten the others to the same step, or move it away"
            )
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


def _in_beads(
    some: Sequence[Series], steps: np.ndarray, factor: np.ndarray, field: str
) -> FrameArray:
    """The frames of these steps, [n_frames, n_beads, ...], in the units of `Trajectory`."""
    beads = []
    for series in sorted(some, key=lambda s: s.bead):
        kept = _kept(series)
        chosen = kept[np.searchsorted(series.steps[kept], steps)]
        values = chosen_frames(series.values, chosen)
        shape = (3, 3) if field == "polarizabilities" else values.shape[1:]
        beads.append(_scaled(values, factor, shape))
    shapes = {bead.shape for bead in beads}
    if len(shapes) > 1:
        raise RunError(f"{some[0].path} and the files of other beads have frames of other shapes")
    return beads_together(beads)


def _scaled(values: FrameArray, factor: np.ndarray, shape: tuple[int, ...]) -> FrameArray:
    return changed_frames(values, lambda frames: frames.reshape(-1, *shape) * factor, shape)


def _field_and_factor(
    name: str,
    series: Series,
    wanted: dict[str, tuple[str, str]],
    masses: np.ndarray,
    extras_units: dict[str, str],
) -> tuple[str, np.ndarray]:
    """Where a quantity goes, and what its values are multiplied with."""
    from ipi.utils.units import unit_to_internal

    from calculators.ipi_units import (
        BOHR_PER_ANGSTROM,
        HARTREE_PER_BOHR_PER_EV_PER_ANGSTROM,
    )

    family = wanted[name][1] if name in wanted else {"dipole": "electric-dipole"}.get(name, "")
    unit = extras_units.get(name, "") if name in OF_EXTRAS else series.unit
    internal = 1.0
    if family:
        try:
            internal = unit_to_internal(family, unit, 1.0)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{series.path} has {name} in {unit!r}, no unit of i-PI") from error
    fs = unit_to_internal("time", "femtosecond", 1.0)
    own: dict[str, Any] = {
        "length": 1 / BOHR_PER_ANGSTROM,
        "velocity": fs / BOHR_PER_ANGSTROM,
        "momentum": fs
        / BOHR_PER_ANGSTROM
        / (unit_to_internal("mass", "dalton", 1.0) * masses[:, None]),
        "force": 1 / HARTREE_PER_BOHR_PER_EV_PER_ANGSTROM,
        "electric-dipole": 1 / BOHR_PER_ANGSTROM,
        "": BOHR_PER_ANGSTROM**-3 if name == "polarizability" else 1.0,
    }
    field = wanted[name][0] if name in wanted else OF_EXTRAS[name]
    return field, np.asarray(own[family] * internal)


def _atoms(
    some: Sequence[Series], structure: Atoms | None, facts: IpiFacts
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
    found = of_elements if facts.masses is None else facts.masses
    return np.array(numbers), found if len(found) == len(numbers) else of_elements


def _properties(files: IpiFiles) -> dict[str, tuple[np.ndarray, str]]:
    found: dict[str, tuple[np.ndarray, str]] = {}
    for path in files.properties:
        here = read_properties_file(path, PROPERTIES)
        if "step" in here and not found:
            found = here
    return found


def _times(
    files: IpiFiles,
    steps: np.ndarray,
    properties: dict[str, tuple[np.ndarray, str]],
    facts: IpiFacts,
    interval_fs: float | None,
) -> np.ndarray:
    """Of each frame (fs)."""
    if interval_fs is not None:
        return np.arange(len(steps)) * interval_fs
    timestep_fs = facts.timestep_fs
    if "time" in properties and len(properties["time"][0]) > 1:
        from ipi.utils.units import unit_to_internal, unit_to_user

        times, unit = properties["time"]
        per_step = (times[-1] - times[0]) / (properties["step"][0][-1] - properties["step"][0][0])
        in_fs = unit_to_user("time", "femtosecond", unit_to_internal("time", unit, per_step))
        timestep_fs = float(in_fs)
    if timestep_fs is None:
        raise RunError(
            f"no file of {files.folder / files.prefix} tells the time step: give frame_interval_fs "
            "(--frame-interval-fs), or put the input or the property file with step and time "
            "beside them"
        )
    return steps * timestep_fs


def _cells(series: Series, steps: np.ndarray) -> np.ndarray:
    """[n_frames, 3, 3] (A)."""
    from ipi.utils.units import unit_to_internal

    from calculators.ipi_units import BOHR_PER_ANGSTROM

    assert series.cells is not None
    unit = series.cell_unit or "angstrom"  # extended XYZ names none: ASE's
    kept = _kept(series)
    chosen = kept[np.searchsorted(series.steps[kept], steps)]
    return (
        np.asarray(series.cells)[chosen]
        * unit_to_internal("length", unit, 1.0)
        / (BOHR_PER_ANGSTROM)
    )


def _energies(
    properties: dict[str, tuple[np.ndarray, str]], steps: np.ndarray, n_beads: int
) -> np.ndarray | None:
    """Potential energies of the beads, [n_frames, n_beads] (eV), where every frame has them."""
    name = "potential" if n_beads == 1 else "bead_potentials"
    if name not in properties:
        return None
    from ipi.utils.units import unit_to_internal

    from calculators.ipi_units import HARTREE_PER_EV

    recorded = properties["step"][0].astype(np.int64)
    kept = last_records(recorded.astype(np.float64))
    if not np.isin(steps, recorded[kept]).all():
        return None
    values, unit = properties[name]
    chosen = values.reshape(len(values), -1)[kept[np.searchsorted(recorded[kept], steps)]]
    return chosen * unit_to_internal("energy", unit, 1.0) / HARTREE_PER_EV
