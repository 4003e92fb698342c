"""Vibrational density of states of motions whose spectrum is known."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from ase import units
from ase.build import molecule
from harmonic_molecules import carbon_dioxide, methane, turned, water
from harmonic_motion import CM_PER_FS, gaussian_lines, oscillators, thermal_segments
from scipy.spatial.transform import Rotation

from md_runs.analysis.spectra.density_of_states import (
    VibrationalSpectrum,
    decomposed_density_of_states,
    vibrational_density_of_states,
)
from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.spectrum import cosine_transform
from md_runs.analysis.spectra.vibrational_motion import ModeProjection
from md_runs.analysis.vibrations.degrees_of_freedom import degrees_of_freedom
from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes
from mlpotential.errors import ConfigError, DataError, InputError


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


def peak(spectrum: VibrationalSpectrum) -> float:
    return float(spectrum.wavenumbers_per_cm[np.argmax(spectrum.intensity)])


def area(spectrum: VibrationalSpectrum, low: float, high: float) -> float:
    """Integral of the density between two wavenumbers (1/cm)."""
    inside = (spectrum.wavenumbers_per_cm > low) & (spectrum.wavenumbers_per_cm < high)
    return float(np.trapezoid(spectrum.intensity[inside], spectrum.wavenumbers_per_cm[inside]))


@pytest.mark.parametrize("wavenumber_per_cm", [400.0, 1800.0, 3456.7])
@pytest.mark.parametrize("n_frames", [4096, 4099, 5000])
def test_harmonic_dimer_has_one_line_of_one_mode(wavenumber_per_cm: float, n_frames: int) -> None:
    velocities, positions, masses = dimer(wavenumber_per_cm, n_frames, timestep_fs=0.5)
    spectrum = vibrational_density_of_states(velocities, positions, masses, 0.5)
    assert spectrum.n_modes == 1  # a diatomic is linear: 3N - 5
    assert abs(peak(spectrum) - wavenumber_per_cm) <= spectrum.spacing_per_cm / 2
    assert spectrum.integral.value == pytest.approx(1.0, rel=1e-10)
    around = area(spectrum, wavenumber_per_cm - 100, wavenumber_per_cm + 100)
    assert around == pytest.approx(1.0, abs=0.01)


def test_the_stated_resolution_is_the_width_of_a_line() -> None:
    velocities, positions, masses = dimer(1000.0, 20_000, timestep_fs=0.5)
    spectrum = vibrational_density_of_states(velocities, positions, masses, 0.5, n_lags=4096)
    above_half = spectrum.wavenumbers_per_cm[spectrum.intensity > spectrum.intensity.max() / 2]
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
    assert spectrum.intensity[k] < 0.9 * spectrum.intensity.max()


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
    assert spectrum.intensity[strong] / spectrum.intensity[weak] == pytest.approx(1e4, rel=0.05)
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
    assert spectrum.integral.value == pytest.approx(9, rel=0.01)
    deviation = (spectrum.intensity - 9 / nyquist) / spectrum.standard_error
    assert np.sqrt(np.mean(deviation**2)) == pytest.approx(1.0, abs=0.35)
    assert np.max(np.abs(deviation)) < 5
    temperature = 1e-4 / units.fs**2 / units.kB  # one Gaussian per component of sqrt(m) v
    assert abs(spectrum.kinetic_temperature_K.value - temperature) < (
        4 * spectrum.kinetic_temperature_K.standard_error
    )


@cache
def equipartition(n_segments: int, **options: Any) -> VibrationalSpectrum:
    """Water with three modes, each in a thermal state of 300 K, flying."""
    atoms = molecule("H2O")
    masses = atoms.get_masses()
    rest = atoms.positions - atoms.get_center_of_mass()
    basis = np.linalg.svd(_rigid(rest, masses))[2][6:].reshape(3, 3, 3)
    times = 2.0 * np.arange(501)
    velocities, positions = thermal_segments(
        basis, masses, rest, np.array([800.0, 1600.0, 2400.0]), 300.0, n_segments, times, seed=8
    )
    drift = np.array([0.003, -0.002, 0.001])
    return vibrational_density_of_states(
        [v + drift for v in velocities],
        [r + drift * times[:, None, None] for r in positions],
        masses,
        2.0,
        n_lags=400,
        **options,
    )


def _rigid(rest: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Translations and rotations, mass-weighted, [6, 9]."""
    axes = np.eye(3)
    vectors = [np.tile(e, (3, 1)) for e in axes] + [np.cross(e, rest) for e in axes]
    return np.array([(np.sqrt(masses)[:, None] * x).ravel() for x in vectors])


