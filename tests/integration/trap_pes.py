"""A PES for i-PI: every atom bound to its place by a spring; with faults on request.

Run as a program, it is a runner:
`trap_pes.py FOLDER SETTINGS_AS_JSON [PARAMETERS_AS_JSON [LARGEST_FILE_IN_BYTES]]`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from ipi.pes.dummy import Dummy_driver

__DRIVER_NAME__ = "trap"
__DRIVER_CLASS__ = "Trap"


class Trap(Dummy_driver):
    """E = k/2 sum_i |r_i - r0_i|^2 (hartree, bohr), r0 the first positions ever seen.

    Args:
        spring: k (hartree/bohr^2).
        centers: file with r0 (bohr), written where it is missing.
        delay: of each call (s).
        bad_call: from this call on energy and forces are NaN.
        hang_call: this call never returns.
        log: file that gets the number of structures of each call.
        charge: of every atom (e); the extras then hold the dipole, charge sum_i (r_i - r0_i).
    """

    def __init__(self, spring=0.5, centers="centers.npy", delay=0, bad_call=-1, hang_call=-1,
                 log="", charge=0, **kwargs):  # fmt: skip
        super().__init__()
        self.spring, self.centers, self.delay = float(spring), Path(centers), float(delay)
        self.bad_call, self.hang_call, self.log = int(bad_call), int(hang_call), log
        self.charge = float(charge)
        self.calls = 0

    def compute(self, cell, pos):
        if not isinstance(pos, list):
            return self.compute([cell], [pos])[0]
        if not self.centers.exists():
            np.save(self.centers, pos[0])
        if self.log:
            with open(self.log, "a") as handle:
                handle.write(f"{len(pos)}\n")
        self.calls += 1
        time.sleep(1e6 if self.calls == self.hang_call else self.delay)
        bad = np.nan if 0 <= self.bad_call <= self.calls else 1.0
        away = np.stack(pos) - np.load(self.centers)
        energy = 0.5 * self.spring * (away**2).sum(axis=(1, 2)) * bad
        return [
            (float(e), -self.spring * a * bad, np.zeros((3, 3)), self.extras(a))
            for e, a in zip(energy, away, strict=True)
        ]

    def extras(self, away):
        if not self.charge:
            return "{}"
        return json.dumps({"dipole": (self.charge * away.sum(axis=0)).tolist()})


def main() -> None:
    from ase.build import molecule

    from md_runs.force_provider import IpiDriver
    from md_runs.pimd.ipi_run import run_with_driver
    from md_runs.pimd.settings import PimdRun
    from mlpotential.errors import RunError
    from mlpotential.interruption import RunInterrupted

    folder, settings = Path(sys.argv[1]), PimdRun(**json.loads(sys.argv[2]))
    parameters = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    if len(sys.argv) > 4:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), int(sys.argv[4])))
    as_text = {name: str(value) for name, value in parameters.items()}
    driver = IpiDriver(str(Path(__file__).resolve()), as_text)
    try:
        run_with_driver(molecule("CH4"), driver, settings, folder, True, 60.0)
    except RunInterrupted as stop:
        sys.exit(128 + stop.signal_number)
    except RunError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
