"""GFN2-xTB, as tblite computes it, as a PES of i-PI: the beads that the ethanol model learns from.

i-PI reads the two names below from the source text, so they are plain literals.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ipi.pes.dummy import Dummy_driver

from calculators.ipi_units import (
    HARTREE_PER_BOHR_PER_EV_PER_ANGSTROM,
    HARTREE_PER_EV,
    Answer,
    ReplicaArrays,
    to_angstrom,
)
from md_runs.ethanol.gfn2 import gfn2
from md_runs.trajectories.structure_file import read_structure

__DRIVER_NAME__ = "gfn2"
__DRIVER_CLASS__ = "Gfn2Driver"


class Gfn2Driver(Dummy_driver):
    """Energy and forces of a molecule; no virial.

    Args:
        structure: file with the molecule, relative to the run folder.
    """

    def __init__(self, structure: str, **options: object) -> None:
        super().__init__(**options)
        self.atoms = read_structure(Path(structure))
        self.atoms.calc = gfn2()

    def compute(self, cell: ReplicaArrays, pos: ReplicaArrays) -> Answer | list[Answer]:
        """Answers in atomic units, of all beads or of one."""
        if isinstance(pos, list):
            return [self._answer(bead) for bead in pos]
        return self._answer(np.asarray(pos))

    def _answer(self, positions_bohr: np.ndarray) -> Answer:
        self.atoms.positions = to_angstrom([positions_bohr], len(self.atoms))[0]
        energy = HARTREE_PER_EV * self.atoms.get_potential_energy()
        forces = HARTREE_PER_BOHR_PER_EV_PER_ANGSTROM * self.atoms.get_forces()
        return energy, forces, np.zeros((3, 3)), "{}"
