"""Figures: what they show, that they are drawn without any global state, and that they save."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from md_runs.analysis.spectra.density_of_states import (
    VibrationalSpectrum,
    vibrational_density_of_states,
)
from md_runs.analysis.structure.distances import DistanceDistribution, distance_distribution
from md_runs.analysis.structure.rdf import PairDistribution, pair_distribution
from md_runs.analysis.vibrations.normal_modes import FrequencyComparison, compare_frequencies
from md_runs.figures import distributions, modes, spectra, style


def positions(n_beads: int, width: float) -> np.ndarray:
    noise = np.random.default_rng(n_beads).normal(size=(60, n_beads, 4, 3))
    return 1.5 * np.vstack([np.zeros(3), np.eye(3)]) + width * noise


@pytest.fixture(scope="module")
def bonds() -> tuple[DistanceDistribution, DistanceDistribution]:
    pairs = np.array([[0, 1], [0, 2], [0, 3]])
    classical = distance_distribution(positions(1, 0.03), pairs, "nearest neighbours")
    return classical, distance_distribution(positions(8, 0.05), pairs, "nearest neighbours")


@pytest.fixture(scope="module")
def pair_densities() -> tuple[PairDistribution, PairDistribution]:
    return pair_distribution(positions(1, 0.03)), pair_distribution(positions(8, 0.05))


@pytest.fixture(scope="module")
def comparison() -> FrequencyComparison:
    return compare_frequencies(np.array([101.0, 205.0, 309.0]), np.array([100.0, 200.0, 300.0]))


@pytest.fixture(scope="module")
def spectrum() -> VibrationalSpectrum:
    velocities = np.random.default_rng(0).normal(size=(3, 200, 4, 3))
    return vibrational_density_of_states(
        velocities, np.broadcast_to(positions(1, 0.0)[0], velocities.shape), np.ones(4), 4.0
    )


def legend(ax: Axes) -> list[str]:
    drawn = ax.get_legend()
    assert drawn is not None
    return [text.get_text() for text in drawn.get_texts()]


def size_of_png(figure: Figure, folder: Path) -> tuple[int, int]:
    figure.savefig(folder / "figure.png")
    header = (folder / "figure.png").read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    return int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")


def test_distributions_keep_their_colours_and_show_their_bands(
    bonds: tuple[DistanceDistribution, DistanceDistribution], tmp_path: Path
) -> None:
    ax = distributions.plot_distributions(*bonds)
    assert legend(ax) == ["classical", "PIMD, 8 beads"]
    assert [to_hex(line.get_color()).upper() for line in ax.lines] == [
        style.CLASSICAL_COLOR,
        style.PIMD_COLOR,
    ]
    for line, band, result in zip(ax.lines, ax.collections, bonds, strict=True):
        assert np.array_equal(line.get_xydata(), np.c_[result.distances, result.density])
        top = band.get_paths()[0].vertices[:, 1].max()
        assert top == pytest.approx((result.density + result.standard_error).max())
    assert ax.get_xlabel() == "nearest neighbours (Å)"
    assert "Å$^{-1}$" in ax.get_ylabel()
    assert size_of_png(ax.figure, tmp_path) == (960, 600)


def test_pair_densities_are_named_so(
    pair_densities: tuple[PairDistribution, PairDistribution],
) -> None:
    ax = distributions.plot_distributions(*pair_densities)
    assert ax.get_xlabel() == "distance r (Å)"
    assert ax.get_ylabel().startswith("h(r)")


def test_distribution_without_error_bars_says_nothing_of_bands() -> None:
    single = pair_distribution(positions(1, 0.03)[:1], n_blocks=1)
    drawn = distributions.plot_distributions(single, single).get_legend()
    assert drawn is not None
    assert drawn.get_title().get_text() == ""


def test_the_figure_of_distributions_has_one_panel_each(
    bonds: tuple[DistanceDistribution, DistanceDistribution],
    pair_densities: tuple[PairDistribution, PairDistribution],
    tmp_path: Path,
) -> None:
    figure = distributions.distribution_figure([bonds, bonds, pair_densities])
    assert [ax.get_legend() is not None for ax in figure.axes] == [True, False, False]
    assert size_of_png(figure, tmp_path) == (1800, 510)


def test_modes_are_compared_with_their_deviation_in_percent(
    comparison: FrequencyComparison, tmp_path: Path
) -> None:
    figure = modes.mode_comparison_figure(comparison, labels=("SchNet", "published network"))
    upper, lower = figure.axes
    assert legend(upper) == ["published network", "SchNet"]
    assert np.array_equal(upper.lines[0].get_ydata(), comparison.wavenumbers_per_cm)
    assert np.allclose(lower.lines[0].get_ydata(), [0.01, 0.025, 0.03])
    assert lower.get_title(loc="right") == "mean 2.2%, largest 3.0%"
    figure.draw_without_rendering()
    assert all(label.get_text().endswith("%") for label in lower.get_yticklabels())
    assert size_of_png(figure, tmp_path)[0] == 960


def test_spectrum_names_its_resolution_and_stands_above_the_harmonic_sticks(
    spectrum: VibrationalSpectrum,
) -> None:
    harmonic = np.array([300.0, 900.0])
    ax = spectra.plot_spectrum(spectrum, harmonic)
    assert legend(ax) == [
        f"MD, resolution {spectrum.resolution_per_cm:.3g} cm$^{{-1}}$",
        "harmonic modes",
    ]
    sticks = ax.collections[-1].get_segments()
    assert [stick[0][0] for stick in sticks] == [300.0, 900.0]
    assert all(stick[:, 1].max() < 0 for stick in sticks)
    assert ax.get_xlim() == (0, 1800)
    assert legend(spectra.plot_spectrum(spectrum))[1:] == []


@pytest.mark.parametrize("height_inches", [3.0, 6.0])
def test_a_banner_covers_no_panel(spectrum: VibrationalSpectrum, height_inches: float) -> None:
    figure = spectra.plot_spectrum(spectrum).figure
    figure.set_figheight(height_inches)
    style.add_banner(figure, "sampling too short for conclusions")
    figure.draw_without_rendering()
    banner = figure.texts[0]
    assert banner.get_text() == "sampling too short for conclusions"
    box = banner.get_bbox_patch().get_window_extent()
    assert box.y0 >= figure.axes[0].get_tightbbox().y1
    assert box.y1 <= figure.bbox.y1


def test_drawing_into_given_axes_makes_no_figure(
    bonds: tuple[DistanceDistribution, DistanceDistribution],
    comparison: FrequencyComparison,
    spectrum: VibrationalSpectrum,
) -> None:
    ax = Figure().subplots()
    assert distributions.plot_distributions(*bonds, ax) is ax
    assert spectra.plot_spectrum(spectrum, ax=ax) is ax
    assert modes.plot_wavenumbers(comparison, ax) is ax
    assert modes.plot_relative_deviations(comparison, ax) is ax
