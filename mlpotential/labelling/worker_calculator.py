"""A named calculator as one of ASE, in processes of its own: it can hang without harm."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes

from mlpotential.labelling.evaluation import Answer, CalculatorError, Outcome
from mlpotential.labelling.named_calculator import NamedCalculator
from mlpotential.labelling.workers import DEFAULT_TIMEOUT_S, CalculatorWorkers


class WorkerCalculator(Calculator):
    """As any calculator of ASE.

    Args:
        named: what each process makes.
        n_processes: that evaluate structures of `evaluate` at the same time.
        timeout_s: longest time for one structure (s).

    Raises:
        ConfigError: if there is no such calculator, at the first use.

    Attributes:
        seconds: that the last evaluation took; None before.
    """

    def __init__(
        self,
        named: NamedCalculator,
        n_processes: int = 1,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        super().__init__()
        self.named = named
        self.workers = CalculatorWorkers(named, n_processes, timeout_s)
        self.seconds: float | None = None

    @property
    def implemented_properties(self) -> list[str]:  # type: ignore[override]
        """Those of the calculator."""
        return sorted(self.workers.abilities.known)

    @property
    def identity(self) -> dict[str, str]:
        """What has to be the same for a run to go on."""
        return self.named.identity

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """As of every calculator. Raises CalculatorError for nothing that can be used."""
        super().calculate(atoms, properties, system_changes)
        assert self.atoms is not None  # given now or before
        (self.results,) = self.evaluate([self.atoms], properties)

    def evaluate(
        self, structures: Sequence[Atoms], properties: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Energy, forces and other properties of each structure, as many at a time as processes.

        Raises:
            CalculatorError: if one of them has none.
            ConfigError: if there is no such calculator.
        """
        required = [*dict.fromkeys(("energy", "forces", *properties))]
        answers = self.workers.evaluate(structures, required)
        found = [self._values(answer) for answer in answers]
        self.seconds = float(np.mean([answer.seconds for answer in answers]))
        return found

    def answers(
        self, structures: Iterable[Atoms], properties: Sequence[str] = ()
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        """As of `evaluate`, by number of the structure and as they come."""
        required = [*dict.fromkeys(("energy", "forces", *properties))]
        for found in self.workers.outcomes(enumerate(structures), required):
            assert found is not None  # nobody polls
            yield found[0], self._values(found[1])

    def get_hessian(self, atoms: Atoms) -> np.ndarray:
        """[3 n_atoms, 3 n_atoms] (eV/A^2), where the calculator has it."""
        (answer,) = self.workers.evaluate([atoms], ("energy", "forces", "hessian"))
        hessian: np.ndarray = self._values(answer)["hessian"]
        return hessian

    def _values(self, outcome: Outcome) -> dict[str, Any]:
        if isinstance(outcome, Answer):
            return dict(outcome.values)
        advice = {
            "timed out": ": raise --calculator-timeout-s if it is only slow",
            "died": ": look for memory and for files that it needs",
        }
        raise CalculatorError(
            f"the calculator {self.named.text} gave nothing that can be used ({outcome})"
            f"{advice.get(outcome.reason, '')}"
        )
