"""Charge and multiplicity of a structure, told to calculators in every way that they listen to.

ASE has no one place for them. Here they are arguments of the calculator where it has such
(`charge`; `multiplicity` or `mult`), the sums of initial charges and magnetic moments, which others
read, and `charge` and `spin` (the multiplicity 2 S + 1) in `atoms.info`, which models of both read.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms

from mlpotential.errors import DataError

CHARGE, SPIN = "charge", "spin"  # in `atoms.info`
CHARGES_IN_FILES = ("charge", "total_charge", "Charge")
SPINS_IN_FILES = ("spin", "multiplicity", "spin_multiplicity")
MULTIPLICITIES = ("multiplicity", "mult")  # arguments of calculators


def set_charge(atoms: Atoms, charge: int | None, multiplicity: int | None, place: str) -> None:
    """Gives atoms the charge and the multiplicity, or else those that their info has.

    Raises:
        DataError: for what is no whole number, or a multiplicity that the electrons cannot have.
    """
    charge = _from_info(atoms, CHARGES_IN_FILES, place) if charge is None else charge
    multiplicity = (
        _from_info(atoms, SPINS_IN_FILES, place) if multiplicity is None else multiplicity
    )
    for name in (*CHARGES_IN_FILES, *SPINS_IN_FILES):
        atoms.info.pop(name, None)
    if charge is not None:
        atoms.info[CHARGE] = charge
        atoms.set_initial_charges(np.full(len(atoms), charge / len(atoms)))
    if multiplicity is not None:
        n_electrons = int(atoms.numbers.sum()) - (charge or 0)
        if multiplicity < 1 or (n_electrons - multiplicity) % 2 == 0:
            raise DataError(
                f"{place}: {n_electrons} electrons cannot have the multiplicity {multiplicity}"
            )
        atoms.info[SPIN] = multiplicity
        moments = np.zeros(len(atoms))
        moments[0] = multiplicity - 1  # 2 S unpaired electrons; calculators take the sum
        atoms.set_initial_magnetic_moments(moments)


def _from_info(atoms: Atoms, names: tuple[str, ...], place: str) -> int | None:
    given = {name: atoms.info[name] for name in names if name in atoms.info}
    values = {float(np.asarray(value).reshape(())) for value in given.values()}
    if not values:
        return None
    value = values.pop()
    if values or value != round(value):
        raise DataError(f"{place}: a whole number was expected of {given}")
    return round(value)


class ChargedCalculator:
    """A calculator that is told charges and multiplicities by its arguments, if it has such.

    Args:
        calculator: any of ASE.
    """

    def __init__(self, calculator: Any) -> None:
        self._calculator = calculator
        parameters = getattr(calculator, "parameters", None) or {}
        can_be_set = hasattr(calculator, "set")
        of_spin = [name for name in MULTIPLICITIES if name in parameters]
        names = {CHARGE: CHARGE} if CHARGE in parameters else {}
        names |= {SPIN: of_spin[0]} if of_spin else {}
        self._names = names if can_be_set else {}  # of arguments, by those in `atoms.info`
        self._own = {name: parameters[name] for name in self._names.values()}
        self._told = dict(self._own)

    @property
    def takes_charge(self) -> bool:
        """Whether there is an argument for it."""
        return CHARGE in self._names

    def prepare(self, atoms: Atoms) -> None:
        """Before an evaluation of these atoms; those without a charge have the calculator's own."""
        wanted = self._own | {
            argument: int(atoms.info[name])
            for name, argument in self._names.items()
            if name in atoms.info
        }
        if wanted != self._told:
            self._calculator.set(**wanted)
            self._told = wanted
