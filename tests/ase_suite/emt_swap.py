"""Puts our calculator in the place of ASE's EMT before ASE's tests import it: `pytest -p emt_swap`.

The class has EMT's name and, like it, needs no arguments.
"""

from pathlib import Path

import ase.calculators.emt
from ase import Atoms

from calculators import MLPotentialCalculator
from mlpotential.inference.evaluator import Evaluator

MODEL = Path(__file__).with_name("emt_schnet.safetensors")


class EMT(MLPotentialCalculator):
    """A SchNet that learned from EMT; it is asked about anything, so the guard is off."""

    n_evaluations = 0
    prepared: Evaluator | None = None  # by the first of all instances: its filter table costs most

    def __init__(self) -> None:
        super().__init__(MODEL, device="cpu", guard="off")

    def evaluator_for(self, atoms: Atoms) -> Evaluator:
        self._evaluator = self._evaluator or EMT.prepared
        EMT.prepared = super().evaluator_for(atoms)
        return EMT.prepared

    def calculate(self, *arguments, **options) -> None:
        EMT.n_evaluations += 1
        super().calculate(*arguments, **options)


ase.calculators.emt.EMT = EMT


def pytest_terminal_summary(terminalreporter) -> None:
    """One more line under ASE's own results."""
    terminalreporter.write_line(f"EMT was replaced: {EMT.n_evaluations} evaluations")
