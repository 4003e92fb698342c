"""Ideal-gas functions: against ASE called by hand, and against tabulated entropies."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.thermochemistry import IdealGasThermo
from ase.units import invcm, kJ, mol
from ase.vibrations import VibrationsData
from harmonic_molecules import carbon_dioxide, methane, water

from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes
from md_runs.analysis.vibrations.point_groups import PointGroup, point_group
from md_runs.analysis.vibrations.thermochemistry import ideal_gas_thermochemistry
from mlpotential.errors import ConfigError, DataError


def analysed(atoms: Atoms, hessian: np.ndarray) -> tuple[NormalModes, PointGroup]:
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    return modes, point_group(atoms.numbers, atoms.positions, atoms.get_masses())


@pytest.mark.parametrize(
    ("build", "geometry", "symmetry_number"),
    [(water, "nonlinear", 2), (methane, "nonlinear", 12), (carbon_dioxide, "linear", 2)],
)
def test_the_same_as_ase(build, geometry: str, symmetry_number: int) -> None:
    atoms, hessian = build()
    ase = IdealGasThermo(
        vib_energies=VibrationsData.from_2d(atoms, hessian).get_energies(),
        geometry=geometry,
        potentialenergy=-3.0,
        atoms=atoms,
        symmetrynumber=symmetry_number,
        spin=0.5,
    )
    found = ideal_gas_thermochemistry(
        *analysed(atoms, hessian), -3.0, temperature_K=400.0, pressure_Pa=2e5, spin=0.5
    )
    expected = {
        "zero_point_energy": ase.get_ZPE_correction(),
        "internal_energy": ase.get_internal_energy(400.0, verbose=False),
        "enthalpy": ase.get_enthalpy(400.0, verbose=False),
        "entropy_eV_per_K": ase.get_entropy(400.0, 2e5, verbose=False),
        "gibbs_energy": ase.get_gibbs_energy(400.0, 2e5, verbose=False),
    }
    for name, value in expected.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-8), name
    assert found.symmetry_number == symmetry_number


# Entropies at 298.15 K and 1 bar (J/mol/K): NIST-JANAF Thermochemical Tables, 4th ed. (1998).
# Fundamentals (1/cm): T. Shimanouchi, Tables of Molecular Vibrational Frequencies I (1972).
@pytest.mark.parametrize(
    ("build", "wavenumbers", "entropy"),
    [
        (water, [1595, 3657, 3756], 188.83),
        (carbon_dioxide, [667, 667, 1333, 2349], 213.80),
        (methane, [1306] * 3 + [1534] * 2 + [2917] + [3019] * 3, 186.25),
    ],
)
def test_entropies_are_those_of_the_tables(build, wavenumbers: list[int], entropy: float) -> None:
    modes, group = analysed(*build())
    modes = replace(modes, wavenumbers_per_cm=np.array(wavenumbers, float))
    found = ideal_gas_thermochemistry(modes, group)
    assert found.entropy_eV_per_K / (1e-3 * kJ / mol) == pytest.approx(entropy, abs=0.5)
    assert found.zero_point_energy == pytest.approx(0.5 * sum(wavenumbers) * invcm)
    assert "symmetry number" in str(found)


def test_an_atom_has_no_vibrations() -> None:
    argon = Atoms("Ar")
    found = ideal_gas_thermochemistry(*analysed(argon, np.zeros((3, 3))))
    assert found.entropy_eV_per_K / (1e-3 * kJ / mol) == pytest.approx(154.845, abs=0.01)  # JANAF
    assert found.zero_point_energy == 0


def test_saved_with_units(tmp_path) -> None:
    found = ideal_gas_thermochemistry(*analysed(*water()))
    assert found.to_dict()["units"]["entropy_eV_per_K"] == "eV/K"


def test_what_has_no_thermochemistry_is_refused() -> None:
    modes, group = analysed(*water())
    saddle = replace(modes, wavenumbers_per_cm=np.array([-120.0, 1000.0, 2000.0]))
    with pytest.raises(DataError, match=r"1 modes are imaginary \(softest -120\.0 1/cm\)"):
        ideal_gas_thermochemistry(saddle, group)
    other = molecule("CO2")
    linear = point_group(other.numbers, other.positions, other.get_masses())
    with pytest.raises(DataError, match="do not fit the point group Dinfh"):
        ideal_gas_thermochemistry(modes, linear)
    with pytest.raises(ConfigError, match="temperature_K"):
        ideal_gas_thermochemistry(modes, group, temperature_K=0.0)
    with pytest.raises(ConfigError, match="pressure_Pa"):
        ideal_gas_thermochemistry(modes, group, pressure_Pa=-1.0)
    with pytest.raises(ConfigError, match="spin must be"):
        ideal_gas_thermochemistry(modes, group, spin=0.3)
