"""A SchNet of another program, as its importer found it, and its translation into ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mlpotential.data.declared_units import angstrom_per_length, ev_per_energy
from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph
from mlpotential.models.importers.refusal import Refusal
from mlpotential.models.outputs import Activation, Output
from mlpotential.models.schnet import SchNet
from mlpotential.models.schnet_config import SchNetConfig

CENTERS = "radial_basis.centers"


@dataclass(frozen=True)
class OriginalAnswer:
    """What the program that made a network says of structures, in the units of the network.

    Attributes:
        program: with its version.
        energy: [n_graphs], float64.
        forces: [n_atoms, 3], float64.
    """

    program: str
    energy: Tensor
    forces: Tensor


@dataclass(frozen=True)
class ForeignNetwork:
    """A trained SchNet in the units of its source.

    Attributes:
        program: that made it.
        config: our settings; lengths in the source's unit.
        weights: parameters by our names, and the Gaussian centres as `radial_basis.centers`.
        mean_per_atom, std_per_atom: of the atomic energies.
        atom_references: energy by atomic number, [n_rows].
        elements: atomic numbers it can be used for, as far as the source tells.
        activation: of the hidden layer of its readout.
        energy_unit, length_unit: that the source states, or that are usual with its program.
        units_from: what states them; None where they are only usual.
        notes: what its user should know, a sentence each.
        original: evaluates positions in the source's unit by the program itself, in float64; raises
            ImportError where that is not installed. None where it cannot be.
    """

    program: str
    config: SchNetConfig
    weights: Mapping[str, Tensor]
    mean_per_atom: float
    std_per_atom: float
    atom_references: Tensor
    elements: tuple[int, ...]
    activation: Activation = "ssp"
    energy_unit: str | None = None
    length_unit: str | None = None
    units_from: str | None = None
    notes: tuple[str, ...] = ()
    original: Callable[[AtomGraph], OriginalAnswer] | None = None

    @property
    def outputs(self) -> dict[str, Output]:
        """Ours: the energy. Raises Refusal where its readout is out of our range."""
        n_hidden = self.weights["readout.hidden.weight"].shape[0]
        with _refused():
            return {"energy": Output(n_hidden=n_hidden, activation=self.activation)}


def translate(network: ForeignNetwork, energy_unit: str, length_unit: str) -> SchNet:
    """The network in eV and A, in evaluation mode.

    In the dtype of the source; in float64 where lengths change, which float32 would round.

    Raises:
        Refusal: if a tensor is missing, does not fit, or is not finite.
        DataError: if a unit is unknown.
        ConfigError: if its settings are beyond what SchNet here can have.
    """
    ev, angstrom = ev_per_energy(energy_unit), angstrom_per_length(length_unit)
    config = network.config
    model = SchNet(
        replace(
            config,
            rbf_start=config.rbf_start * angstrom,
            rbf_stop=config.rbf_stop * angstrom,
            rbf_gamma=config.gamma / angstrom**2,
            cutoff=None if config.cutoff is None else config.cutoff * angstrom,
        ),
        network.outputs,
    )
    model.to(network.weights["embedding.weight"].dtype if angstrom == 1.0 else torch.float64)
    weights = dict(network.weights)
    if angstrom != 1.0:
        weights[CENTERS] = weights[CENTERS].double() * angstrom
    state = model.state_dict()
    for name in state:
        if not name.startswith("scale."):
            state[name] = _checked(name, weights.get(name), state[name])
    model.load_state_dict(state)
    model.scale.mean_per_atom.fill_(network.mean_per_atom * ev)
    model.scale.std_per_atom.fill_(network.std_per_atom * ev)
    known = min(len(model.scale.atom_references), len(network.atom_references))
    model.scale.atom_references[:known] = network.atom_references[:known].double() * ev
    if not all(bool(values.isfinite().all()) for values in model.scale.buffers()):
        raise Refusal("has a mean, a scale or atom references that are not finite")
    if float(model.scale.std_per_atom) == 0.0:
        raise Refusal("scales its energies by 0: all forces would be zero")
    model.elements = network.elements
    return model.eval()


def _checked(name: str, values: Tensor | None, wanted: Tensor) -> Tensor:
    if values is None:
        raise Refusal(f"lacks what becomes {name!r} here")
    if values.shape != wanted.shape or not values.is_floating_point():
        raise Refusal(
            f"does not fit: {name!r} would be {values.dtype} {list(values.shape)}, but a SchNet of "
            f"this size needs {list(wanted.shape)}"
        )
    if not bool(values.isfinite().all()):
        raise Refusal(f"holds numbers that are not finite, in what becomes {name!r}")
    return values.to(wanted.dtype)


def sizes_of(weights: Mapping[str, Tensor]) -> dict[str, int]:
    """Settings that follow from shapes. Raises Refusal where a tensor has none of use."""
    shapes = {}
    for name, n_dimensions in (("embedding.weight", 2), ("readout.hidden.weight", 2), (CENTERS, 1)):
        values = weights[name]
        if values.ndim != n_dimensions or not values.is_floating_point():
            raise Refusal(f"does not fit: {name!r} would be {values.dtype} {list(values.shape)}")
        shapes[name] = values.shape
    n_rows, n_features = shapes["embedding.weight"]
    return {
        "n_features": n_features,
        "n_rbf": shapes[CENTERS][0],
        "max_atomic_number": n_rows - 1,
    }


def referenced_elements(references: Tensor, max_atomic_number: int) -> tuple[int, ...]:
    """Atomic numbers with a reference energy; all that the embedding has a row for if none has."""
    known = range(1, max_atomic_number + 1)
    with_reference = tuple(z for z in known if z < len(references) and references[z] != 0.0)
    return with_reference or tuple(known)


def gamma_of(width: float) -> float:
    """1 / (2 width^2). Raises Refusal for a width that is none."""
    if not width > 0.0:
        raise Refusal(f"has Gaussians of width {width}")
    return 0.5 / width**2


def centers_settings(centers: Tensor) -> tuple[float, float]:
    """First and last Gaussian centre. Raises Refusal unless they are equidistant."""
    if centers.ndim != 1 or len(centers) < 2:
        raise Refusal(f"has Gaussian centres of shape {list(centers.shape)}")
    first, last = float(centers[0]), float(centers[-1])
    even = torch.linspace(first, last, len(centers), dtype=torch.float64)
    if float((centers.double() - even).abs().max()) > 1e-5 * last:
        raise Refusal("has Gaussians that are not equidistant, which is refused")
    return first, last


def build_config(**settings: object) -> SchNetConfig:
    """Our settings. Raises Refusal where they are out of the range of SchNet here."""
    with _refused():
        return SchNetConfig(**settings)  # type: ignore[arg-type]


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        raise Refusal(f"is of a size that is not supported: {error}") from None
