"""Raman activities of motions whose scattering is known."""

import numpy as np
import pytest
from harmonic_molecules import water
from harmonic_motion import thermal_segments

from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.raman import RamanSpectra, raman_spectra
from md_runs.analysis.vibrations.mode_intensities import RamanIntensities, raman_intensities
from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes
from mlpotential.errors import DataError

TIMES = 1.0 * np.arange(2000)


@pytest.fixture(scope="module")
def derivatives() -> np.ndarray:
    """Of the polarizability volume with the coordinates, [3, 3, 3, 3] (A^2)."""
    d = np.random.default_rng(0).normal(size=(3, 3, 3, 3))
    return 0.5 * (d + d.swapaxes(2, 3))


@pytest.fixture(scope="module")
def modes() -> NormalModes:
    atoms, hessian = water()
    return normal_modes(hessian, atoms.get_masses(), atoms.positions)


@pytest.fixture(scope="module")
def expected(modes: NormalModes, derivatives: np.ndarray) -> RamanIntensities:
    return raman_intensities(modes, derivatives)


@pytest.fixture(scope="module")
def polarizabilities(modes: NormalModes, derivatives: np.ndarray) -> list[np.ndarray]:
    rest = water()[0].positions
    _, positions = thermal_segments(
        modes.modes, modes.masses, rest, modes.wavenumbers_per_cm, 300.0, 6, TIMES, 1, False
    )
    static = 1.5 * np.eye(3)
    return [static + np.einsum("fia,iabc->fbc", r - rest, derivatives) for r in positions]


@pytest.fixture(scope="module")
def raman(polarizabilities: list[np.ndarray], expected: RamanIntensities) -> RamanSpectra:
    return raman_spectra(polarizabilities, 1.0, 300.0, activities=expected.activities)


def test_a_harmonic_molecule_scatters_what_its_normal_modes_do(
    raman: RamanSpectra, modes: NormalModes, expected: RamanIntensities
) -> None:
    for k, activity, ratio in zip(
        modes.wavenumbers_per_cm, expected.activities, expected.depolarization_ratios, strict=True
    ):
        assert raman.unpolarised.area(k - 65, k + 65).value == pytest.approx(activity, rel=0.02)
        assert raman.depolarization_ratio(k - 65, k + 65).value == pytest.approx(ratio, rel=0.02)
    assert raman.unpolarised.UNITS["integral"] == "A^4/amu"
    assert raman.unpolarised.failed_checks == ()
    assert "harmonic limit" in [check.name for check in raman.unpolarised.checks]


def test_combinations_add_up(raman: RamanSpectra) -> None:
    whole = raman.unpolarised.intensity
    assert np.allclose(raman.parallel.intensity + raman.perpendicular.intensity, whole)
    assert np.allclose(raman.isotropic.intensity + raman.anisotropic.intensity, whole)
    assert np.allclose(raman.perpendicular.intensity, 3 / 7 * raman.anisotropic.intensity)
    assert [s.quantity for s in (raman.parallel, raman.perpendicular)] == [
        "Raman activity, parallel",
        "Raman activity, perpendicular",
    ]


def test_a_breathing_sphere_is_polarised_and_a_turning_rod_is_not() -> None:
    t = 0.02 * np.pi * np.arange(1000)
    breathing = (5 + np.sin(t))[:, None, None] * np.eye(3)
    directions = np.stack([np.cos(t), np.sin(t), 0 * t], axis=1)
    turning = directions[:, :, None] * directions[:, None, :]
    sphere = raman_spectra(breathing[None], 1.0, 300.0)
    rod = raman_spectra(turning[None], 1.0, 300.0)
    assert np.abs(sphere.perpendicular.intensity).max() < 1e-12 * sphere.parallel.intensity.max()
    assert np.abs(rod.isotropic.intensity).max() < 1e-12 * rod.anisotropic.intensity.max()
    assert rod.depolarization_ratio(0, 2000).value == pytest.approx(0.75)


def test_intensities_do_not_depend_on_the_frame_of_reference(
    polarizabilities: list[np.ndarray], raman: RamanSpectra
) -> None:
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    turned = raman_spectra([turn @ alpha @ turn.T for alpha in polarizabilities], 1.0, 300.0)
    assert np.allclose(turned.parallel.intensity, raman.parallel.intensity, atol=1e-9)
    assert np.allclose(turned.perpendicular.intensity, raman.perpendicular.intensity, atol=1e-9)


def test_path_integrals_and_quantum_corrections_are_named(
    polarizabilities: list[np.ndarray],
) -> None:
    kubo = raman_spectra(polarizabilities[:2], 1.0, 300.0, dynamics=Dynamics("RPMD"))
    assert kubo.unpolarised.quantum_correction == "Kubo"
    standard = raman_spectra(polarizabilities[:2], 1.0, 300.0).with_quantum_correction("standard")
    assert {standard.isotropic.quantum_correction, standard.parallel.quantum_correction} == {
        "standard"
    }


@pytest.mark.slow
def test_ratios_have_honest_error_bars() -> None:
    """68 % bands of 200 runs hold the truth in 60-76 %."""
    rng, covered = np.random.default_rng(3), []
    # Independent elements of variance 4 (diagonal) and 2: a^2 = 4 / 3, g^2 = (3/2)(12 - 4 + 12).
    exact = 3 * 30 / (45 * 4 / 3 + 4 * 30)
    for _ in range(200):
        alpha = rng.normal(size=(16, 60, 3, 3))
        found = raman_spectra(alpha + alpha.swapaxes(2, 3), 1.0, 300.0)
        ratio = found.depolarization_ratio(500, 15_000)
        covered.append(abs(ratio.value - exact) < ratio.standard_error)
    assert 0.60 < np.mean(covered) < 0.76
    assert ratio.standard_error < 0.15 * exact


def test_impossible_input_is_refused() -> None:
    with pytest.raises(DataError, match=r"shape \[n_frames, 3, 3\], not \[50, 6\]"):
        raman_spectra(np.zeros((1, 50, 6)), 1.0, 300.0)
    alpha = np.tile(np.eye(3), (1, 50, 1, 1))
    alpha[0, 3, 0, 1] = 0.5
    with pytest.raises(DataError, match="not symmetric: elements differ by 0.5"):
        raman_spectra(alpha, 1.0, 300.0)
