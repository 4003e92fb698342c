"""Mean square displacements: against their definition, and of motions that are known exactly."""

import numpy as np
import pytest
from langevin_gas import KELVIN, mean_square, sample, thermal_speed_squared
from scipy.constants import Boltzmann

from md_runs.analysis.structure.mean_square_displacement import (
    finite_size_correction,
    mean_square_displacements,
)
from mlpotential.errors import ConfigError, DataError

MASSES = np.array([4.0] * 20 + [20.0] * 20)
LABELS = ["He"] * 20 + ["Ne"] * 20
FRICTION_PER_FS = 1 / 100.0


def test_the_definition():
    """All pairs of frames of every lag, with large and with small coordinates."""
    r = np.cumsum(np.random.default_rng(0).normal(size=(60, 3, 3)), axis=0) + 1e4
    found = mean_square_displacements([r], "aab", np.ones(3), 2.0, n_blocks=1, remove_drift=False)
    squares = np.array([((r[k:] - r[: 60 - k]) ** 2).sum(axis=2).mean(axis=0) for k in range(31)])
    assert [one.label for one in found] == ["a", "b"]
    np.testing.assert_allclose(found[0].mean_squares, squares[:, :2].mean(axis=1), atol=1e-9)
    np.testing.assert_allclose(found[1].mean_squares, squares[:, 2], atol=1e-9)
    assert found[0].times_fs.tolist() == (2.0 * np.arange(31)).tolist()
    assert np.isnan(found[0].standard_error).all()


def test_free_flight_is_ballistic():
    """Of many masses kT / m: msd = 3 kT / m t^2, if each speed is sqrt(3 kT / m)."""
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(40, 3))
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    v = np.sqrt(3 * thermal_speed_squared(MASSES))[:, None] * directions
    times_fs = 5.0 * np.arange(400)
    r = times_fs[:, None, None] * v
    for one, mass in zip(
        mean_square_displacements([r], LABELS, MASSES, 5.0, remove_drift=False),
        (4, 20),
        strict=True,
    ):
        expected = 3 * thermal_speed_squared(np.array([mass]))[0] * one.times_fs**2
        np.testing.assert_allclose(one.mean_squares, expected, rtol=1e-9, atol=1e-9)
        assert one.exponent.value == pytest.approx(2)


def test_langevin_particles_diffuse_by_kt_over_m_gamma():
    r = sample(MASSES, FRICTION_PER_FS, 20.0, 6000)
    found = mean_square_displacements(
        [r], LABELS, MASSES, 20.0, remove_drift=False, longest_lag_fs=3000.0, n_blocks=20
    )
    for one, mass in zip(found, (4.0, 20.0), strict=True):
        exact = mean_square(np.array([mass]), FRICTION_PER_FS, one.times_fs)[0]
        error = one.standard_error[[1, 5, 20, 100]]
        assert (abs(one.mean_squares - exact)[[1, 5, 20, 100]] < 4 * error).all()
        d = 1000 * thermal_speed_squared(np.array([mass]))[0] / FRICTION_PER_FS  # A^2/ps
        found_d = one.diffusion_coefficient
        assert abs(found_d.value - d) < 4 * found_d.standard_error
        assert found_d.standard_error < 0.1 * d
        assert one.exponent.value == pytest.approx(1, abs=0.1)
        assert (one.fit_from_fs, one.fit_to_fs) == (600.0, 3000.0)


def test_a_bound_atom_does_not_diffuse():
    r = np.random.default_rng(2).normal(size=(400, 40, 3))
    found = mean_square_displacements([r], LABELS, MASSES, 10.0)
    for one in found:
        assert one.mean_squares[1:] == pytest.approx(6, rel=0.2)
        assert one.exponent.value == pytest.approx(0, abs=0.05)


