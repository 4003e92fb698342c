"""Pairs and triples of atoms, as symmetry functions sum over them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Neighborhoods:
    """Pairs from each atom to each of its neighbours, ordered by the former.

    Attributes:
        centers, neighbors: of each pair, [n_pairs], `centers` ascending.
        displacements: from centre to neighbour, [n_pairs, 3].
        distances: [n_pairs].
        counts: pairs of each atom, [n_atoms], int64.
    """

    centers: Tensor
    neighbors: Tensor
    displacements: Tensor
    distances: Tensor
    counts: Tensor

    @classmethod
    def of(cls, pair_index: Tensor, displacements: Tensor, n_atoms: int) -> Neighborhoods:
        """From unordered pairs, [2, n_pairs], and their displacements, [n_pairs, 3]."""
        centers = pair_index.reshape(-1)
        neighbors = pair_index.flip(0).reshape(-1)
        order = torch.argsort(centers, stable=True)
        distances = torch.linalg.vector_norm(displacements, dim=-1)
        return cls(
            centers=centers[order],
            neighbors=neighbors[order],
            displacements=torch.cat([displacements, -displacements])[order],
            distances=torch.cat([distances, distances])[order],
            counts=torch.bincount(centers, minlength=n_atoms),
        )

    def within(self, cutoff: float) -> Neighborhoods:
        """The pairs that are nearer."""
        near = self.distances.detach() < cutoff
        if bool(near.all()):
            return self
        rows = near.nonzero().squeeze(1)
        centers = self.centers[rows]
        return Neighborhoods(
            centers,
            self.neighbors[rows],
            self.displacements[rows],
            self.distances[rows],
            torch.bincount(centers, minlength=len(self.counts)),
        )

    def blocks(self, most_triples: int) -> list[tuple[int, int]]:
        """Ranges of atoms with about so many triples each, or of one atom with more."""
        triples = torch.cumsum(self.counts * (self.counts - 1) // 2, dim=0)
        n_atoms = len(self.counts)
        if n_atoms == 0 or int(triples[-1]) <= most_triples:
            return [(0, n_atoms)]
        blocks, start, done = [], 0, 0
        while start < n_atoms:
            limit = triples.new_tensor(done + most_triples)
            end = max(int(torch.searchsorted(triples, limit, right=True)), start + 1)
            blocks.append((start, end))
            start, done = end, int(triples[end - 1])
        return blocks


def triples_of(counts: Tensor) -> tuple[Tensor, Tensor]:
    """Every two pairs of the same atom, each once.

    Args:
        counts: pairs of each atom, which follow each other, [n_atoms], int64.

    Returns:
        Numbers of the first and the second pair, [n_triples] each, first < second.
    """
    n_pairs = int(counts.sum())
    ends = torch.cumsum(counts, dim=0)
    later = torch.repeat_interleave(ends, counts) - 1 - torch.arange(n_pairs, device=counts.device)
    first = torch.repeat_interleave(torch.arange(n_pairs, device=counts.device), later)
    starts = torch.cumsum(later, dim=0) - later
    second = torch.arange(len(first), device=counts.device) - starts[first] + first + 1
    return first, second
