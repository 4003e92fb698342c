"""A driver for i-PI: any ASE calculator as i-PI's PES, made in processes of their own.

    <pes>custom</pes> <pes_path> what driver_path() says </pes_path>
    <batch_size> the number of beads </batch_size>
    <parameters>{calculator: calculator.json, structure: structure.extxyz, drivers: 4}</parameters>

The JSON file tells what to make: {"factory": "ase.calculators.emt:EMT", "arguments": {}}. The beads
of a batch are spread over the processes. A calculator that hangs, dies or gives nothing that can be
used stops i-PI softly: it writes the state at the beginning of the step.
i-PI reads the two names below from the source text, so they are plain literals.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from ipi.pes.dummy import Dummy_driver
from ipi.utils.softexit import softexit

from calculators.ipi_driver import read_template
from calculators.ipi_units import (
    BOHR_PER_ANGSTROM,
    HARTREE_PER_BOHR_PER_EV_PER_ANGSTROM,
    HARTREE_PER_EV,
    Answer,
    cells_to_angstrom,
    to_angstrom,
)
from mlpotential.errors import InputError
from mlpotential.labelling.named_calculator import NamedCalculator
from mlpotential.labelling.worker_calculator import WorkerCalculator
from mlpotential.labelling.workers import DEFAULT_TIMEOUT_S

__DRIVER_NAME__ = "calculator"
__DRIVER_CLASS__ = "CalculatorDriver"


def driver_path() -> str:
    """Absolute path of this file, for i-PI's pes_path."""
    return str(Path(__file__).resolve())


class CalculatorDriver(Dummy_driver):
    """The driver that i-PI makes and calls.

    Args:
        calculator: JSON file with factory and arguments of the calculator.
        structure: a file ASE reads, with the atoms in i-PI's order: its elements and its
            periodicity are used, positions and cell come from i-PI.
        verbosity: given by i-PI, not used.
        directory: that the calculator's files are named from; i-PI's where none is given.
        timeout_s: longest time for one structure (s).
        drivers: processes that share the structures.

    Raises:
        ConfigError, StructureError: for what cannot be used.
    """

    def __init__(
        self,
        calculator: str,
        structure: str,
        verbosity: Any = None,
        directory: str | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        drivers: int = 1,
    ) -> None:
        super().__init__()
        self._atoms, self._has_answered = read_template(structure), False
        content = json.loads(Path(calculator).read_text())
        place = Path.cwd() if directory is None else Path(directory)
        named = NamedCalculator(content["factory"], content["arguments"], place)
        self._calculator = WorkerCalculator(named, int(drivers), float(timeout_s))
        known = self._calculator.implemented_properties
        self._wanted = ("stress",) if self._atoms.pbc.any() and "stress" in known else ()

    def compute(self, cell: Any, pos: Any) -> Answer | list[Answer]:
        """One structure, or lists of many and then a list of answers (hartree, bohr)."""
        replicas = list(zip(cell, pos, strict=True)) if isinstance(pos, list) else [(cell, pos)]
        structures = [self._structure(*replica) for replica in replicas]
        try:
            found = self._calculator.evaluate(structures, self._wanted)
        except InputError as error:
            if not self._has_answered or not softexit.flist:  # there is no state yet to save
                raise
            print(f"{type(error).__name__}: {error}", flush=True)
            softexit.trigger(message=" The calculator has failed.")
            raise
        self._has_answered = True
        answers = [self._answer(*pair) for pair in zip(structures, found, strict=True)]
        return answers if isinstance(pos, list) else answers[0]

    def _structure(self, h_bohr: np.ndarray, positions_bohr: np.ndarray) -> Atoms:
        atoms = self._atoms.copy()
        atoms.positions = to_angstrom([positions_bohr], len(atoms))[0]
        if atoms.pbc.any():
            atoms.cell[:] = cells_to_angstrom([h_bohr])[0]
        return atoms

    def _answer(self, atoms: Atoms, values: dict[str, Any]) -> Answer:
        """The virial of a molecule is 0, of a crystal NaN where the calculator has no stress."""
        virial = np.zeros((3, 3))
        if atoms.pbc.any():
            stress = np.full((3, 3), np.nan)
            if "stress" in values:
                stress = voigt_6_to_full_3x3_stress(values["stress"])
            virial = -HARTREE_PER_EV * atoms.get_volume() * stress
        extras = {}
        if "dipole" in values:  # it came with the forces
            extras["dipole"] = (BOHR_PER_ANGSTROM * values["dipole"]).tolist()
        energy = HARTREE_PER_EV * values["energy"]
        forces = HARTREE_PER_BOHR_PER_EV_PER_ANGSTROM * values["forces"]
        return energy, forces, virial, json.dumps(extras)
