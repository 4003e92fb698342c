"""A universe of MDAnalysis as a `Trajectory`: frames are read from its trajectory when asked for.

N. Michaud-Agrawal et al., J. Comput. Chem. 32, 2319 (2011), doi:10.1002/jcc.21787. MDAnalysis gives
lengths in A, times in ps, energies in kJ/mol and charges in e, whatever the file has. Reading moves
the universe to another frame.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers as number_of_symbol
from ase.geometry import cellpar_to_cell

from md_runs.trajectories.frame_arrays import LazyFrames
from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import RunError
from mlpotential.units import EV_PER_KJ_PER_MOL

FS_PER_PS = 1e3


def is_universe(run: Any) -> bool:
    """Whether something is a universe, without importing MDAnalysis."""
    return hasattr(run, "atoms") and hasattr(run, "trajectory") and hasattr(run, "select_atoms")


def read_universe(
    universe: Any, frame_interval_fs: float | None = None, structure: Atoms | None = None
) -> Trajectory:
    """Opens a universe. Positions are taken as they are: unwrap them there, where that matters.

    Args:
        universe: `MDAnalysis.Universe`.
        frame_interval_fs: time between frames, whatever the universe says.
        structure: elements, masses and periodicity; None for those of the universe.

    Raises:
        RunError: no elements or masses, or a trajectory without frames.
    """
    frames = universe.trajectory
    n_frames, n_atoms = len(frames), len(universe.atoms)
    if n_frames == 0 or n_atoms == 0:
        raise RunError(f"{universe} has {n_atoms} atoms in {n_frames} frames: nothing to read")
    first = frames[0]
    numbers, masses = _atoms(universe, structure)
    has_cell = first.dimensions is not None and np.all(np.asarray(first.dimensions[:3]) > 0)
    pbc = (bool(has_cell),) * 3 if structure is None else tuple(map(bool, structure.pbc))

    def lazily(take: Callable[[Any], np.ndarray], *shape: int) -> LazyFrames:
        def read(start: int, stop: int) -> np.ndarray:
            return np.stack([np.array(take(frames[k]), np.float64) for k in range(start, stop)])

        return LazyFrames((n_frames, *shape), read)

    def vectors(name: str, factor: float) -> LazyFrames:
        return lazily(lambda frame: getattr(frame, name)[None] * factor, 1, n_atoms, 3)

    times: np.ndarray = np.array([frame.time for frame in frames]) * FS_PER_PS
    if frame_interval_fs is not None:
        times = np.arange(n_frames) * frame_interval_fs
    return Trajectory(
        atomic_numbers=numbers,
        masses=masses,
        times_fs=times,
        positions=vectors("positions", 1.0),
        velocities_angstrom_per_fs=vectors("velocities", 1 / FS_PER_PS)
        if first.has_velocities
        else None,
        forces=vectors("forces", EV_PER_KJ_PER_MOL) if first.has_forces else None,
        cells=lazily(lambda frame: cellpar_to_cell(frame.dimensions), 3, 3) if any(pbc) else None,
        pbc=(pbc[0], pbc[1], pbc[2]),
    )


def _atoms(universe: Any, structure: Atoms | None) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers and masses (amu)."""
    if structure is not None:
        if len(structure) != len(universe.atoms):
            raise RunError(
                f"the universe has {len(universe.atoms)} atoms, but the structure {len(structure)}"
            )
        return structure.get_atomic_numbers(), structure.get_masses()
    if not (hasattr(universe.atoms, "elements") and hasattr(universe.atoms, "masses")):
        raise RunError(
            "the universe has no elements or masses: give the structure, or let MDAnalysis guess "
            "them (to_guess=('elements', 'masses'))"
        )
    numbers = [number_of_symbol.get(str(e).capitalize(), 0) for e in universe.atoms.elements]
    if 0 in numbers:
        atom = numbers.index(0)
        raise RunError(
            f"atom {atom} of the universe has the element {universe.atoms.elements[atom]!r}, which "
            "is none: give the structure"
        )
    return np.array(numbers), np.array(universe.atoms.masses, np.float64)
