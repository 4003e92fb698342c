"""Infrared spectra by element, atom and mode, of motions whose shares are known."""

import numpy as np
import pytest
from harmonic_molecules import methane, water
from harmonic_motion import CM_PER_FS, thermal_segments
from scipy.spatial.transform import Rotation

from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.infrared import (
    dipole_flux,
    dipole_flux_of_atoms,
    infrared_spectrum_of_flux,
)
from md_runs.analysis.spectra.infrared_parts import dipole_flux_of_modes, infrared_parts
from md_runs.analysis.vibrations.mode_intensities import KM_PER_MOL, infrared_intensities
from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes
from mlpotential.errors import DataError

BORN = np.array([-0.66, 0.33, 0.33])[:, None, None] * np.eye(3) + (
    0.05 * np.arange(27).reshape(3, 3, 3) / 27
)
Motion = tuple[list[np.ndarray], list[np.ndarray]]


@pytest.fixture(scope="module")
def modes() -> NormalModes:
    atoms, hessian = water()
    return normal_modes(hessian, atoms.get_masses(), atoms.positions)


@pytest.fixture(scope="module")
def motion(modes: NormalModes) -> Motion:
    """Harmonic water with k_B T in each mode, 300 K."""
    return thermal_segments(
        modes.modes,
        modes.masses,
        modes.positions,
        modes.wavenumbers_per_cm,
        300.0,
        12,
        1.0 * np.arange(1600),
        seed=1,
        is_canonical=False,
    )


def test_elements_and_atoms_have_their_share_of_each_mode(
    modes: NormalModes, motion: Motion
) -> None:
    """A mode absorbs |d|^2, d = d mu / dQ the sum over atoms; atom i has d_i . d of it."""
    fluxes = [dipole_flux_of_atoms(v, BORN) for v in motion[0]]
    found = infrared_parts(fluxes, ["O", "H", "H"], 1.0, 300.0)
    whole = infrared_spectrum_of_flux([dipole_flux(v, BORN) for v in motion[0]], 1.0, 300.0)
    assert np.allclose(found.total.intensity, whole.intensity, atol=1e-9)
    assert np.allclose(found.intensities.sum(axis=0), whole.intensity, atol=1e-9)
    assert found.integrals.value.sum() == pytest.approx(whole.integral.value)
    shares = np.einsum("kix,ixy->kiy", modes.modes / np.sqrt(modes.masses)[:, None], BORN)
    exact = KM_PER_MOL * np.einsum("kiy,ky->ik", shares, shares.sum(axis=1))
    for label, of_atoms in (("O", exact[0]), ("H", exact[1] + exact[2])):
        part = found.part(label)
        assert part.quantity == f"infrared absorption of {label}"
        for k, expected in zip(modes.wavenumbers_per_cm, of_atoms, strict=True):
            assert part.area(k - 65, k + 65).value == pytest.approx(expected, rel=0.03)
    atoms = infrared_parts(fluxes, ["O1", "H2", "H3"], 1.0, 300.0)
    assert np.allclose(atoms.intensities[1:].sum(axis=0), found.intensities[1], atol=1e-9)


def test_modes_have_their_lines_while_the_molecule_turns(
    modes: NormalModes, motion: Motion
) -> None:
    expected = infrared_intensities(modes, BORN).intensities_km_per_mol
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    spin = np.array([0.0, 0.004, 0.003])
    turns = Rotation.from_rotvec(spin * np.arange(1600)[:, None]).as_matrix() @ turn
    fluxes = []
    for v, r in zip(*motion, strict=True):
        positions = np.einsum("fxy,fiy->fix", turns, r - modes.positions.mean(axis=0))
        velocities = np.einsum("fxy,fiy->fix", turns, v) + np.cross(spin, positions)
        fluxes.append(dipole_flux_of_modes(velocities, positions, modes, BORN))
    found = infrared_parts(fluxes, ["bend", "low", "high"], 1.0, 300.0)
    for label, k, intensity in zip(found.labels, modes.wavenumbers_per_cm, expected, strict=True):
        part = found.part(label)
        assert part.integral.value == pytest.approx(intensity, rel=0.06)
        assert part.area(k - 65, k + 65).value == pytest.approx(intensity, rel=0.06)
    assert np.allclose(found.intensities.sum(axis=0), found.total.intensity, atol=1e-9)


def test_modes_beside_fixed_atoms_absorb_without_turning() -> None:
    """Their own intensities; no frame is turned, and no centre of mass moves along."""
    atoms, hessian = methane()
    born = np.array([-0.4, 0.1, 0.1, 0.1, 0.1])[:, None, None] * np.eye(3)
    fixed = np.arange(5) > 1
    held = normal_modes(hessian, atoms.get_masses(), atoms.positions, fixed=fixed)
    v, r = thermal_segments(
        held.modes, held.masses, held.positions, held.wavenumbers_per_cm, 300.0, 4,
        1.0 * np.arange(2000), 0, is_canonical=False,
    )  # fmt: skip
    fluxes = [dipole_flux_of_modes(*pair, held, born) for pair in zip(v, r, strict=True)]
    rates = np.einsum("fix,ixy->fy", v[0], born)
    np.testing.assert_allclose(fluxes[0].sum(axis=1), rates, atol=1e-12)


def test_charges_that_screen_have_a_negative_part() -> None:
    """J_2 = -0.3 J_1 in phase: shares of 0.7 and -0.21, and 0.49 of both."""
    flux = np.zeros((4, 2000, 2, 3))
    phases = 0.3 * np.arange(4)[:, None] + 2 * np.pi * CM_PER_FS * 1000 * np.arange(2000)
    flux[..., 0, 0] = np.cos(phases)
    flux[..., 1, 0] = -0.3 * np.cos(phases)
    found = infrared_parts(flux, ["a", "b"], 1.0, 300.0, dynamics=Dynamics("TRPMD"))
    areas = [found.part(label).area(900, 1100).value for label in "ab"]
    whole = found.total.area(900, 1100).value
    assert areas == pytest.approx([whole * 0.7 / 0.49, whole * -0.21 / 0.49])
    assert found.total.quantum_correction == "Kubo"
    assert [check.name for check in found.total.checks] == ["thermostat (line broadening)"]
    assert "blocks" not in found.to_dict()


def test_what_does_not_belong_together_is_refused(modes: NormalModes, motion: Motion) -> None:
    fluxes = np.zeros((1, 50, 3, 3))
    with pytest.raises(DataError, match=r"2 labels need fluxes \[n_frames, 2, 3\]"):
        infrared_parts(fluxes, ["a", "b"], 1.0, 300.0)
    with pytest.raises(DataError, match="no part 'C': it is one of O, H"):
        infrared_parts(fluxes, ["O", "H", "H"], 1.0, 300.0).part("C")
    with pytest.raises(DataError, match="velocities and positions"):
        dipole_flux_of_modes(motion[0][0][:, :2], motion[1][0], modes, BORN)
