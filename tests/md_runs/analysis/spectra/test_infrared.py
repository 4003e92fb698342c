"""Infrared spectra of motions whose absorption is known."""

import numpy as np
import pytest
from ase import units
from harmonic_molecules import water
from harmonic_motion import CM_PER_FS, gaussian_lines, thermal_segments

from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.infrared import (
    InfraredSpectrum,
    dipole_flux,
    infrared_spectrum,
    infrared_spectrum_of_flux,
)
from md_runs.analysis.spectra.spectrum import cosine_transform
from md_runs.analysis.vibrations.mode_intensities import (
    KM_PER_MOL,
    InfraredIntensities,
    infrared_intensities,
)
from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes
from mlpotential.errors import ConfigError, DataError

CHARGES = np.array([-0.66, 0.33, 0.33])
BORN = CHARGES[:, None, None] * np.eye(3) + 0.05 * np.arange(27).reshape(3, 3, 3) / 27
TIMES = 1.0 * np.arange(2000)


@pytest.fixture(scope="module")
def modes() -> NormalModes:
    atoms, hessian = water()
    return normal_modes(hessian, atoms.get_masses(), atoms.positions)


@pytest.fixture(scope="module")
def intensities(modes: NormalModes) -> InfraredIntensities:
    return infrared_intensities(modes, BORN)


