"""Intensities against closed forms and against ASE's Infrared."""

from pathlib import Path

import numpy as np
import pytest
from ase.units import invcm, kB
from ase.vibrations.infrared import Infrared
from harmonic_molecules import (
    HarmonicCharges,
    benzene,
    carbon_dioxide,
    methane,
    springs,
    turned,
    water,
)
from scipy.constants import Boltzmann, Planck, atomic_mass, speed_of_light

from md_runs.analysis.vibrations.irreps import mode_symmetries
from md_runs.analysis.vibrations.mode_intensities import (
    infrared_intensities,
    raman_intensities,
    stokes_intensities,
)
from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes
from md_runs.analysis.vibrations.point_groups import point_group
from md_runs.analysis.vibrations.stokes_scattering import stokes_weights
from md_runs.hessian import hessian_by_finite_differences
from mlpotential.errors import ConfigError, DataError


def dimer() -> NormalModes:
    positions = np.array([[0, 0, 0], [0, 0, 1.27]])
    return normal_modes(springs(positions, [(0, 1, 32.0)]), np.array([35.45, 1.008]), positions)


def polar_tensors(charges: list[float]) -> np.ndarray:
    """Of fixed charges: the dipole is sum q r, [n_atoms, 3, 3] (e)."""
    return np.array(charges)[:, None, None] * np.eye(3)


def test_dimer_of_charges() -> None:
    """|d mu / dQ|^2 = q^2 / reduced mass; 974.88 km/mol is 1 e^2/amu (P. Porezag, M. R. Pederson,
    Phys. Rev. B 54, 7830 (1996): 42.255 km/mol for 1 (D/A)^2/amu, 1 e = 4.80320 D/A)."""
    found = infrared_intensities(dimer(), polar_tensors([-0.2, 0.2]))
    reduced = 35.45 * 1.008 / (35.45 + 1.008)
    expected = 42.255 * 4.80320**2 * 0.2**2 / reduced
    assert found.intensities_km_per_mol == pytest.approx([expected], rel=5e-5)
    assert found.intensities_km_per_mol == pytest.approx([974.88 * 0.04 / reduced], rel=1e-5)
    assert np.linalg.norm(found.dipole_derivatives[0]) == pytest.approx(0.2 / np.sqrt(reduced))


def test_infrared_and_frequencies_agree_with_ase(tmp_path: Path) -> None:
    atoms, hessian = turned(*water())
    atoms.calc = HarmonicCharges(atoms.get_positions(), hessian, np.array([-0.66, 0.33, 0.33]))
    ase = Infrared(atoms, name=str(tmp_path / "infrared"), delta=0.005)
    ase.run()
    frequencies = ase.get_frequencies()[6:].real
    found = hessian_by_finite_differences(atoms, 0.005, with_dipoles=True)
    assert found.dipole_derivatives is not None
    modes = normal_modes(found.hessian, atoms.get_masses(), atoms.positions)
    infrared = infrared_intensities(modes, found.dipole_derivatives)
    assert np.allclose(modes.wavenumbers_per_cm, frequencies, rtol=1e-7)
    in_km_per_mol = ase.intensities[6:] * ase.intensity_prefactor("km/mol")[0]
    assert np.allclose(infrared.intensities_km_per_mol, in_km_per_mol, rtol=5e-5)  # its 42.255
    assert infrared.intensities_km_per_mol.min() > 1


def test_symmetry_forbids_what_it_forbids() -> None:
    for (atoms, hessian), charges in (
        (carbon_dioxide(), [0.6, -0.3, -0.3]),
        (methane(), [-0.4, 0.1, 0.1, 0.1, 0.1]),
        (benzene(), [-0.1] * 6 + [0.1] * 6),
    ):
        modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
        symmetries = mode_symmetries(
            modes, point_group(atoms.numbers, modes.positions, modes.masses)
        )
        intensities = infrared_intensities(modes, polar_tensors(charges)).intensities_km_per_mol
        absorbs = intensities > 1e-6 * intensities.max()
        assert absorbs.any()
        assert not (absorbs & ~symmetries.is_infrared_active).any()


def bond_polarizabilities(positions: np.ndarray, bonds: list[tuple[int, int]]) -> np.ndarray:
    """alpha = sum over bonds of d^2 (e e^T + 1 / 5): differentiated, [n_atoms, 3, 3, 3] (A^2)."""
    derivatives = np.zeros((len(positions), 3, 3, 3))
    for i, j in bonds:
        d = positions[j] - positions[i]
        for axis in range(3):
            unit = np.eye(3)[axis]
            change = np.outer(unit, d) + np.outer(d, unit) + 0.4 * d[axis] * np.eye(3)
            derivatives[j, axis] += change
            derivatives[i, axis] -= change
    return derivatives


