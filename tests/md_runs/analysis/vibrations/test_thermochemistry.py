"""Ideal-gas functions: against ASE called by hand, and against tabulated entropies."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.thermochemistry import HarmonicThermo, IdealGasThermo, QuasiHarmonicThermo
from ase.units import invcm, kJ, mol
from ase.vibrations import VibrationsData
from harmonic_molecules import carbon_dioxide, methane, water
from scipy.constants import Boltzmann, Planck, elementary_charge, speed_of_light

from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes
from md_runs.analysis.vibrations.point_groups import PointGroup, point_group
from md_runs.analysis.vibrations.thermochemistry import (
    ideal_gas_thermochemistry,
    vibrational_thermochemistry,
)
from mlpotential.errors import ConfigError, DataError

REFERENCE = Path(__file__).parents[3] / "reference"


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


def ammonia_saddle() -> tuple[NormalModes, PointGroup, dict]:
    """Planar ammonia, its Hessian and thermochemistry of GFN2-xTB: see reference/README.md."""
    content = json.loads((REFERENCE / "ammonia_planar_saddle.json").read_text())
    atoms = Atoms(content["numbers"], positions=content["positions"])
    return *analysed(atoms, np.array(content["hessian_eV_per_A2"])), content


def test_a_saddle_point_leaves_its_imaginary_mode_out() -> None:
    modes, group, expected = ammonia_saddle()
    assert (group.schoenflies, modes.n_imaginary) == ("D3h", 1)
    assert modes.wavenumbers_per_cm == pytest.approx(expected["wavenumbers_per_cm"], rel=1e-9)
    found = ideal_gas_thermochemistry(modes, group)
    assert found.zero_point_energy == pytest.approx(expected["zero_point_eV"], rel=1e-6)
    assert found.gibbs_energy == pytest.approx(expected["gibbs_correction_eV_298K_1bar"], rel=1e-5)
    assert found.imaginary_per_cm == pytest.approx(-971.21, abs=0.01)
    assert "a saddle point: its imaginary mode of 971.2i 1/cm is left out" in str(found)
    assert found.to_dict()["imaginary_per_cm"] < 0
    minimum = ideal_gas_thermochemistry(*analysed(*water()))
    assert np.isnan(minimum.imaginary_per_cm)
    assert minimum.to_dict()["imaginary_per_cm"] is None
    assert "saddle" not in str(minimum)


def test_heavy_isotopes_lower_the_zero_point_energy_of_a_barrier() -> None:
    """By the product rule: with all masses times 4 every wavenumber is half as large."""
    modes, group, content = ammonia_saddle()
    heavy = normal_modes(np.array(content["hessian_eV_per_A2"]), 4 * modes.masses, modes.positions)
    found = ideal_gas_thermochemistry(heavy, group)
    light = ideal_gas_thermochemistry(modes, group)
    assert found.zero_point_energy == pytest.approx(light.zero_point_energy / 2, rel=1e-9)


def soft_water(wavenumber: float) -> tuple[NormalModes, PointGroup]:
    modes, group = analysed(*water())
    return replace(modes, wavenumbers_per_cm=np.array([wavenumber, 1500.0, 3600.0])), group


@pytest.mark.parametrize("wavenumber", [5.0, 40.0, 100.0, 300.0])
def test_quasi_rrho_is_grimmes(wavenumber: float) -> None:
    """Equations 3 to 8 of Chem. Eur. J. 18, 9955 (2012), in SI units; energies stay harmonic."""
    modes, group = soft_water(wavenumber)
    harmonic = ideal_gas_thermochemistry(modes, group)
    found = ideal_gas_thermochemistry(modes, group, soft_modes="quasi-RRHO")
    frequency, kT = 100 * wavenumber * speed_of_light, Boltzmann * 298.15
    mu = Planck / (8 * np.pi**2 * frequency)
    mu = mu * 1e-44 / (mu + 1e-44)
    rotor = 0.5 + np.log(np.sqrt(8 * np.pi**3 * mu * kT / Planck**2))
    x = Planck * frequency / kT
    oscillator = x / np.expm1(x) - np.log(-np.expm1(-x))
    weight = 1 / (1 + (100 / wavenumber) ** 4)
    expected = (1 - weight) * (rotor - oscillator) * Boltzmann / elementary_charge
    change = found.entropy_eV_per_K - harmonic.entropy_eV_per_K
    assert change == pytest.approx(expected, rel=1e-4, abs=1e-9)
    assert found.enthalpy == harmonic.enthalpy
    assert found.soft_modes in str(found)
    assert found.n_soft == (wavenumber < 100)


def test_raised_modes_count_as_of_100_per_cm() -> None:
    raised = ideal_gas_thermochemistry(*soft_water(30.0), soft_modes="raised")
    at_100 = ideal_gas_thermochemistry(*soft_water(100.0))
    assert raised.gibbs_energy == pytest.approx(at_100.gibbs_energy, rel=1e-12)
    ase = QuasiHarmonicThermo(np.array([30.0, 1500.0, 3600.0]) * invcm)
    alone = vibrational_thermochemistry(soft_water(30.0)[0], soft_modes="raised")
    expected = ase.get_helmholtz_energy(298.15, verbose=False)
    assert alone.helmholtz_energy == pytest.approx(expected, rel=1e-9)
    stiff = ideal_gas_thermochemistry(*soft_water(200.0), soft_modes="raised")
    assert stiff.gibbs_energy == ideal_gas_thermochemistry(*soft_water(200.0)).gibbs_energy


def test_beside_fixed_atoms_there_are_vibrations_alone() -> None:
    """The oxygen of water on a wall: what ASE's HarmonicThermo makes of the same modes."""
    atoms, hessian = water()
    hessian = hessian + 2.0 * np.eye(9)
    fixed = np.array([False, True, True])
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions, fixed=fixed)
    found = vibrational_thermochemistry(modes, -3.0, 400.0)
    ase = HarmonicThermo(modes.wavenumbers_per_cm * invcm, potentialenergy=-3.0)
    assert found.helmholtz_energy == pytest.approx(ase.get_helmholtz_energy(400.0, verbose=False))
    assert found.entropy_eV_per_K == pytest.approx(ase.get_entropy(400.0, verbose=False))
    assert "vibrations alone" in str(found)
    with pytest.raises(DataError, match="take vibrational_thermochemistry"):
        ideal_gas_thermochemistry(modes, analysed(*water())[1])


def test_what_has_no_thermochemistry_is_refused() -> None:
    modes, group = analysed(*water())
    summit = replace(modes, wavenumbers_per_cm=np.array([-120.0, -10.0, 2000.0]))
    with pytest.raises(DataError, match=r"2 modes are imaginary \(softest -120\.0 1/cm\)"):
        ideal_gas_thermochemistry(summit, group)
    unbound = replace(modes, wavenumbers_per_cm=np.array([0.0, 1000.0, 2000.0]))
    with pytest.raises(DataError, match="a mode of 0 1/cm"):
        ideal_gas_thermochemistry(unbound, group)
    with pytest.raises(ConfigError, match="soft_modes must be one of harmonic, quasi-RRHO"):
        ideal_gas_thermochemistry(modes, group, soft_modes="quasi-rrho")
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
