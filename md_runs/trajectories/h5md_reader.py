"""H5MD files read as a `Trajectory`: those of `h5md_writer`, and those of other programs.

P. de Buyl, P. H. Colberg, F. Hoefling, Comput. Phys. Commun. 185, 1546 (2014),
doi:10.1016/j.cpc.2014.01.018; https://nongnu.org/h5md.

Units come from the attributes, times from `time` (a value for each frame, or the increment), the
cell from `box/edges`, and positions are unwrapped by `image` where that is recorded. Particles are
one group of any name, or bead_0, bead_1, ... Frames stay in the file until they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from ase import Atoms
from ase.data import atomic_masses, chemical_symbols
from ase.data import atomic_numbers as number_of_symbol

from md_runs.trajectories.frame_arrays import FrameArray, LazyFrames, beads_together
from md_runs.trajectories.h5md_schema import QUANTITIES, Quantity, factor_of
from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import RunError

VERSION = 1
MASS_TOLERANCE = 0.15  # chosen: 6Li is 13 % lighter than Li; isotopes of H are let through


def read_h5md(
    path: Path, frame_interval_fs: float | None = None, structure: Atoms | None = None
) -> Trajectory:
    """Opens a file; frames are read when they are asked for.

    Args:
        path: the file.
        frame_interval_fs: time between frames, whatever the file says.
        structure: elements and masses, where the file does not tell them.

    Raises:
        RunError: if the file cannot be read, is no H5MD file, lacks units, times or elements, or
            holds quantities that do not belong together.
    """
    try:
        file = h5py.File(path, "r")  # closed when the last frame array is gone
    except OSError as error:
        raise RunError(f"cannot read {path} as HDF5: {error}") from error
    try:
        return _read(file, frame_interval_fs, structure)
    except RunError as error:
        raise RunError(f"{path} {error}") from error
    except (KeyError, AttributeError, TypeError, ValueError, IndexError) as error:
        raise RunError(f"{path} is no H5MD trajectory: {error}") from error


def _read(file: h5py.File, interval_fs: float | None, structure: Atoms | None) -> Trajectory:
    """Raises RunError saying what is wrong, without the name of the file."""
    if "version" not in getattr(file.get("h5md"), "attrs", ()):
        raise RunError("is no H5MD file: it has no h5md/version")
    if file["h5md"].attrs["version"][0] != VERSION:
        raise RunError(f"has H5MD version {file['h5md'].attrs['version']}, not 1.x")
    beads = _beads(file)
    first = file[f"particles/{beads[0]}"]
    times = _times(first["position"], interval_fs)
    n_frames, n_atoms = first["position/value"].shape[:2]
    recorded: dict[str, FrameArray] = {}
    for quantity in QUANTITIES:
        parts = [_values(file, quantity, bead, first["position"]) for bead in beads]
        missing = [bead for bead, part in zip(beads, parts, strict=True) if part is None]
        if missing and len(missing) < len(beads):
            raise RunError(f"gives no {quantity.field} of {missing[0]}, but of {beads[0]}")
        if not missing:
            recorded[quantity.field] = beads_together(parts)
    numbers, masses = _atoms(first, n_atoms, structure, file)
    boundary = [_text(word) == "periodic" for word in first["box"].attrs["boundary"]]
    pbc = (boundary[0], boundary[1], boundary[2])
    return Trajectory(
        atomic_numbers=numbers,
        masses=masses,
        times_fs=times,
        cells=_cells(first, n_frames) if any(pbc) else None,
        pbc=pbc,
        **recorded,
        **_parameters(file),
    )


def _beads(file: h5py.File) -> list[str]:
    """Names of the groups of particles, in the order of the beads."""
    names = list(file["particles"])
    beads = [f"bead_{k}" for k in range(len(names))]
    if len(names) != 1 and (not names or set(beads) != set(names)):
        raise RunError(
            f"has particles {sorted(names)}: one group is needed, or one for each bead (bead_0, "
            "bead_1, ...)"
        )
    return names if len(names) == 1 else beads


def _values(
    file: h5py.File, quantity: Quantity, bead: str, position: h5py.Group
) -> FrameArray | None:
    """One quantity of one bead, [n_frames, ...]; None where it is not recorded."""
    element = file.get(quantity.place.format(bead=bead))
    if element is None and len(file["particles"]) == 1:  # an observable of the whole system
        element = file.get(quantity.place.replace("{bead}/", ""))
    if element is None or isinstance(element, h5py.Dataset):  # one without time, or none
        return None
    dataset = element["value"]
    n_frames, n_atoms = position["value"].shape[:2]
    expected = (n_frames, *(n_atoms if length == -1 else length for length in quantity.frame_shape))
    if dataset.shape != expected:
        raise RunError(
            f"gives {dataset.name} with shape {list(dataset.shape)}, not {list(expected)} as "
            f"{n_frames} frames of {n_atoms} positions need: it was recorded less often, or cut"
        )
    for clock in {"time", "step"} & set(element) & set(position):
        if element[clock] != position[clock] and not np.array_equal(
            element[clock][()], position[clock][()]
        ):
            raise RunError(f"gives {dataset.name} at other times than the positions")
    unwrap = _unwrapping(file, bead, n_frames) if quantity.field == "positions" else None
    return _scaled(dataset, factor_of(_unit(dataset), quantity.kind), unwrap)


def _scaled(
    dataset: h5py.Dataset, factor: float, unwrap: Callable[[int, int], np.ndarray] | None = None
) -> LazyFrames:
    def read(start: int, stop: int) -> np.ndarray:
        values = dataset[start:stop].astype(np.float64, copy=False)
        if factor != 1.0:
            values *= factor
        return values if unwrap is None else values + unwrap(start, stop)

    return LazyFrames(dataset.shape, read)


def _unwrapping(
    file: h5py.File, bead: str, n_frames: int
) -> Callable[[int, int], np.ndarray] | None:
    """What `image` adds to the positions of some frames (A); None where it is not recorded."""
    particles = file[f"particles/{bead}"]
    if "image" not in particles or "edges" not in particles["box"]:
        return None
    images, cells = particles["image/value"], _cells(particles, n_frames)
    return lambda start, stop: np.einsum(
        "fai,fij->faj", images[start:stop].astype(np.float64), np.asarray(cells[start:stop])
    )


def _times(position: Any, interval_fs: float | None) -> np.ndarray:
    """Of each frame (fs)."""
    n_frames = position["value"].shape[0]
    if interval_fs is not None:
        return np.arange(n_frames) * interval_fs
    if "time" not in position:
        raise RunError("tells no times: give frame_interval_fs (--frame-interval-fs)")
    time = position["time"]
    factor = factor_of(_unit(time), "time")
    if time.shape == ():  # fixed intervals: the increment, and perhaps where it begins
        return factor * (float(time.attrs.get("offset", 0.0)) + time[()] * np.arange(n_frames))
    if time.shape != (n_frames,):
        raise RunError(f"has {n_frames} positions, but {time.shape[0]} times: it was cut")
    return np.asarray(time[...], np.float64) * factor


def _cells(particles: Any, n_frames: int) -> FrameArray:
    """[n_frames, 3, 3] (A)."""
    edges = particles["box"].get("edges")
    if edges is None:
        raise RunError("has periodic directions, but no box/edges")
    dataset = edges if isinstance(edges, h5py.Dataset) else edges["value"]
    factor = factor_of(_unit(dataset), "length")
    if dataset is edges:
        fixed = np.asarray(edges[...], np.float64) * factor
        return np.broadcast_to(np.diag(fixed) if fixed.ndim == 1 else fixed, (n_frames, 3, 3))
    if len(dataset) != n_frames:
        raise RunError(f"has {n_frames} positions, but {len(dataset)} cells")
    lengths = dataset[...].astype(np.float64) * factor
    return lengths if lengths.ndim == 3 else lengths[:, :, None] * np.eye(3)


def _atoms(
    particles: Any, n_atoms: int, structure: Atoms | None, file: h5py.File
) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers and masses (amu)."""
    if structure is not None:
        if len(structure) != n_atoms:
            raise RunError(f"has {n_atoms} atoms, but the structure has {len(structure)}")
        return structure.get_atomic_numbers(), structure.get_masses()
    if "species" not in particles:
        raise RunError("tells no species: give the structure (elements and masses)")
    species = particles["species"]
    species = species if isinstance(species, h5py.Dataset) else species["value"]
    found = species[0] if species.ndim == 2 else species[...]
    if species.ndim == 2 and (species[...] != found).any():
        raise RunError("changes species from frame to frame: atoms must keep their order")
    names = h5py.check_enum_dtype(species.dtype)
    if names:
        by_value = {value: number_of_symbol.get(name) for name, value in names.items()}
        found = np.array([by_value.get(int(value)) or 0 for value in found])
    numbers = np.asarray(found).astype(np.int64)
    sensible = numbers.min() > 0 and numbers.max() < len(chemical_symbols)
    if sensible and "mass" not in particles:
        return numbers, atomic_masses[numbers]
    if sensible:
        mass = particles["mass"]
        mass = mass if isinstance(mass, h5py.Dataset) else mass["value"]
        masses = mass[...].reshape(-1, n_atoms)[0].astype(float) * factor_of(_unit(mass), "mass")
        usual = atomic_masses[numbers]
        close = np.abs(masses - usual) < MASS_TOLERANCE * usual
        if _is_own(file) or (close | (numbers == 1)).all():
            return numbers, masses
    raise RunError(
        "numbers its species otherwise than the elements: give the structure (elements and masses)"
    )


def _is_own(file: h5py.File) -> bool:
    creator = file.get("h5md/creator")
    return creator is not None and _text(creator.attrs.get("name", "")) == "mlpotential"


def _parameters(file: h5py.File) -> dict[str, Any]:
    """What `md_runs.trajectories.h5md_writer` writes of the run."""
    attributes = getattr(file.get("parameters/mlpotential"), "attrs", {})
    return {
        name: _text(value) if name == "dynamics" else float(value)
        for name, value in attributes.items()
    }


def _unit(dataset: Any) -> str:
    """Raises RunError unless the dataset says its unit."""
    unit = dataset.attrs.get("unit")
    if unit is None:
        raise RunError(
            f"gives {dataset.name} without a unit: if you know it, write it into the file with "
            f"h5py, file[{dataset.name!r}].attrs['unit'] = 'nm' for one"
        )
    return _text(unit)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