def test_each_mode_counts_once_at_the_temperature_of_the_run() -> None:
    spectrum = equipartition(300)
    temperature = spectrum.kinetic_temperature_K
    assert spectrum.n_modes == 3
    assert spectrum.integral.value == pytest.approx(3, rel=1e-9)
    assert abs(temperature.value - 300) < 4 * temperature.standard_error < 60
    for wavenumber in (800.0, 1600.0, 2400.0):
        assert area(spectrum, wavenumber - 200, wavenumber + 200) == pytest.approx(1.0, abs=0.15)


@pytest.mark.slow
def test_error_bars_cover_the_truth() -> None:
    """200 runs of three atoms that move along one line each: 68 % bands of the density, of the
    share of each atom and of the temperature, all normalised by the energy found."""
    lines, widths, dt, n_lags = np.array([500.0, 1500.0, 3000.0]), np.full(3, 300.0), 1.0, 100
    series = gaussian_lines((200, 12), lines, widths, dt, 400, seed=4)
    t = 2 * np.pi * CM_PER_FS * dt * np.arange(n_lags)
    exact = np.exp(-((widths[:, None] / 2.3548 * t) ** 2) / 2) * np.cos(lines[:, None] * t)
    k, transform = cosine_transform(exact.sum(axis=0), dt)
    inside = np.abs(k[:, None] - lines).min(axis=1) < 300
    temperature = 3 / 9 / (units.fs**2 * units.kB)  # nine degrees of freedom, six at rest
    covered = {"density": [], "shares": [], "temperature": []}
    for run in series:
        velocities = np.zeros((12, 400, 3, 3))
        velocities[..., 0] = run.swapaxes(1, 2)
        found = decomposed_density_of_states(
            velocities, None, np.ones(3), dt, ["A", "B", "C"], n_lags, "nothing"
        )
        total, shares = found.total, found.integrals
        error = total.standard_error[inside]
        covered["density"].append(np.abs(total.intensity - 3 * transform)[inside] < error)
        covered["shares"].append(np.abs(shares.value - 3) < shares.standard_error)
        kelvin = total.kinetic_temperature_K
        covered["temperature"].append(abs(kelvin.value - temperature) < kelvin.standard_error)
    share = {name: np.mean(within) for name, within in covered.items()}
    assert all(0.60 < s < 0.76 for s in share.values()), share


def test_error_bars_shrink_with_the_root_of_the_run() -> None:
    spectra = [equipartition(n) for n in (30, 300)]
    k = np.argmin(np.abs(spectra[1].wavenumbers_per_cm - 1600.0))
    few, many = (s.intensity[k] for s in spectra)
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
    assert spectrum.standard_error.max() < 1e-12 * spectrum.intensity.max()
    assert spectrum.kinetic_temperature_K.standard_error > 0


def test_motion_of_the_whole_molecule_is_removed_on_request_only() -> None:
    kept, removed = equipartition(2, removed="nothing"), equipartition(2, removed="translation")
    assert (kept.n_modes, removed.n_modes) == (9, 6)
    assert kept.intensity[0] > 10 * np.abs(removed.intensity[0])


def test_a_rotating_rigid_body_has_no_vibrational_velocity() -> None:
    rest, masses = molecule("CH3OH").positions, molecule("CH3OH").get_masses()
    rest = rest - masses @ rest / masses.sum()
    spin = np.array([0.02, -0.01, 0.03])
    positions = np.stack([Rotation.from_rotvec(spin * t).apply(rest) for t in range(20)])
    velocities = np.cross(spin, positions) + np.array([0.1, 0.2, 0.3])
    internal = degrees_of_freedom(rest, masses).without_rigid_motion(velocities, positions + 7.0)
    assert np.abs(internal).max() < 1e-14


