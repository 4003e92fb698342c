"""Vibrational density of states of motions whose spectrum is known."""

from typing import Any

import numpy as np
import pytest
from ase import units
from ase.build import molecule
from scipy.spatial.transform import Rotation

from md_runs.analysis.rigid_body import without_rotation, without_translation
from md_runs.analysis.spectra import Spectrum, vibrational_density_of_states
from mlpotential.errors import ConfigError, InputError

CM_PER_FS = 2.99792458e-5


def oscillators(
    modes: np.ndarray,
    masses: np.ndarray,
    rest: np.ndarray,
    wavenumbers_per_cm: np.ndarray,
    speeds: np.ndarray,
    times_fs: np.ndarray,
    phases: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Velocities (A/fs) and positions (A) of independent harmonic modes, [n_frames, n_atoms, 3].

    Speeds are amplitudes of the mass-weighted mode velocities (sqrt(amu) A/fs), [n_modes].
    """
    omega = 2 * np.pi * CM_PER_FS * wavenumbers_per_cm
    angles = omega * times_fs[:, None] + phases
    cartesian = modes / np.sqrt(masses)[:, None]
    velocities = np.einsum("fk,kix->fix", speeds * np.cos(angles), cartesian)
    displacements = np.einsum("fk,kix->fix", speeds / omega * np.sin(angles), cartesian)
    return velocities, rest + displacements


def dimer(
    wavenumber_per_cm: float, n_frames: int, timestep_fs: float, phase: float = 0.3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Velocities, positions and masses of a harmonic dimer along x."""
    masses = np.array([12.0, 16.0])
    mode = np.zeros((1, 2, 3))
    mode[0, :, 0] = np.array([1.0, -12 / 16]) * np.sqrt(masses)
    mode /= np.linalg.norm(mode)
    rest = np.array([[0.0, 0, 0], [1.1, 0, 0]])
    v, r = oscillators(
        mode,
        masses,
        rest,
        np.array([wavenumber_per_cm]),
        np.array([0.01]),
        np.arange(n_frames) * timestep_fs,
        np.array([phase]),
    )
    return v[None], r[None], masses


def peak(spectrum: Spectrum) -> float:
    return float(spectrum.wavenumbers_per_cm[np.argmax(spectrum.density)])


def area(spectrum: Spectrum, low: float, high: float) -> float:
    """Integral of the density between two wavenumbers (1/cm)."""
    inside = (spectrum.wavenumbers_per_cm > low) & (spectrum.wavenumbers_per_cm < high)
    return float(np.trapezoid(spectrum.density[inside], spectrum.wavenumbers_per_cm[inside]))


@pytest.mark.parametrize("wavenumber_per_cm", [400.0, 1800.0, 3456.7])
@pytest.mark.parametrize("n_frames", [4096, 4099, 5000])
def test_harmonic_dimer_has_one_line_of_one_mode(wavenumber_per_cm: float, n_frames: int) -> None:
    velocities, positions, masses = dimer(wavenumber_per_cm, n_frames, timestep_fs=0.5)
    spectrum = vibrational_density_of_states(velocities, positions, masses, 0.5)
    assert spectrum.n_modes == 1  # a diatomic is linear: 3N - 5
    assert abs(peak(spectrum) - wavenumber_per_cm) <= spectrum.spacing_per_cm / 2
    assert spectrum.integral == pytest.approx(1.0, rel=1e-10)
    around = area(spectrum, wavenumber_per_cm - 100, wavenumber_per_cm + 100)
    assert around == pytest.approx(1.0, abs=0.01)


def test_the_stated_resolution_is_the_width_of_a_line() -> None:
    velocities, positions, masses = dimer(1000.0, 20_000, timestep_fs=0.5)
    spectrum = vibrational_density_of_states(velocities, positions, masses, 0.5, n_lags=4096)
    above_half = spectrum.wavenumbers_per_cm[spectrum.density > spectrum.density.max() / 2]
    width = above_half[-1] - above_half[0]
    assert spectrum.resolution_per_cm == pytest.approx(1 / (CM_PER_FS * 2048), rel=1e-12)
    assert abs(width - spectrum.resolution_per_cm) < 2 * spectrum.spacing_per_cm
    assert spectrum.spacing_per_cm < spectrum.resolution_per_cm / 3.9
    assert (spectrum.window, spectrum.n_lags, spectrum.timestep_fs) == ("Hann", 4096, 0.5)


def test_two_lines_apart_by_the_resolution_are_seen_apart() -> None:
    masses = np.ones(2)
    velocities, rest = [], np.array([[0.0, 0, 0], [2.0, 0, 0]])
    modes = np.zeros((2, 2, 3))
    modes[0, 0, 0] = modes[1, 1, 0] = 1.0
    spacing = 1.3 / (CM_PER_FS * 2000)
    for phases in np.random.default_rng(0).uniform(0, 2 * np.pi, (4, 2)):
        v, _ = oscillators(
            modes,
            masses,
            rest,
            np.array([1000.0, 1000.0 + spacing]),
            np.full(2, 0.01),
            np.arange(8000) * 1.0,
            phases,
        )
        velocities.append(v)
    spectrum = vibrational_density_of_states(
        velocities, [np.broadcast_to(rest, (8000, 2, 3))] * 4, masses, 1.0, 2000, "nothing"
    )
    k = np.searchsorted(spectrum.wavenumbers_per_cm, 1000.0 + spacing / 2)
    assert spectrum.density[k] < 0.9 * spectrum.density.max()


def test_amplitudes_keep_their_ratio() -> None:
    """An intensity ratio of 10^4 that standardised components would bring to 1."""
    masses, rest = np.array([5.0, 1.0]), np.array([[0.0, 0, 0], [2.0, 0, 0]])
    modes = np.zeros((2, 2, 3))
    modes[0, 0, 0] = modes[1, 1, 1] = 1.0
    v, r = oscillators(
        modes,
        masses,
        rest,
        np.array([1000.0, 1700.0]),
        np.array([1e-2, 1e-4]),
        np.arange(8192) * 0.5,
        np.array([0.1, 2.0]),
    )
    spectrum = vibrational_density_of_states(
        v[None], r[None], masses, 0.5, n_lags=4000, removed="nothing"
    )
    strong, weak = (np.argmin(np.abs(spectrum.wavenumbers_per_cm - w)) for w in (1000.0, 1700.0))
    assert spectrum.density[strong] / spectrum.density[weak] == pytest.approx(1e4, rel=0.05)
    assert spectrum.n_modes == 6


def test_white_noise_is_flat_within_its_error_bars() -> None:
    """Independent velocities: the density is the same from 0 to the Nyquist wavenumber."""
    rng = np.random.default_rng(7)
    masses = molecule("CH4").get_masses()
    velocities = rng.normal(size=(40, 1009, 5, 3)) * 0.01 / np.sqrt(masses)[:, None]
    positions = np.broadcast_to(molecule("CH4").positions, velocities.shape)
    spectrum = vibrational_density_of_states(velocities, positions, masses, 1.0, n_lags=50)
    nyquist = 1 / (2 * CM_PER_FS)
    assert spectrum.n_modes == 9
    assert spectrum.integral == pytest.approx(9, rel=0.01)
    deviation = (spectrum.density - 9 / nyquist) / spectrum.standard_error
    assert np.sqrt(np.mean(deviation**2)) == pytest.approx(1.0, abs=0.35)
    assert np.max(np.abs(deviation)) < 5
    temperature = 1e-4 / units.fs**2 / units.kB  # one Gaussian per component of sqrt(m) v
    assert abs(spectrum.kinetic_temperature_K.value - temperature) < (
        4 * spectrum.kinetic_temperature_K.standard_error
    )


def equipartition(n_segments: int, **options: Any) -> Spectrum:
    """Water with a spring Hessian's modes, each in a thermal state of 300 K, flying and turning."""
    water = molecule("H2O")
    masses = water.get_masses()
    rest = water.positions - water.get_center_of_mass()
    rng = np.random.default_rng(8)
    basis = np.linalg.svd(_rigid(rest, masses))[2][6:].reshape(3, 3, 3)
    speed = np.sqrt(300 * units.kB) * units.fs
    velocities, positions = [], []
    for _ in range(n_segments):
        v, r = oscillators(
            basis,
            masses,
            rest,
            np.array([800.0, 1600.0, 2400.0]),
            speed * np.linalg.norm(rng.normal(size=(2, 3)), axis=0),
            np.arange(3001) * 1.0,
            rng.uniform(0, 2 * np.pi, 3),
        )
        drift = np.array([0.003, -0.002, 0.001])
        velocities.append(v + drift)
        positions.append(r + drift * np.arange(3001)[:, None, None])
    return vibrational_density_of_states(velocities, positions, masses, 1.0, n_lags=800, **options)


def _rigid(rest: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Translations and rotations, mass-weighted, [6, 9]."""
    axes = np.eye(3)
    vectors = [np.tile(e, (3, 1)) for e in axes] + [np.cross(e, rest) for e in axes]
    return np.array([(np.sqrt(masses)[:, None] * x).ravel() for x in vectors])


def test_each_mode_counts_once_at_the_temperature_of_the_run() -> None:
    spectrum = equipartition(400)
    temperature = spectrum.kinetic_temperature_K
    assert spectrum.n_modes == 3
    assert spectrum.integral == pytest.approx(3, rel=1e-9)
    assert abs(temperature.value - 300) < 4 * temperature.standard_error < 60
    for wavenumber in (800.0, 1600.0, 2400.0):
        assert area(spectrum, wavenumber - 200, wavenumber + 200) == pytest.approx(1.0, abs=0.15)


def test_error_bars_cover_the_exact_density() -> None:
    spectra = [equipartition(n) for n in (40, 400)]
    k = np.argmin(np.abs(spectra[1].wavenumbers_per_cm - 1600.0))
    few, many = (s.density[k] for s in spectra)
    assert abs(few - many) < 3 * spectra[0].standard_error[k]
    ratio = spectra[0].standard_error[k] / spectra[1].standard_error[k]
    assert ratio == pytest.approx(np.sqrt(10), rel=0.35)


def test_segments_count_by_their_energy() -> None:
    """A canonical average: four times the energy in one mode, four times its density."""
    masses, rest = np.ones(2), np.array([[0.0, 0, 0], [2.0, 0, 0]])
    modes = np.zeros((2, 2, 3))
    modes[0, 0, 0] = modes[1, 1, 1] = 1.0
    times, phases = np.arange(4000) * 1.0, np.array([0.1, 2.0])
    wavenumbers = np.array([800.0, 1600.0])
    segments = [
        oscillators(modes, masses, rest, wavenumbers, np.array(speeds), times, phases)
        for speeds in ([0.02, 0.0], [0.0, 0.01])
    ]
    spectrum = vibrational_density_of_states(
        [v for v, _ in segments], [r for _, r in segments], masses, 1.0, 1000, "nothing"
    )
    ratio = area(spectrum, 600, 1000) / area(spectrum, 1400, 1800)
    assert ratio == pytest.approx(4.0, rel=0.01)


def test_segments_that_differ_in_energy_only_agree_on_the_density() -> None:
    velocities, positions, masses = dimer(500.0, 1000, 1.0)
    spectrum = vibrational_density_of_states(
        [*velocities, *(3 * velocities)], [*positions, *positions], masses, 1.0
    )
    assert spectrum.standard_error.max() < 1e-12 * spectrum.density.max()
    assert spectrum.kinetic_temperature_K.standard_error > 0


def test_motion_of_the_whole_molecule_is_removed_on_request_only() -> None:
    kept, removed = equipartition(2, removed="nothing"), equipartition(2, removed="translation")
    assert (kept.n_modes, removed.n_modes) == (9, 6)
    assert kept.density[0] > 10 * np.abs(removed.density[0])


def test_a_rotating_rigid_body_has_no_vibrational_velocity() -> None:
    rest, masses = molecule("CH3OH").positions, molecule("CH3OH").get_masses()
    rest = rest - masses @ rest / masses.sum()
    spin = np.array([0.02, -0.01, 0.03])
    positions = np.stack([Rotation.from_rotvec(spin * t).apply(rest) for t in range(20)])
    velocities = np.cross(spin, positions) + np.array([0.1, 0.2, 0.3])
    internal = without_translation(velocities, masses)
    internal = without_rotation(internal, positions + 7.0, masses, is_linear=False)
    assert np.abs(internal).max() < 1e-14


def test_removing_rotation_leaves_a_vibration_alone() -> None:
    rng = np.random.default_rng(9)
    rest, masses = molecule("CH3OH").positions, molecule("CH3OH").get_masses()
    rest = rest - masses @ rest / masses.sum()
    velocities = without_translation(rng.normal(size=(5, 6, 3)), masses)
    positions = np.broadcast_to(rest, velocities.shape)
    once = without_rotation(velocities, positions, masses, is_linear=False)
    assert np.abs(np.einsum("i,fix->fx", masses, np.cross(positions, once))).max() < 1e-12
    assert np.allclose(without_rotation(once, positions, masses, is_linear=False), once)


def test_a_linear_molecule_keeps_both_bends_while_it_bends() -> None:
    masses, rest = molecule("CO2").get_masses(), molecule("CO2").positions
    axis = (rest[2] - rest[1]) / np.linalg.norm(rest[2] - rest[1])
    normals = np.linalg.svd(axis[None])[2][1:]
    shape = np.array([-2 / masses[0], 1 / masses[1], 1 / masses[2]])
    bends = np.array([np.sqrt(masses)[:, None] * np.outer(shape, n) for n in normals])
    bends /= np.linalg.norm(bends, axis=(1, 2), keepdims=True)
    v, r = oscillators(
        bends,
        masses,
        rest,
        np.array([667.0, 667.0]),
        np.full(2, np.sqrt(600 * units.kB) * units.fs),
        np.arange(4001) * 1.0,
        np.array([0.0, np.pi / 2]),
    )
    spectrum = vibrational_density_of_states(v[None], r[None], masses, 1.0)
    assert spectrum.n_modes == 4
    assert abs(peak(spectrum) - 667.0) <= spectrum.spacing_per_cm / 2
    assert spectrum.kinetic_temperature_K.value == pytest.approx(2 * 300 / 4, rel=0.01)


def test_one_segment_has_no_error_bar() -> None:
    spectrum = vibrational_density_of_states(*dimer(500.0, 100, 1.0), 1.0)
    assert np.isnan(spectrum.standard_error).all()
    assert np.isnan(spectrum.kinetic_temperature_K.standard_error)


def test_a_single_frame_is_refused() -> None:
    velocities, positions, masses = dimer(500.0, 1, 1.0)
    with pytest.raises(InputError, match="at least 2 frames"):
        vibrational_density_of_states(velocities, positions, masses, 1.0)


@pytest.mark.parametrize("n_lags", [1, 101])
def test_a_window_longer_than_the_run_is_refused(n_lags: int) -> None:
    velocities, positions, masses = dimer(500.0, 100, 1.0)
    with pytest.raises(ConfigError, match=f"window of {n_lags} frames does not fit .* 100 frames"):
        vibrational_density_of_states(velocities, positions, masses, 1.0, n_lags=n_lags)


def test_impossible_input_is_refused() -> None:
    velocities, positions, masses = dimer(500.0, 100, 1.0)

    def expect(message: str, **changes: Any) -> None:
        given = {"velocities": velocities, "positions": positions, "masses": masses}
        with pytest.raises(InputError, match=message):
            vibrational_density_of_states(**{**given, "timestep_fs": 1.0, **changes})

    broken = velocities.copy()
    broken[0, 42] = np.nan
    expect(r"velocities \(segment 0\) of frame 42 are not finite", velocities=broken)
    expect("as many segments", velocities=[])
    expect("as many segments", positions=[*positions, *positions])
    expect("segment 0 has velocities", positions=positions[:, :, :1])
    expect("2 atoms need masses", masses=np.ones(3))
    expect("timestep_fs must be positive", timestep_fs=0.0)
    expect("no atom moves", velocities=0 * velocities)
    expect("removed must be one of", removed="rotation")
    expect(
        "1 atom has no vibrations",
        velocities=velocities[:, :, :1],
        positions=positions[:, :, :1],
        masses=masses[:1],
    )
