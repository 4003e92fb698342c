"""Atoms that see no other within a cutoff: a model knows nothing of where they are."""

from __future__ import annotations

import numpy as np

from mlpotential.data.structure_arrays import StructureArrays
from mlpotential.neighbors import neighbor_pairs

MOST_ATOMS_PAIRED = 300  # chosen: of larger molecules a neighbour search is faster


def have_lone_atoms(arrays: StructureArrays, cutoff: float) -> np.ndarray:
    """Whether an atom of a structure has no neighbour within the cutoff (A), [n_structures].

    A structure of one atom has nobody to see and is none of these, unless it is periodic.
    """
    found = np.zeros(len(arrays), bool)
    is_searched = arrays.is_periodic | (arrays.n_atoms > MOST_ATOMS_PAIRED)
    for k in np.flatnonzero(is_searched).tolist():
        graph = arrays[k]
        cell = None if graph.cell is None else graph.cell[0].numpy()
        pairs, _ = neighbor_pairs(graph.positions.numpy(), cutoff, cell, graph.pbc[0].numpy())
        found[k] = len(np.unique(pairs)) < graph.n_atoms
    molecules = np.flatnonzero(~is_searched)
    for places, _, positions in arrays.select(molecules).by_size(numbers_per_atom_pair=4):
        n_atoms = positions.shape[1]
        if n_atoms > 1:
            vectors = positions[:, :, None] - positions[:, None]
            squared = (vectors**2).sum(axis=3)
            squared[:, range(n_atoms), range(n_atoms)] = np.inf
            found[molecules[places]] = (squared.min(axis=2) >= cutoff**2).any(axis=1)
    return found