def test_drift_is_taken_off_or_kept():
    r = sample(MASSES, FRICTION_PER_FS, 20.0, 300)
    drift = 0.01 * 20.0 * np.arange(300)[:, None, None] * np.array([1.0, 0.0, 0.0])
    still, moving = (mean_square_displacements([x], LABELS, MASSES, 20.0) for x in (r, r + drift))
    kept = mean_square_displacements([r + drift], LABELS, MASSES, 20.0, remove_drift=False)
    for one, other, with_drift in zip(still, moving, kept, strict=True):
        np.testing.assert_allclose(other.mean_squares, one.mean_squares, atol=1e-8)
        assert with_drift.mean_squares[-1] > one.mean_squares[-1]
    assert (still[0].is_drift_removed, kept[0].is_drift_removed) == (True, False)


def test_fixed_atoms_are_left_out_and_hold_the_others():
    r = sample(MASSES, FRICTION_PER_FS, 20.0, 300)
    fixed = np.arange(40) >= 15
    r[:, fixed] = 1.0
    (found,) = mean_square_displacements([r], LABELS, MASSES, 20.0, fixed=fixed)
    assert (found.label, found.n_atoms, found.is_drift_removed) == ("He", 15, False)
    alone = mean_square_displacements(
        [r[:, :15]], ["He"] * 15, MASSES[:15], 20.0, remove_drift=False
    )[0]
    np.testing.assert_allclose(found.mean_squares, alone.mean_squares, atol=1e-9)


def test_segments_are_blocks():
    segments = [sample(MASSES, FRICTION_PER_FS, 20.0, 100, seed) for seed in range(4)]
    found = mean_square_displacements(segments, LABELS, MASSES, 20.0)[0]
    singles = [
        mean_square_displacements([s], LABELS, MASSES, 20.0, n_blocks=1)[0].mean_squares
        for s in segments
    ]
    assert (found.n_blocks, found.n_frames) == (4, 400)
    np.testing.assert_allclose(found.mean_squares, np.mean(singles, axis=0))
    np.testing.assert_allclose(
        found.standard_error, np.std(singles, axis=0, ddof=1) / 2, atol=1e-12
    )


def test_the_finite_size_correction_in_si_units():
    """Yeh and Hummer (2004), eq. 12, of water in a cube of 18.6 A."""
    expected = Boltzmann * KELVIN * 2.837297 / (6 * np.pi * 0.85e-3 * 18.6e-10)  # m^2/s
    assert finite_size_correction(KELVIN, 18.6, 0.85) == pytest.approx(1e8 * expected, rel=1e-5)


def test_results_are_saved_with_units(tmp_path):
    found = mean_square_displacements([np.ones((90, 2, 3))], "ab", np.ones(2), 1.0)[0]
    found.save_csv(tmp_path / "msd.csv")
    header = (tmp_path / "msd.csv").read_text().splitlines()[0]
    assert header == "times_fs (fs),mean_squares (A^2),standard_error (A^2)"
    assert found.to_dict()["units"]["diffusion_coefficient"] == "A^2/ps"
    assert np.isnan(found.exponent.value)  # nothing moves


def test_impossible_input_is_refused():
    r, masses = np.zeros((100, 2, 3)), np.ones(2)

    def refused(error, match, segments=(r,), masses=masses, labels="ab", **settings):
        with pytest.raises(error, match=match):
            mean_square_displacements(segments, labels, masses, 1.0, **settings)

    refused(DataError, r"shape \[n_frames, 2, 3\], not \[100, 3, 3\]", [np.zeros((100, 3, 3))])
    refused(DataError, "not finite", [r * np.nan])
    refused(DataError, "blocks of 5 frames are too short", n_blocks=20)
    refused(DataError, "keep the drift", [r[:, :1]], masses[:1], "a")
    refused(DataError, "all atoms are fixed", fixed=np.ones(2, bool))
    refused(ConfigError, "lags up to 50 fs are asked for, but", longest_lag_fs=50.0)
    refused(ConfigError, "a line from 4 to 9 fs does not fit", fit_from_fs=4.0, fit_to_fs=9.0)
    refused(ConfigError, "a line from 4.5 to 5 fs does not fit", fit_from_fs=4.5)
