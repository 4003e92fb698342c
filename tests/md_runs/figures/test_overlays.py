"""Figures of several runs: colours, panels, units, and failed checks above all."""

from dataclasses import replace

import numpy as np
import pytest

from md_runs.analysis.spectra.density_of_states import (
    VibrationalSpectrum,
    vibrational_density_of_states,
)
from md_runs.analysis.structure.distances import DistanceDistribution, distance_distribution
from md_runs.analysis.vibrations.stick_spectra import stick_spectrum
from md_runs.figures import distributions, spectra
from md_runs.figures.style import BANNER_COLOR, INK, MODE_COLOR


@pytest.fixture(scope="module")
def spectrum() -> VibrationalSpectrum:
    velocities = np.random.default_rng(0).normal(size=(4, 200, 3, 3))
    return vibrational_density_of_states(velocities, None, np.ones(3), 4.0, removed="translation")


@pytest.fixture(scope="module")
def distribution() -> DistanceDistribution:
    positions = np.random.default_rng(1).normal(size=(100, 1, 2, 3))
    return distance_distribution(positions, np.array([[0, 1]]), "bond", bin_width=0.1)


def test_spectra_of_several_runs_and_their_failed_checks(spectrum):
    failed = replace(spectrum.checks[0], passed=False, name="a check " + 40 * "word ")
    bad = replace(spectrum, checks=(failed,))
    sticks = stick_spectrum(np.array([1000.0]), np.ones(1), 50.0)
    figure = spectra.spectra_figure({"good": spectrum, "bad": bad}, 2000.0, sticks)
    ax = figure.axes[0]
    title = ax.title if ax.title.get_text() else ax._left_title
    assert title.get_color() == BANNER_COLOR
    lines = title.get_text().splitlines()
    assert lines[0].startswith("bad: a check")
    assert len(lines) > 1
    assert max(map(len, lines)) <= spectra.CHECK_CHARACTERS
    colors = [line.get_color() for line in ax.lines[:3]]
    assert colors[0] == MODE_COLOR
    assert len(set(colors)) == 3
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [text.split(",")[0] for text in legend] == ["harmonic", "good", "bad"]


def test_passed_checks_are_counted(spectrum):
    assert len(spectrum.checks) == 1
    ax = spectra.plot_spectra({"one": spectrum, "two": spectrum}, 2000.0)
    assert ax.get_title(loc="left") == "2 checks passed"
    assert ax._left_title.get_color() == INK
    alone = replace(spectrum, checks=spectrum.checks[:1])
    ax = spectra.plot_spectra({"one": alone}, 2000.0)
    assert ax.get_title(loc="left") == "1 check passed"


@pytest.mark.parametrize(("n_panels", "shape"), [(1, (1, 1)), (3, (1, 3)), (4, (2, 2))])
def test_panels_with_one_legend(distribution, n_panels, shape):
    runs = {"a": distribution, "b": distribution}
    figure = distributions.overlay_figure([runs] * n_panels)
    rows, columns = figure.axes[0].get_gridspec().get_geometry()
    assert (rows, columns) == shape
    assert sum(ax.get_legend() is not None for ax in figure.axes) == 1
    assert figure.axes[0].get_xlabel() == "bond (Å)"
    assert figure.axes[0].get_ylabel() == r"density (Å$^{-1}$)"