def test_removing_rotation_leaves_a_vibration_alone() -> None:
    rng = np.random.default_rng(9)
    rest, masses = molecule("CH3OH").positions, molecule("CH3OH").get_masses()
    rest = rest - masses @ rest / masses.sum()
    velocities = rng.normal(size=(5, 6, 3))
    positions = np.broadcast_to(rest, velocities.shape)
    freedom = degrees_of_freedom(rest, masses)
    once = freedom.without_rigid_motion(velocities, positions)
    assert np.abs(np.einsum("i,fix->fx", masses, np.cross(positions, once))).max() < 1e-12
    assert np.allclose(freedom.without_rigid_motion(once, positions), once)


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
    message = "at least 2 frames" if n_lags == 1 else "of 101 frames does not fit .* 100 frames"
    with pytest.raises(ConfigError, match=message):
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
    expect("at least one segment", velocities=[])
    expect("velocities end before segment 1: as many", positions=[*positions, *positions])
    expect("2 atoms need masses", positions=positions[:, :, :1])
    expect("mass of atom 1 is 0", masses=np.array([1.0, 0.0]))
    expect("3 atoms need masses", masses=np.ones(3))
    expect("rotation can only be removed with the positions", positions=None)
    expect("temperature_K must be positive", temperature_K=-300.0)
    expect("timestep_fs must be positive", timestep_fs=0.0)
    expect("no atom moves", velocities=0 * velocities)
    expect("removed must be one of", removed="rotation")
    expect(
        "1 atom that can move: no vibrations",
        velocities=velocities[:, :, :1],
        positions=positions[:, :, :1],
        masses=masses[:1],
    )


# Parts: elements, atoms, modes


def water_modes() -> tuple[NormalModes, np.ndarray]:
    atoms, hessian = turned(*water())
    return normal_modes(hessian, atoms.get_masses(), atoms.positions), atoms.positions


@pytest.fixture(scope="module")
def water_run() -> dict[str, Any]:
    modes, rest = water_modes()
    velocities, positions = thermal_segments(
        modes.modes,
        modes.masses,
        rest,
        modes.wavenumbers_per_cm,
        300.0,
        30,
        1.0 * np.arange(1000),
        seed=2,
    )
    return {
        "velocities": velocities,
        "positions": positions,
        "masses": modes.masses,
        "timestep_fs": 1.0,
    }


def test_elements_and_atoms_add_up(water_run: dict[str, Any]) -> None:
    whole = vibrational_density_of_states(**water_run)
    by_element = decomposed_density_of_states(**water_run, parts=["O", "H", "H"])
    by_atom = decomposed_density_of_states(**water_run, parts=["O1", "H2", "H3"])
    for found in (by_element, by_atom):
        assert np.allclose(found.intensities.sum(axis=0), whole.intensity, atol=1e-12)
        assert found.integrals.value.sum() == pytest.approx(3.0)
        assert found.expected_modes.sum() == pytest.approx(3.0)
        assert found.total.failed_checks == ()
    hydrogen = by_element.part("H")
    assert np.allclose(hydrogen.intensity, by_atom.intensities[1:].sum(axis=0))
    assert hydrogen.quantity == "vibrational density of states of H"
    assert hydrogen.integral.value == pytest.approx(by_element.integrals.value[1])
    deviation = by_element.integrals.value - by_element.expected_modes
    assert np.all(np.abs(deviation) < 4 * by_element.integrals.standard_error)
    assert by_element.expected_modes[1] > 2.5  # hydrogens do most of it
    with pytest.raises(DataError, match="no part 'C': it is one of O, H"):
        by_element.part("C")


def test_each_mode_has_its_line_and_its_share(water_run: dict[str, Any]) -> None:
    modes, rest = water_modes()
    found = decomposed_density_of_states(
        **water_run, parts=ModeProjection(modes.modes, rest), temperature_K=300.0
    )
    for label, wavenumber in zip(found.labels, modes.wavenumbers_per_cm, strict=True):
        part = found.part(label)
        assert abs(peak(part) - wavenumber) <= part.spacing_per_cm / 2 + 1.0
        inside = part.area(wavenumber - 150, wavenumber + 150).value
        assert inside == pytest.approx(part.integral.value, rel=0.03)
    assert np.all(np.abs(found.integrals.value - 1) < 4 * found.integrals.standard_error)
    whole = vibrational_density_of_states(**water_run)
    assert np.allclose(found.total.intensity, whole.intensity, atol=0.01 * whole.intensity.max())
    assert found.total.failed_checks == ()


