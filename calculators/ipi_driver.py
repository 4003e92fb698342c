"""A driver for i-PI (Kapil et al., J. Chem. Phys. 152, 124104 (2020)): the model as i-PI's PES.

Inside i-PI, without sockets; all beads are evaluated at once where batch_size is their number:

    <ffdirect name='model'>
      <pes>custom</pes> <pes_path> what driver_path() says </pes_path>
      <batch_size> 8 </batch_size>
      <parameters>{model: model.safetensors, structure: structure.extxyz}</parameters>
    </ffdirect>

Over sockets, in processes of their own, the same answers are given by `mlpotential-driver`
(ipi_client.py), or by i-PI's client: i-pi-driver-py -u -a ADDRESS -m custom -P PATH
-o model=model.safetensors,structure=structure.extxyz

i-PI reads the two names below from the source text, so they are plain literals.
"""

from __future__ import annotations

import atexit
import glob
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from ipi.pes.dummy import Dummy_driver
from ipi.utils.softexit import softexit

from calculators.ipi_units import Answer, ReplicaArrays, cells_to_angstrom, to_angstrom, to_answers
from mlpotential.errors import ConfigError, RunError, StructureError, nearest_name
from mlpotential.inference.execution import DEFAULT_EXECUTION, Execution
from mlpotential.input_files import require_model_files, unreadable
from mlpotential.properties import OF_MOLECULES

if TYPE_CHECKING:
    from ase import Atoms

    from mlpotential.graph import Prediction
    from mlpotential.inference.evaluator import Evaluator
    from mlpotential.inference.guard import ExtrapolationGuard

__DRIVER_NAME__ = "mlpotential"
__DRIVER_CLASS__ = "MLPotentialDriver"

PARAMETERS = ("model", "structure", "report", *(f.name for f in fields(Execution)))
NOT_SENT = frozenset({"stress", "born_charges"})


class EvaluatorProtocol(Protocol):
    """What the translation needs of an `Evaluator`."""

    pbc: np.ndarray

    @property
    def n_atoms(self) -> int:
        """How many atoms each replica has."""

    @property
    def n_members(self) -> int:
        """How many models: 1, or those of a committee."""

    @property
    def properties(self) -> frozenset[str]:
        """What can be asked for."""

    @property
    def units(self) -> dict[str, str]:
        """Units of what the model gives."""

    def evaluate(
        self, positions: np.ndarray, cells: np.ndarray | None, properties: Sequence[str]
    ) -> Prediction:
        """As `mlpotential.inference.evaluator.Evaluator.evaluate`."""


def driver_path() -> str:
    """Absolute path of this file, for i-PI's pes_path and the option -P of its client."""
    return str(Path(__file__).resolve())


def answer(
    evaluator: EvaluatorProtocol, cells: ReplicaArrays, positions: ReplicaArrays
) -> list[Answer]:
    """Answers i-PI for all replicas with one evaluation.

    Args:
        evaluator: made for the atoms that i-PI moves.
        cells: i-PI's h of each replica, [3, 3] (bohr). Counts only if the evaluator is periodic:
            i-PI always sends one, for a molecule too.
        positions: of each replica, [n_atoms, 3] (bohr).

    Returns:
        Potential, forces, virial and extras of each replica as `ipi_units.to_answers`.

    Raises:
        StructureError: wrong number of atoms, or a structure no energy can be computed for.
        RunError: if the model gives a number that is not finite.
    """
    if len(cells) != len(positions):
        raise StructureError(f"i-PI sent {len(cells)} cells for {len(positions)} replicas")
    periodic = bool(np.any(evaluator.pbc))
    wanted = {*evaluator.properties - NOT_SENT, "extra_energies"}
    wanted -= OF_MOLECULES if periodic else set()
    prediction = evaluator.evaluate(
        to_angstrom(positions, evaluator.n_atoms),
        cells_to_angstrom(cells) if periodic else None,
        sorted(wanted),
    )
    return to_answers(prediction, len(positions), evaluator.units)


def make_evaluator(
    model: str, structure: str, execution: Execution = DEFAULT_EXECUTION
) -> Evaluator:
    """The evaluator of a model file, or of a pattern of many, for the atoms of a structure file.

    Raises:
        ConfigError, StructureError, ModelFileError: for what cannot be used.
    """
    template = read_template(structure)
    if glob.escape(model) == model:  # no pattern
        require_model_files([model])
    from mlpotential.inference.evaluator import Evaluator  # torch comes with it

    evaluator = Evaluator(model, template.numbers, template.pbc, **asdict(execution))
    if "energy" not in evaluator.properties:
        given = ", ".join(sorted(evaluator.properties))
        raise ConfigError(f"{model} gives no energies and forces to move atoms by, only {given}")
    return evaluator


def read_template(structure: str) -> Atoms:
    """The last structure of a file. Raises StructureError for a file that ASE cannot read."""
    import ase.io
    from ase import Atoms

    try:
        template = ase.io.read(structure, index=-1)
    except Exception as error:  # ASE's readers raise whatever their parsing happens to meet
        reason = unreadable(structure, error)
        raise StructureError(f"cannot read the structure file {structure}: {reason}") from error
    assert isinstance(template, Atoms)  # one index, one structure
    return template


def _write_at_the_end(guard: ExtrapolationGuard, path: Path) -> None:
    """Leaves the guard's report, however i-PI ends, but for a kill: mostly it calls os._exit."""

    def write() -> None:
        try:
            guard.report.write(path)
        except RunError as error:  # i-PI has its own state to save
            print(f"mlpotential: {error}", file=sys.stderr)

    softexit.register_function(write)
    atexit.register(write)


class MLPotentialDriver(Dummy_driver):
    """The driver that i-PI makes and calls.

    Args:
        model: model file, or a pattern of the files of a committee.
        structure: a file ASE reads, with the atoms in i-PI's order: its elements and its
            periodicity are used, positions and cell come from i-PI.
        verbosity: given by i-PI, not used.
        report: file that gets, at the end of the process, how much was outside the training data.
        execution: device, dtype and whatever else `Execution` has.

    Raises:
        ConfigError: for an unknown or missing parameter.
        StructureError: if the structure file cannot be read.
        ModelFileError: if the model file is no usable model.
    """

    def __init__(
        self,
        model: str | None = None,
        structure: str | None = None,
        verbosity: Any = None,
        report: str | None = None,
        **execution: Any,
    ) -> None:
        for name in execution:
            if name not in PARAMETERS:
                raise ConfigError(
                    f"unknown driver parameter {name!r}.{nearest_name(name, PARAMETERS)} "
                    f"There are: {', '.join(PARAMETERS)}"
                )
        if model is None or structure is None:
            missing = "model" if model is None else "structure"
            raise ConfigError(f"the driver parameter {missing!r} is missing: give a file")
        super().__init__()
        evaluator = make_evaluator(str(model), str(structure), Execution(**execution))
        self._evaluator: EvaluatorProtocol = evaluator
        if report is not None:
            _write_at_the_end(evaluator.guard, Path(report).resolve())

    def compute(self, cell: Any, pos: Any) -> Answer | list[Answer]:
        """One structure, or lists of many and then a list of answers (hartree, bohr)."""
        if isinstance(pos, list):
            return answer(self._evaluator, cell, pos)
        return answer(self._evaluator, [cell], [pos])[0]
