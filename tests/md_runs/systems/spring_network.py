"""A cluster of atoms joined by springs, and a program that runs its dynamics in a folder.

The energy is invariant under translation and rotation, and the forces depend on the positions
alone, to the last bit: what the restart tests need.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes


class SpringNetwork(Calculator):
    """E = k/2 sum_{i<j} (r_ij - d_ij)^2, with d_ij the distances of a given structure."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012 - as ASE declares it

    def __init__(self, rest_positions: np.ndarray, spring: float) -> None:
        super().__init__()
        self.spring = spring
        self.lengths = np.linalg.norm(rest_positions[:, None] - rest_positions, axis=2)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        vectors = self.atoms.positions - self.atoms.positions[:, None]  # from i to j
        distances = np.sqrt(np.einsum("ijx,ijx->ij", vectors, vectors))
        stretch = distances - self.lengths
        np.fill_diagonal(distances, 1.0)
        self.results = {
            "energy": 0.25 * self.spring * float(np.sum(stretch**2)),
            "forces": np.einsum("ij,ijx->ix", self.spring * stretch / distances, vectors),
        }


class UnhurriedSprings(SpringNetwork):
    """Half a millisecond a step leaves time to kill a run before its end."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        time.sleep(0.0005)


class PolarSprings(SpringNetwork):
    """Every atom carries its atomic number as charge."""

    implemented_properties = ["energy", "forces", "dipole"]  # noqa: RUF012 - as ASE declares it

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results["dipole"] = self.atoms.numbers @ self.atoms.positions


def spring_cluster(n_atoms: int, spring: float = 2.0) -> Atoms:
    """Atoms of three elements about 1.5 A apart, at rest in the minimum."""
    grid = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)[:n_atoms]
    jitter = np.random.default_rng(5).uniform(-0.2, 0.2, (n_atoms, 3))
    atoms = Atoms(([6, 8, 1] * n_atoms)[:n_atoms], positions=1.5 * grid + jitter)
    atoms.calc = SpringNetwork(atoms.get_positions(), spring)
    return atoms


def main() -> None:
    """`spring_network.py FOLDER SETTINGS_AS_JSON [LARGEST_FILE_IN_BYTES]`."""
    from md_runs.classical.run import run_classical
    from md_runs.classical.settings import ClassicalRun
    from mlpotential.errors import RunError
    from mlpotential.interruption import RunInterrupted

    if len(sys.argv) > 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
    atoms = spring_cluster(6)
    atoms.calc = UnhurriedSprings(atoms.get_positions(), 2.0)
    try:
        run_classical(atoms, ClassicalRun(**json.loads(sys.argv[2])), Path(sys.argv[1]))
    except RunInterrupted as stop:
        sys.exit(128 + stop.signal_number)
    except RunError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