def motion(
    modes: NormalModes, n_segments: int, is_canonical: bool
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Velocities and positions of harmonic water at 300 K, three modes."""
    rest = water()[0].positions
    return thermal_segments(
        modes.modes,
        modes.masses,
        rest,
        modes.wavenumbers_per_cm,
        300.0,
        n_segments,
        TIMES,
        seed=1,
        is_canonical=is_canonical,
    )


def dipoles_of(positions: np.ndarray) -> np.ndarray:
    """Linear in the positions, with the Born charges as derivatives."""
    return np.einsum("fix,ixy->fy", positions, BORN)


def bands(spectrum: InfraredSpectrum, modes: NormalModes) -> list[float]:
    """Areas around the wavenumbers of the modes; the two stretches lie 140 1/cm apart."""
    return [spectrum.area(k - 65, k + 65).value for k in modes.wavenumbers_per_cm]


def test_a_harmonic_molecule_absorbs_what_its_normal_modes_do(
    modes: NormalModes, intensities: InfraredIntensities
) -> None:
    """With k_B T in each mode the intensities are exact, up to the window."""
    assert np.all(np.diff(modes.wavenumbers_per_cm) > 130)
    velocities, positions = motion(modes, 8, is_canonical=False)
    expected = intensities.intensities_km_per_mol
    assert np.all(expected > 1.0)
    from_dipoles = infrared_spectrum([dipoles_of(r) for r in positions], 1.0, 300.0)
    from_flux = infrared_spectrum_of_flux([dipole_flux(v, BORN) for v in velocities], 1.0, 300.0)
    for spectrum in (from_dipoles, from_flux):
        assert bands(spectrum, modes) == pytest.approx(expected, rel=0.02)
        assert spectrum.integral.value == pytest.approx(expected.sum(), rel=0.02)
        k = spectrum.wavenumbers_per_cm
        for wavenumber in modes.wavenumbers_per_cm:
            near = np.abs(k - wavenumber) < 60
            top = k[near][np.argmax(spectrum.intensity[near])]
            assert abs(top - wavenumber) <= spectrum.spacing_per_cm / 2 + 0.1
        assert spectrum.UNITS["intensity"] == "km/mol cm"
        assert (spectrum.temperature_K, spectrum.quantum_correction) == (300.0, "classical")
    assert from_dipoles.corrections == ("damping of differences over 1 frame (sinc^2)",)
    assert from_flux.corrections == ()


def test_a_canonical_run_does_so_within_its_error(
    modes: NormalModes, intensities: InfraredIntensities
) -> None:
    _, positions = motion(modes, 60, is_canonical=True)
    expected = intensities.intensities_km_per_mol
    spectrum = infrared_spectrum(
        [dipoles_of(r) for r in positions], 1.0, 300.0, intensities_km_per_mol=expected
    )
    for wavenumber, intensity in zip(modes.wavenumbers_per_cm, expected, strict=True):
        found = spectrum.area(wavenumber - 65, wavenumber + 65)
        assert abs(found.value - intensity) < 3 * found.standard_error + 0.02 * intensity
        assert found.standard_error < 0.25 * intensity
    assert spectrum.failed_checks == ()
    wrong = infrared_spectrum(
        [dipoles_of(r) for r in positions], 1.0, 300.0, intensities_km_per_mol=3 * expected
    )
    assert [check.name for check in wrong.failed_checks] == ["harmonic limit"]


@pytest.mark.slow
def test_error_bars_cover_the_truth() -> None:
    """200 runs of three Gaussian processes with known lines: 68 % bands of intensity and areas."""
    lines, widths, dt, n_lags = np.array([500.0, 1500.0, 3000.0]), np.full(3, 300.0), 1.0, 100
    series = gaussian_lines((200, 12), lines, widths, dt, 400, seed=6)
    runs = [infrared_spectrum(run.swapaxes(1, 2), dt, 300.0, n_lags) for run in series]
    t = dt * np.arange(-1, n_lags + 1)
    phase = 2 * np.pi * CM_PER_FS * t
    dipole = np.exp(-((widths[:, None] / 2.3548 * phase) ** 2) / 2) * np.cos(lines[:, None] * phase)
    flux = (2 * dipole[:, 1:-1] - dipole[:, 2:] - dipole[:, :-2]) / dt**2  # of differences
    k, transform = cosine_transform(flux.sum(axis=0), dt)
    undamped = transform / np.sinc(k * dt * CM_PER_FS) ** 2
    per_kT = KM_PER_MOL / (units.fs**2 * units.kB * 300.0)
    covered = {"intensity": [], "area": []}
    for run in runs:
        k = run.wavenumbers_per_cm
        truth = per_kT * undamped[: len(k)]
        inside = np.abs(k[:, None] - lines).min(axis=1) < 300
        error = run.standard_error[inside]
        covered["intensity"].append(np.abs(run.intensity - truth)[inside] < error)
        for line in lines:
            area, band = run.area(line - 400, line + 400), np.abs(k - line) <= 400
            exact = np.trapezoid(truth[band], k[band])
            covered["area"].append(abs(area.value - exact) < area.standard_error)
    share = {name: np.mean(inside) for name, inside in covered.items()}
    assert all(0.60 < s < 0.76 for s in share.values()), share


def test_components_keep_their_relative_intensities() -> None:
    """Amplitudes 1 at 1000 and 0.01 at 1700 1/cm: a flux ratio of (1000 / 17)^2 = 3460, where a
    program that standardises each component finds 1.004."""
    t = 0.5 * np.arange(60_000)
    w = 2 * np.pi * CM_PER_FS
    dipole = np.stack([np.sin(w * 1000 * t), 0.01 * np.sin(w * 1700 * t), 0 * t], axis=1)
    spectrum = infrared_spectrum(dipole[None], 0.5, 300.0, n_lags=6000)
    ratio = spectrum.area(900, 1100).value / spectrum.area(1650, 1750).value
    assert ratio == pytest.approx(3460, rel=0.01)


def test_a_dipole_that_only_turns_is_seen() -> None:
    """Of constant length, so that a transform of |mu| would be empty: rotation at 200 1/cm."""
    t = 1.0 * np.arange(4000)
    angle = 2 * np.pi * CM_PER_FS * 200 * t
    dipole = np.stack([np.cos(angle), np.sin(angle), 0 * t], axis=1)
    spectrum = infrared_spectrum(dipole[None], 1.0, 300.0)
    top = spectrum.wavenumbers_per_cm[np.argmax(spectrum.intensity)]
    assert abs(top - 200) <= spectrum.spacing_per_cm / 2
    assert spectrum.area(150, 250).value == pytest.approx(spectrum.integral.value, rel=0.02)


def test_quantum_corrections_are_named_and_can_be_exchanged(modes: NormalModes) -> None:
    _, positions = motion(modes, 3, is_canonical=True)
    dipoles = [dipoles_of(r) for r in positions]
    classical = infrared_spectrum(dipoles, 1.0, 300.0)
    harmonic = classical.with_quantum_correction("harmonic")
    assert np.array_equal(harmonic.intensity, classical.intensity)
    assert harmonic.quantum_correction == "harmonic"
    standard = harmonic.with_quantum_correction("standard")
    half = classical.wavenumbers_per_cm[1:] / (2 * 0.6950348 * 300.0)
    expected = classical.intensity[1:] * np.tanh(half) / half
    assert np.allclose(standard.intensity[1:], expected, rtol=1e-4, atol=0)
    assert standard.integral.value < classical.integral.value
    back = standard.with_quantum_correction("classical")
    assert np.allclose(back.standard_error, classical.standard_error)
    rpmd = infrared_spectrum(dipoles, 1.0, 300.0, dynamics=Dynamics("TRPMD"))
    assert (rpmd.quantum_correction, rpmd.dynamics) == ("Kubo", "TRPMD")
    assert np.array_equal(rpmd.intensity, classical.intensity)
    with pytest.raises(ConfigError, match="'Kubo', which 'Schofield' cannot replace"):
        rpmd.with_quantum_correction("Schofield")
    with pytest.raises(ConfigError, match="cannot replace"):
        classical.with_quantum_correction("Kubo")


def test_pieces_of_one_run_are_the_run() -> None:
    dipoles = np.random.default_rng(3).normal(size=(1000, 3)).cumsum(axis=0)
    whole = infrared_spectrum(dipoles[None], 1.0, 300.0, 100)
    pieces = infrared_spectrum(
        iter(np.split(dipoles, [1, 300, 301, 900])), 1.0, 300.0, 100, contiguous=True
    )
    assert np.allclose(pieces.intensity, whole.intensity, rtol=0, atol=1e-9 * whole.intensity.max())
    assert pieces.n_frames == 999  # differences


@pytest.mark.parametrize("are_frequent", [False, True])
def test_a_change_of_branch_is_told(are_frequent: bool) -> None:
    """Fault: dipole branch jumps in periodic systems."""
    t = 1.0 * np.arange(1000)
    w = 2 * np.pi * CM_PER_FS * 500
    dipoles = 0.1 * np.stack([np.sin(w * t), np.cos(w * t), np.sin(w * t + 1)], axis=1)
    if are_frequent:
        dipoles[:, 0] += 10.0 * (t // 50 % 2)
    else:
        dipoles[417:, 2] += 10.0
    n_jumps = 19 if are_frequent else 1
    with pytest.warns(UserWarning, match=f"dipoles jump {n_jumps} times"):
        spectrum = infrared_spectrum(dipoles[None], 1.0, 300.0)
    assert [check.name for check in spectrum.failed_checks] == ["continuity of dipoles (jumps)"]
    assert spectrum.failed_checks[0].value == n_jumps


def test_impossible_input_is_refused() -> None:
    good = np.random.default_rng(4).normal(size=(1, 50, 3))
    with pytest.raises(DataError, match=r"shape \[n_frames, 3\], not \[50, 3, 3\]"):
        infrared_spectrum(np.zeros((1, 50, 3, 3)), 1.0, 300.0)
    with pytest.raises(DataError, match="temperature_K must be positive"):
        infrared_spectrum(good, 1.0, 0.0)
    with pytest.raises(DataError, match="timestep_fs must be positive"):
        infrared_spectrum_of_flux(good, float("nan"), 300.0)
    with pytest.raises(ConfigError, match="window of 60 frames does not fit"):
        infrared_spectrum_of_flux(good, 1.0, 300.0, 60)
    broken = good.copy()
    broken[0, 7, 1] = np.inf
    with pytest.raises(DataError, match=r"dipoles \(segment 0\) of frame 7"):
        infrared_spectrum(broken, 1.0, 300.0)
    with pytest.raises(DataError, match="Born charges"):
        dipole_flux(np.zeros((9, 4, 3)), np.zeros((8, 4, 3, 3)))


def test_born_charges_may_change_with_the_frames() -> None:
    rng = np.random.default_rng(5)
    velocities, charges = rng.normal(size=(4, 3, 3)), rng.normal(size=(4, 3, 3, 3))
    expected = [
        sum(v[i] @ z[i] for i in range(3)) for v, z in zip(velocities, charges, strict=True)
    ]
    assert np.allclose(dipole_flux(velocities, charges), expected)
    fixed = dipole_flux(velocities, charges[0])
    assert np.allclose(fixed[2], sum(velocities[2, i] @ charges[0, i] for i in range(3)))
