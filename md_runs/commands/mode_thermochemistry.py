"""Thermochemistry of `md-runs modes`: temperatures and pressures, text and file."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.vibrations.normal_modes import NormalModes
from md_runs.analysis.vibrations.point_groups import PointGroup
from md_runs.analysis.vibrations.thermochemistry import (
    SoftModes,
    Thermochemistry,
    VibrationalThermochemistry,
    ideal_gas_thermochemistry,
    vibrational_thermochemistry,
)
from md_runs.commands.analysis_report import Table
from mlpotential.errors import ConfigError, DataError
from mlpotential.settings_checks import check_number


@dataclass(frozen=True)
class GasConditions:
    """What thermochemistry is of.

    Attributes:
        temperature_K: of thermochemistry and of Stokes lines, one or several; and of the run of
            --quasi-harmonic, where it tells none, K (298.15).
        pressure_Pa: of the gas, one or several, Pa (100000, 1 bar).
        spin: total electronic spin S, 0.5 of a radical.
        soft_modes: harmonic, or below and about 100 1/cm with the entropy of a free rotor
            (quasi-RRHO, Grimme 2012) or counted as of 100 1/cm (raised, Truhlar 2011).

    Raises:
        ConfigError: a temperature or pressure that is not positive.
    """

    temperature_K: Sequence[float] = (298.15,)
    pressure_Pa: Sequence[float] = (100_000.0,)
    spin: float = 0.0
    soft_modes: SoftModes = "harmonic"

    def __post_init__(self) -> None:
        for option, values in (
            ("--temperature-K", self.temperature_K),
            ("--pressure-Pa", self.pressure_Pa),
        ):
            for value in values:
                check_number(option, value)

    def one_temperature_K(self, option: str) -> float:
        """The temperature, where there is but one. Raises ConfigError for several."""
        if len(self.temperature_K) > 1:
            raise ConfigError(f"{option} takes one --temperature-K, not {len(self.temperature_K)}")
        return self.temperature_K[0]


@dataclass(frozen=True)
class ThermochemistryTable(AnalysisResult):
    """Thermochemistry at several temperatures and pressures.

    Attributes:
        conditions: one entry for each pair, pressures within temperatures.
    """

    conditions: tuple[VibrationalThermochemistry, ...]


def thermochemistry_text(
    modes: NormalModes,
    group: PointGroup | None,
    potential_energy: float,
    conditions: GasConditions,
    path: Path | None,
) -> str:
    """Thermochemistry of a gas, or of vibrations alone where nothing travels or turns.

    Args:
        modes: of a stationary point.
        group: of a free molecule; None of others.
        potential_energy: of the stationary point (eV).
        conditions: temperatures and pressures.
        path: where it is saved, JSON; None for nowhere.

    Raises:
        DataError: several imaginary modes, if it is to be saved; else that is said.
    """
    try:
        found = _at_all(modes, group, potential_energy, conditions)
    except DataError as error:
        if path is not None:
            raise
        return f"no thermochemistry: {error}"
    if path is not None:
        ThermochemistryTable(found).save_json(path)
    return str(found[0]) if len(found) == 1 else str(_table(found))


def _at_all(
    modes: NormalModes, group: PointGroup | None, energy: float, conditions: GasConditions
) -> tuple[VibrationalThermochemistry, ...]:
    soft_modes = conditions.soft_modes
    if group is None:
        return tuple(
            vibrational_thermochemistry(modes, energy, temperature_K, soft_modes)
            for temperature_K in conditions.temperature_K
        )
    pairs = itertools.product(conditions.temperature_K, conditions.pressure_Pa)
    return tuple(
        ideal_gas_thermochemistry(
            modes, group, energy, temperature_K, pressure_Pa, conditions.spin, soft_modes
        )
        for temperature_K, pressure_Pa in pairs
    )


def _table(found: Sequence[VibrationalThermochemistry]) -> Table:
    """One row for each temperature and pressure."""
    first = found[0]
    title = (
        f"thermochemistry, E {first.potential_energy:.4f} eV, ZPE {first.zero_point_energy:.4f} eV"
    )
    if isinstance(first, Thermochemistry):
        title += f", ideal gas, symmetry number {first.symmetry_number}"
        columns: tuple[str, ...] = ("T (K)", "p (Pa)", "U (eV)", "H (eV)", "TS (eV)", "G (eV)")
    else:
        title += ", vibrations alone"
        columns = ("T (K)", "U (eV)", "TS (eV)", "F (eV)")
    title += f"; {first.treatment}" * bool(first.treatment)
    return Table(title, columns, tuple(_row(one) for one in found))


def _row(one: VibrationalThermochemistry) -> tuple[str, ...]:
    places, energies = [f"{one.temperature_K:g}"], [one.internal_energy]
    bound = one.temperature_K * one.entropy_eV_per_K
    if isinstance(one, Thermochemistry):
        places.append(f"{one.pressure_Pa:g}")
        energies += [one.enthalpy, bound, one.gibbs_energy]
    else:
        energies += [bound, one.helmholtz_energy]
    return (*places, *(f"{energy:.4f}" for energy in energies))
