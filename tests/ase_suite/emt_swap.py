"""Puts our calculator in the place of ASE's EMT before ASE's tests import it: `pytest -p emt_swap`.

The class has EMT's name and, like it, needs no arguments.
"""

from pathlib import Path

import ase.calculators.emt

from calculators import MLPotentialCalculator

MODEL = Path(__file__).parent / "emt_schnet.safetensors"


class EMT(MLPotentialCalculator):
    """A SchNet that learned from EMT; it is asked about anything, so the guard is off."""

    def __init__(self) -> None:
        super().__init__(MODEL, device="cpu", guard="off")


ase.calculators.emt.EMT = EMT