def test_modes_are_followed_while_the_molecule_turns() -> None:
    """Methane turning by 0.01 rad/fs: its lines split by 106 1/cm in the laboratory, not here."""
    atoms, hessian = methane()
    masses = atoms.get_masses()
    rest = atoms.positions - atoms.get_center_of_mass()
    modes = normal_modes(hessian, masses, rest)
    times, spin = 1.0 * np.arange(3000), np.array([0.0, 0.0, 0.01])
    v, r = thermal_segments(
        modes.modes, masses, rest, modes.wavenumbers_per_cm, 30.0, 1, times, 3, is_canonical=False
    )
    turns = Rotation.from_rotvec(spin * times[:, None]).as_matrix()
    positions = np.einsum("fxy,fiy->fix", turns, r[0])
    velocities = np.einsum("fxy,fiy->fix", turns, v[0]) + np.cross(spin, positions)
    run = {
        "velocities": velocities[None],
        "positions": positions[None],
        "masses": masses,
        "timestep_fs": 1.0,
    }
    found = decomposed_density_of_states(**run, parts=ModeProjection(modes.modes, rest))
    for k, wavenumber in enumerate(modes.wavenumbers_per_cm):
        line = found.part(f"mode {k + 1}")
        assert abs(peak(line) - wavenumber) < 5.0
        share = line.area(wavenumber - 40, wavenumber + 40).value
        assert share == pytest.approx(line.integral.value, rel=0.03)
    laboratory = vibrational_density_of_states(**run)
    failed = laboratory.failed_checks
    assert [check.name for check in failed] == ["rotation (line splitting)"]
    assert failed[0].value == pytest.approx(0.01 / (np.pi * CM_PER_FS), rel=0.02)


def test_modes_must_be_orthonormal_and_of_the_molecule(water_run: dict[str, Any]) -> None:
    modes, rest = water_modes()
    with pytest.raises(DataError, match="not orthonormal"):
        ModeProjection(modes.modes / np.sqrt(modes.masses)[:, None], rest)
    with pytest.raises(DataError, match="reference"):
        ModeProjection(modes.modes, rest[:2])
    atoms, hessian = methane()
    other = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    projection = ModeProjection(other.modes, atoms.positions)
    with pytest.raises(DataError, match="the modes have 5 atoms, not 3"):
        decomposed_density_of_states(**water_run, parts=projection)
    with pytest.raises(ConfigError, match="modes are mass-weighted"):
        decomposed_density_of_states(
            **water_run, parts=ModeProjection(modes.modes, rest), mass_weighted=False
        )
    with pytest.raises(DataError, match="3 atoms need as many labels, not 2"):
        decomposed_density_of_states(**water_run, parts=["O", "H"])


def test_mass_weighting_can_be_switched_off(water_run: dict[str, Any]) -> None:
    weighted = decomposed_density_of_states(**water_run, parts=["O", "H", "H"])
    plain = decomposed_density_of_states(**water_run, parts=["O", "H", "H"], mass_weighted=False)
    ratio = plain.integrals.value / weighted.integrals.value
    assert ratio[1] / ratio[0] == pytest.approx(15.999 / 1.008, rel=1e-6)
    assert plain.total.integral.value == pytest.approx(3.0)
    assert np.isnan(plain.total.kinetic_temperature_K.value)


# Streams


def test_pieces_of_one_run_are_the_run(water_run: dict[str, Any]) -> None:
    v, r = water_run["velocities"][0], water_run["positions"][0]
    masses = water_run["masses"]
    whole = vibrational_density_of_states([v], [r], masses, 1.0, 100)
    cuts = [3, 400, 401, 850]
    pieces = vibrational_density_of_states(
        iter(np.split(v, cuts)), iter(np.split(r, cuts)), masses, 1.0, 100, contiguous=True
    )
    assert np.allclose(pieces.intensity, whole.intensity, rtol=0, atol=1e-12)
    assert np.allclose(pieces.standard_error, whole.standard_error, rtol=1e-6, atol=1e-12)
    assert (pieces.n_segments, pieces.n_frames, pieces.n_blocks) == (1, 1000, 3)
    with pytest.raises(ConfigError, match="give n_lags"):
        vibrational_density_of_states(iter([v]), iter([r]), masses, 1.0)


def test_segments_may_differ_in_length(water_run: dict[str, Any]) -> None:
    v, r = water_run["velocities"], water_run["positions"]
    found = vibrational_density_of_states(
        [v[0], v[1][:500]], [r[0], r[1][:500]], water_run["masses"], 1.0
    )
    assert (found.n_lags, found.n_frames, found.n_segments) == (250, 1500, 2)


