"""Which atoms are bonded, by their distances, and the angles between bonds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from ase.data import chemical_symbols, covalent_radii

BOND_STRETCH = 1.25  # chosen: of the sum of covalent radii


def bonded(
    numbers: np.ndarray, positions: np.ndarray, cell: Any = None, pbc: Any = (False, False, False)
) -> list[tuple[int, int]]:
    """Pairs i < j closer than `BOND_STRETCH` times the sum of their covalent radii.

    Args:
        numbers: atomic numbers, [n_atoms].
        positions: [n_atoms, 3] (A).
        cell: lattice vectors as rows, [3, 3] (A); None for a molecule.
        pbc: periodic directions.
    """
    from ase.neighborlist import primitive_neighbor_list

    if len(numbers) < 2:
        return []
    radii = BOND_STRETCH * covalent_radii[np.asarray(numbers)]
    box = np.zeros((3, 3)) if cell is None else np.asarray(cell)
    i, j = primitive_neighbor_list("ij", pbc, box, np.asarray(positions), list(radii))
    return sorted({(int(a), int(b)) for a, b in zip(i, j, strict=True) if a < b})


def angle_triples(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """All i, j, k with bonds i-j and j-k, i < k."""
    partners: dict[int, list[int]] = {}
    for i, j in pairs:
        partners.setdefault(i, []).append(j)
        partners.setdefault(j, []).append(i)
    return list(_triples(partners))


def _triples(partners: dict[int, list[int]]) -> Iterator[tuple[int, int, int]]:
    for vertex in sorted(partners):
        for i, k in combinations(sorted(partners[vertex]), 2):
            yield i, vertex, k


def atoms_name(numbers: np.ndarray, atoms: Sequence[int]) -> str:
    """`C0-H1`."""
    return "-".join(f"{chemical_symbols[int(numbers[k])]}{k}" for k in atoms)
