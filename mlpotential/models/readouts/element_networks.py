"""A network of its own for each element: the atomic part of Behler-Parrinello potentials.

J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007), doi:10.1103/PhysRevLett.98.146401,
Fig. 2; letters of activations and `normalize_nodes` as in RuNNer and n2p2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from ase.data import chemical_symbols
from torch import Tensor, nn

from mlpotential.graph import AtomGraph
from mlpotential.nn.activations import LETTERED_ACTIVATIONS


class ElementNetwork(nn.Module):
    """Dense layers from the symmetry functions of an atom to its numbers.

    Args:
        n_inputs: symmetry functions of the element.
        layer_sizes: neurons of the hidden layers.
        letters: activations of these and of the output.
        normalize_nodes: divide what enters a neuron by the number of its inputs.
        n_outputs: numbers per atom.
    """

    def __init__(
        self,
        n_inputs: int,
        layer_sizes: Sequence[int],
        letters: Sequence[str],
        normalize_nodes: bool,
        n_outputs: int,
    ) -> None:
        super().__init__()
        sizes = [n_inputs, *layer_sizes, n_outputs]
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
        for layer in self.dense_layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.letters, self.normalize_nodes = tuple(letters), normalize_nodes

    @property
    def dense_layers(self) -> list[nn.Linear]:
        """First to last."""
        return list(self.layers)  # type: ignore[arg-type]

    def forward(self, inputs: Tensor) -> Tensor:
        """[n_atoms, n_inputs or more] -> [n_atoms] or [n_atoms, n_outputs]."""
        layers = self.dense_layers
        values = inputs[:, : layers[0].in_features]
        for layer, letter in zip(layers, self.letters, strict=True):
            entering = layer(values)
            if self.normalize_nodes:
                entering = entering / layer.in_features
            values = LETTERED_ACTIVATIONS[letter](entering)
        return values.squeeze(-1)


class ElementNetworks(nn.Module):
    """The network of each element.

    Args:
        n_inputs: symmetry functions by atomic number.
        layer_sizes, letters, normalize_nodes, n_outputs: of all networks.
    """

    def __init__(
        self,
        n_inputs: Mapping[int, int],
        layer_sizes: Sequence[int],
        letters: Sequence[str],
        normalize_nodes: bool = False,
        n_outputs: int = 1,
    ) -> None:
        super().__init__()
        self.elements, self._n_outputs = tuple(n_inputs), n_outputs
        self.networks = nn.ModuleDict(
            {
                chemical_symbols[z]: ElementNetwork(
                    n, layer_sizes, letters, normalize_nodes, n_outputs
                )
                for z, n in n_inputs.items()
            }
        )

    def of_element(self, element: int) -> ElementNetwork:
        """That of an atomic number."""
        return self.networks[chemical_symbols[element]]  # type: ignore[return-value]

    def forward(self, features: Tensor, graph: AtomGraph) -> Tensor:
        """Each atom by the network of its element, [n_atoms] or [n_atoms, n_outputs]."""
        shape = (graph.n_atoms, self._n_outputs)[: 1 if self._n_outputs == 1 else 2]
        total = features.new_zeros(shape)
        for element in self.elements:
            network = self.of_element(element)
            rows = (graph.atomic_numbers == element).nonzero().squeeze(1)
            if len(rows) == graph.n_atoms:
                return network(features)
            if len(rows):
                total = total.index_copy(0, rows, network(features.index_select(0, rows)))
        return total
