"""Six-membered carbon rings of molecules and their energies.

K. T. Schuett, M. Gastegger, A. Tkatchenko and K.-R. Mueller, "Quantum-chemical insights from
interpretable atomistic neural networks", LNCS 11700 (2019), doi:10.1007/978-3-030-28954-6_17:
the stability of a ring is

    E_ring = sum over the ring's own atoms of E_i.                                       (1)

A ring is a relevant cycle of the graph of bonds: one that is not the sum modulo 2 of shorter cycles
(P. Vismara, Electron. J. Combin. 4, R9 (1997)). So a cycle with a chord, the perimeter of
naphthalene, the six atoms of norbornane and the waist of cubane are none, and which cycles are
rings does not depend on the order of atoms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from mlpotential.data.reference_data import ReferenceData
from mlpotential.interpretation.atoms.bonds import FACTOR, bonds_of
from mlpotential.messages import bar_hidden

CARBON = 6
SIZE = 6


@dataclass(frozen=True, eq=False)
class Rings:
    """Rings of a data set.

    Attributes:
        structures: the place of the molecule of each ring in the data, [n_rings].
        atoms: of the ring within its molecule, in order around it, [n_rings, 6].
    """

    structures: np.ndarray
    atoms: np.ndarray

    def __len__(self) -> int:
        return len(self.structures)


def rings_of(n_atoms: int, bonds: np.ndarray, size: int = SIZE) -> list[tuple[int, ...]]:
    """All relevant cycles of a size, each from its smallest atom to the smaller of its neighbours.

    Args:
        n_atoms: of the graph.
        bonds: [n_bonds, 2].
        size: of the rings; the time grows with the number of all cycles up to it.
    """
    if len(bonds) < 3:
        return []
    neighbors: list[list[int]] = [[] for _ in range(n_atoms)]
    bits: dict[tuple[int, int], int] = {}
    for k, (i, j) in enumerate(bonds.tolist()):
        neighbors[i].append(j)
        neighbors[j].append(i)
        bits[i, j] = bits[j, i] = 1 << k
    cycles = sorted(_cycles(neighbors, size), key=len)
    if not cycles or len(cycles[-1]) < size:
        return []
    basis: dict[int, int] = {}  # reduced sums of shorter cycles by their highest bond
    found = []
    for cycle in cycles:
        ends = zip(cycle, cycle[1:] + cycle[:1], strict=True)
        rest = _reduced(sum(bits[pair] for pair in ends), basis)
        if len(cycle) == size:
            found += [cycle] if rest else []
        elif rest:
            basis[rest.bit_length()] = rest
    return found


def _cycles(neighbors: Sequence[Sequence[int]], longest: int) -> Iterator[tuple[int, ...]]:
    """All cycles without repeated atoms, each once."""

    def extended(path: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        for atom in neighbors[path[-1]]:
            if atom == path[0] and len(path) > 2 and path[1] < path[-1]:
                yield path
            elif atom > path[0] and atom not in path and len(path) < longest:
                yield from extended((*path, atom))

    for start in range(len(neighbors)):
        yield from extended((start,))


def _reduced(cycle: int, basis: dict[int, int]) -> int:
    """What is left of a cycle, bonds as bits, by Gaussian elimination modulo 2; 0 for a sum."""
    while cycle and (leading := cycle.bit_length()) in basis:
        cycle ^= basis[leading]
    return cycle


def find_rings(data: ReferenceData, factor: float = FACTOR) -> Rings:
    """The six-membered carbon rings of molecules.

    Args:
        data: molecules.
        factor: of the bond lengths, as of `bonds_of`.
    """
    arrays = data.arrays
    starts = np.cumsum([0, *arrays.n_atoms])
    numbers, positions = arrays.all_numbers, arrays.positions[arrays.atom_index(range(len(data)))]
    structures, atoms = [], []
    for k in tqdm(range(len(data)), "looking for rings", unit=" molecules", disable=bar_hidden()):
        own = slice(starts[k], starts[k + 1])
        carbon = np.flatnonzero(numbers[own] == CARBON)
        if len(carbon) < SIZE:
            continue
        bonds = bonds_of(numbers[own][carbon], positions[own][carbon], factor=factor)
        for ring in rings_of(len(carbon), bonds):
            structures.append(k)
            atoms.append(carbon[list(ring)])
    return Rings(np.array(structures, np.int64), np.array(atoms, np.int64).reshape(-1, SIZE))


def ring_energies(rings: Rings, energies: Sequence[np.ndarray]) -> np.ndarray:
    """E_ring, [n_rings] (eV). Eq. (1).

    Args:
        rings: of a data set.
        energies: of the atoms of each structure, [n_structures] of [n_atoms] (eV).
    """
    pairs = zip(rings.structures, rings.atoms, strict=True)
    return np.array([energies[k][atoms].sum() for k, atoms in pairs])
