"""The command `mlpotential lammps`: an entry point of `mlpotential.commands`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from mlpotential.command_line import Command
from mlpotential.input_files import check_output_file, require_model_files

Dtype = Literal["float32", "float64"]


def build(
    *,
    lammps_include: Path | None = None,
    mpi_include: Path | None = None,
    folder: Path | None = None,
) -> int:
    """Compiles the plugin.

    Args:
        lammps_include: folder of pair.h (of the installed package lammps).
        mpi_include: folder of mpi.h of the MPI that LAMMPS uses (of the installed package mpich).
        folder: where the plugin goes (that which the installed LAMMPS looks into).
    """
    from calculators.lammps.build import build as build_plugin
    from calculators.lammps.installation import find_headers
    from calculators.lammps.places import plugin_folder

    headers = find_headers(lammps_include, mpi_include)
    usual = plugin_folder()
    path = build_plugin(headers, folder or usual)
    print(f"built for LAMMPS {headers.version}: {path}")
    if path.parent == usual:
        print("lmp of this environment loads it at its start. Any other LAMMPS:")
    print(f"  export LAMMPS_PLUGIN_PATH={path.parent}")
    print(f"or, in its input: plugin load {path}")
    return 0


def export(model: str, output: Path, *, dtype: Dtype = "float32") -> int:
    """Writes what pair_style mlpotential reads.

    Args:
        model: model file (.safetensors).
        output: kernel file to write (.mlpk).
        dtype: of the evaluation.
    """
    require_model_files([model])
    check_output_file(output)
    from calculators.lammps.export import export as export_model

    written = export_model(Path(model), output, dtype)
    reach = "no cutoff" if written.cutoff is None else f"cutoff {written.cutoff:g} A"
    print(f"written: {output}, {written.megabytes:.1f} MB, {written.dtype}, {reach}")
    print(f"in LAMMPS (units metal or real; elements in the order of the atom types):\n"
          f"  pair_style mlpotential {output}\n"
          f"  pair_coeff * * {' '.join(written.symbols)}")  # fmt: skip
    return 0


EXAMPLES = """  mlpotential lammps build
  mlpotential lammps build --lammps-include ~/lammps/src --mpi-include /usr/lib/mpich/include
  mlpotential lammps export model.safetensors model.mlpk"""

COMMAND = Command.family(
    {
        "build": (
            "calculators.lammps.commands:BUILD",
            "compile the pair style for the LAMMPS that is there",
        ),
        "export": (
            "calculators.lammps.commands:EXPORT",
            "write a model in the form that the pair style reads",
        ),
    },
    EXAMPLES,
    "run a model in LAMMPS, over MPI: build its plugin, export models for it",
)
BUILD = Command.of(build, "\n".join(EXAMPLES.splitlines()[:2]))
EXPORT = Command.of(export, EXAMPLES.splitlines()[2])
