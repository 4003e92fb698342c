"""A driver for i-PI: any ASE calculator as i-PI's PES, made in i-PI's process.

    <pes>custom</pes> <pes_path> what driver_path() says </pes_path>
    <parameters>{calculator: calculator.json, structure: structure.extxyz}</parameters>

The JSON file tells what to import and call: {"factory": "ase.calculators.emt:EMT", "arguments":
{}}.
i-PI reads the two names below from the source text, so they are plain literals.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ase.calculators.calculator import BaseCalculator
from ipi.pes.dummy import Dummy_driver

from calculators.ipi_driver import read_template
from calculators.ipi_units import (
    BOHR_PER_ANGSTROM,
    HARTREE_PER_BOHR_PER_EV_PER_ANGSTROM,
    HARTREE_PER_EV,
    Answer,
    cells_to_angstrom,
    to_angstrom,
)
from mlpotential.errors import ConfigError

__DRIVER_NAME__ = "calculator"
__DRIVER_CLASS__ = "CalculatorDriver"


def driver_path() -> str:
    """Absolute path of this file, for i-PI's pes_path."""
    return str(Path(__file__).resolve())


def make_calculator(factory: str, arguments: Mapping[str, Any]) -> BaseCalculator:
    """What the class or function `module:name` gives. Raises ConfigError if there is none."""
    module, _, name = factory.partition(":")
    try:
        make = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"a calculator is told as module:name, 'ase.calculators.emt:EMT' for one, not "
            f"{factory!r}: {error}"
        ) from error
    calculator: BaseCalculator = make(**arguments)
    return calculator


class CalculatorDriver(Dummy_driver):
    """The driver that i-PI makes and calls.

    Args:
        calculator: JSON file with factory and arguments of the calculator.
        structure: a file ASE reads, with the atoms in i-PI's order: its elements and its
            periodicity are used, positions and cell come from i-PI.
        verbosity: given by i-PI, not used.
    """

    def __init__(self, calculator: str, structure: str, verbosity: Any = None) -> None:
        super().__init__()
        self._atoms = read_template(structure)
        self._atoms.calc = make_calculator(**json.loads(Path(calculator).read_text()))

    def compute(self, cell: Any, pos: Any) -> Answer | list[Answer]:
        """One structure, or lists of many and then a list of answers (hartree, bohr)."""
        if isinstance(pos, list):
            return [self._answer(*replica) for replica in zip(cell, pos, strict=True)]
        return self._answer(cell, pos)

    def _answer(self, h_bohr: np.ndarray, positions_bohr: np.ndarray) -> Answer:
        """The virial of a molecule is 0, of a crystal NaN where the calculator has no stress."""
        atoms, virial = self._atoms, np.zeros((3, 3))
        atoms.positions = to_angstrom([positions_bohr], len(atoms))[0]
        if atoms.pbc.any():
            atoms.cell[:] = cells_to_angstrom([h_bohr])[0]
        energy = HARTREE_PER_EV * atoms.get_potential_energy()
        forces = HARTREE_PER_BOHR_PER_EV_PER_ANGSTROM * atoms.get_forces()
        if atoms.pbc.any():
            has_stress = "stress" in atoms.calc.implemented_properties
            stress = atoms.get_stress(voigt=False) if has_stress else np.full((3, 3), np.nan)
            virial = -HARTREE_PER_EV * atoms.get_volume() * stress
        dipole = getattr(atoms.calc, "results", {}).get("dipole")  # if it comes with the forces
        extras = {} if dipole is None else {"dipole": (BOHR_PER_ANGSTROM * dipole).tolist()}
        return energy, forces, virial, json.dumps(extras)
