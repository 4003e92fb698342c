"""Evaluators without a model and without torch, for what is behind i-PI's sockets.

Run as a program, it is `mlpotential-driver` with a `Trap`:
`fake_evaluators.py PARAMETERS_AS_JSON OPTIONS_OF_MLPOTENTIAL_DRIVER...`. As a custom PES of i-PI
it is the package's driver with a `Trap`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import ase.io
import numpy as np
from ase.calculators.lj import LennardJones

from calculators import ipi_client, ipi_driver
from calculators.ipi_driver import MLPotentialDriver

__DRIVER_NAME__ = "fake"
__DRIVER_CLASS__ = "FakeDriver"

NOTHING_ELSE = dict.fromkeys(
    ("extra_energies", "members", "scalars", "charges", "polarizability", *ipi_driver.OF_MOLECULES)
)


class Trap:
    """E = k/2 sum_i |r_i - c_i|^2, the same to the last bit whatever else is in the batch.

    Args:
        centers: [n_atoms, 3] (A).
        spring: k (eV/A^2).
        delay: of each call (s).
        bad_call: from this call on one force is infinite.
        hang_call: this call takes longer.
        hang_s: so long (s).
        log: file that gets the number of structures of each call.
        tells_of_atoms: whether the energy of each atom is among the results, or only their sum.
    """

    n_members = 1
    properties, units = frozenset(("energy", "forces", "virial", "atomic_energies")), {}
    guard = SimpleNamespace(report=SimpleNamespace(n_outside=0))

    def __init__(self, centers, spring=5.0, delay=0.0, bad_call=None, hang_call=None,
                 hang_s=120.0, log=None, tells_of_atoms=True):  # fmt: skip
        self.centers, self.spring, self.delay = centers, spring, delay
        self.pbc, self.n_atoms = np.zeros(3, bool), len(centers)
        self.bad_call, self.hang_call, self.hang_s = bad_call, hang_call, hang_s
        self.log, self.n_calls, self.tells_of_atoms = log, 0, tells_of_atoms

    def evaluate(self, positions, cells, properties):
        assert cells is None
        self.n_calls += 1
        if self.log is not None:
            with open(self.log, "a") as handle:
                handle.write(f"{len(positions)}\n")
        time.sleep(self.hang_s if self.n_calls == self.hang_call else self.delay)
        each = [self._one(p - self.centers) for p in positions]
        atomic, forces, virials = (np.stack(parts) for parts in zip(*each, strict=True))
        if self.bad_call is not None and self.n_calls >= self.bad_call:
            forces[0, -1, 1] = np.inf
        return SimpleNamespace(
            **NOTHING_ELSE,
            energy=np.array([a.sum() for a in atomic]),
            forces=forces.reshape(-1, 3),
            virial=virials,
            atomic_energies=(atomic if self.tells_of_atoms else atomic.sum(axis=1)).reshape(-1),
        )

    def _one(self, away):
        forces = -self.spring * away
        virial = (away[:, :, None] * forces[:, None, :]).sum(axis=0)
        return 0.5 * self.spring * (away**2).sum(axis=1), forces, virial


class LennardJonesCrystal:
    """ASE's Lennard-Jones, smooth at its cutoff; periodic where its atoms are."""

    n_members = 1
    properties, units = frozenset(("energy", "forces", "virial", "atomic_energies")), {}
    guard = SimpleNamespace(report=SimpleNamespace(n_outside=0))

    def __init__(self, atoms, sigma=2.5, epsilon=0.1, rc=5.0):
        self.atoms, self.n_atoms, self.pbc, self.n_calls = atoms, len(atoms), atoms.pbc, 0
        self.parameters = {"sigma": sigma, "epsilon": epsilon, "rc": rc, "smooth": True}

    def evaluate(self, positions, cells, properties):
        self.n_calls += 1
        results = []
        for k, replica in enumerate(positions):
            atoms = self.atoms.copy()
            if cells is not None:
                atoms.cell = cells[k]
            atoms.positions = replica
            atoms.calc = LennardJones(**self.parameters)
            stress = atoms.get_stress(voigt=False) if atoms.pbc.any() else np.zeros((3, 3))
            virial = -stress * (atoms.get_volume() if atoms.pbc.any() else 0.0)
            results.append((atoms.get_potential_energies(), atoms.get_forces(), virial))
        atomic, forces, virials = (np.stack(parts) for parts in zip(*results, strict=True))
        return SimpleNamespace(
            **NOTHING_ELSE,
            energy=atomic.sum(axis=1),
            forces=forces.reshape(-1, 3),
            virial=virials,
            atomic_energies=atomic.reshape(-1),
        )


class FakeDriver(MLPotentialDriver):
    """The package's driver around a `Trap` at the places in the structure file."""

    def __init__(self, structure, verbosity=None, **parameters):
        self._evaluator = Trap(ase.io.read(structure).positions, **parameters)


def main() -> int:
    parameters = json.loads(sys.argv[1])
    if (go := parameters.pop("go", None)) is not None:  # a file: begin when it is there
        Path(f"{go}_ready").touch()
        deadline = time.monotonic() + 120.0
        while not Path(go).exists() and time.monotonic() < deadline:
            time.sleep(0.005)
    ipi_driver.make_evaluator = lambda model, structure, *_: Trap(
        ase.io.read(structure).positions, **parameters
    )
    return ipi_client.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
