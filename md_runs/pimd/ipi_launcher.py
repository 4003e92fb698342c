"""Runs i-PI's own program in this process: `ipi_launcher.py RUNNER_PID I-PI_PROGRAM INPUT`.

Three things are set up before it:

- The kernel kills the process when its runner ends, however that ends (Linux).
- Outputs reach the system at once, but not the disk: i-PI calls fsync after every frame of every
  bead, which costs more than the dynamics (8 beads, a frame per step: 36 ms instead of 5.5, on a
  busy disk). What is written survives any end of this process; after a power failure an older
  checkpoint is used.
- Warnings of the model are lines in the log, without Python's file and line.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

from mlpotential.messages import told_in_lines

PR_SET_PDEATHSIG = 1  # linux/prctl.h

if __name__ == "__main__":
    runner, program, *arguments = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(runner):
        sys.exit("the runner has ended")
    os.fsync = lambda fd: None
    sys.argv = [program, *arguments]
    with told_in_lines("mlpotential"):
        runpy.run_path(program, run_name="__main__")
