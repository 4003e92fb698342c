"""Intensities against closed forms and against ASE's Infrared."""

from pathlib import Path

import numpy as np
import pytest
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

from md_runs.analysis.vibrations.irreps import mode_symmetries
from md_runs.analysis.vibrations.mode_intensities import infrared_intensities, raman_intensities
from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes
from md_runs.analysis.vibrations.point_groups import point_group
from md_runs.hessian import hessian_by_finite_differences
from mlpotential.errors import DataError


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
    assert found.depolarization_ratios[8] == pytest.approx(0, abs=1e-12)  # A1 of a cubic group


def test_what_does_not_scatter_has_no_depolarisation() -> None:
    atoms, hessian = carbon_dioxide()
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    found = raman_intensities(modes, bond_polarizabilities(modes.positions, [(0, 1), (0, 2)]))
    assert np.isnan(found.depolarization_ratios).tolist() == [True, True, False, True]
    assert 0 < found.depolarization_ratios[2] < 0.75


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
