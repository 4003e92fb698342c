"""An `mlpotential.Evaluator` in the terms of other programs: ASE and i-PI."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlpotential.lazy_names import lazy_names

__all__ = ["MLPotentialCalculator"]

if TYPE_CHECKING:
    from calculators.ase_calculator import MLPotentialCalculator

__getattr__ = lazy_names(__name__, {"ase_calculator": ("MLPotentialCalculator",)})
