"""Numbers among the settings."""

import numpy as np
import pytest

from mlpotential.errors import ConfigError
from mlpotential.settings_checks import check_count, check_number, named_values


@pytest.mark.parametrize("value", [1, 0.5, 1e-300, np.float32(2.0), np.int64(3)])
def test_good_numbers(value):
    check_number("x", value)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), True, None, "1", [1.0], 1j])
def test_bad_numbers(value):
    with pytest.raises(ConfigError, match="^x must be a positive number, not "):
        check_number("x", value)


def test_zero_where_it_is_allowed():
    check_number("x", 0.0, zero_allowed=True)
    with pytest.raises(ConfigError, match="zero or positive number, not -1"):
        check_number("x", -1, zero_allowed=True)


@pytest.mark.parametrize("value", [1, 10**20, np.int64(3)])
def test_good_counts(value):
    check_count("n", value)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, None, "1", float("nan")])
def test_bad_counts(value):
    with pytest.raises(ConfigError, match="^n must be a whole number of at least 1, not "):
        check_count("n", value)


def test_counts_from_zero():
    check_count("seed", 0, smallest=0)


def test_named_values():
    assert named_values(["dipole=debye", "gap=a=b"], "x") == {"dipole": "debye", "gap": "a=b"}
    for words, message in [
        (["dipole"], "'dipole' names no value: write it as dipole=debye"),
        (["=debye"], "'=debye' names no value"),
        (["gap=eV", "gap=meV"], "gap is given twice, 'eV' and 'meV'"),
    ]:
        with pytest.raises(ConfigError, match=message):
            named_values(words, "write it as dipole=debye")
