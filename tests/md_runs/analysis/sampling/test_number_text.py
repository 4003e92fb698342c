"""Numbers with their errors in brackets."""

import math

import pytest

from md_runs.analysis.sampling.uncertainty import Estimate, estimate_text, number_text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.45919, 0.00006, "1.45919(6)"),
        (1.45919, 0.00012, "1.45919(12)"),
        (1.45919, 0.00096, "1.4592(10)"),
        (-0.5, 0.024, "-0.50(2)"),
        (1321.6, 0.3, "1321.6(3)"),
        (1321.6, 14.0, "1322(14)"),
        (1321.6, 230.0, "1300(200)"),
        (123456.0, 130.0, "123460(130)"),
        (3.0, 1e-16, "3"),
        (3.14159265, math.nan, "3.1416"),
        (math.nan, 1.0, "-"),
        (0.0, 0.0, "0"),
    ],
)
def test_errors_stand_in_units_of_the_last_digit(value, error, text):
    assert number_text(value, error) == text


def test_units():
    assert estimate_text(Estimate(1.5, 0.2, 4), "A") == "1.5(2) A"
    assert estimate_text(Estimate(1.5, 0.2, 4), "1") == "1.5(2)"
