"""An `mlpotential.Evaluator` in the terms of other programs: ASE and i-PI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["MLPotentialCalculator"]

if TYPE_CHECKING:
    from calculators.ase_calculator import MLPotentialCalculator


def __getattr__(name: str) -> Any:
    if name == "MLPotentialCalculator":
        from calculators.ase_calculator import MLPotentialCalculator

        return MLPotentialCalculator
    raise AttributeError(f"module 'calculators' has no attribute {name!r}")
