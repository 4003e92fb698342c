"""Fields around a molecule that moves: one function of space for each of its structures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from ase import Atoms

from mlpotential.interpretation.fields.electrostatic_potential import ElectrostaticPotential
from mlpotential.interpretation.fields.local_chemical_potential import (
    LocalChemicalPotential,
    network_of,
)
from mlpotential.interpretation.fields.maps import Quantity

FieldKind = Literal["chemical-potential", "electrostatic-potential"]


@dataclass(frozen=True)
class MovingField:
    """A field by the structure.

    Attributes:
        quantity: it is.
        difference: what two of them differ by.
        remark: what was chosen for it; empty where nothing was.
        values: positions of the atoms, [n_atoms, 3] (A), and points, [n_points, 3] (A) -> values
            there, [n_points].
    """

    quantity: Quantity
    difference: Quantity
    remark: str
    values: Callable[[np.ndarray, np.ndarray], np.ndarray]


def moving_field(kind: FieldKind, model: Path, molecule: Atoms, probe: str) -> MovingField:
    """The field of a kind.

    Args:
        kind: chemical-potential or electrostatic-potential.
        model: its file (.safetensors).
        molecule: any structure of it.
        probe: element of the probe, of chemical potentials.

    Raises:
        ConfigError, StructureError, ModelFileError: as `LocalChemicalPotential` and
            `ElectrostaticPotential.of_model`.
    """
    if kind == "electrostatic-potential":
        return _electrostatic(model, molecule)
    omega = LocalChemicalPotential(model, molecule)
    number = omega.checked_probe(probe)
    latest = [omega]  # hands on what all structures share

    def values(positions: np.ndarray, points: np.ndarray) -> np.ndarray:
        latest.append(latest.pop().around(_moved(molecule, positions)))
        return latest[0].at(points, number, progress=False)

    name, symbol = "local_chemical_potential", f"\\Omega_{{{probe}}}"
    return MovingField(
        Quantity(name, f"${symbol}$", omega.unit, False),
        Quantity(name, f"$\\Delta{symbol}$", omega.unit, True),
        "",
        values,
    )


def _electrostatic(model: Path, molecule: Atoms) -> MovingField:
    network = network_of(model)
    first = ElectrostaticPotential.of_model(network, molecule)

    def values(positions: np.ndarray, points: np.ndarray) -> np.ndarray:
        moved = _moved(molecule, positions)
        return ElectrostaticPotential.of_model(network, moved).at(points)

    name = "electrostatic_potential"
    return MovingField(
        Quantity(name, "$\\varphi$", "V", True, True),
        Quantity(name, "$\\Delta\\varphi$", "V", True, True),
        f"sign of charges: {first.sign}; charges of every structure are its own",
        values,
    )


def _moved(molecule: Atoms, positions: np.ndarray) -> Atoms:
    return Atoms(molecule.numbers, positions)
