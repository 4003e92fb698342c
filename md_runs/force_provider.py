"""Where the forces of a run come from: model files, or any calculator of ASE.

    forces = ModelForces("model.safetensors")
    forces = CalculatorForces("ase.calculators.emt:EMT")
    atoms.calc = forces.calculator()            # classical runs, relaxation, Hessians
    run_pimd(atoms, forces, settings, folder)   # path integrals; i-PI makes its own, by the driver

Another source is another class with these two methods.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ase import Atoms
from ase.calculators.calculator import BaseCalculator

from md_runs.model_warnings import REPORT_NAME, warn_of_hard_cutoff
from md_runs.run_folders import STRUCTURE_NAME
from mlpotential.errors import ConfigError
from mlpotential.inference.execution import DEFAULT_EXECUTION, Execution
from mlpotential.labelling.named_calculator import NamedCalculator
from mlpotential.labelling.workers import DEFAULT_TIMEOUT_S
from mlpotential.properties import OF_MOLECULES

if TYPE_CHECKING:
    from mlpotential.inference.evaluator import Evaluator

MODEL_NAME, MEMBER_NAME = "model.safetensors", "model_{}.safetensors"
CALCULATOR_NAME = "calculator.json"
STALL_LIMIT_S = 600.0  # of models; chosen: far above any step
RECORDED_EXTRAS = ("dipole", "polarizability")  # what runs keep of every bead, for spectra

Model = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class IpiDriver:
    """Who answers i-PI.

    Attributes:
        pes_path: file with the driver class, loaded by i-PI.
        parameters: what the driver class is made with.
        files: contents to put into the run folder, by their name there.
        identity: what must be the same for a run to be continued.
        extras: what its extras hold of `RECORDED_EXTRAS`: `dipole`, [3] (e bohr), and
            `polarizability`, [9] (bohr^3).
    """

    pes_path: str
    parameters: Mapping[str, str]
    files: Mapping[str, bytes] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)
    extras: tuple[str, ...] = ()


@runtime_checkable
class ForceProvider(Protocol):
    """One potential, for every kind of run."""

    def calculator(self) -> BaseCalculator:
        """A new calculator of ASE."""

    def ipi_driver(self, atoms: Atoms) -> IpiDriver:
        """What i-PI is told, once it was tried on the atoms (in i-PI's frame).

        Raises:
            StructureError, ModelFileError, ConfigError: if there are no forces for the atoms.
        """


@dataclass(frozen=True)
class ModelForces:
    """Model files of this program.

    Attributes:
        model: model file, or those of a committee (a list or a pattern); a path-integral run keeps
            copies of them.
        execution: where and how the model is evaluated.
    """

    model: Model
    execution: Execution = DEFAULT_EXECUTION

    def calculator(self) -> BaseCalculator:
        """A new calculator of ASE."""
        from calculators.ase_calculator import MLPotentialCalculator

        return MLPotentialCalculator(self.model, **asdict(self.execution))

    def evaluator(self, atoms: Atoms, stacklevel: int = 4) -> Evaluator:
        """Of many replicas of the atoms, once it was tried on them.

        Warns of a hard cutoff, in the name of the caller's caller or whom `stacklevel` tells.
        """
        from mlpotential.inference.evaluator import Evaluator

        evaluator = Evaluator(self.model, atoms.numbers, atoms.pbc, **asdict(self.execution))
        cells = atoms.cell.array[None] if atoms.pbc.any() else None
        evaluator.evaluate(atoms.positions[None], cells)
        warn_of_hard_cutoff(evaluator.traits, stacklevel)
        return evaluator

    def ipi_driver(self, atoms: Atoms) -> IpiDriver:
        """The shipped driver. Warns of a hard cutoff, in the name of the caller's caller."""
        return self.driver_of(self.evaluator(atoms, stacklevel=5))

    def driver_of(self, evaluator: Evaluator) -> IpiDriver:
        """The shipped driver, which makes an evaluator as this one of `evaluator`."""
        from calculators.ipi_driver import driver_path
        from mlpotential.inference.committee import member_files

        execution = replace(self.execution, dtype=evaluator.dtype)
        members = [path.read_bytes() for path in member_files(self.model)]
        is_single = len(members) == 1
        names = [MODEL_NAME if is_single else MEMBER_NAME.format(k) for k in range(len(members))]
        digests = sorted(hashlib.sha256(content).hexdigest() for content in members)
        parameters = {
            "model": MODEL_NAME if is_single else MEMBER_NAME.format("*"),
            "structure": STRUCTURE_NAME,
            "report": REPORT_NAME,
        }
        return IpiDriver(
            pes_path=driver_path(),
            parameters=parameters | {name: str(v) for name, v in asdict(execution).items()},
            files=dict(zip(names, members, strict=True)),
            identity={"model (sha256)": ", ".join(digests), "dtype": str(execution.dtype)},
            extras=_recorded(evaluator.properties, bool(evaluator.pbc.any())),
        )


@dataclass(frozen=True)
class CalculatorForces:
    """Any calculator of ASE that can be made wherever it is needed.

    Attributes:
        factory: what gives it, `module:name`, a name that ASE knows, or a Python file with a
            function `calculator`.
        arguments: of the factory, by name; what JSON can hold.
        timeout_s: longest time for one structure (s), after which the process of the calculator is
            killed; None evaluates in the process of the run where that is possible.
        drivers: processes of the calculator, which share the beads.
        directory: that files are named from.
    """

    factory: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    timeout_s: float | None = None
    drivers: int = 1
    directory: Path = field(default_factory=Path.cwd)

    @property
    def named(self) -> NamedCalculator:
        """Where the calculator comes from."""
        return NamedCalculator(self.factory, self.arguments, self.directory)

    @property
    def limit_s(self) -> float:
        """Longest time for one structure, also where none was given (s)."""
        return DEFAULT_TIMEOUT_S if self.timeout_s is None else self.timeout_s

    def stall_limit_s(self, n_beads: int, properties_stride: int) -> float:
        """Longest time between two signs of life of a run: the limits of all its structures (s)."""
        n_rounds = -(-n_beads // self.drivers) * (properties_stride + 1)
        return STALL_LIMIT_S + n_rounds * self.limit_s

    def calculator(self) -> BaseCalculator:
        """A new calculator of ASE. Raises ConfigError if it cannot be made."""
        if self.timeout_s is None and self.drivers == 1:
            made: BaseCalculator = self.named.make()
            return made
        from mlpotential.labelling.worker_calculator import WorkerCalculator

        return WorkerCalculator(self.named, self.drivers, self.limit_s)

    def ipi_driver(self, atoms: Atoms) -> IpiDriver:
        """A driver that makes the calculator in processes of i-PI's."""
        from calculators.ipi_calculator import driver_path
        from mlpotential.labelling.worker_calculator import WorkerCalculator

        trial = atoms.copy()
        trial.calc = self.calculator()
        trial.get_forces()
        found = dict(getattr(trial.calc, "results", {}))
        if isinstance(trial.calc, WorkerCalculator):
            trial.calc.workers.close()
        definition = {"factory": self.factory, "arguments": dict(self.arguments)}
        return IpiDriver(
            pes_path=driver_path(),
            parameters={
                "calculator": CALCULATOR_NAME,
                "structure": STRUCTURE_NAME,
                "directory": str(self.directory),
                "timeout_s": repr(self.limit_s),
                "drivers": str(self.drivers),
            },
            files={CALCULATOR_NAME: json.dumps(definition, sort_keys=True).encode()},
            identity=self.named.identity,
            extras=tuple(x for x in ("dipole",) if x in found),
        )


def _recorded(properties: Collection[str], periodic: bool) -> tuple[str, ...]:
    """Extras of a model with these properties."""
    given = {*properties} - (OF_MOLECULES if periodic else set())
    return tuple(name for name in RECORDED_EXTRAS if name in given)


def force_provider(forces: Model | ForceProvider, execution: Execution) -> ForceProvider:
    """Model files as a provider, any other one as it is.

    Raises:
        ConfigError: an execution that is not that of model files.
    """
    if not isinstance(forces, ForceProvider):
        return ModelForces(forces, execution)
    if execution != DEFAULT_EXECUTION:
        raise ConfigError("execution is that of a model file: give it to the force provider")
    return forces
