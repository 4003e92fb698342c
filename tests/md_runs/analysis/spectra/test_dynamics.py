"""What a method does to spectra."""

import numpy as np
import pytest

from md_runs.analysis.spectra.dynamics import Dynamics
from mlpotential.errors import ConfigError

CM_PER_FS = 2.99792458e-5


def test_langevin_friction_broadens_lines_by_the_friction() -> None:
    """The velocity spectrum of an oscillator, gamma w^2 / ((w0^2 - w^2)^2 + gamma^2 w^2)."""
    friction, w0 = 0.005, 0.3
    w = np.linspace(0.25, 0.35, 100_001)
    line = w**2 / ((w0**2 - w**2) ** 2 + friction**2 * w**2)
    above = w[line > line.max() / 2]
    width = (above[-1] - above[0]) / (2 * np.pi * CM_PER_FS)
    assert Dynamics("Langevin", friction).broadening_per_cm == pytest.approx(width, rel=1e-3)
    assert str(Dynamics("Langevin", friction)) == "Langevin, friction 0.005/fs"


def test_only_local_thermostats_broaden_lines() -> None:
    for method in ("NVE", "Bussi", "Nose-Hoover", "RPMD", "TRPMD", "CMD"):
        assert Dynamics(method).broadening_per_cm == 0.0
    for method in ("Langevin", "GLE"):
        assert np.isnan(Dynamics(method).broadening_per_cm)
    kubo = [m for m in ("NVE", "Langevin", "RPMD", "TRPMD", "CMD") if Dynamics(m).is_path_integral]
    assert kubo == ["RPMD", "TRPMD", "CMD"]


def test_impossible_dynamics_are_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'Langevin'"):
        Dynamics("langevn")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="NVE has no Langevin friction"):
        Dynamics("NVE", 0.01)
    with pytest.raises(ConfigError, match="friction_per_fs must be a positive number"):
        Dynamics("Langevin", -0.01)
