"""Water by Morse bonds, whose calculator writes down what it was asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

PAIRS = ((0, 1, 5.0, 2.2, 0.97), (0, 2, 5.0, 2.2, 0.97), (1, 2, 2.0, 1.2, 1.54))
WATER = Atoms("OH2", [[0, 0, 0.12], [0, 0.76, -0.48], [0, -0.76, -0.48]])


class LoggedWater(Calculator):
    """E = sum D (1 - exp(-a (r - r0)))^2 over the three pairs.

    Args:
        log: file with a line for each evaluation; empty for none.
        longest: an O-H bond longer than this fails (A).
    """

    implemented_properties = ("energy", "forces")

    def __init__(self, log: str = "", longest: float = 9.0) -> None:
        super().__init__()
        self._log, self._longest = log, longest

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        positions = self.atoms.positions
        if self._log:
            with Path(self._log).open("a") as file:
                file.write(" ".join(f"{x:.6f}" for x in positions.ravel()) + "\n")
        energy, forces = 0.0, np.zeros((3, 3))
        for i, j, depth, width, rest in PAIRS:
            away = positions[j] - positions[i]
            r = np.linalg.norm(away)
            if i == 0 and r > self._longest:
                raise RuntimeError("SCF did not converge")
            decay = np.exp(-width * (r - rest))
            energy += depth * (1.0 - decay) ** 2
            force = -2.0 * depth * width * (1.0 - decay) * decay * away / r
            forces[j] += force
            forces[i] -= force
        self.results = {"energy": energy, "forces": forces}
