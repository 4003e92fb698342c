"""Beads in anharmonic traps, and a program that runs their path integrals in a folder.

Run as a program: `trapped_beads.py FOLDER SETTINGS_AS_JSON [LARGEST_FILE_IN_BYTES]`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms

from md_runs.force_provider import IpiDriver
from md_runs.pimd.ring_polymer.bead_forces import BeadAnswer
from md_runs.pimd.ring_polymer.run import Forces, run_in_process
from md_runs.pimd.settings import PimdRun

SPRING = 20.0  # eV/A^2


class Trap:
    """V = sum k/2 u^2 + q/4 u^4 of the displacements u from where atoms are first seen.

    Args:
        spring: k (eV/A^2).
        quartic: q (eV/A^4).
        delay: of each call (s).
        bad_call: this call gives NaN.
        hang_call: this call takes a minute.
    """

    guard = None

    def __init__(self, spring=SPRING, quartic=0.0, delay=0.0, bad_call=0, hang_call=0):
        self.spring, self.quartic, self.delay = spring, quartic, delay
        self.bad_call, self.hang_call, self.n_calls = bad_call, hang_call, 0
        self.asked: list[tuple[str, ...]] = []

    def evaluate(self, positions, extras=()):
        self.n_calls += 1
        self.asked.append(tuple(extras))
        time.sleep(60.0 if self.n_calls == self.hang_call else self.delay)
        u = positions - carbons(positions.shape[1]).positions
        bad = np.nan if self.n_calls == self.bad_call else 1.0
        energies = (0.5 * self.spring * u**2 + 0.25 * self.quartic * u**4).sum(axis=(1, 2)) * bad
        found = {"dipole": 0.5 * u.sum(axis=1)} if "dipole" in extras else {}
        return BeadAnswer(energies, -(self.spring * u + self.quartic * u**3) * bad, found)


def carbons(n_atoms: int = 3) -> Atoms:
    """In a row."""
    return Atoms(f"C{n_atoms}", positions=np.arange(n_atoms)[:, None] * [1.4, 0.4, 0.1])


def run_trap(folder, settings, trap=None, atoms=None, stall_limit_s=60.0, **more):
    """One run, or the rest of it."""
    driver = IpiDriver("", {}, identity={"trap": "harmonic"}, extras=("dipole",))
    forces = Forces(trap or Trap(quartic=5.0), driver)
    atoms = carbons() if atoms is None else atoms
    return run_in_process(atoms, forces, settings, Path(folder), True, stall_limit_s, **more)


def main() -> None:
    from mlpotential.errors import RunError
    from mlpotential.interruption import RunInterrupted

    if len(sys.argv) > 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
    settings = PimdRun(**json.loads(sys.argv[2]))
    try:
        run_trap(sys.argv[1], settings, Trap(quartic=5.0, delay=0.0005))
    except RunInterrupted as stop:
        sys.exit(128 + stop.signal_number)
    except RunError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
