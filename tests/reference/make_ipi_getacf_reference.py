"""Makes ipi_getacf.npz: what `i-pi-getacf` of i-PI makes of a process whose answer is known.

    python make_ipi_getacf_reference.py        (seconds; i-PI 3.3.1 installed)

Three components of one atom, each an Ornstein-Uhlenbeck process with C(k) = exp(-k / 100), written
with six decimals. With `-mlag 150` and the program's own block length, 300 frames.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

RELAXATION, N_FRAMES, MAXIMUM_LAG = 100.0, 6000, 150


def process() -> np.ndarray:
    """[N_FRAMES, 3], of variance 1, rounded as in the file."""
    decay = np.exp(-1 / RELAXATION)
    noise = np.random.default_rng(20).normal(size=(N_FRAMES, 3))
    noise[1:] *= np.sqrt(1 - decay**2)
    return lfilter([1.0], [1.0, -decay], noise, axis=0).round(6)


def main() -> None:
    """Writes the file next to this one."""
    series = process()
    program = Path(sys.executable).with_name("i-pi-getacf")
    with tempfile.TemporaryDirectory() as folder:
        frames = Path(folder) / "velocities.xyz"
        with frames.open("w") as file:
            for step, v in enumerate(series):
                file.write(
                    f"1\n# CELL(abcABC): 10 10 10 90 90 90 Step: {step} Bead: 0 "
                    "velocities{atomic_unit} cell{atomic_unit}\n"
                    f"H {v[0]:.6f} {v[1]:.6f} {v[2]:.6f}\n"
                )
        subprocess.run(
            [sys.executable, program, "-ifile", frames, "-mlag", str(MAXIMUM_LAG),
             "-oprefix", Path(folder) / "out", "-ftwin", "cosine-hanning"],
            check=True,
        )  # fmt: skip
        acf = np.loadtxt(Path(folder) / "out_acf.data")
        spectrum = np.loadtxt(Path(folder) / "out_facf.data")
    np.savez_compressed(
        Path(__file__).with_name("ipi_getacf.npz"),
        micro_samples=np.rint(1e6 * series).astype(np.int32),
        maximum_lag=MAXIMUM_LAG,
        relaxation=RELAXATION,
        lags=acf[:, 0],
        acf=acf[:, 1],
        acf_spread=acf[:, 2],
        omega=spectrum[:, 0],
        spectrum=spectrum[:, 1],
        version=version("ipi"),
    )


if __name__ == "__main__":
    main()
