"""The command `mlpotential`: which sub-commands there are; see `mlpotential.commands`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mlpotential.command_line import add_commands, program_parser, run_program

EXAMPLES = """examples:
  mlpotential train train.yaml
  mlpotential train train.yaml --training.learning_rate 5e-4 --folder second_try
  mlpotential learning-curve train.yaml --n-train 1000 5000 20000 --folder curve
  mlpotential sweep train.yaml --model.n_interactions 1 2 3 6 --folder sweep
  mlpotential papers qm9_learning_curve --rows SchNet_T3_N1000 --folder papers
  mlpotential evaluate model.safetensors test.extxyz --energy-unit eV --length-unit Angstrom
  mlpotential label frames.extxyz --calculator my_dft.py --output labelled.extxyz
  mlpotential interpret chemical-potential model.safetensors benzene.xyz --probe C
  mlpotential interpret atoms model.safetensors --data qm9 --folder atoms
  mlpotential info model.safetensors --check
  mlpotential doctor
  mlpotential convert best_inference_model model.safetensors --energy-unit eV --length-unit Angstrom
  mlpotential export model.safetensors n2p2_folder
  mlpotential add-domain model.safetensors train.extxyz --energy-unit eV --length-unit Angstrom
"""

# Where the `Command` of each lies, and what it does. No module is imported before it is wanted.
COMMANDS = {
    "train": (
        "mlpotential.commands:TRAIN",
        "train a model as a YAML file says, or continue an interrupted training",
    ),
    "learning-curve": (
        "mlpotential.training.studies.commands:LEARNING_CURVE",
        "train on more and more data: errors by number of structures, table and figure",
    ),
    "sweep": (
        "mlpotential.training.studies.commands:SWEEP",
        "train with every combination of some settings: their errors, table and figure",
    ),
    "papers": (
        "mlpotential.papers.command:PAPERS",
        "measure tables of the SchNet papers again, beside the papers' numbers",
    ),
    "models": (
        "mlpotential.papers.shipped_models:MODELS",
        "models that come with the package, trained on molecules and crystals",
    ),
    "evaluate": (
        "mlpotential.training.evaluation.command:COMMAND",
        "errors of a model on labelled data, plots of them, and predictions of structures",
    ),
    "label": (
        "mlpotential.labelling.commands:LABEL",
        "label structures with any calculator of ASE: energies, forces and what else it has",
    ),
    "interpret": (
        "mlpotential.interpretation.commands:INTERPRET",
        "see what a network learned: potentials around molecules, atoms, rings, embeddings",
    ),
    "info": (
        "mlpotential.commands:INFO",
        "what a model file holds, where it comes from and how good it is",
    ),
    "doctor": (
        "mlpotential.doctor.command:DOCTOR",
        "what this installation has, tested: what a report of a defect needs, one line each",
    ),
    "convert": (
        "mlpotential.commands:CONVERT",
        "a model file from a potential that another program trained, executing nothing of it",
    ),
    "export": (
        "mlpotential.commands:EXPORT",
        "a folder for n2p2 and RuNNer from a Behler-Parrinello model",
    ),
    "add-domain": (
        "mlpotential.commands:ADD_DOMAIN",
        "tell a model file what it was trained on, which its guard needs and old files lack",
    ),
    "calibrate": (
        "mlpotential.commands:CALIBRATE",
        "make the spread of a committee an error bar, by labels that no member was trained on",
    ),
}
PLUG_INS = "mlpotential.commands"  # the group of their entry points, see `command_line`


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one subcommand; a user's mistake becomes one line on standard error and code 2."""
    return run_program(build_parser(), arguments)


def build_parser() -> argparse.ArgumentParser:
    """The command line, without importing torch; options of a command are added when it is used."""
    description = "Machine-learned force fields: training, evaluation, model files."
    parser = program_parser("mlpotential", description, EXAMPLES)
    add_commands(parser, COMMANDS, PLUG_INS)
    return parser
