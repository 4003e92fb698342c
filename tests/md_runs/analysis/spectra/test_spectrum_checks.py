"""When checks pass, when they fail, and what they say."""

import numpy as np
import pytest

from md_runs.analysis.sampling.uncertainty import Estimate, mean_of_blocks
from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.spectrum_checks import (
    absorption_check,
    check,
    equipartition_check,
    harmonic_check,
    modes_check,
    rotation_check,
    thermostat_check,
)


@pytest.mark.parametrize(
    ("value", "error", "passed"),
    [
        (10.9, np.nan, True),
        (11.1, np.nan, False),
        (11.1, 0.1, True),
        (8.6, 0.1, False),
        (np.nan, 0.1, False),
    ],
)
def test_a_check_allows_for_its_tolerance_and_three_errors(
    value: float, error: float, passed: bool
) -> None:
    found = check("number", Estimate(value, error, 5), 10.0, 1.0)
    assert found.passed is passed
    assert ("FAILED" in str(found)) is not passed


def test_a_check_says_what_was_found_and_expected() -> None:
    text = str(check("width", Estimate(12.0, 0.25, 5), 3.0, 1.0, "look there", "1/cm"))
    assert text == "width FAILED: 12 +- 0.25 1/cm, expected 3 +- 1 1/cm (look there)"


def test_the_number_of_modes_follows_from_the_temperature() -> None:
    found = modes_check(Estimate(315.0, 1.0, 10), 300.0, 54)  # a thermostat 5 % too hot
    assert not found.passed
    assert (found.value, found.expected) == (pytest.approx(56.7), 54)
    assert modes_check(Estimate(303.0, 1.0, 10), 300.0, 54).passed


def test_the_worst_group_is_named() -> None:
    integrals = Estimate(np.array([3.0, 2.2, 0.9]), np.array([0.3, 0.02, 0.01]), 10)
    found = equipartition_check(("C", "H", "O"), integrals, np.array([2.5, 2.0, 1.0]))
    assert not found.passed
    assert found.remark.startswith("H, the worst of 3")
    assert found.value == pytest.approx(1.1)


def test_rotation_and_thermostats_are_held_against_the_resolution() -> None:
    assert rotation_check(5.0, 8.0).passed
    assert not rotation_check(9.0, 8.0).passed
    assert thermostat_check(Dynamics("Langevin", 2e-4), 8.0).passed  # 1.06 1/cm
    assert not thermostat_check(Dynamics("Langevin", 1e-3), 8.0).passed  # 5.3 1/cm
    assert "broadens stiff lines" in thermostat_check(Dynamics("TRPMD"), 8.0).remark


def test_harmonic_limits() -> None:
    modes = np.array([300.0, 400.0])  # root mean square 353.6
    assert harmonic_check(Estimate(355.0, 0.1, 9), modes).passed
    assert not harmonic_check(Estimate(400.0, 0.1, 9), modes).passed
    imaginary = harmonic_check(Estimate(187.0, 0.1, 9), np.array([-300.0, 400.0]))
    assert imaginary.expected == pytest.approx(np.sqrt((400**2 - 300**2) / 2))
    assert absorption_check(Estimate(52.0, 1.0, 9), np.array([20.0, 30.0]), "km/mol").passed
    assert not absorption_check(Estimate(80.0, 1.0, 9), np.array([20.0, 30.0]), "km/mol").passed


def test_the_worst_of_many_modes_is_not_taken_for_a_failure():
    """Blocks in equilibrium, hundreds of times: the check fails by chance at most as it says."""
    rng = np.random.default_rng(0)
    labels = tuple(map(str, range(54)))
    n_failed = 0
    for _ in range(300):
        blocks = 1 + 0.1 * rng.normal(size=(5, 54))
        n_failed += not equipartition_check(labels, mean_of_blocks(blocks), np.ones(54)).passed
    assert n_failed <= 5
    cold = 1 + 0.02 * rng.normal(size=(5, 54))
    cold[:, 7] -= 0.5
    assert not equipartition_check(labels, mean_of_blocks(cold), np.ones(54)).passed
