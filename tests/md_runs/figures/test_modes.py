"""Figures of modes: what they show."""

from pathlib import Path

import numpy as np
import pytest
from harmonic_molecules import carbon_dioxide, methane
from matplotlib.figure import Figure

from md_runs.analysis.vibrations.mode_comparison import ModeComparison, compare_modes
from md_runs.analysis.vibrations.mode_intensities import InfraredIntensities, RamanIntensities
from md_runs.analysis.vibrations.normal_modes import normal_modes
from md_runs.figures import modes as mode_plots


@pytest.fixture(scope="module")
def comparison() -> ModeComparison:
    """Methane with all springs 21 % stiffer: every wavenumber 10 % higher."""
    atoms, hessian = methane()
    modes, reference = (
        normal_modes(factor * hessian, atoms.get_masses(), atoms.positions) for factor in (1.21, 1)
    )
    return compare_modes(modes, reference)


@pytest.fixture(scope="module")
def infrared() -> InfraredIntensities:
    """The bends of CO2 at 789 1/cm with 30 km/mol each, its antisymmetric stretch with 500."""
    atoms, hessian = carbon_dioxide()
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    intensities = np.array([30.0, 30.0, 0.0, 500.0])
    return InfraredIntensities(modes.wavenumbers_per_cm, intensities, np.zeros((4, 3)))


def test_degenerate_modes_make_one_stick(infrared: InfraredIntensities) -> None:
    ax = mode_plots.plot_stick_spectrum(infrared, ["Πu", "Πu", "Σg+", "Σu+"])
    sticks = ax.collections[0].get_segments()
    assert [stick[1][1] for stick in sticks] == [60.0, 0.0, 500.0]
    assert sticks[0][0][0] == pytest.approx(infrared.wavenumbers_per_cm[0])
    assert [text.get_text() for text in ax.texts] == ["Πu", "Σu+"]  # none on a stick of nothing
    assert "km/mol" in ax.get_ylabel()
    assert len(mode_plots.plot_stick_spectrum(infrared).texts) == 0


def test_raman_sticks_name_their_unit() -> None:
    lines = RamanIntensities(*(np.array([x]) for x in (1000.0, 40.0, 0.3, 0.5)))
    ax = mode_plots.plot_stick_spectrum(lines)
    assert ax.get_ylabel() == "Raman activity (Å$^4$/amu)"
    assert ax.get_ylim()[1] == pytest.approx(48.0)


def test_deviations_are_in_per_cent_and_shaded_by_overlap(comparison: ModeComparison) -> None:
    ax = mode_plots.plot_matched_deviations(comparison)
    points = ax.collections[-1]
    assert np.allclose(points.get_offsets()[:, 1], 0.1)
    assert np.allclose(points.get_array(), 1)
    assert points.get_clim() == (0, 1)
    assert ax.get_title(loc="right") == "mean 10.0%, largest 10.0%"
    ax.figure.draw_without_rendering()
    assert all(label.get_text().endswith("%") for label in ax.get_yticklabels())


def test_the_duschinsky_matrix_shows_squared_overlaps(comparison: ModeComparison) -> None:
    ax = mode_plots.plot_duschinsky(comparison, labels=("this", "that"))
    image = ax.images[0]
    assert np.allclose(image.get_array(), comparison.duschinsky**2)
    assert tuple(image.get_extent()) == (0.5, 9.5, 0.5, 9.5)
    assert image.origin == "lower"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("mode, that", "mode, this")


def test_the_figure_of_matched_modes(comparison: ModeComparison, tmp_path: Path) -> None:
    figure = mode_plots.matched_modes_figure(comparison, ("model", "reference"))
    assert len(figure.axes) == 5  # three panels, two colour bars
    figure.savefig(tmp_path / "modes.png")
    assert (tmp_path / "modes.png").read_bytes().startswith(b"\x89PNG")


def test_drawing_into_given_axes_makes_no_figure(
    infrared: InfraredIntensities, comparison: ModeComparison
) -> None:
    ax = Figure().subplots()
    assert mode_plots.plot_stick_spectrum(infrared, ax=ax) is ax
    assert mode_plots.plot_matched_deviations(comparison, ax) is ax
    assert mode_plots.plot_duschinsky(comparison, ax) is ax
