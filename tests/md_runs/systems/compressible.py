"""Periodic systems under pressure whose volumes are known, and a program that runs one.

An ideal gas, whose energy may depend on the volume, has the weight V^(N - 1) exp(-(P V + U) / kT)
where its momentum is zero; a crystal of springs between neighbours has a minimum and a thermal
pressure.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.neighborlist import neighbor_list
from ase.stress import full_3x3_to_voigt_6_stress


class ElasticGas(Calculator):
    """E = B (V - V0)^2 / (2 V0); atoms do not see each other."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, stiffness: float = 0.0, volume: float = 1.0) -> None:
        super().__init__()
        self.stiffness, self.volume = stiffness, volume

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        excess = (self.atoms.get_volume() - self.volume) / self.volume
        self.results = {
            "energy": 0.5 * self.stiffness * self.volume * excess**2,
            "forces": np.zeros((len(self.atoms), 3)),
            "stress": self.stiffness * excess * np.array([1.0, 1, 1, 0, 0, 0]),
        }


class SpringCrystal(Calculator):
    """E = k/2 sum (r_ij - d)^2 over the nearest neighbours of a crystal, which stay the same."""

    implemented_properties = ["energy", "forces", "stress"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, crystal: Atoms, spring: float, length: float) -> None:
        super().__init__()
        self.spring, self.length = spring, length
        self.i, self.j, self.shifts = neighbor_list("ijS", crystal, 1.2 * length)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        r, i, j = self.atoms.positions, self.i, self.j
        vectors = r[j] - r[i] + self.shifts @ self.atoms.cell.array
        distances = np.sqrt(np.einsum("px,px->p", vectors, vectors))
        stretch = distances - self.length
        pulls = (self.spring * stretch / distances)[:, None] * vectors  # on i; every pair twice
        forces = np.stack([np.bincount(i, pulls[:, x], len(r)) for x in range(3)], axis=1)
        stress = 0.5 * vectors.T @ pulls / self.atoms.get_volume()
        self.results = {
            "energy": 0.25 * self.spring * float(np.sum(stretch**2)),
            "forces": forces,
            "stress": full_3x3_to_voigt_6_stress(0.5 * (stress + stress.T)),
        }


class UnhurriedCrystal(SpringCrystal):
    """Half a millisecond a step leaves time to kill a run before its end."""

    def calculate(self, *args, **kwargs) -> None:
        super().calculate(*args, **kwargs)
        time.sleep(0.0005)


def ideal_gas(n_atoms: int, volume: float, stiffness: float = 0.0) -> Atoms:
    """Atoms anywhere in a cube."""
    side = volume ** (1 / 3)
    places = np.random.default_rng(1).uniform(0, side, (n_atoms, 3))
    atoms = Atoms(f"Ar{n_atoms}", positions=places, cell=[side] * 3, pbc=True)
    atoms.calc = ElasticGas(stiffness, volume)
    return atoms


def spring_crystal(kind: type[SpringCrystal] = SpringCrystal) -> Atoms:
    """32 atoms of aluminium in a cube, at rest in the minimum."""
    atoms = bulk("Al", a=4.0, cubic=True) * (2, 2, 2)
    atoms.calc = kind(atoms, 1.5, 4.0 / np.sqrt(2))
    return atoms


def main() -> None:
    """`compressible.py FOLDER SETTINGS_AS_JSON`."""
    from md_runs.classical.run import run_classical
    from md_runs.classical.settings import ClassicalRun

    settings = ClassicalRun(**json.loads(sys.argv[2]))
    run_classical(spring_crystal(UnhurriedCrystal), settings, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
