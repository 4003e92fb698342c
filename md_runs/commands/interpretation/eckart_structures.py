"""Structures of a run in the Eckart frame of a reference structure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from md_runs.analysis.sampling.frames import check_finite_frames
from md_runs.analysis.vibrations.degrees_of_freedom import is_linear
from md_runs.analysis.vibrations.rigid_body import frames_on_their_mean, in_eckart_frame
from md_runs.commands.prepared_run import PreparedRun
from mlpotential.errors import ConfigError, DataError

COLLAPSED = 0.9  # of a mean distance; chosen: groups that only rock shorten it less


@dataclass(frozen=True)
class Reference:
    """The structure that does not move.

    Attributes:
        atoms: a molecule.
        words: which one it is.
        is_linear: or nearly so.
    """

    atoms: Atoms
    words: str
    is_linear: bool

    def laid_on(self, positions: np.ndarray, masses: np.ndarray) -> np.ndarray:
        """Structures turned and shifted onto it, [n_frames, n_beads, n_atoms, 3] (A)."""
        flat = positions.reshape(-1, *positions.shape[2:])
        turned = in_eckart_frame(flat, self.atoms.positions, masses, self.is_linear)
        return turned.reshape(positions.shape)


def chosen_structures(run: PreparedRun, n_frames: int) -> np.ndarray:
    """Frames of a molecule spread evenly over a run, [n_chosen, n_beads, n_atoms, 3] (A).

    Raises:
        DataError: a crystal, or a run without positions or with a frame that is not finite.
    """
    first = run.segments[0]
    if any(first.pbc):
        raise DataError(
            f"{run.path} is periodic: its frames have no Eckart frame to be laid on each other in, "
            "so fields are averaged over runs of molecules alone"
        )
    if not first.has_positions:
        raise DataError(f"{run.path} holds no positions, around which there could be a field")
    n_there = sum(segment.n_frames for segment in run.segments)
    n_chosen = min(n_frames, n_there)
    chosen = ((np.arange(n_chosen) + 0.5) * n_there / n_chosen).astype(int)
    parts, start = [], 0
    for segment in run.segments:
        inside = chosen[(chosen >= start) & (chosen < start + segment.n_frames)] - start
        parts += [np.asarray(segment.positions[int(k) : int(k) + 1], np.float64) for k in inside]
        start += segment.n_frames
    positions = np.concatenate(parts)
    check_finite_frames(positions, "positions")
    return positions


def reference_of_file(path: Path, run: PreparedRun) -> Reference:
    """A structure as it lies in its file. Raises ConfigError for another molecule than the run's.

    StructureError where the file is no structure.
    """
    from md_runs.trajectories.structure_file import read_structure

    atoms, numbers = read_structure(path), run.segments[0].atomic_numbers
    if atoms.pbc.any():
        raise ConfigError(f"--reference {path} is periodic: give a molecule, with pbc=False")
    if not np.array_equal(atoms.numbers, numbers):
        raise ConfigError(
            f"--reference {path} is {atoms.symbols}, but {run.path} is of "
            f"{Atoms(numbers).symbols}: give the same atoms in the same order"
        )
    return Reference(
        Atoms(numbers, atoms.positions), f"the structure of {path.name}", is_linear(atoms.positions)
    )


def mean_reference(run: PreparedRun, positions: np.ndarray) -> tuple[Reference, str | None]:
    """The mean structure of a run, and what must not be overlooked of it.

    Args:
        run: positions are of.
        positions: [n_frames, n_beads, n_atoms, 3] (A).

    Raises:
        DataError: as `frames_on_their_mean`.
    """
    numbers, masses = run.segments[0].atomic_numbers, np.asarray(run.segments[0].masses, float)
    first = positions[0].mean(axis=0)
    linear = is_linear(positions)
    flat = positions.reshape(-1, *positions.shape[2:])
    _, mean = frames_on_their_mean(flat, masses, first, linear)
    atoms = Atoms(numbers, mean + masses @ first / masses.sum())
    words = f"the mean structure of {run.name}, in the orientation of its first frame"
    return Reference(atoms, words, linear), _collapse(numbers, flat, mean)


def _collapse(numbers: np.ndarray, frames: np.ndarray, mean: np.ndarray) -> str | None:
    """A sentence where groups turn, so that their mean is no structure at all."""
    if len(numbers) < 2:
        return None
    from scipy.spatial.distance import pdist

    distances = np.mean([pdist(frame) for frame in frames], axis=0)
    shares = pdist(mean) / distances
    if shares.min() >= COLLAPSED:
        return None
    i, j = (int(index[shares.argmin()]) for index in np.triu_indices(len(numbers), k=1))
    return (
        f"the mean structure is none that the molecule has: {chemical_symbols[numbers[i]]}{i} and "
        f"{chemical_symbols[numbers[j]]}{j} are {pdist(mean)[shares.argmin()]:.2f} A apart in it, "
        f"and {distances[shares.argmin()]:.2f} A on average in the run. Groups turn: give the "
        "structure that fields are to be compared with (--reference)"
    )
