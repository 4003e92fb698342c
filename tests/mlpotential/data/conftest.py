"""Three water molecules with labels."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator


@pytest.fixture
def waters() -> list[Atoms]:
    """Labelled as ASE does: energy and forces in a calculator (eV, eV/A)."""
    random = np.random.default_rng(3)
    molecules = []
    for k in range(3):
        shape = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
        atoms = Atoms("OHH", shape + 0.02 * random.normal(size=(3, 3)))
        atoms.calc = SinglePointCalculator(
            atoms, energy=-2000.0 - 0.25 * k, forces=random.normal(size=(3, 3))
        )
        molecules.append(atoms)
    return molecules