@pytest.mark.parametrize("n_frames", [997, 1000, 1009])
def test_any_number_of_frames_will_do(water_run: dict[str, Any], n_frames: int) -> None:
    """Fault: numbers of frames that are prime or odd."""
    v, r = (np.concatenate(water_run[name])[:n_frames] for name in ("velocities", "positions"))
    found = vibrational_density_of_states([v], [r], water_run["masses"], 1.0, 331)
    assert found.integral.value == pytest.approx(3.0)


# Checks


def test_the_run_s_temperature_is_checked(water_run: dict[str, Any]) -> None:
    right = vibrational_density_of_states(**water_run, temperature_K=300.0)
    assert right.failed_checks == ()
    wrong = vibrational_density_of_states(**water_run, temperature_K=600.0)
    assert [check.name for check in wrong.failed_checks] == ["integral (modes)"]
    assert wrong.failed_checks[0].value == pytest.approx(1.5, rel=0.1)
    assert wrong.failed_checks[0].expected == 3


@pytest.mark.parametrize(
    ("name", "removed", "n_modes"),
    [
        ("CH4", "nothing", 15),
        ("CH4", "translation", 12),  # as in a crystal
        ("CH4", "translation and rotation", 9),
        ("CO2", "translation and rotation", 4),
    ],
)
def test_the_integral_is_the_number_of_modes(name: str, removed: Any, n_modes: int) -> None:
    """Velocities of Maxwell and Boltzmann: 3N, 3N - 3, 3N - 6 or 3N - 5 times k_B T."""
    atoms = molecule(name)
    masses = atoms.get_masses()
    speeds = units.fs * np.sqrt(300 * units.kB / masses)[:, None]
    velocities = np.random.default_rng(6).normal(size=(20, 300, len(atoms), 3)) * speeds
    positions = np.broadcast_to(atoms.positions, velocities.shape)
    labels = list(atoms.symbols)
    found = decomposed_density_of_states(
        velocities, positions, masses, 1.0, labels, 50, removed, temperature_K=300.0
    ).total
    integral = next(check for check in found.checks if check.name == "integral (modes)")
    assert found.n_modes == integral.expected == n_modes
    assert abs(integral.value - n_modes) < 4 * integral.standard_error < 0.05 * n_modes
    assert not {"integral (modes)", "equipartition"} & {c.name for c in found.failed_checks}
    hot = decomposed_density_of_states(
        1.1 * velocities, positions, masses, 1.0, labels, 50, removed, temperature_K=300.0
    ).total
    assert "integral (modes)" in [check.name for check in hot.failed_checks]


@pytest.mark.parametrize(
    ("factor", "unit"),
    [
        (1 / units.fs, "A per ASE time unit"),
        (0.0241888 / 0.529177, "bohr per atomic unit of time"),
        (1000.0, "A/ps"),
        (100.0, "nm/ps"),
    ],
)
def test_velocities_in_another_unit_are_recognised(
    water_run: dict[str, Any], factor: float, unit: str
) -> None:
    """Fault: wrong units declared."""
    run = water_run | {"velocities": [factor * v for v in water_run["velocities"]]}
    failed = vibrational_density_of_states(**run, temperature_K=300.0).failed_checks
    assert f"are the velocities in {unit}, not A/fs?" in failed[0].remark


def test_hot_hydrogens_are_seen(water_run: dict[str, Any]) -> None:
    velocities = [v * np.array([1.0, 1.3, 1.3])[:, None] for v in water_run["velocities"]]
    run = water_run | {"velocities": velocities, "removed": "nothing"}
    names = [check.name for check in vibrational_density_of_states(**run).failed_checks]
    assert "equipartition" in names


