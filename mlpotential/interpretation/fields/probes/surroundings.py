"""The atoms, images included, that points in space see of a structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from mlpotential.graph import AtomGraph, cell_heights, reduction


@dataclass(frozen=True)
class Pairs:
    """Each point with each atom that it sees, ordered by points.

    Attributes:
        point_index: [n_pairs], ascending.
        atom_index: number of the atom in the structure, of which images have the same, [n_pairs].
        displacements: from the point to the atom or its image, [n_pairs, 3], float64 (A).
        n_points: number of points.
    """

    point_index: Tensor
    atom_index: Tensor
    displacements: Tensor
    n_points: int

    @property
    def distances(self) -> Tensor:
        """[n_pairs], float64 (A)."""
        return torch.linalg.vector_norm(self.displacements, dim=-1)

    @property
    def counts(self) -> Tensor:
        """Atoms that each point sees, [n_points], int64."""
        return torch.bincount(self.point_index, minlength=self.n_points)

    def summed(self, values: Tensor) -> Tensor:
        """[n_pairs, n] -> sums over the atoms that each point sees, [n_points, n]."""
        total = values.new_zeros(self.n_points, values.shape[1])
        return total.index_add(0, self.point_index, values)


class Surroundings:
    """A structure as points see it.

    Args:
        graph: one structure.
        cutoff: how far a point sees (A); None for all atoms, of a molecule alone.

    Attributes:
        most_neighbors: of one atom, itself among them; points have hardly more.
    """

    def __init__(self, graph: AtomGraph, cutoff: float | None) -> None:
        self._cutoff = np.inf if cutoff is None else cutoff
        self._cell, self._pbc = None, graph.pbc[0].numpy()
        positions, atoms = graph.positions.numpy(), np.arange(graph.n_atoms)
        if graph.cell is not None and self._pbc.any():
            cell = graph.cell[0].numpy()
            self._cell = reduction(cell, self._pbc) @ cell
            positions, atoms = self._images(positions)
        self._positions, self._atoms = torch.from_numpy(positions), torch.from_numpy(atoms)
        self._tree = None if cutoff is None else cKDTree(positions)
        self.most_neighbors = len(atoms)
        if self._tree is not None:
            counts = self._tree.query_ball_point(positions, self._cutoff, return_length=True)
            self.most_neighbors = int(counts.max())

    def pairs(self, points: Tensor) -> Pairs:
        """Those within the cutoff; gradients flow to the points.

        Args:
            points: [n_points, 3], float64 (A).
        """
        inside = points - torch.from_numpy(self._translations(points.detach().numpy()))
        rows, images = self._near(inside.detach().numpy())
        displacements = self._positions[images] - inside[rows]
        return Pairs(rows, self._atoms[images], displacements, len(points))

    def _near(self, points: np.ndarray) -> tuple[Tensor, Tensor]:
        """Numbers of points, ascending, and of images that they see, [n_pairs] each."""
        if self._tree is None:
            rows = torch.arange(len(points)).repeat_interleave(len(self._atoms))
            return rows, torch.arange(len(self._atoms)).repeat(len(points))
        # those at the cutoff itself do not count, and filters are zero there, or not defined
        below = np.nextafter(self._cutoff, 0.0)
        found = self._tree.query_ball_point(points, below, return_sorted=True)
        counts = torch.tensor([len(near) for near in found])
        images = torch.tensor([image for near in found for image in near], dtype=torch.int64)
        return torch.arange(len(points)).repeat_interleave(counts), images

    def longest_distance(self, points: np.ndarray) -> float:
        """A bound of the distances from points, [n, 3] (A), to atoms that they see (A)."""
        if np.isfinite(self._cutoff):
            return self._cutoff
        atoms = self._positions.numpy()
        corners = np.stack([points.min(axis=0), points.max(axis=0)])
        farthest = np.maximum(corners[1] - atoms.min(axis=0), atoms.max(axis=0) - corners[0])
        return float(np.linalg.norm(farthest))

    def _translations(self, points: np.ndarray) -> np.ndarray:
        """Lattice vectors that bring points into the cell when taken off, [n, 3] (A)."""
        if self._cell is None:
            return np.zeros_like(points)
        fractional = np.linalg.solve(self._cell.T, points.T).T
        return np.where(self._pbc, np.floor(fractional), 0.0) @ self._cell

    def _images(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Atoms within the cutoff of the cell: positions, and their numbers in the structure."""
        assert self._cell is not None
        reach = self._cutoff / cell_heights(self._cell)  # in units of the cell
        n = np.where(self._pbc, np.ceil(reach), 0).astype(int)
        shifts = np.stack(
            np.meshgrid(*(np.arange(-k, k + 1) for k in n), indexing="ij"), axis=-1
        ).reshape(-1, 3)
        inside = positions - self._translations(positions)
        images = (inside + (shifts @ self._cell)[:, None]).reshape(-1, 3)
        atoms = np.tile(np.arange(len(positions)), len(shifts))
        fractional = np.linalg.solve(self._cell.T, images.T).T
        is_near = (fractional > -reach - 1e-9) & (fractional < 1.0 + reach + 1e-9)
        kept = np.all(is_near | ~self._pbc, axis=1)
        return images[kept], atoms[kept]
