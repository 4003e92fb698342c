"""What an ASE calculator says about a structure, and how far two answers may be apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, PropertyNotImplementedError

CalculatorFactory = Callable[[], BaseCalculator]

SMALLEST_SCALE = {"forces": 1e-2, "stress": 1e-4}  # eV/A, eV/A^3; chosen: below lies only noise


@dataclass(frozen=True)
class Accuracy:
    """What a calculator is held to.

    Attributes:
        step: of finite differences of the energy (A; of a strain: without unit).
        derivatives: deviation of forces and stress from them, relative to the largest value.
        energy: deviation per atom between two descriptions of one structure (eV).
        same: deviation of forces and stress between them, relative to the largest value.
        jump: of energy (eV) and forces (eV/A) where two atoms part at the cutoff.
        drift_meV_per_ps: of the total energy per atom in molecular dynamics.
    """

    step: float
    derivatives: float
    energy: float
    same: float
    jump: float
    drift_meV_per_ps: float


FLOAT64 = Accuracy(1e-3, 1e-6, 1e-9, 1e-8, 1e-5, 0.01)
FLOAT32 = Accuracy(1e-2, 5e-3, 1e-5, 1e-4, 1e-4, 0.5)


def answer(
    calculator: BaseCalculator,
    atoms: Atoms,
    names: tuple[str, ...] = ("energy", "forces", "stress"),
) -> dict[str, Any]:
    """Properties by name, asked in this order; None where there is none: stress of a molecule."""
    return {name: property_or_none(calculator, atoms, name) for name in names}


def property_or_none(calculator: BaseCalculator, atoms: Atoms, name: str) -> Any:
    """A property of the atoms; None where the calculator, or this structure, has none."""
    try:
        return calculator.get_property(name, atoms)
    except PropertyNotImplementedError:
        return None


def assert_same(
    actual: dict[str, Any], expected: dict[str, Any], accuracy: Accuracy, what: str
) -> None:
    """Compares what was asked for in `actual`; `expected` has the forces in any case."""
    n_atoms = len(expected["forces"])
    for name, value in actual.items():
        right = expected[name]
        if value is None or right is None:
            assert value is right, f"{what}: {name} in one of both only"
        elif name == "energy":
            assert abs(value - right) <= accuracy.energy * n_atoms, (
                f"{what}: the energy is {value:.12g} eV, not {right:.12g} eV"
            )
        else:
            assert value.shape == right.shape, f"{what}: {name} of shape {value.shape}"
            away = float(np.abs(value - right).max())
            scale = max(float(np.abs(right).max()), SMALLEST_SCALE[name])
            assert away <= accuracy.same * scale, (
                f"{what}: {name} differ by {away:.3g}, {away / scale:.3g} of the largest"
            )
