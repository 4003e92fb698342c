"""A probe in SchNet, whose messages do not depend on the probe's own features.

All interactions of a probe can therefore be evaluated at once, and what is linear in between is
multiplied out beforehand. With a_j^t = W_in^t x_j^t of the undisturbed structure and the filters
W^t(r) of K. T. Schuett et al., J. Chem. Phys. 148, 241722 (2018), Fig. 2,

    h^t(r_p) = sum_j G_j^t(|r_p - r_j|) + b_f^t,  G_j^t(r) = W_f^t [a_j^t o W^t(r)],         (1)
    y(r_p)   = w . f[ sum_t R W_o^t ssp(h^t) + R (a_Z + sum_t b_o^t) + b_R ] + b_w,          (2)

where W_f, b_f and W_o, b_o are the two layers behind the convolution and R, b_R, f, w, b_w the
readout. G is tabulated by quintic Hermite interpolation for each atom; atoms of equal features
share a table. A hard cutoff divides the sum in (1) by the number of atoms within it.
"""

from __future__ import annotations

import copy
import math
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from mlpotential.graph import AtomGraph
from mlpotential.interpretation.fields.probes.probe import Probe
from mlpotential.interpretation.fields.probes.surroundings import Pairs
from mlpotential.models.readouts.atomwise import AtomwiseReadout
from mlpotential.models.schnet import SchNet
from mlpotential.nn.activations import shifted_softplus
from mlpotential.nn.hermite import interpolation_weights, knots_of
from mlpotential.nn.radial_basis import DEAD_EXPONENT

# Of Gaussians; chosen: filters are then within 1e-6 of the largest, or 1e-9 in float64.
KNOTS_PER_WIDTH = {torch.float32: 4, torch.float64: 12}
EQUAL = {torch.float32: 1e-6, torch.float64: 1e-12}  # of features; chosen: below the error of them
MARGIN = 2.0  # A; chosen: tables are made anew only for points that are much farther away


class SchNetProbe(Probe):
    """Tables of G for each kind of atom, and the layers between them and the readout.

    Args: as of `Probe`.
    """

    PAIRS_AT_ONCE: ClassVar[int] = 2**16

    def __init__(
        self, model: SchNet, readout: nn.Module, graph: AtomGraph, dtype: torch.dtype
    ) -> None:
        assert isinstance(readout, AtomwiseReadout), "all readouts of SchNet are"
        self._model, self._dtype = model, dtype
        self._spacing = (2.0 * model.radial_basis.gamma) ** -0.5 / KNOTS_PER_WIDTH[dtype]
        self._filters: list[Tensor] = []  # of each interaction, at the knots
        self._n_knots = 0
        self._look_at(graph)
        hidden = readout.hidden.weight
        self._biases = [block.filter_to_out.bias.to(dtype) for block in model.blocks]
        self._to_hidden = [(hidden @ block.output.weight).T.to(dtype) for block in model.blocks]
        of_layers = torch.stack([block.output.bias for block in model.blocks]).sum(dim=0)
        self._constants = readout.hidden(model.embedding.weight + of_layers).to(dtype)  # by element
        self._activation = readout.activation.function
        self._output = readout.output.weight[0].to(dtype), readout.output.bias.to(dtype)

    def around(self, graph: AtomGraph) -> Self:
        """As of `Probe`."""
        other = copy.copy(self)
        other._look_at(graph)
        return other

    def _look_at(self, graph: AtomGraph) -> None:
        """What each atom sends; atoms that send the same share a table."""
        layers = list(self._model.layers(graph))
        messages = [
            block.in_to_filter(x) for block, x in zip(self._model.blocks, layers[:-1], strict=True)
        ]
        self._first_atoms, self._kind = _kinds(torch.cat(messages, dim=1), EQUAL[self._dtype])
        self._messages = [a[self._first_atoms] for a in messages]
        self._tables: list[Tensor] = []

    def reach_to(self, distance: float) -> None:
        """Makes the tables, and longer ones where these do not reach so far (A)."""
        farthest = self._range
        if not self._n_knots or min(distance, farthest) > self._spacing * (self._n_knots - 1):
            self._make_filters(distance, farthest)
            self._tables = []
        if not self._tables:
            self._tables = [
                ((a[:, None, None] * w) @ block.filter_to_out.weight.T)
                .flatten(0, 2)
                .to(self._dtype)
                for a, w, block in zip(
                    self._messages, self._filters, self._model.blocks, strict=True
                )
            ]

    def _make_filters(self, distance: float, farthest: float) -> None:
        """Filters at knots as far as that, or as filters reach (A)."""
        if self._model.cutoff is not None:
            distance = farthest
            self._spacing = farthest / math.ceil(farthest / self._spacing)
        last = min(distance + MARGIN, farthest) + (0.0 if self._model.cutoff else self._spacing)
        self._n_knots = max(round(last / self._spacing), 1) + 1
        distances = self._spacing * torch.arange(self._n_knots, dtype=torch.float64)
        if self._model.cutoff is not None:
            distances = distances.clamp(max=farthest)  # not even by rounding beyond it
        knots = knots_of(self._model.filter_jet(distances), self._spacing)
        self._filters = list(knots.chunk(len(self._model.blocks), dim=2))

    @property
    def _range(self) -> float:
        """Where filters have become constant, or zero (A)."""
        if self._model.cutoff is not None:
            return self._model.cutoff
        return (
            self._model.config.rbf_stop + (-DEAD_EXPONENT / self._model.radial_basis.gamma) ** 0.5
        )

    def values(self, points: Tensor, pairs: Pairs, atomic_number: int) -> Tensor:
        """As of `Probe`."""
        first, weights, _ = interpolation_weights(pairs.distances, self._spacing, self._n_knots)
        rows = 3 * (self._kind[pairs.atom_index] * self._n_knots + first)
        indices = (rows[:, None] + torch.arange(6)).flatten()
        weights = weights.to(self._dtype).flatten()
        counts = pairs.counts
        starts = 6 * (torch.cumsum(counts, dim=0) - counts)
        share = None
        if self._model.divides_by_neighbors:
            share = 1.0 / counts.clamp(min=1)[:, None].to(self._dtype)
        hidden = self._constants[atomic_number].expand(len(points), -1)
        for table, bias, to_hidden in zip(self._tables, self._biases, self._to_hidden, strict=True):
            total = torch.nn.functional.embedding_bag(
                indices, table, starts, per_sample_weights=weights, mode="sum"
            )
            total = total if share is None else total * share
            hidden = torch.addmm(hidden, shifted_softplus(total + bias), to_hidden)  # (1), (2)
        weight, bias = self._output
        return self._activation(hidden) @ weight + bias


def _kinds(features: Tensor, tolerance: float) -> tuple[Tensor, Tensor]:
    """Atoms that are equal.

    Args:
        features: [n_atoms, n].
        tolerance: of the difference, relative to the largest number.

    Returns:
        The first atom of each kind, [n_kinds], and the kind of each atom, [n_atoms], int64.
    """
    largest = float(features.abs().max())
    first_atoms: list[int] = []
    kinds = []
    for atom, row in enumerate(features):
        differences = (features[first_atoms] - row).abs().amax(dim=1)
        equal = (differences <= tolerance * largest).nonzero()
        if not len(equal):
            first_atoms.append(atom)
        kinds.append(int(equal[0]) if len(equal) else len(first_atoms) - 1)
    return torch.tensor(first_atoms), torch.tensor(kinds)
