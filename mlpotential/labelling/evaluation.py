"""One structure by anybody's calculator: what came, checked, or why nothing can be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import (
    CalculatorSetupError,
    PropertyNotImplementedError,
    SCFError,
)

from mlpotential.errors import RunError
from mlpotential.labelling.named_calculator import in_a_line

Reason = Literal[
    "not converged",
    "timed out",
    "not finite",
    "wrong shape",
    "not implemented",
    "raised",
    "died",
]
NOT_CONVERGED = ("converge", "scf failed", "scf not")  # in what programs say
SHAPES: dict[str, tuple[int | None, ...]] = {  # None: the number of atoms
    "energy": (),
    "free_energy": (),
    "forces": (None, 3),
    "stress": (6,),
    "dipole": (3,),
    "polarizability": (3, 3),
}
REQUIRED = ("energy", "forces")
HESSIAN = "hessian"  # [3 n_atoms, 3 n_atoms], eV/A^2: by `get_hessian`, or under this name


class CalculatorError(RunError):
    """A calculator that gave nothing that can be used."""


@dataclass(frozen=True)
class Answer:
    """Of a structure.

    Attributes:
        values: by ASE's names, in its units; float64.
        seconds: that it took.
    """

    values: Mapping[str, Any]
    seconds: float


@dataclass(frozen=True)
class Failure:
    """Of a structure.

    Attributes:
        reason: the kind of it.
        detail: in words.
        seconds: that it took.
    """

    reason: Reason
    detail: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


Outcome = Answer | Failure


class UnusableError(Exception):
    """Why an evaluation gave nothing that can be used."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def evaluated(
    calculator: Any, atoms: Atoms, required: Iterable[str], optional: Iterable[str]
) -> dict[str, Any]:
    """Properties of the atoms, checked; what is for nothing beside them, too.

    Args:
        calculator: any of ASE.
        atoms: without calculator and constraints.
        required: an error where they are missing.
        optional: left out where the calculator does not have them.

    Raises:
        UnusableError: saying why.
    """
    required = [*required]
    known = [*getattr(calculator, "implemented_properties", ())]
    for name in required:
        if known and name not in known and name != HESSIAN:
            raise UnusableError("not implemented", f"the calculator has no {name}")
    values = {name: _property(calculator, atoms, name, must=True) for name in required}
    for name in optional:
        if (name == HESSIAN or name in known) and _has_meaning(name, atoms):
            values[name] = _property(calculator, atoms, name, must=False)
    results = getattr(calculator, "results", {})
    for name in SHAPES:
        is_there = name in known and name in results and _has_meaning(name, atoms)
        if name not in values and is_there:
            values[name] = results[name]
    return {
        name: _checked(name, value, len(atoms))
        for name, value in values.items()
        if value is not None
    }


def _has_meaning(name: str, atoms: Atoms) -> bool:
    """Stress needs a volume; dipole and polarizability of a crystal are not those of a cell."""
    if name == "stress":
        return bool(atoms.pbc.all())
    return name not in ("dipole", "polarizability") or not atoms.pbc.all()


def _property(calculator: Any, atoms: Atoms, name: str, must: bool) -> Any:
    try:
        if name == HESSIAN and hasattr(calculator, "get_hessian"):
            return calculator.get_hessian(atoms)
        found = calculator.get_property(name, atoms)
    except (PropertyNotImplementedError, NotImplementedError, CalculatorSetupError) as error:
        if must:
            words = str(error) or type(error).__name__
            raise UnusableError("not implemented", f"no {name}: {words}") from error
        return None
    except UnusableError:
        raise
    except Exception as error:  # a stranger's code raises whatever it likes
        raise UnusableError(_reason(error), f"{name}: {in_a_line(error)}") from error
    if found is None and must:
        raise UnusableError("not implemented", f"the calculator gave no {name}")
    return found


def _reason(error: Exception) -> Reason:
    words = str(error).lower()
    if isinstance(error, SCFError) or any(w in words for w in NOT_CONVERGED):
        return "not converged"
    return "raised"


def _checked(name: str, value: Any, n_atoms: int) -> Any:
    """In float64. Raises UnusableError for another shape, or what is not finite."""
    shape = (3 * n_atoms,) * 2 if name == HESSIAN else SHAPES[name]
    expected = tuple(n_atoms if n is None else n for n in shape)
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError) as error:
        raise UnusableError("wrong shape", f"{name}: not numbers ({error})") from error
    if name in ("energy", "free_energy") and array.shape == (1,):
        array = array[0]
    if name == "stress" and array.shape == (3, 3):
        array = array.ravel()[[0, 4, 8, 5, 2, 1]]
    if name == HESSIAN and array.size == expected[0] ** 2:
        array = array.reshape(expected)  # [n_atoms, 3, n_atoms, 3] of others
    if array.shape != expected:
        raise UnusableError(
            "wrong shape", f"{name}: {list(array.shape)} instead of {list(expected)}"
        )
    if not np.isfinite(array).all():
        where = ""
        if name == "forces":
            where = f" of atom {int(np.argmin(np.isfinite(array).all(axis=1)))}"
        raise UnusableError("not finite", f"{name}{where}")
    return float(array) if array.ndim == 0 else array
