"""A SchNet and its training domain as the kernels read them.

Features are filled up with zeros to a width of `plans.WIDTHS`, which changes nothing: a feature
without weights is zero, and so is ssp of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mlpotential.inference.cuda.interface import Network, Readout, address
from mlpotential.inference.schnet.filter_table import FilterTable
from mlpotential.inference.training_domain import TrainingDomain, watched_bond_lengths
from mlpotential.models.readouts.atomwise import AtomwiseReadout
from mlpotential.models.schnet import SchNet
from mlpotential.nn.activations import READOUT_ACTIVATIONS

ACTIVATIONS = ("ssp", "ssp_linear_from_14", "silu", "tanh")  # `Activation` of molecule.cu
NUMBERS = {READOUT_ACTIVATIONS[name]: number for number, name in enumerate(ACTIVATIONS)}


def readouts_of(model: SchNet) -> dict[str, AtomwiseReadout]:
    """Those that the kernel evaluates, by their names there."""
    found = {"energy": model.readout}
    if model.charge_readout is not None:
        atomwise = model.charge_readout.atomwise
        assert isinstance(atomwise, AtomwiseReadout)  # as SchNet has them
        found["charge"] = atomwise
    return found


def needed_width(model: SchNet) -> int:
    """Features of the interactions or, if there are more, of a hidden layer."""
    hidden = [readout.hidden.out_features for readout in readouts_of(model).values()]
    return max(model.config.n_features, *hidden)


class PackedNetwork:
    """Weights and tables on a device.

    Args:
        model: its weights are copied.
        table: of its filters, in float64.
        width: number of features with zeros.
        device: where the kernel runs.
        domain: where the model was trained, as far as that is known.

    Attributes:
        structure: an argument of the kernel; good as long as this object.
        width: number of features with zeros.
        n_knots: of the table.
    """

    def __init__(
        self,
        model: SchNet,
        table: FilterTable,
        width: int,
        device: torch.device,
        domain: TrainingDomain,
    ) -> None:
        self.width, self.n_knots = width, len(table.knots)
        self._dtype, self._device = model.dtype, device
        tensors = {**self._weights(model), **self._watched(model, domain)}
        tensors["table"] = self._filters(table, len(model.blocks))
        readouts = {name: self._readout(r) for name, r in readouts_of(model).items()}
        self._kept = [tensors, readouts]  # they own what the structure points to
        self.structure = Network(
            **{name: address(tensor) for name, tensor in tensors.items()},
            **{
                name: _readout_structure(readout, readouts[name])
                for name, readout in readouts_of(model).items()
            },
            spacing=table.spacing,
            cutoff=np.inf if model.cutoff is None else model.cutoff,
            energy_scale=float(model.scale.std_per_atom),
            n_interactions=len(model.blocks),
            n_knots=len(table.knots),
            n_elements=len(model.embedding.weight),
            averages=model.divides_by_neighbors,
        )

    def _weights(self, model: SchNet) -> dict[str, Tensor]:
        blocks = model.blocks
        dense = [(b.in_to_filter, b.filter_to_out, b.output) for b in blocks]
        backward = torch.stack(
            [torch.stack([self._filled(layer.weight, 2) for layer in three]) for three in dense]
        )
        bias = [
            torch.stack([self._filled(b.filter_to_out.bias), self._filled(b.output.bias)])
            for b in blocks
        ]
        offsets = model.scale.mean_per_atom + model.scale.atom_references
        return {
            "embedding": self._placed(self._filled(model.embedding.weight)),
            "forward": self._placed(backward.transpose(2, 3)),
            "backward": self._placed(backward),
            "bias": self._placed(torch.stack(bias)),
            "atom_energies": self._placed(offsets, torch.float64),
        }

    def _filters(self, table: FilterTable, n_interactions: int) -> Tensor:
        """[n_knots, 3, n_interactions, width]."""
        return self._placed(self._filled(table.knots.unflatten(2, (n_interactions, -1))))

    def _readout(self, readout: AtomwiseReadout) -> dict[str, Tensor]:
        hidden = self._filled(readout.hidden.weight, 2)
        return {
            "hidden": self._placed(hidden.T),
            "hidden_transposed": self._placed(hidden),
            "hidden_bias": self._placed(self._filled(readout.hidden.bias)),
            "output": self._placed(self._filled(readout.output.weight.flatten())),
        }

    def _watched(self, model: SchNet, domain: TrainingDomain) -> dict[str, Tensor]:
        """What is known of the domain; pairs of elements as far as the embedding goes."""
        n_elements, found = len(model.embedding.weight), {}
        if domain.shortest is not None:
            square = torch.from_numpy(domain.shortest)[:n_elements, :n_elements]
            found["shortest"] = self._placed(square, torch.float64)
        if domain.centers is not None and domain.scales is not None:
            for name, values in (("centers", domain.centers), ("scales", domain.scales)):
                found[name] = self._placed(self._filled(torch.from_numpy(values)))
        if domain.neighborhoods is not None:
            lengths = torch.from_numpy(watched_bond_lengths(n_elements))
            found["bond_lengths"] = self._placed(lengths, torch.float64)
            known = torch.from_numpy(domain.neighborhoods)
            found["neighborhoods"] = self._placed(known, torch.float64)
        return found

    def _filled(self, tensor: Tensor, n_dimensions: int = 1) -> Tensor:
        """With zeros up to the width, along the last dimensions."""
        missing = [self.width - n for n in reversed(tensor.shape[-n_dimensions:])]
        return functional.pad(tensor.detach(), [x for end in missing for x in (0, end)])

    def _placed(self, tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """A copy on the device."""
        tensor = tensor.detach().to(device=self._device, dtype=dtype or self._dtype)
        return tensor.contiguous().clone()


def _readout_structure(readout: AtomwiseReadout, tensors: Mapping[str, Tensor]) -> Readout:
    return Readout(
        **{name: address(tensor) for name, tensor in tensors.items()},
        bias=float(readout.output.bias.detach()),
        activation=NUMBERS[readout.activation],
    )