def test_raman_of_a_dimer() -> None:
    """Along z alpha' has 2.4, 0.4, 0.4 times d: a = 3.2 d / 3 and g = 2 d, over the root of mu."""
    modes = dimer()
    reduced, d = 35.45 * 1.008 / (35.45 + 1.008), 1.27
    found = raman_intensities(modes, bond_polarizabilities(modes.positions, [(0, 1)]))
    mean, anisotropy = (3.2 * d / 3) ** 2 / reduced, (2 * d) ** 2 / reduced
    assert found.activities == pytest.approx([45 * mean + 7 * anisotropy])
    expected = 3 * anisotropy / (45 * mean + 4 * anisotropy)
    assert found.depolarization_ratios == pytest.approx([expected])
    of_lamp = 6 * anisotropy / (45 * mean + 7 * anisotropy)
    assert found.natural_depolarization_ratios == pytest.approx([of_lamp])
    assert of_lamp == pytest.approx(2 * expected / (1 + expected))


def test_raman_depends_on_no_orientation_and_only_breathing_is_polarised() -> None:
    bonds = [(0, i) for i in range(1, 5)]
    activities = []
    for seed in (0, 1):
        atoms, hessian = turned(*methane(), seed=seed)
        modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
        found = raman_intensities(modes, bond_polarizabilities(modes.positions, bonds))
        activities.append([found.activities[g].sum() for g in modes.degenerate_groups()])
    assert np.allclose(*activities)
    assert np.allclose(found.depolarization_ratios[:8], 0.75)  # T2, E, T2
    assert np.allclose(found.natural_depolarization_ratios[:8], 6 / 7)
    assert found.depolarization_ratios[8] == pytest.approx(0, abs=1e-12)  # A1 of a cubic group


def test_what_does_not_scatter_has_no_depolarisation() -> None:
    atoms, hessian = carbon_dioxide()
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    found = raman_intensities(modes, bond_polarizabilities(modes.positions, [(0, 1), (0, 2)]))
    assert np.isnan(found.depolarization_ratios).tolist() == [True, True, False, True]
    assert np.isnan(found.natural_depolarization_ratios).tolist() == [True, True, False, True]
    assert 0 < found.depolarization_ratios[2] < 0.75


def test_stokes_lines_in_si_units() -> None:
    """N2-like: a^2 and g^2 of the zero-point motion, Long (2002): 16 pi^4 / 45 (k_0 - k)^4 ..."""
    modes = dimer()
    raman = raman_intensities(modes, bond_polarizabilities(modes.positions, [(0, 1)]))
    found = stokes_intensities(raman, 514.5, 300.0)
    k, k_0 = 100 * modes.wavenumbers_per_cm[0], 1 / 514.5e-9  # 1/m
    activity = raman.activities[0] * 1e-40 / atomic_mass  # m^4/kg
    x = Planck * speed_of_light * k / (Boltzmann * 300.0)
    amplitude = Planck / (8 * np.pi**2 * speed_of_light * k)  # kg m^2
    sigma = 16 * np.pi**4 / 45 * (k_0 - k) ** 4 * amplitude * activity / (1 - np.exp(-x))
    assert found.stokes_cross_sections == pytest.approx([sigma * 1e34], rel=1e-5)
    assert found.to_dict()["units"]["stokes_cross_sections"] == "1e-30 cm^2/sr"
    assert found.activities is raman.activities


def test_stokes_lines_grow_with_heat_and_towards_the_blue() -> None:
    k = np.array([-50.0, 0.0, 100.0, 3000.0])
    weights = stokes_weights(k, 532.0, 300.0)
    assert np.isnan(weights[:2]).all()
    warm = stokes_weights(k, 532.0, 600.0)[2:] / weights[2:]
    x = 100.0 * invcm / (kB * 300.0)
    assert warm == pytest.approx([(1 - np.exp(-x)) / (1 - np.exp(-x / 2)), 1.0], rel=1e-3)
    blue = stokes_weights(k, 488.0, 300.0)[2:] / weights[2:]
    expected = ((1e7 / 488 - k[2:]) / (1e7 / 532 - k[2:])) ** 4
    assert blue == pytest.approx(expected)
    with pytest.raises(ConfigError, match=r"light of 5000 nm \(2000 1/cm\) cannot lose 3000 1/cm"):
        stokes_weights(k, 5000.0, 300.0)
    with pytest.raises(ConfigError, match="laser_nm must be a positive number"):
        stokes_weights(k, 0.0, 300.0)


def test_results_are_saved_with_units(tmp_path: Path) -> None:
    infrared_intensities(dimer(), polar_tensors([-0.2, 0.2])).save_csv(tmp_path / "ir.csv")
    header = (tmp_path / "ir.csv").read_text().splitlines()[0]
    assert header == "wavenumbers_per_cm (1/cm),intensities_km_per_mol (km/mol)"


def test_impossible_input_is_refused() -> None:
    modes = dimer()
    with pytest.raises(DataError, match=r"shape \[2, 3, 3\], not \[3, 3, 3\]"):
        infrared_intensities(modes, np.zeros((3, 3, 3)))
    with pytest.raises(DataError, match="not finite"):
        infrared_intensities(modes, np.full((2, 3, 3), np.nan))
    skew = np.zeros((2, 3, 3, 3))
    skew[1, 2, 0, 1] = 1.0
    with pytest.raises(DataError, match="polarizability derivatives are not symmetric"):
        raman_intensities(modes, skew)