def test_a_thermostat_that_broadens_lines_is_named(water_run: dict[str, Any]) -> None:
    found = vibrational_density_of_states(**water_run, dynamics=Dynamics("Langevin", 0.02))
    assert [check.name for check in found.failed_checks] == ["thermostat (line broadening)"]
    assert "Langevin, friction 0.02/fs broadens every line" in str(found.failed_checks[0])
    assert found.failed_checks[0].value == pytest.approx(0.02 / (2 * np.pi * CM_PER_FS))
    gentle = vibrational_density_of_states(**water_run, dynamics=Dynamics("Langevin", 1e-4))
    assert gentle.failed_checks == ()
    unknown = vibrational_density_of_states(**water_run, dynamics=Dynamics("GLE"))
    assert [check.name for check in unknown.failed_checks] == ["thermostat (line broadening)"]
    kubo = vibrational_density_of_states(**water_run, dynamics=Dynamics("TRPMD"))
    assert (kubo.quantum_correction, kubo.failed_checks) == ("Kubo", ())


def test_the_harmonic_limit_is_checked(water_run: dict[str, Any]) -> None:
    harmonic = water_modes()[0].wavenumbers_per_cm
    right = vibrational_density_of_states(**water_run, harmonic_per_cm=harmonic)
    assert right.failed_checks == ()
    limit = next(check for check in right.checks if check.name == "harmonic limit")
    assert abs(limit.value - limit.expected) < 4 * limit.standard_error + 0.005 * limit.expected
    wrong = vibrational_density_of_states(**water_run, harmonic_per_cm=1.3 * harmonic)
    assert [check.name for check in wrong.failed_checks] == ["harmonic limit"]


def test_a_crystal_keeps_its_rotations() -> None:
    """3N - 3 modes, without positions."""
    rng = np.random.default_rng(5)
    masses = np.array([23.0, 35.5, 23.0, 35.5])
    noise = rng.normal(size=(20, 400, 4, 3)) / np.sqrt(masses)[:, None] + 0.1
    found = vibrational_density_of_states(noise, None, masses, 1.0, removed="translation")
    assert found.n_modes == 9
    assert found.integral.value == pytest.approx(9.0)
    assert "rotation (line splitting)" not in [check.name for check in found.checks]
    assert found.failed_checks == ()


def test_linear_molecules_share_their_modes_among_elements() -> None:
    atoms, hessian = carbon_dioxide()
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    v, r = thermal_segments(
        modes.modes,
        modes.masses,
        atoms.positions,
        modes.wavenumbers_per_cm,
        300.0,
        40,
        2.0 * np.arange(600),
        seed=6,
    )
    found = decomposed_density_of_states(v, r, modes.masses, 2.0, ["C", "O", "O"])
    assert found.total.n_modes == 4
    # The carbon moves in three modes with the share 2 m_O / M each.
    share = 3 * 2 * 15.999 / (2 * 15.999 + 12.011)
    assert found.expected_modes == pytest.approx([share, 4 - share], rel=1e-3)
    assert found.total.failed_checks == ()


def test_wrapped_positions_are_refused(water_run: dict[str, Any]) -> None:
    """Fault: wrapped against unwrapped positions."""
    positions = [r.copy() for r in water_run["positions"]]
    positions[1][300:, 2, 0] += 12.0
    with pytest.raises(DataError, match=r"atom 2 moves by 12 A .* unwrap the positions"):
        vibrational_density_of_states(**water_run | {"positions": positions})


def held_methane() -> tuple[np.ndarray, NormalModes]:
    """Methane with three hydrogens held; which atoms, and the six modes of the other two."""
    atoms, hessian = methane()
    fixed = np.arange(5) > 1
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions, fixed=fixed)
    return fixed, modes


def test_modes_beside_fixed_atoms_have_a_line_each() -> None:
    fixed, modes = held_methane()
    shape = (modes.modes, modes.masses, modes.positions, modes.wavenumbers_per_cm)
    v, r = thermal_segments(*shape, 300.0, 4, 1.0 * np.arange(2000), 0, is_canonical=False)
    parts = ModeProjection(modes.modes, modes.positions)
    found = decomposed_density_of_states(
        v, r, modes.masses, 1.0, parts, 1000, temperature_K=300.0, fixed=fixed
    )
    assert found.total.n_modes == 6
    assert found.integrals.value == pytest.approx(np.ones(6), rel=0.02)
    tops = found.total.wavenumbers_per_cm[found.intensities.argmax(axis=1)]
    assert tops == pytest.approx(modes.wavenumbers_per_cm, abs=found.total.spacing_per_cm)
    one_held = np.arange(5) == 1  # the molecule turns about it
    with pytest.raises(DataError, match="it turns about atoms that are fixed"):
        decomposed_density_of_states(v, r, modes.masses, 1.0, parts, 1000, fixed=one_held)
