"""From features to quantities that are no energy: scalars, polarizability, spatial extent.

Each is a module (features, graph) -> one value per structure, in float64, which finds its scale in
the training data (`fit_scale`): a network then learns what a constant per element does not say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mlpotential.data.reference_data import ReferenceData
from mlpotential.graph import AtomGraph
from mlpotential.models.outputs import Pooling
from mlpotential.models.readouts.atomwise import EnergyScale, require_molecules, sum_per_graph
from mlpotential.nn.cutoffs import cosine_cutoff

NewReadout = Callable[[int], nn.Module]  # n_outputs -> (features, graph) -> [n_atoms, n_outputs]

# Of the polarizability; chosen: beyond it atoms lie behind others, and a few directions suffice.
WINDOW_RADIUS = 5.0  # A
N_DIRECTIONS = 4
STRUCTURES_AT_ONCE = 1000


class QuantityReadout(nn.Module, ABC):
    """One value per structure from the features of its atoms."""

    @abstractmethod
    def forward(self, features: Tensor, graph: AtomGraph) -> Tensor:
        """[n_atoms, n_features] -> [n_graphs, ...], float64."""

    @abstractmethod
    def fit_scale(self, data: ReferenceData, label: str) -> None:
        """Takes the scale of the training data, whose values of this quantity are the label."""


class ScalarReadout(QuantityReadout):
    """P = sum_i P_i, or sum_i P_i / n_atoms.

    Schuett et al., J. Chem. Phys. 148, 241722 (2018), Sec. II: sums for extensive properties, means
    for intensive ones such as orbital energies.

    Args:
        new_readout: makes a readout of so many numbers per atom.
        pooling: sum or mean.
    """

    def __init__(self, new_readout: NewReadout, pooling: Pooling) -> None:
        super().__init__()
        self.atomwise, self.scale = new_readout(1), EnergyScale()
        self.is_mean = pooling == "mean"

    def forward(self, features: Tensor, graph: AtomGraph) -> Tensor:
        """[n_graphs]."""
        atomic = self.scale(self.atomwise(features, graph), graph.atomic_numbers)
        total = sum_per_graph(atomic, graph)
        return total / graph.atoms_per_graph() if self.is_mean else total

    def fit_scale(self, data: ReferenceData, label: str) -> None:
        """A mean of the whole set, or a constant per element."""
        values = data.values(label)
        if self.is_mean:
            self.scale.set(float(values.mean()), _spread(values - values.mean(), values))
        else:
            _fit_sum(self.scale, values, data)


class PolarizabilityReadout(QuantityReadout):
    """A symmetric tensor of invariant numbers of the atoms and the directions to their neighbours:

        alpha = sum_i [ a_i 1 + s sum_k c_ik v_ik (x) v_ik ],
        v_ik = sum_j f(r_ij) b_jk r_ij / r_c.

    a, b and c are atomwise outputs, f is a cosine that ends at r_c. Of such outer products of sums
    over neighbours are the tensors of Sommers et al., Phys. Chem. Chem. Phys. 22, 10592 (2020),
    doi:10.1039/D0CP01893G; alpha turns with the molecule as it must.

    Args:
        new_readout: makes a readout of so many numbers per atom.
        cutoff: of the model (A); None for all pairs.
    """

    def __init__(self, new_readout: NewReadout, cutoff: float | None) -> None:
        super().__init__()
        self.atomwise, self.scale = new_readout(1 + 2 * N_DIRECTIONS), EnergyScale()
        self.radius = WINDOW_RADIUS if cutoff is None else min(WINDOW_RADIUS, cutoff)

    def forward(self, features: Tensor, graph: AtomGraph) -> Tensor:
        """[n_graphs, 3, 3] (A^3)."""
        of_atoms = self.atomwise(features, graph).double()
        a, b, c = of_atoms.split([1, N_DIRECTIONS, N_DIRECTIONS], dim=1)
        isotropic = self.scale(a.squeeze(1), graph.atomic_numbers)
        v = self._directions(b, graph)  # [n_atoms, k, 3]
        anisotropic = self.scale.std_per_atom * torch.einsum("ik,ikx,iky->ixy", c, v, v)
        unit = torch.eye(3, dtype=v.dtype, device=v.device)
        return sum_per_graph(isotropic[:, None, None] * unit + anisotropic, graph)

    def _directions(self, b: Tensor, graph: AtomGraph) -> Tensor:
        i, j = graph.pair_index
        displacements = graph.pair_displacements()
        distances = torch.linalg.vector_norm(displacements, dim=-1)
        window = cosine_cutoff(distances, self.radius)[:, None] * displacements / self.radius
        v = b.new_zeros(graph.n_atoms, N_DIRECTIONS, 3)
        v = v.index_add(0, i, b[j][:, :, None] * window[:, None, :])
        return v.index_add(0, j, -b[i][:, :, None] * window[:, None, :])

    def fit_scale(self, data: ReferenceData, label: str) -> None:
        """A constant per element, of the isotropic part."""
        isotropic = np.trace(data.values(label), axis1=1, axis2=2) / 3.0
        _fit_sum(self.scale, isotropic, data)


class SpatialExtentReadout(QuantityReadout):
    """<R^2> = sum_i [ q_i |r_i - R|^2 + e_i ], R the centre of nuclear charge.

    q_i counts the electrons about an atom, e_i how far they reach from it; Schuett et al., J. Chem.
    Theory Comput. 15, 448 (2019), doi:10.1021/acs.jctc.8b00908, have the first term. R is the
    origin of the quantum program's <R^2>.

    Args:
        new_readout: makes a readout of so many numbers per atom.
    """

    def __init__(self, new_readout: NewReadout) -> None:
        super().__init__()
        self.atomwise = new_readout(2)
        self.charge_scale, self.extent_scale = EnergyScale(), EnergyScale()

    def forward(self, features: Tensor, graph: AtomGraph) -> Tensor:
        """[n_graphs] (A^2).

        Raises:
            StructureError: for a periodic structure.
        """
        require_molecules(bool(graph.pbc.any()), "spatial extent")
        q, e = self.atomwise(features, graph).double().T
        numbers = graph.atomic_numbers
        charges, extents = self.charge_scale(q, numbers), self.extent_scale(e, numbers)
        return sum_per_graph(charges * squared_radii(graph) + extents, graph)

    def fit_scale(self, data: ReferenceData, label: str) -> None:
        """A charge and an extent per element, by least squares."""
        values, counts, elements = data.values(label), data.element_counts, data.elements
        graphs = data.arrays.batches(STRUCTURES_AT_ONCE)
        radii = np.concatenate([_by_element(squared_radii(g), g, elements) for g in graphs])
        columns = np.concatenate([radii, counts], axis=1)
        found = np.linalg.lstsq(columns, values, rcond=None)[0]
        rest = values - columns @ found
        scales = (self.charge_scale, self.extent_scale)
        parts = zip(scales, np.split(found, 2), (radii, counts), strict=True)
        for scale, references, weights in parts:
            spread = _spread(rest / weights.sum(axis=1).clip(min=1.0), values)
            scale.set(0.0, spread, dict(zip(elements, references.tolist(), strict=True)))


def squared_radii(graph: AtomGraph) -> Tensor:
    """|r_i - R|^2 about the centre of nuclear charge of each structure, [n_atoms] (A^2)."""
    z = graph.atomic_numbers.to(graph.positions.dtype)[:, None]
    centers = sum_per_graph(z * graph.positions, graph) / sum_per_graph(z, graph)
    return ((graph.positions - centers[graph.graph_index]) ** 2).sum(dim=-1)


def _by_element(values: Tensor, graph: AtomGraph, elements: Sequence[int]) -> np.ndarray:
    """Sums over the atoms of each element in each structure, [n_graphs, n_elements]."""
    of_elements = [sum_per_graph(values * (graph.atomic_numbers == z), graph) for z in elements]
    return torch.stack(of_elements, dim=1).cpu().numpy()


def _fit_sum(scale: EnergyScale, values: np.ndarray, data: ReferenceData) -> None:
    """A constant per element by least squares; the spread of what is left, per atom."""
    counts, elements = data.element_counts, data.elements
    references = np.linalg.lstsq(counts, values, rcond=None)[0]
    per_atom = (values - counts @ references) / counts.sum(axis=1)
    spread = _spread(per_atom, values)
    scale.set(0.0, spread, dict(zip(elements, references.tolist(), strict=True)))


def _spread(rest: np.ndarray, values: np.ndarray) -> float:
    """Standard deviation, 1.0 where it is rounding."""
    spread = float(np.sqrt(np.mean(rest**2)))
    return spread if spread > 1e-12 * float(np.abs(values).max(initial=0.0)) else 1.0
