"""Means of functions of space over frames and beads, with known values and error bars."""

import numpy as np
import pytest
from scipy.special import erf

from md_runs.analysis.sampling.field_averages import average_of_fields, surface_averages
from md_runs.analysis.sampling.uncertainty import block_average
from mlpotential.errors import DataError
from mlpotential.interpretation.fields.electrostatic_potential import (
    VOLT_ANGSTROM_PER_E,
    ElectrostaticPotential,
)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_mean_spread_and_error_are_those_of_all_values_at_once(rng):
    """Far from zero, too, where squares of the values would leave no digit."""
    values = 1e6 + rng.normal(size=(23, 4, 5))  # frames, beads, points
    found = average_of_fields(iter(values), 23, 5, np.full(5, 1e6))
    np.testing.assert_allclose(found.mean, values.mean(axis=(0, 1)), rtol=1e-14)
    np.testing.assert_allclose(found.spread, values.std(axis=(0, 1)), rtol=1e-9)
    expected = block_average(values.mean(axis=1), 5)
    np.testing.assert_allclose(found.standard_error, expected.standard_error, rtol=1e-8)
    part = found.part(slice(1, 3))
    np.testing.assert_array_equal(part.mean, found.mean[1:3])
    np.testing.assert_array_equal(part.standard_error, found.standard_error[1:3])


def test_the_error_is_that_of_the_mean(rng):
    """Beads of a frame move together: as many samples as frames, and no more."""
    n_runs, n_frames, n_beads = 300, 40, 8
    means, errors = [], []
    for _ in range(n_runs):
        common = rng.normal(size=(n_frames, 1, 1))
        values = common + 0.3 * rng.normal(size=(n_frames, n_beads, 1))
        found = average_of_fields(values, n_frames, 10, np.zeros(1))
        means.append(found.mean[0])
        errors.append(found.standard_error[0])
    exact = np.sqrt((1.0 + 0.3**2 / n_beads) / n_frames)
    assert np.std(means) == pytest.approx(exact, rel=0.15)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(exact, rel=0.1)


def test_a_charge_that_vibrates_has_the_potential_of_a_gaussian(rng):
    """phi = k_e q erf(r / sqrt(2) sigma) / r, near the middle below that of one at rest."""
    sigma, charge, n_frames, n_beads = 0.3, -0.8, 4000, 4
    points = np.array([[0.2, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, -1.5]])
    places = rng.normal(scale=sigma, size=(n_frames, n_beads, 1, 3))

    def values(positions):
        return ElectrostaticPotential(np.array([charge]), positions).at(points)

    frames = (np.stack([values(positions) for positions in beads]) for beads in places)
    still = values(np.zeros((1, 3)))
    found = average_of_fields(frames, n_frames, 10, still)
    r = np.linalg.norm(points, axis=1)
    exact = VOLT_ANGSTROM_PER_E * charge * erf(r / (np.sqrt(2.0) * sigma)) / r
    assert (np.abs(found.mean - exact) < 4 * found.standard_error).all()
    assert (found.standard_error < 0.02 * np.abs(exact)).all()
    assert abs(found.mean[0]) < 0.6 * abs(still[0])


def test_points_on_charges_are_infinite_and_leave_others_alone():
    values = np.array([[[np.inf, 1.0]], [[2.0, 3.0]]])
    found = average_of_fields(values, 2, 1, np.array([np.inf, 0.0]))
    assert found.mean[0] == np.inf
    assert np.isnan(found.spread[0])
    assert (found.mean[1], found.spread[1]) == (2.0, 1.0)
    assert np.isnan(found.standard_error).all()  # of one block


def test_more_blocks_than_frames_are_refused():
    with pytest.raises(DataError, match="2 frames cannot be divided into 3 blocks"):
        average_of_fields(np.zeros((2, 1, 1)), 2, 3, np.zeros(1))


def test_parts_of_a_surface(rng):
    """Weighted by area, with the error of the mean over the part."""
    values, reference = rng.normal(size=(20, 2, 4)), rng.normal(size=4)
    average = average_of_fields(values, 20, 4, reference)
    areas, nearest = np.array([1.0, 3.0, 2.0, 2.0]), np.array([0, 0, 2, 2])
    found = surface_averages(average, reference, areas, nearest, ("O0", "H1", "H2"), "V")
    assert found.parts == ("all", "O0", "H2")  # nothing is nearest to H1
    np.testing.assert_allclose(found.area_share, [1.0, 0.5, 0.5])
    assert found.reference[1] == pytest.approx(0.25 * reference[0] + 0.75 * reference[1])
    series = values.mean(axis=1) @ np.array([0.25, 0.75, 0.0, 0.0])
    expected = block_average(series, 4)
    assert found.mean[1] == pytest.approx(expected.value)
    assert found.standard_error[1] == pytest.approx(expected.standard_error)
    assert found.UNITS["mean"] == "V"
    assert found.UNITS["area_share"] == "1"
