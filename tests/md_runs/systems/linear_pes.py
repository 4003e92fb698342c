"""A driver of i-PI: carbon dioxide of `linear_triatomic`."""

import sys
from pathlib import Path

import numpy as np
from ipi.pes.dummy import Dummy_driver

sys.path.insert(0, str(Path(__file__).parent))
from linear_triatomic import CO2, energy_and_forces

from mlpotential.units import ANGSTROM_PER_BOHR, EV_PER_HARTREE

__DRIVER_NAME__ = "linear"
__DRIVER_CLASS__ = "LinearDriver"


class LinearDriver(Dummy_driver):
    """Energy and forces of every bead, in atomic units."""

    def __init__(self, *args, **kwargs):
        super().__init__(verbosity=False)

    def compute(self, cell, pos):
        if not isinstance(pos, list):
            return self.compute([cell], [pos])[0]
        energies, forces = energy_and_forces(np.stack(pos) * ANGSTROM_PER_BOHR, *CO2[1:])
        energies = energies / EV_PER_HARTREE
        forces = forces * (ANGSTROM_PER_BOHR / EV_PER_HARTREE)
        return [
            (float(e), f, np.zeros((3, 3)), "{}") for e, f in zip(energies, forces, strict=True)
        ]
