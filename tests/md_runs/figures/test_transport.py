"""Figures of mean square displacements and structure factors: what they show."""

import numpy as np
import pytest

from md_runs.analysis.structure.mean_square_displacement import mean_square_displacements
from md_runs.analysis.structure.structure_factor import debye_structure_factors, structure_factors
from md_runs.figures.transport import (
    mean_square_figure,
    plot_mean_squares,
    plot_structure_factors,
    structure_factor_figure,
)


@pytest.fixture(scope="module")
def displacements():
    r = np.cumsum(np.random.default_rng(0).normal(size=(200, 6, 3)), axis=0)
    found = mean_square_displacements([r], ["H"] * 4 + ["O"] * 2, np.ones(6), 10.0)
    return {one.label: one for one in found}


@pytest.fixture(scope="module")
def factors():
    r = np.random.default_rng(0).uniform(0, 6, size=(20, 1, 8, 3))
    numbers = np.array([8, 8, 8, 1, 1, 1, 1, 1])
    found = structure_factors(r, numbers, 6.0 * np.eye(3), max_wavevector=4.0)
    return {one.label: one for one in found}


def test_lines_and_slopes(displacements):
    ax = plot_mean_squares(displacements)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["H", "O", "slope 6 D"]
    curve, line = ax.lines[:2]
    one = displacements["H"]
    np.testing.assert_array_equal(curve.get_ydata(), one.mean_squares[1:])
    slope = np.diff(line.get_ydata()) / np.diff(line.get_xdata())
    assert slope == pytest.approx(6 * one.diffusion_coefficient.value)
    assert line.get_xdata()[0] == pytest.approx(one.fit_from_fs / 1000)


def test_panels_of_displacements(displacements):
    h = displacements["H"]
    figure = mean_square_figure([{"a": h, "b": h}, {"a": displacements["O"]}])
    assert [ax.get_title(loc="right") for ax in figure.axes] == ["H", "O"]
    assert len(mean_square_figure([displacements]).axes) == 1


def test_one_run_shows_both_kinds_of_partials(factors):
    figure = structure_factor_figure([factors])
    left, right = figure.axes
    assert left.get_ylabel() == "S(q), Ashcroft-Langreth"
    assert right.get_ylabel() == "a(q), Faber-Ziman"
    names = [text.get_text() for text in right.get_legend().get_texts()]
    assert names == ["H-H", "H-O", "O-O"]
    np.testing.assert_array_equal(right.lines[1].get_ydata(), factors["H-O"].faber_ziman)
    np.testing.assert_array_equal(left.lines[0].get_ydata(), factors["all"].ashcroft_langreth)


def test_several_runs_have_a_panel_for_each_pair(factors):
    panels = [{"a": factors[name], "b": factors[name]} for name in ("all", "H-O")]
    figure = structure_factor_figure(panels)
    assert [ax.get_title(loc="right") for ax in figure.axes] == ["all", "H-O"]
    assert plot_structure_factors(panels[0]).get_xlabel() == r"q (Å$^{-1}$)"


def test_a_molecule_has_no_density_and_one_panel():
    r = np.zeros((2, 1, 2, 3))
    r[:, :, 1] = 1.0
    found = debye_structure_factors(r, np.array([1, 8]), np.linspace(0.1, 5, 20), n_blocks=1)
    assert len(structure_factor_figure([{one.label: one for one in found}]).axes) == 1
