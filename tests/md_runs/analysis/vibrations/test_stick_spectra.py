"""Normal modes as Lorentzians."""

import numpy as np
import pytest

from md_runs.analysis.vibrations.stick_spectra import stick_spectrum
from mlpotential.errors import ConfigError, DataError


def test_areas_are_intensities_and_widths_are_widths() -> None:
    axis = np.linspace(-20_000, 20_000, 400_001)
    found = stick_spectrum(np.array([500.0, 1500.0]), np.array([10.0, 40.0]), 20.0, axis)
    assert np.trapezoid(found.intensity, axis) == pytest.approx(50.0, rel=1e-3)
    line = found.intensity[(axis > 1000) & (axis < 2000)]
    assert line.max() == pytest.approx(40 / (np.pi * 10), rel=1e-3)
    assert np.sum(line > line.max() / 2) * 0.1 == pytest.approx(20.0, abs=0.2)


def test_imaginary_modes_are_left_out_and_counted() -> None:
    found = stick_spectrum(np.array([-300.0, 800.0]), np.array([5.0, 7.0]), 10.0)
    assert (found.n_imaginary, found.mode_wavenumbers_per_cm.tolist()) == (1, [800.0])
    assert found.wavenumbers_per_cm[0] == 0.0
    assert found.wavenumbers_per_cm[-1] == pytest.approx(1000.0)
    top = found.wavenumbers_per_cm[np.argmax(found.intensity)]
    assert top == pytest.approx(800.0, abs=1.0)


def test_impossible_input_is_refused() -> None:
    with pytest.raises(DataError, match="as many intensities as modes"):
        stick_spectrum(np.ones(3), np.ones(2), 1.0)
    with pytest.raises(DataError, match="not finite"):
        stick_spectrum(np.ones(1), np.array([np.nan]), 1.0)
    with pytest.raises(ConfigError, match="width_per_cm must be a positive number"):
        stick_spectrum(np.ones(1), np.ones(1), 0.0)
