"""What `mlpotential doctor` says of the programs that a potential is used in."""

from __future__ import annotations

import importlib.util
import shutil
from functools import partial
from importlib.metadata import entry_points

from mlpotential.doctor.finding import Check, Finding, check_of_program

LAMMPS = ("lmp", "lmp_serial", "lmp_mpi", "lammps")  # as distributions call it


def check_ase() -> Finding:
    """The calculator can be imported, and ASE knows it by its name."""
    import ase

    from calculators.ase_calculator import MLPotentialCalculator

    text = f"{ase.__version__}, {MLPotentialCalculator.__name__} can be imported"
    if not entry_points(group="ase.plugins", name="mlpotential"):
        return Finding(
            f"{text}; not among `ase info --plugins`, which nothing here needs: install the "
            "package again (pip install .)",
            "absent",
        )
    return Finding(f"{text}, and is among `ase info --plugins`")


def check_lammps() -> Finding:
    """The program or its Python module, which nothing here needs."""
    paths = [path for name in LAMMPS if (path := shutil.which(name)) is not None]
    if importlib.util.find_spec("lammps") is not None:
        paths.append("Python module lammps")
    return Finding(", ".join(paths)) if paths else Finding("not found, and not needed", "absent")


CHECKS: dict[str, Check] = {
    "ASE": check_ase,
    "i-PI driver": partial(check_of_program, "mlpotential-driver"),
    "LAMMPS": check_lammps,
}
