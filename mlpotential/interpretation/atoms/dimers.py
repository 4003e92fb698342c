"""The energy of two atoms alone, by their distance.

K. T. Schuett, A. Tkatchenko and K.-R. Mueller, "Learning representations of molecules and materials
with atomistic neural networks", arXiv:1812.04690 (2018), Fig. 4: no model has seen such
a pair. What it says of one is what it has learned of pairs within molecules, whose surroundings it
infers: not the real dimer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from ase.data import chemical_symbols

from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph, collate
from mlpotential.models.potential import Potential
from mlpotential.neighbors import connect

Zero = Literal["atoms", "none"]
ZERO_IN_WORDS = {
    "atoms": "less the model's energies of the two atoms by themselves",
    "none": "as the model gives it",
}
PAIRS_AT_ONCE = 256


@dataclass(frozen=True, eq=False)
class DimerCurves:
    """By the models of one group.

    Attributes:
        name: of the group.
        models: their names, [n_models].
        elements: atomic numbers of the pair.
        zero: what energies are relative to.
        distances: [n_distances] (A).
        energies: [n_models, n_distances] (eV).
    """

    name: str
    models: tuple[str, ...]
    elements: tuple[int, int]
    zero: Zero
    distances: np.ndarray
    energies: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """Over the models, [n_distances] (eV)."""
        return np.asarray(self.energies.mean(axis=0))

    @property
    def spread(self) -> np.ndarray | None:
        """Standard deviation over the models, [n_distances] (eV); None of one."""
        if len(self.energies) < 2:
            return None
        return np.asarray(self.energies.std(axis=0, ddof=1))

    @property
    def minima(self) -> list[tuple[float, float]]:
        """Distances (A) and energies (eV) of the minima of the mean, deepest first.

        Those of parabolas through three points, which are equidistant.
        """
        e = self.mean
        k = 1 + np.flatnonzero((e[1:-1] < e[:-2]) & (e[1:-1] <= e[2:]))
        slope, curvature = 0.5 * (e[k + 1] - e[k - 1]), e[k + 1] - 2.0 * e[k] + e[k - 1]
        step = -slope / curvature
        at = self.distances[k] + step * (self.distances[1] - self.distances[0])
        depth = e[k] + 0.5 * slope * step
        return [(float(at[n]), float(depth[n])) for n in np.argsort(depth, kind="stable")]

    def rows(self) -> list[dict[str, Any]]:
        """Of a table, a row for each distance."""
        spread = self.spread
        return [
            {"group": self.name, "distance_angstrom": r, "energy_eV": e}
            | {"std_over_models_eV": None if spread is None else spread[k]}
            for k, (r, e) in enumerate(zip(self.distances.tolist(), self.mean, strict=True))
        ]


def dimer_energies(
    potential: Potential, elements: tuple[int, int], distances: np.ndarray, zero: Zero = "atoms"
) -> np.ndarray:
    """Of a pair at each distance, [n_distances] (eV).

    Args:
        potential: with energies.
        elements: atomic numbers of the pair.
        distances: [n_distances] (A).
        zero: what to subtract.

    Raises:
        ConfigError: for a model without energies.
        StructureError: for an element that it was not trained on.
    """
    if not potential.has_energy:
        raise ConfigError("a dimer has a curve by models with energies: this one gives none")
    if unknown := sorted(set(elements) - set(potential.elements)):
        known = ", ".join(chemical_symbols[z] for z in potential.elements)
        raise StructureError(
            f"the model was not trained on {', '.join(chemical_symbols[z] for z in unknown)}, "
            f"but on {known}"
        )
    pairs = [
        AtomGraph.from_arrays(np.array(elements), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, r]]))
        for r in distances
    ]
    energies = _energies(potential, pairs)
    if zero == "none":
        return energies
    atoms = [AtomGraph.from_arrays(np.array([z]), np.zeros((1, 3))) for z in elements]
    return energies - _energies(potential, atoms).sum()


def _energies(potential: Potential, graphs: Sequence[AtomGraph]) -> np.ndarray:
    device = next(potential.parameters()).device
    found = []
    for start in range(0, len(graphs), PAIRS_AT_ONCE):
        batch = collate(graphs[start : start + PAIRS_AT_ONCE])
        connected = connect(batch, potential.cutoff).to(device)
        found.append(potential(connected, ("energy",)).energy)
    return torch.cat(found).cpu().numpy()
