"""The command `md-runs`: which sub-commands there are. What each does is in `md_runs.commands`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mlpotential.command_line import add_commands, program_parser, run_program

EXAMPLES = """examples:
  md-runs c20
  md-runs relax start.xyz --model model.safetensors --output relaxed.xyz
  md-runs modes relaxed.xyz --model model.safetensors
  md-runs phonons crystal.xyz --model model.safetensors
  md-runs classical relaxed.xyz --model model.safetensors --folder nvt --ensemble bussi
  md-runs pimd relaxed.xyz --model model.safetensors --folder pimd --n-beads 16 --n-steps 10000
  md-runs relax start.xyz --calculator my_dft.py --output reference.xyz
  md-runs learn start.xyz --calculator my_dft.py --for pimd --budget 500 --folder learning
  md-runs compare relaxed.xyz reference.xyz
  md-runs export pimd pimd.h5
  md-runs vdos nve --modes modes.json

A run that was stopped, however it was stopped, goes on with the same command."""

# Where the `Command` of each lies, and what it does. No module is imported before it is wanted.
COMMANDS = {
    "c20": (
        "md_runs.commands.c20:STUDY",
        "the C20 study of the SchNet paper: modes, distributions, spectrum",
    ),
    "c20-data": (
        "md_runs.commands.c20:DATA",
        "training data for a C20 model: frames of Langevin MD, labelled by a model in float64",
    ),
    "relax": ("md_runs.commands.relax:COMMAND", "relax a structure to the nearest minimum"),
    "modes": (
        "md_runs.commands.modes:COMMAND",
        "normal modes of a relaxed molecule or crystal, from the exact Hessian, with point group, "
        "symmetry labels and thermochemistry",
    ),
    "phonons": (
        "md_runs.commands.solids.phonons:COMMAND",
        "phonons of a crystal: bands, density of states, free energy and heat capacity",
    ),
    "classical": (
        "md_runs.commands.classical:COMMAND",
        "classical MD: NVE, a thermostat (Langevin, Bussi, Nose-Hoover), or constant pressure",
    ),
    "pimd": (
        "md_runs.commands.pimd:COMMAND",
        "path-integral MD, through i-PI or in this process, all beads in one evaluation",
    ),
    "learn": (
        "md_runs.commands.learn:COMMAND",
        "a force field of a molecule from a reference calculator: labels where it is in doubt",
    ),
    "compare": (
        "md_runs.commands.comparison.compare:COMMAND",
        "two structures, files of modes or runs, by a model and by a reference: what differs",
    ),
    "export": (
        "md_runs.commands.export:COMMAND",
        "a run as H5MD or extended XYZ, for other programs",
    ),
    "vdos": (
        "md_runs.commands.vdos:COMMAND",
        "vibrational density of states from velocities, with error bars, peaks and checks",
    ),
    "ir": (
        "md_runs.commands.infrared_and_raman:INFRARED",
        "infrared absorption from dipoles, (km/mol) per 1/cm, with error bars",
    ),
    "raman": (
        "md_runs.commands.infrared_and_raman:RAMAN",
        "Raman activities from polarizabilities, with error bars",
    ),
    "rdf": (
        "md_runs.commands.structure.rdf:COMMAND",
        "g(r) and coordination numbers of periodic runs, h(r) of molecules, over beads",
    ),
    "structure-factor": (
        "md_runs.commands.structure.structure_factor:COMMAND",
        "S(q) of periodic runs, with partials; Debye scattering of molecules, over beads",
    ),
    "msd": (
        "md_runs.commands.structure.msd:COMMAND",
        "mean square displacements and diffusion coefficients, by element, with error bars",
    ),
    "distances": (
        "md_runs.commands.structure.distances:COMMAND",
        "nearest neighbours, size, bonds, angles and dihedrals, over beads; quantum effects of a "
        "classical and a path-integral run, convergence of runs with more and more beads",
    ),
    "path-integrals": (
        "md_runs.commands.path_integrals:COMMAND",
        "energies, heat capacity, spread and isotope effects of quantum nuclei, and whether there "
        "are enough beads",
    ),
    "interpret": (
        "md_runs.commands.interpretation.interpret:COMMAND",
        "chemical and electrostatic potentials around a molecule, averaged over quantum nuclei",
    ),
    "report": (
        "md_runs.commands.report:COMMAND",
        "one self-contained page (.html) of all that the runs of a folder tell",
    ),
}
PLUG_INS = "md_runs.commands"  # the group of their entry points, see `mlpotential.command_line`


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand; a user's mistake becomes one line on standard error and code 2."""
    return run_program(build_parser(), arguments)


def build_parser() -> argparse.ArgumentParser:
    """The command line, without importing torch; options of a command are added when it is used."""
    description = "Molecular dynamics with machine-learned force fields."
    parser = program_parser("md-runs", description, EXAMPLES)
    add_commands(parser, COMMANDS, PLUG_INS)
    return parser
