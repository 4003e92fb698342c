"""Lengths, angles and dihedrals against ASE, with periodic images; sizes; angle distributions."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from numpy.testing import assert_allclose
from scipy.stats import norm

from md_runs.analysis.structure.angle_distributions import angle_distribution, dihedral_distribution
from md_runs.analysis.structure.distances import (
    distance_distribution,
    nearest_neighbor_distribution,
    size_distributions,
)
from md_runs.analysis.structure.internal_coordinates import (
    angles,
    dihedrals,
    distances,
    largest_distances,
    nearest_neighbor_distances,
    radii_of_gyration,
)
from mlpotential.errors import ConfigError, DataError, StructureError

SKEWED = np.array([[9.0, 0, 0], [3.0, 8.0, 0], [-2.0, 2.5, 10.0]])  # A
PERIODIC = (True, True, True)
PAIRS = np.array([[0, 1], [1, 2], [0, 5], [4, 3]])
TRIPLES = np.array([[0, 1, 2], [3, 0, 5], [6, 2, 1]])
QUADRUPLES = np.array([[3, 1, 0, 2], [0, 1, 2, 3], [7, 0, 2, 8], [8, 2, 0, 7]])


def ethanols(n_frames: int = 5, n_beads: int = 2) -> np.ndarray:
    noise = np.random.default_rng(0).normal(size=(n_frames, n_beads, 9, 3))
    return molecule("CH3CH2OH").positions + 0.2 * noise


def of_ase(positions: np.ndarray, method: str, indices: np.ndarray, **options) -> np.ndarray:
    """[n_frames, n_beads, n_indices]."""
    return np.array(
        [
            [
                [getattr(Atoms("CCOH6", bead, **options), method)(*row) for row in indices]
                for bead in frame
            ]
            for frame in positions
        ]
    )


def test_coordinates_are_those_of_ase() -> None:
    frames = ethanols()
    assert_allclose(distances(frames, PAIRS), of_ase(frames, "get_distance", PAIRS), rtol=1e-12)
    assert_allclose(angles(frames, TRIPLES), of_ase(frames, "get_angle", TRIPLES), rtol=1e-9)
    expected = of_ase(frames, "get_dihedral", QUADRUPLES)  # 0 to 360, clockwise, as ours
    assert_allclose(dihedrals(frames, QUADRUPLES) % 360, expected, rtol=1e-9)
    assert (dihedrals(frames, QUADRUPLES) < 0).any()
    assert_allclose(dihedrals(frames, QUADRUPLES[:, ::-1]), dihedrals(frames, QUADRUPLES))


def test_a_wrapped_molecule_is_the_whole_one() -> None:
    """Cells that change from frame to frame; the molecule lies across their faces."""
    frames = ethanols()
    cells = (1 + 0.02 * np.arange(5))[:, None, None] * SKEWED
    fractional = np.einsum("fbax,fxy->fbay", frames, np.linalg.inv(cells)) % 1.0
    wrapped = np.einsum("fbax,fxy->fbay", fractional, cells)
    assert np.abs(wrapped - frames).max() > 5.0
    for measure, indices in ((distances, PAIRS), (angles, TRIPLES), (dihedrals, QUADRUPLES)):
        expected = measure(frames, indices)
        assert_allclose(measure(wrapped, indices, cells, PERIODIC), expected, atol=1e-7)
        assert_allclose(measure(frames, indices, cells, (False,) * 3), expected)
    nearest = nearest_neighbor_distances(wrapped, 1, cells, PERIODIC)
    assert_allclose(nearest, nearest_neighbor_distances(frames), atol=1e-9)
    along_x = (True, False, False)  # the other vectors play no role, not even where they vanish
    shifted = frames.copy()
    shifted[:, :, 3] += 9.0 * np.arange(5)[:, None, None] * [1.0, 0, 0]
    cell = np.diag([9.0, 0.0, 0.0])
    assert_allclose(distances(shifted, PAIRS, cell, along_x), distances(frames, PAIRS), atol=1e-9)


def test_ambiguous_images_are_refused() -> None:
    frames = np.zeros((2, 1, 2, 3))
    frames[1, 0, 1, 0] = 2.3
    with pytest.raises(DataError, match=r"2\.3 A is beyond half the cell, 2\.25 A"):
        distances(frames, np.array([[0, 1]]), np.diag([9.0, 4.5, 4.5]), PERIODIC)
    with pytest.raises(DataError, match="beyond half the cell"):
        nearest_neighbor_distances(frames, 1, np.diag([9.0, 4.5, 4.5]), PERIODIC)
    with pytest.raises(StructureError, match="flat"):
        distances(frames, np.array([[0, 1]]), np.zeros((3, 3)), PERIODIC)


def test_nearest_neighbours_and_sizes() -> None:
    square = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])[None, None]
    root = np.sqrt(2)
    assert_allclose(nearest_neighbor_distances(square, 3)[0, 0], [[1, 1, root]] * 4)
    assert_allclose(largest_distances(square), [[[root]]])
    assert_allclose(radii_of_gyration(square, np.ones(4)), [[[root / 2]]])
    heavy = radii_of_gyration(square + 100.0, np.array([1e9, 1, 1, 1]))
    assert heavy[0, 0, 0] == pytest.approx(np.sqrt(4 / 1e9), rel=1e-3)
    frames = ethanols(40)
    masses = molecule("CH3CH2OH").get_masses()
    diameter, radius = size_distributions(frames, masses)
    assert diameter.mean.value == pytest.approx(largest_distances(frames).mean())
    assert radius.mean.value == pytest.approx(radii_of_gyration(frames, masses).mean())
    assert (diameter.n_pairs, radius.label) == (1, "radius of gyration")
    nearest = nearest_neighbor_distribution(frames, 2)
    assert nearest.n_pairs == 18
    assert nearest.mean.value == pytest.approx(nearest_neighbor_distances(frames, 2).mean())
    assert nearest.label == "2 nearest neighbours"


def test_a_periodic_bond_has_the_distribution_of_the_whole_one() -> None:
    frames = ethanols(60)
    expected = distance_distribution(frames, PAIRS[:2], "bonds")
    wrapped = (frames @ np.linalg.inv(SKEWED) % 1.0) @ SKEWED
    cells = np.broadcast_to(SKEWED, (60, 3, 3))
    for cell in (SKEWED, cells, (cells[k : k + 9] for k in range(0, 60, 9))):
        chunks = (wrapped[k : k + 9] for k in range(0, 60, 9))
        is_stream = not hasattr(cell, "shape")
        found = distance_distribution(
            chunks if is_stream else wrapped, PAIRS[:2], "bonds", cells=cell, pbc=PERIODIC
        )
        assert found.mean.value == pytest.approx(expected.mean.value)
        assert_allclose(found.density, expected.density, atol=1e-9)


def test_angles_at_a_known_spread() -> None:
    """A right angle that one arm leaves by a normal spread of 3 degrees in the plane."""
    swing = np.radians(np.random.default_rng(1).normal(0, 3, size=4000))
    frames = np.zeros((4000, 1, 3, 3))
    frames[:, 0, 0, 0] = 1.2
    frames[:, 0, 2, 0], frames[:, 0, 2, 1] = -np.sin(swing), np.cos(swing)
    found = angle_distribution(frames, np.array([[0, 1, 2]]), "right angle", bin_width=1.0)
    assert abs(found.mean.value - 90) < 4 * found.mean.standard_error < 0.4
    spread = found.standard_deviation
    assert abs(spread.value - 3) < 4 * spread.standard_error < 0.4
    assert found.density.sum() * found.bin_width == pytest.approx(1.0)
    assert (found.density[[0, -1]] == 0).all()
    assert (found.density[1:-1] > 0).mean() > 0.9
    normal = np.exp(-((found.angles - 90) ** 2) / 18) / np.sqrt(18 * np.pi)
    assert (np.abs(found.density - normal) < 5 * found.standard_error + 2e-3).all()


def test_dihedrals_go_around() -> None:
    """Spread about 180 degrees: the mean is there, and not between -180 and 180."""
    phi = np.radians(np.random.default_rng(2).normal(180, 10, size=3000))
    frames = np.zeros((3000, 1, 4, 3))
    frames[:, 0, 0, 0] = 1.0
    frames[:, 0, 2:, 2] = 1.0
    frames[:, 0, 3, 0], frames[:, 0, 3, 1] = np.cos(phi), np.sin(phi)
    found = dihedral_distribution(frames, np.array([[0, 1, 2, 3]]), "torsion")
    assert found.is_periodic
    assert (found.angles[0], found.angles[-1]) == (-179.0, 179.0)
    assert min(abs(found.mean.value - s * 180) for s in (-1, 1)) < 4 * found.mean.standard_error
    assert found.mean.standard_error == pytest.approx(10 / np.sqrt(3000), rel=0.5)
    spread = found.standard_deviation
    assert abs(spread.value - 10) < 4 * spread.standard_error < 1.5
    assert found.density[[0, -1]].sum() * 2 == pytest.approx(0.159, abs=0.03)
    chunks = (frames[k : k + 7] for k in range(0, 3000, 7))
    stream = dihedral_distribution(chunks, np.array([[0, 1, 2, 3]]), "torsion")
    assert_allclose(stream.density, found.density, atol=1e-12)


@pytest.mark.slow
def test_error_bars_of_dihedrals_cover_the_truth() -> None:
    """68 % bands of 200 runs about 180 degrees: circular mean and spread, and the density."""
    rng, covered = np.random.default_rng(3), []
    for _ in range(200):
        phi = np.radians(rng.normal(180, 10, size=300))
        frames = np.zeros((300, 1, 4, 3))
        frames[:, 0, 0, 0] = 1.0
        frames[:, 0, 2:, 2] = 1.0
        frames[:, 0, 3, 0], frames[:, 0, 3, 1] = np.cos(phi), np.sin(phi)
        found = dihedral_distribution(frames, np.array([[0, 1, 2, 3]]), "torsion", bin_width=10.0)
        mean, spread = found.mean, found.standard_deviation
        density, error = found.density[[0, -1]], found.standard_error[[0, -1]]
        exact = (norm.cdf(1) - norm.cdf(0)) / 10  # of the bins to both sides of 180 degrees
        covered.append(
            [
                abs(mean.value % 360 - 180) < mean.standard_error,
                abs(spread.value - 10) < spread.standard_error,
                *(np.abs(density - exact) < error),
            ]
        )
    share = np.mean(covered, axis=0)
    assert ((share > 0.60) & (share < 0.76)).all(), share


def test_a_straight_angle_is_180_degrees() -> None:
    line = np.array([[-1.0, 0, 0], [0, 0, 0], [2.0, 0, 0]])[None, None]
    assert angles(line, np.array([[0, 1, 2]]))[0, 0, 0] == 180.0
    found = angle_distribution(line, np.array([[0, 1, 2]]), "line", n_blocks=1)
    assert found.density[-1] == 1.0


def test_what_is_no_coordinate_is_refused() -> None:
    frames = ethanols()
    with pytest.raises(DataError, match=r"triples must have shape \[n_triples, 3\], not \[4, 2\]"):
        angles(frames, PAIRS)
    with pytest.raises(DataError, match="atoms 0 to 9, but the trajectory has atoms 0 to 8"):
        distances(frames, np.array([[0, 9]]))
    with pytest.raises(DataError, match="named twice"):
        dihedrals(frames, np.array([[0, 1, 0, 2]]))
    with pytest.raises(DataError, match="no angle"):
        angles(np.zeros((1, 1, 3, 3)), np.array([[0, 1, 2]]))
    with pytest.raises(DataError, match="no angle"):
        dihedrals(np.arange(12.0).reshape(1, 1, 4, 3), np.array([[0, 1, 2, 3]]))
    with pytest.raises(ConfigError, match="9 atoms cannot have 9 nearest neighbours"):
        nearest_neighbor_distances(frames, 9)
    with pytest.raises(DataError, match="at least 2 atoms"):
        largest_distances(frames[:, :, :1])
    with pytest.raises(DataError, match="9 atoms need masses"):
        radii_of_gyration(frames, np.ones(3))
    with pytest.raises(ConfigError, match="divide 180 degrees"):
        angle_distribution(frames, TRIPLES, "angles", bin_width=0.7, n_blocks=1)
