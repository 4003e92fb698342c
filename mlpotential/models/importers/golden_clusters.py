"""Small clusters of given elements, for models that come without any structure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import covalent_radii

from mlpotential.graph import AtomGraph, collate

PREFERRED = (6, 1, 8, 7)  # C, H, O, N
MOST_ELEMENTS = 4
CUBE = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
STRETCH = (1.0, 1.15, 1.4)  # chosen: of the bonds
RATTLE = 0.05  # A; chosen: no two distances are the same


def golden_clusters(elements: Sequence[int]) -> AtomGraph:
    """Three rattled cubes of eight atoms, edges 1.0 to 1.4 times two covalent radii.

    Args:
        elements: atomic numbers; at most four of them are used, the commonest first.
    """
    common = [z for z in PREFERRED if z in elements]
    used = [*common, *(z for z in elements if z not in common)][:MOST_ELEMENTS]
    random = np.random.default_rng(0)
    edge = 2.0 * max(covalent_radii[z] for z in used)
    graphs = []
    for k, stretch in enumerate(STRETCH):
        numbers = [used[(atom + atom // 4 + k) % len(used)] for atom in range(len(CUBE))]
        positions = stretch * edge * CUBE + RATTLE * random.normal(size=CUBE.shape)
        graphs.append(AtomGraph.from_arrays(np.array(numbers), positions))
    return collate(graphs)
