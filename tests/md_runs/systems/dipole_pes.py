"""A driver of i-PI: atoms in harmonic traps, and the dipole of their charges."""

import json

import numpy as np
from ipi.pes.dummy import Dummy_driver

__DRIVER_NAME__ = "dipole"
__DRIVER_CLASS__ = "DipoleDriver"

CHARGES = np.array([-0.8, 0.4, 0.4])
STIFFNESS = 0.05  # hartree/bohr^2


class DipoleDriver(Dummy_driver):
    """Every atom on a spring to where it was first seen."""

    def __init__(self, *args, **kwargs):
        super().__init__(verbosity=False)
        self.start = None

    def compute_structure(self, cell, pos):
        """Energy, forces, virial and the dipole, in atomic units."""
        self.start = pos.copy() if self.start is None else self.start
        forces = -STIFFNESS * (pos - self.start)
        energy = 0.5 * STIFFNESS * ((pos - self.start) ** 2).sum()
        dipole = (CHARGES[:, None] * pos).sum(axis=0)
        return energy, forces, np.zeros((3, 3)), json.dumps({"dipole": dipole.tolist()})
