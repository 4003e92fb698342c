"""Bonds, antipodes and distance distributions, on a dodecahedron and on atoms of known spread."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import molecule
from scipy.spatial.distance import pdist
from scipy.stats import norm

from md_runs.analysis.sampling import block_sums
from md_runs.analysis.structure.distances import (
    antipodal_pairs,
    bonded_pairs,
    cage_geometry,
    distance_distribution,
)
from md_runs.analysis.structure.rdf import pair_distribution
from mlpotential.errors import ConfigError, DataError, StructureError

REFERENCE = Path(__file__).parents[3] / "reference"
EDGE = np.sqrt(5) - 1  # of the dodecahedron whose vertices lie sqrt(3) from its centre


def dodecahedron() -> np.ndarray:
    """The cage of C20 at its most symmetric, [20, 3], from its coordinates by the golden ratio."""
    golden = (1 + np.sqrt(5)) / 2
    cube = list(itertools.product((-1, 1), repeat=3))
    rectangles = [
        np.roll((0, a / golden, b * golden), k)
        for k in range(3)
        for a, b in itertools.product((-1, 1), repeat=2)
    ]
    return np.array([*cube, *rectangles], float)


def trajectory(n_frames: int = 200, n_beads: int = 3, width: float = 0.02) -> np.ndarray:
    """Atoms that scatter independently about a dodecahedron, [n_frames, n_beads, 20, 3]."""
    noise = np.random.default_rng(5).normal(size=(n_frames, n_beads, 20, 3))
    return dodecahedron() + width * noise


def test_c20_has_thirty_bonds_and_ten_diameters() -> None:
    cage = dodecahedron()
    bonds, antipodes = bonded_pairs(cage, 3), antipodal_pairs(cage)
    assert bonds.shape == (30, 2)
    assert antipodes.shape == (10, 2)
    assert np.allclose(np.linalg.norm(cage[bonds[:, 0]] - cage[bonds[:, 1]], axis=1), EDGE)
    assert np.allclose(cage[antipodes[:, 0]], -cage[antipodes[:, 1]])
    assert np.array_equal(np.bincount(bonds.ravel()), np.full(20, 3))
    assert np.array_equal(np.sort(antipodes.ravel()), np.arange(20))


def test_the_relaxed_cage_has_them_too() -> None:
    with np.load(REFERENCE / "c20_pbe_d4_hessian.npz") as file:
        positions = file["positions"]
    assert bonded_pairs(positions, 3).shape == (30, 2)
    assert antipodal_pairs(positions).shape == (10, 2)


def test_c60_is_a_cage_with_ninety_bonds() -> None:
    assert len(bonded_pairs(molecule("C60").positions, 3)) == 90


def test_one_sided_neighbours_are_refused() -> None:
    line = np.array([[0.0, 0, 0], [1.0, 0, 0], [2.5, 0, 0]])
    with pytest.raises(StructureError, match="atom 1 is among the 1 nearest of atom 2, but atom 2"):
        bonded_pairs(line, 1)
    with pytest.raises(StructureError, match="among the farthest"):
        antipodal_pairs(line)
    with pytest.raises(ConfigError, match="3 atoms cannot have 3 bonds each"):
        bonded_pairs(line, 3)
    with pytest.raises(DataError, match="not finite"):
        antipodal_pairs(line * np.nan)
    with pytest.raises(DataError, match=r"\[n_atoms, 3\]"):
        bonded_pairs(line[None], 1)


def test_mean_and_spread_are_those_of_all_distances_pooled() -> None:
    positions, pairs = trajectory(), bonded_pairs(dodecahedron(), 3)
    found = distance_distribution(positions, pairs, "bonds")
    distances = np.linalg.norm(positions[:, :, pairs[:, 0]] - positions[:, :, pairs[:, 1]], axis=-1)
    assert found.mean.value == pytest.approx(distances.mean(), abs=1e-13)
    assert found.standard_deviation.value == pytest.approx(distances.std(), abs=1e-13)
    assert (found.n_frames, found.n_beads, found.n_pairs) == (200, 3, 30)
    heights, _ = np.histogram(
        distances,
        bins=len(found.distances),
        range=(found.distances[0] - 0.005, found.distances[-1] + 0.005),
        density=True,
    )
    assert np.allclose(found.density, heights, rtol=0, atol=1e-9)
    assert found.density[0] == found.density[-1] == 0.0


@pytest.mark.slow
def test_error_bars_are_the_scatter_of_repeated_runs() -> None:
    """200 runs of a dimer whose bond has mean 1.5 A and a normal spread of 0.05 A: the scatter is
    what the error bars say, and bands of 68 % cover the truth in 60-76 % of the runs."""
    rng = np.random.default_rng(6)
    runs = []
    for _ in range(200):
        positions = np.zeros((200, 1, 2, 3))
        positions[:, 0, 1, 0] = rng.normal(1.5, 0.05, size=200)
        runs.append(distance_distribution(positions, np.array([[0, 1]]), "bond"))
    means = np.array([run.mean.value for run in runs])
    spreads = np.array([run.standard_deviation.value for run in runs])
    mean_errors = np.array([run.mean.standard_error for run in runs])
    spread_errors = np.array([run.standard_deviation.standard_error for run in runs])
    assert means.mean() == pytest.approx(1.5, abs=4 * 0.05 / 200)
    assert means.std() == pytest.approx(0.05 / np.sqrt(200), rel=0.15)
    assert np.sqrt(np.mean(mean_errors**2)) == pytest.approx(0.05 / np.sqrt(200), rel=0.15)
    assert spreads.std() == pytest.approx(0.05 / np.sqrt(2 * 200), rel=0.15)
    assert np.sqrt(np.mean(spread_errors**2)) == pytest.approx(0.05 / np.sqrt(2 * 200), rel=0.15)
    middle = [np.argmin(np.abs(run.distances - 1.505)) for run in runs]
    density = np.array([run.density[k] for run, k in zip(runs, middle, strict=True)])
    errors = np.array([run.standard_error[k] for run, k in zip(runs, middle, strict=True)])
    assert density.std() == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.2)
    bin_edges = np.array([1.50, 1.51])
    exact = np.diff(norm.cdf(bin_edges, 1.5, 0.05))[0] / 0.01
    for values, bars, truth in (
        (means, mean_errors, 1.5),
        (spreads, spread_errors, 0.05),
        (density, errors, exact),
    ):
        assert 0.60 < np.mean(np.abs(values - truth) < bars) < 0.76


def test_cage_geometry_is_what_each_frame_says_on_average() -> None:
    positions, cage = trajectory(), dodecahedron()
    bonds, antipodes = bonded_pairs(cage, 3), antipodal_pairs(cage)
    found = cage_geometry(positions, bonds, antipodes)
    all_distances = np.linalg.norm(positions[:, :, :, None] - positions[:, :, None], axis=-1)
    bond_lengths = all_distances[:, :, bonds[:, 0], bonds[:, 1]]
    nearest = np.where(np.eye(20, dtype=bool), np.inf, all_distances).min(axis=-1)
    expected = {
        "mean_bond": bond_lengths.mean(),
        "bond_standard_deviation": bond_lengths.std(),
        "closest_neighbour": nearest.mean(),
        "antipodal_distance": all_distances[:, :, antipodes[:, 0], antipodes[:, 1]].mean(),
        "largest_distance": all_distances.max(axis=(2, 3)).mean(),
    }
    for name, value in expected.items():
        estimate = getattr(found, name)
        assert estimate.value == pytest.approx(value, abs=1e-12)
        assert 0 < estimate.standard_error < 0.002
    assert (
        found.closest_neighbour.value
        < found.mean_bond.value - found.bond_standard_deviation.value / 2
    )


def test_a_structure_is_a_trajectory_of_one_frame() -> None:
    cage = dodecahedron()
    found = cage_geometry(
        cage[None, None], bonded_pairs(cage, 3), antipodal_pairs(cage), n_blocks=1
    )
    assert found.mean_bond.value == pytest.approx(EDGE)
    assert found.closest_neighbour.value == pytest.approx(EDGE)
    assert found.largest_distance.value == pytest.approx(2 * np.sqrt(3))
    assert found.bond_standard_deviation.value == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(found.mean_bond.standard_error)


def test_results_do_not_depend_on_the_size_of_the_chunks(monkeypatch: Any) -> None:
    positions, pairs = trajectory(), bonded_pairs(dodecahedron(), 3)
    whole = distance_distribution(positions, pairs, "bonds")
    monkeypatch.setattr(block_sums, "VALUES_PER_PIECE", 7 * 3 * 30)
    pieces = distance_distribution(positions, pairs, "bonds")
    assert np.array_equal(whole.density, pieces.density)
    assert pieces.mean.value == pytest.approx(whole.mean.value, abs=1e-13)
    assert pieces.mean.standard_error == pytest.approx(whole.mean.standard_error, rel=1e-9)


def test_the_pair_density_counts_every_pair_once_and_integrates_to_one() -> None:
    positions = trajectory()
    found = pair_distribution(positions, bin_width=0.02)
    assert found.n_pairs == 190
    assert np.sum(found.density) * found.bin_width == pytest.approx(1.0, abs=1e-12)
    distances = np.concatenate([pdist(bead) for frame in positions for bead in frame])
    counts, _ = np.histogram(
        distances,
        bins=len(found.distances),
        range=(found.distances[0] - 0.01, found.distances[-1] + 0.01),
    )
    assert np.allclose(found.density, counts / (len(distances) * 0.02), rtol=0, atol=1e-9)


def test_shells_of_the_dodecahedron_are_counted() -> None:
    """Each vertex has 3, 6, 6, 3 and 1 vertices at increasing distance."""
    found = pair_distribution(dodecahedron()[None, None], bin_width=0.01, n_blocks=1)
    shells = found.density[found.density > 0] * found.bin_width * 19
    assert np.allclose(shells, [3, 6, 6, 3, 1])
    assert np.isnan(found.standard_error).all()


def test_two_runs_share_their_bins() -> None:
    first = pair_distribution(trajectory(width=0.01), bin_width=0.01)
    second = pair_distribution(trajectory(width=0.05), bin_width=0.01)
    offset = (first.distances[0] - second.distances[0]) / 0.01
    assert offset == pytest.approx(round(offset), abs=1e-9)


def test_impossible_input_is_refused() -> None:
    positions, pairs = trajectory(n_frames=20), bonded_pairs(dodecahedron(), 3)
    with pytest.raises(DataError, match=r"\[n_frames, n_beads, n_atoms, 3\], not \[20, 20, 3\]"):
        distance_distribution(positions[:, 0], pairs, "bonds")
    with pytest.raises(DataError, match=r"name atoms 0 to 19, but the trajectory has atoms 0 to 9"):
        distance_distribution(positions[:, :, :10], pairs, "bonds")
    with pytest.raises(DataError, match="20 frames cannot be divided into 30 blocks"):
        pair_distribution(positions, n_blocks=30)
    with pytest.raises(ConfigError, match="bin_width must be a positive number"):
        pair_distribution(positions, bin_width=0.0)
    with pytest.raises(DataError, match="at least 2 atoms"):
        pair_distribution(positions[:, :, :1])
    broken = positions.copy()
    broken[13, 1, 4] = np.nan
    with pytest.raises(DataError, match=r"positions .*frame 13 are not finite"):
        cage_geometry(broken, pairs, pairs)
    apart = positions.copy()
    apart[7, :, 3] += 1e6
    with pytest.raises(DataError, match="did the molecule fall apart"):
        pair_distribution(apart)
