"""What a model gives: its outputs, by name. Free of torch.

A model has one representation of atoms and any of these outputs, each with a readout of its own:

- `energy`: the sum of atomic energies; with forces, virial, stress and Hessian, its derivatives;
- `dipole`: of latent charges, which come with it, and `dipole_magnitude`, its length. A model that
  was trained on lengths alone has charges of an arbitrary common sign;
- `polarizability`: a symmetric tensor; `spatial_extent`: <R^2> of the electrons;
- any other name: a scalar that is the `sum` over atoms (extensive) or their `mean` (intensive), in
  a unit that is stated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mlpotential.errors import ConfigError, nearest_name
from mlpotential.properties import LABELS, OF_DIPOLES, PROPERTIES, Property, scalar
from mlpotential.settings_checks import check_choice, require

Pooling = Literal["sum", "mean"]
Activation = Literal["ssp", "ssp_linear_from_14", "silu", "tanh"]

# Outputs that need no description; forces and stress are derivatives of one.
KNOWN = tuple(name for name, row in LABELS.items() if row.derivative is None)
# Chosen: far beyond any use, so that a slip or a hostile model file ends in words, not in memory.
LARGEST_CHARGE = 1e6  # e
MOST_HIDDEN = 10_000


@dataclass(frozen=True)
class Output:
    """One output of a model.

    Attributes:
        pooling: of a scalar: `sum` of atomic contributions (extensive), or their `mean`
            (intensive); null for outputs that are known by name.
        unit: of a scalar.
        total_charge: of a dipole: what the latent charges of each structure add up to (e): 0 for
            neutral molecules, whose dipole then has no origin; null leaves them free, and the
            dipole is that about the centre of mass.
        n_hidden: width of the hidden layer of the atomwise readout; null for half the number of
            features.
        activation: of that layer; null for the published one (SchNet: `ssp`, DTNN: `tanh`).
            `ssp_linear_from_14` is that of the original SchNet program (x - ln 2 beyond 14),
            `silu` what SchNetPack 2 has by default.

    Raises:
        ConfigError: for a value out of range.
    """

    pooling: Pooling | None = None
    unit: str | None = None
    total_charge: float | None = None
    n_hidden: int | None = None
    activation: Activation | None = None

    def __post_init__(self) -> None:
        if self.pooling is not None:
            check_choice("pooling of an output", self.pooling, get_args(Pooling))
        if self.activation is not None:
            check_choice("activation of an output", self.activation, get_args(Activation))
        if self.n_hidden is not None:
            is_count = isinstance(self.n_hidden, int) and not isinstance(self.n_hidden, bool)
            good = is_count and 1 <= self.n_hidden <= MOST_HIDDEN
            require(good, "n_hidden of an output", f"from 1 to {MOST_HIDDEN}", self.n_hidden)
        if (total := self.total_charge) is not None:
            is_number = isinstance(total, int | float) and not isinstance(total, bool)
            finite = is_number and -LARGEST_CHARGE <= total <= LARGEST_CHARGE
            require(finite, "total_charge of an output", "a finite charge (e)", total)


Outputs = Mapping[str, Output]
ENERGY_ALONE: Outputs = {"energy": Output()}


def check_outputs(outputs: Outputs) -> None:
    """Whether a model can have them.

    Raises:
        ConfigError: where there are none, a name cannot be one, a scalar lacks its pooling or
            unit, or settings do not belong to an output.
    """
    require(len(outputs) > 0, "outputs", "at least one, such as energy", "none")
    for name, output in outputs.items():
        _check_output(name, output)
    kinds = {outputs[name] for name in OF_DIPOLES if name in outputs}
    if len(kinds) > 1:
        raise ConfigError(
            "dipole and dipole_magnitude are of the same latent charges: give outputs.dipole and "
            "outputs.dipole_magnitude the same total_charge, n_hidden and activation"
        )


def _check_output(name: str, output: Output) -> None:
    where = f"outputs.{name}"
    if output.total_charge is not None:
        expected = "given for dipole and dipole_magnitude alone"
        require(name in OF_DIPOLES, f"{where}.total_charge", expected, output.total_charge)
    if name in KNOWN:
        for setting, value in (("pooling", output.pooling), ("unit", output.unit)):
            require(value is None, f"{where}.{setting}", "none of a quantity known by name", value)
        return
    if name in PROPERTIES or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name):
        raise ConfigError(
            f"no output can be named {name!r}: there are {', '.join(KNOWN)} and, by names of "
            f"letters, digits and underscores, scalars.{nearest_name(name, KNOWN)}"
        )
    if output.pooling is None or not output.unit:
        raise ConfigError(
            f"{name} is a scalar, and needs outputs.{name}.pooling (sum or mean) and "
            f"outputs.{name}.unit.{nearest_name(name, KNOWN)}"
        )


def rows_of(outputs: Outputs) -> dict[str, Property]:
    """Everything that a model with these outputs gives, by name."""
    readouts = {PROPERTIES[name].of for name in outputs if name in KNOWN} | {"representation"}
    scalars = {name: scalar(name, o.unit or "") for name, o in outputs.items() if name not in KNOWN}
    return {name: row for name, row in PROPERTIES.items() if row.of in readouts} | scalars


def separated(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Settings of a network as versions 0.1 and 0.2 had them, and the outputs among them.

    They were `readout_activation`, `n_readout_hidden`, `dipole` and `total_charge`.

    Returns:
        The settings without those, and settings of outputs by name.
    """
    rest = dict(settings)
    readout = {
        new: rest.pop(old)
        for old, new in (("n_readout_hidden", "n_hidden"), ("readout_activation", "activation"))
        if old in rest
    }
    if readout.get("activation") == "ssp":  # was the default
        readout["activation"] = None
    outputs: dict[str, dict[str, Any]] = {"energy": dict(readout)}
    total_charge = rest.pop("total_charge", None)
    if rest.pop("dipole", False):
        outputs["dipole"] = {**readout, "total_charge": total_charge}
    return rest, outputs
