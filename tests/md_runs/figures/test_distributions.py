"""Figures of distributions and path integrals: what they show, and that they save."""

from pathlib import Path

import harmonic_ring_polymer as oscillator
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from md_runs.analysis.path_integrals.bead_convergence import BeadConvergence, bead_convergence
from md_runs.analysis.path_integrals.imaginary_time import (
    ImaginaryTimeSpread,
    imaginary_time_spread,
)
from md_runs.analysis.path_integrals.perturbed_path_integrals import perturbed_distance_distribution
from md_runs.analysis.structure.angle_distributions import AngleDistribution, angle_distribution
from md_runs.analysis.structure.distances import DistanceDistribution, distance_distribution
from md_runs.analysis.structure.distribution_difference import distribution_difference
from md_runs.analysis.structure.rdf import RadialDistribution, radial_distributions
from md_runs.figures import distributions, path_integrals

PLACES = np.array([[0.0, 0, 0], [1.5, 0, 0], [0, 1.5, 0]])
MASSES = np.array([6.0, 6.0, 1.0])


def beads(n_beads: int) -> tuple[np.ndarray, np.ndarray]:
    positions, forces, _ = oscillator.sample(6.0, n_beads, 100, MASSES, seed=n_beads)
    return positions + PLACES, forces


@pytest.fixture(scope="module")
def bonds() -> dict[int, DistanceDistribution]:
    pairs = np.array([[0, 1]])
    return {p: distance_distribution(beads(p)[0], pairs, "bond") for p in (1, 2, 4)}


@pytest.fixture(scope="module")
def corners() -> dict[int, AngleDistribution]:
    triples = np.array([[1, 0, 2]])
    return {p: angle_distribution(beads(p)[0], triples, "angle") for p in (1, 4)}


@pytest.fixture(scope="module")
def radial() -> tuple[RadialDistribution, ...]:
    positions = np.random.default_rng(0).uniform(0, 6, size=(20, 1, 8, 3))
    return radial_distributions(positions, np.array([8, 8, 8, 1, 1, 1, 1, 1]), 6.0 * np.eye(3))


@pytest.fixture(scope="module")
def convergence(bonds: dict[int, DistanceDistribution]) -> BeadConvergence:
    spreads = {p: one.standard_deviation for p, one in bonds.items()}
    return bead_convergence(spreads, "bond spread", "A", 0.05)


@pytest.fixture(scope="module")
def spread() -> ImaginaryTimeSpread:
    return imaginary_time_spread(beads(4)[0], np.array([6, 6, 1]), MASSES, oscillator.KELVIN)


def legend(ax: Axes) -> list[str]:
    drawn = ax.get_legend()
    assert drawn is not None
    return [text.get_text() for text in drawn.get_texts()]


def check_png(figure: Figure, folder: Path) -> None:
    figure.savefig(folder / "figure.png")
    assert (folder / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_radial_distributions_beside_a_reference(
    radial: tuple[RadialDistribution, ...], tmp_path: Path
) -> None:
    reference = ("experiment", np.array([1.0, 2.0]), np.array([0.0, 1.0]))
    figure = distributions.radial_distribution_figure(radial, reference, max_g=3.0)
    upper, lower = figure.axes
    assert legend(upper) == ["H-H", "H-O", "O-O", "experiment"]
    assert lower.get_legend() is None
    assert upper.get_ylim() == (0, 3)
    for one, line, run in zip(radial, upper.lines, lower.lines, strict=False):
        assert np.array_equal(line.get_xydata(), np.c_[one.distances, one.g])
        assert np.array_equal(run.get_xydata(), np.c_[one.upper_edges, one.coordination_number])
    assert (upper.get_ylabel(), lower.get_xlabel()) == ("g(r)", "distance r (Å)")
    check_png(figure, tmp_path)


def test_half_the_cell_is_marked_where_images_begin() -> None:
    positions = np.random.default_rng(0).uniform(0, 6, size=(10, 1, 4, 3))
    (far,) = radial_distributions(positions, np.full(4, 2), 6.0 * np.eye(3), max_distance=5.0)
    ax = distributions.plot_radial_distributions(far)
    assert legend(ax) == ["He-He", "half the cell"]
    assert list(ax.lines[-1].get_xdata()) == [3.0, 3.0]


def test_quantum_effects_have_the_band_of_both(
    bonds: dict[int, DistanceDistribution], corners: dict[int, AngleDistribution], tmp_path: Path
) -> None:
    for runs, axis in ((bonds, "bond (Å)"), (corners, "angle (°)")):
        difference = distribution_difference(runs[4], runs[1])
        figure = distributions.quantum_effect_figure(runs[4], runs[1], difference)
        upper, lower = figure.axes
        assert legend(upper) == ["classical", "PIMD, 4 beads"]
        assert np.array_equal(lower.lines[0].get_ydata(), difference.difference)
        top = lower.collections[0].get_paths()[0].vertices[:, 1].max()
        assert top == pytest.approx((difference.difference + difference.standard_error).max())
        assert lower.get_xlabel() == axis
        check_png(figure, tmp_path)


def test_beads_are_shown_with_the_verdict(
    bonds: dict[int, DistanceDistribution], convergence: BeadConvergence, tmp_path: Path
) -> None:
    figure = path_integrals.bead_convergence_figure(bonds, convergence)
    left, right = figure.axes
    assert legend(left) == ["1 bead", "2 beads", "4 beads"]
    assert right.get_title(loc="left") == convergence.verdict
    assert list(right.get_xticks()) == [1, 2, 4]
    assert right.get_ylabel() == "bond spread (Å)"
    check_png(figure, tmp_path)


def test_perturbed_distributions_stand_beside_the_plain(
    bonds: dict[int, DistanceDistribution], tmp_path: Path
) -> None:
    positions, forces = beads(4)
    found = perturbed_distance_distribution(
        positions, forces, MASSES, oscillator.KELVIN, "bond", np.array([[0, 1]])
    )
    ax = path_integrals.plot_perturbed_distribution(found, bonds[1])
    assert legend(ax) == ["classical", "4 beads", "4 beads, corrected (PPI)"]
    assert np.array_equal(ax.lines[2].get_ydata(), found.density)
    figure = ax.get_figure(root=True)
    assert figure is not None
    check_png(figure, tmp_path)


def test_imaginary_time_by_element(spread: ImaginaryTimeSpread) -> None:
    ax = path_integrals.plot_imaginary_time(spread)
    assert legend(ax) == ["H", "C", "free particle"]
    assert np.allclose(ax.lines[0].get_ydata() ** 2, spread.mean_square_displacement.value[0])
    assert np.allclose(ax.lines[1].get_ydata() ** 2, spread.free_particle[0])


def test_drawing_into_given_axes_makes_no_figure(
    bonds: dict[int, DistanceDistribution],
    radial: tuple[RadialDistribution, ...],
    convergence: BeadConvergence,
    spread: ImaginaryTimeSpread,
) -> None:
    ax = Figure().subplots()
    assert distributions.plot_radial_distributions(radial, ax) is ax
    assert distributions.plot_coordination_numbers(radial[0], ax) is ax
    assert distributions.plot_difference(distribution_difference(bonds[4], bonds[1]), ax) is ax
    assert path_integrals.plot_distributions_by_beads(bonds, ax) is ax
    assert path_integrals.plot_bead_convergence(convergence, ax) is ax
    assert path_integrals.plot_imaginary_time(spread, ax := Figure().subplots()) is ax
