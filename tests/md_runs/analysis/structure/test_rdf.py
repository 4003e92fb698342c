"""g(r) and coordination numbers: ideal gases, crystals, changing cells, images, MDAnalysis."""

import gzip
import io
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.testing import assert_allclose

from md_runs.analysis.structure.rdf import (
    RadialDistribution,
    pair_distribution,
    radial_distributions,
)
from mlpotential.errors import ConfigError, DataError, StructureError

REFERENCE = Path(__file__).parents[3] / "reference"
SKEWED = np.array([[9.0, 0, 0], [3.0, 8.0, 0], [-2.0, 2.5, 10.0]])  # A
FCC = bulk("Ar", "fcc", a=5.26)


def gas(cells: np.ndarray, n_atoms: int, seed: int = 0) -> np.ndarray:
    """Points anywhere in cells [n_frames, 3, 3], shifted by whole lattice vectors."""
    rng = np.random.default_rng(seed)
    fractional = rng.uniform(-2, 2, size=(len(cells), 1, n_atoms, 3))
    return np.einsum("fbax,fxy->fbay", fractional, cells)


def only(distributions: tuple[RadialDistribution, ...]) -> RadialDistribution:
    (one,) = distributions
    return one


@pytest.mark.parametrize(
    "cell",
    [9.0 * np.eye(3), np.diag([7.0, 9.0, 12.0]), SKEWED, SKEWED[[1, 0, 2]]],
    ids=["cubic", "orthorhombic", "skewed", "left-handed"],
)
def test_an_ideal_gas_has_g_of_one(cell: np.ndarray) -> None:
    """Partials of 12 and 6 atoms; the largest distance is that of the cell itself."""
    positions = gas(np.broadcast_to(cell, (300, 3, 3)), 18)
    numbers = np.array([8] * 12 + [1] * 6)
    found = radial_distributions(positions, numbers, cell, bin_width=0.5)
    assert [one.label for one in found] == ["H-H", "H-O", "O-O"]
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    for one in found:
        assert one.largest_unambiguous_distance == pytest.approx(heights.min() / 2)
        assert one.upper_edges[-1] == pytest.approx(0.5 * (heights.min() / 2 // 0.5))
        z = (one.g - 1)[2:] / one.standard_error[2:]  # the first bins count next to nothing
        assert np.abs(z).max() < 4
        density = (one.n_second - (one.label[0] == one.label[-1])) / abs(np.linalg.det(cell))
        ideal = density * 4 / 3 * np.pi * one.upper_edges**3
        assert_allclose(one.coordination_number[3:], ideal[3:], rtol=0.1)
        assert one.is_volume_of_cell
        assert one.reference_volume == pytest.approx(abs(np.linalg.det(cell)))


def test_fcc_shells_hold_12_6_24_atoms() -> None:
    cell = FCC.repeat(6)
    found = only(
        radial_distributions(
            cell.positions[None, None], cell.numbers, cell.cell.array, n_blocks=1, max_distance=6.9
        )
    )
    nearest = 5.26 / np.sqrt(2)
    counts = [found.coordination_within(nearest * s).value for s in (0.9, 1.2, 1.6, 1.8)]
    assert_allclose(counts, [0, 12, 18, 42], rtol=0, atol=1e-12)
    assert found.n_first == found.n_second == 216
    assert np.isnan(found.standard_error).all()


def test_the_primitive_cell_gives_the_shells_of_the_supercell() -> None:
    """One atom, in a cell far smaller than the distance: every neighbour is its own image."""
    large = FCC.repeat(6)
    pair = [
        only(
            radial_distributions(
                atoms.positions[None, None],
                atoms.numbers,
                atoms.cell.array,
                n_blocks=1,
                max_distance=6.9,
            )
        )
        for atoms in (FCC, large)
    ]
    assert pair[0].largest_unambiguous_distance < 2 < 6.9 < pair[1].largest_unambiguous_distance
    assert_allclose(pair[0].coordination_number, pair[1].coordination_number, atol=1e-12)
    assert_allclose(pair[0].g, pair[1].g * 215 / 216, atol=1e-10)  # images are counted in N_pairs


def test_the_volume_is_that_of_each_frame() -> None:
    """A gas in a cell whose volume changes by a factor of 3.4, correlated with nothing."""
    lengths = np.random.default_rng(2).uniform(8.0, 12.0, size=400)
    cells = lengths[:, None, None] * np.eye(3)
    positions = gas(cells, 15)
    numbers = np.full(15, 18)
    found = only(radial_distributions(positions, numbers, cells, bin_width=0.5))
    assert found.upper_edges[-1] == pytest.approx(0.5 * (lengths.min() / 2 // 0.5))
    assert np.abs((found.g - 1)[2:] / found.standard_error[2:]).max() < 4
    assert found.reference_volume == pytest.approx((lengths**3).mean())
    fixed = only(
        radial_distributions(
            positions, numbers, cells, bin_width=0.5, reference_volume=(lengths**3).mean()
        )
    )
    bias = (lengths**3).mean() * (lengths**-3.0).mean()
    assert fixed.g[3:].mean() == pytest.approx(bias, rel=0.02)
    assert bias > 1.1
    assert not fixed.is_volume_of_cell


def test_wrapped_far_away_and_reduced_positions_are_the_same() -> None:
    positions = gas(np.broadcast_to(SKEWED, (20, 3, 3)), 12)
    numbers = np.full(12, 18)
    expected = only(radial_distributions(positions, numbers, SKEWED, n_blocks=5))
    far = positions + 1e5 * SKEWED[1]
    found = only(radial_distributions(far, numbers, SKEWED, n_blocks=5))
    assert_allclose(found.coordination_number, expected.coordination_number, atol=1e-9)
    steep = SKEWED + np.outer([0, 0, 1], 5 * SKEWED[0] - 3 * SKEWED[1])  # the same lattice
    reach = expected.upper_edges[-1]
    found = only(radial_distributions(positions, numbers, steep, max_distance=reach, n_blocks=5))
    assert found.largest_unambiguous_distance < reach
    same_images = expected.coordination_number  # no own image is nearer than half the good cell
    assert_allclose(found.coordination_number, same_images, atol=1e-9)


def test_images_beyond_half_the_cell_are_those_of_a_supercell() -> None:
    """A skewed cell of 5 atoms and two elements, and the same crystal as 4 x 4 x 4 of them.

    The width of the bins is odd: lattice vectors of a round length would lie on their edges.
    """
    small = Atoms("O2H3", cell=0.5 * SKEWED, pbc=True)
    small.set_scaled_positions(np.random.default_rng(3).uniform(size=(5, 3)))
    large = small.repeat(4)
    few, many = (
        radial_distributions(
            a.positions[None, None],
            a.numbers,
            a.cell.array,
            max_distance=6.0,
            bin_width=0.0471,
            n_blocks=1,
        )
        for a in (small, large)
    )
    for one, other in zip(few, many, strict=True):
        assert one.label == other.label
        assert_allclose(one.coordination_number, other.coordination_number, atol=1e-12)
    assert few[0].largest_unambiguous_distance < 3.0


def test_a_slab_has_images_in_its_plane_only() -> None:
    """One atom in a square net: 4 neighbours at a, 4 at sqrt(2) a; the height plays no role."""
    for height in (0.0, 1.0, 30.0):
        cell = np.diag([2.0, 2.0, height])
        found = only(
            radial_distributions(
                np.zeros((1, 1, 1, 3)),
                np.array([6]),
                cell,
                pbc=(True, True, False),
                max_distance=3.5,
                reference_volume=1.0,
                n_blocks=1,
            )
        )
        shells = [found.coordination_within(r).value for r in (1.9, 2.1, 2.9)]
        assert shells == [0, 4, 8]


def test_a_molecule_needs_a_stated_volume() -> None:
    positions = np.random.default_rng(4).normal(size=(50, 2, 6, 3))
    numbers = np.array([6, 6, 6, 1, 1, 1])
    with pytest.raises(DataError, match="give reference_volume, or take h"):
        radial_distributions(positions, numbers, max_distance=3.0)
    with pytest.raises(DataError, match="give reference_volume"):  # a cell, but not periodic
        radial_distributions(positions, numbers, 20 * np.eye(3), (False,) * 3, max_distance=3.0)
    found = radial_distributions(positions, numbers, max_distance=6.0, reference_volume=100.0)
    volumes = 4 / 3 * np.pi * np.diff((np.arange(121) * 0.05) ** 3)
    n_pairs = {"H-H": 3, "H-C": 9, "C-C": 3}  # g(r) of all together is h(r) by (1) and (2)
    pairs_in_bins = sum(n_pairs[one.label] * one.g * volumes / 100.0 for one in found)
    whole = pair_distribution(positions, bin_width=0.05)
    shared = whole.distances < 6.0
    places = np.rint(whole.distances[shared] / 0.05 - 0.5).astype(int)
    assert_allclose(pairs_in_bins[places] / (15 * 0.05), whole.density[shared], atol=1e-9)
    assert np.isinf(found[0].largest_unambiguous_distance)
    assert found[0].to_dict()["largest_unambiguous_distance"] is None


def test_either_order_of_elements() -> None:
    positions = gas(np.broadcast_to(SKEWED, (40, 3, 3)), 9)
    numbers = np.array([8, 8, 8, 1, 1, 1, 1, 1, 1])
    forth, back = radial_distributions(
        positions, numbers, SKEWED, element_pairs=[("O", "H"), ("H", "O")]
    )
    assert (forth.label, forth.n_first, forth.n_second) == ("O-H", 3, 6)
    assert_allclose(forth.g, back.g, atol=1e-12)
    assert_allclose(forth.coordination_number, 2 * back.coordination_number, atol=1e-12)


def test_beads_are_averaged_and_streams_are_arrays() -> None:
    cells = (1 + 0.1 * np.random.default_rng(5).uniform(size=40))[:, None, None] * SKEWED
    positions = np.concatenate([gas(cells, 8, seed) for seed in range(3)], axis=1)
    numbers = np.full(8, 2)
    whole = only(radial_distributions(positions, numbers, cells, max_distance=3.5))
    separate = [
        only(radial_distributions(positions[:, [b]], numbers, cells, max_distance=3.5)).g
        for b in range(3)
    ]
    assert_allclose(whole.g, np.mean(separate, axis=0), atol=1e-12)
    assert whole.n_beads == 3
    stream = only(
        radial_distributions(
            (positions[k : k + 6] for k in range(0, 40, 6)),
            numbers,
            (cells[k : k + 6] for k in range(0, 40, 6)),
            max_distance=3.5,
        )
    )
    assert_allclose(stream.g, whole.g, atol=1e-12)
    assert stream.reference_volume == pytest.approx(whole.reference_volume)
    with pytest.raises(ConfigError, match="max_distance must be given"):
        radial_distributions(iter([positions]), numbers, iter([cells]))


@pytest.mark.slow
def test_error_bands_cover_the_truth() -> None:
    """200 gases of independent frames: 68 % bands cover g = 1 and the mean number of neighbours."""
    n_runs, n_frames, length = 200, 20, 6.0
    cell = length * np.eye(3)
    rng = np.random.default_rng(6)
    covered = []
    for _ in range(n_runs):
        positions = rng.uniform(0, length, size=(n_frames, 1, 10, 3))
        found = only(radial_distributions(positions, np.full(10, 2), cell, bin_width=1.0))
        exact = 9 / length**3 * 4 / 3 * np.pi * found.upper_edges**3
        covered.append(
            np.concatenate(
                [
                    np.abs(found.g - 1)[1:] < found.standard_error[1:],
                    np.abs(found.coordination_number - exact)[1:] < found.coordination_error[1:],
                ]
            )
        )
    assert 0.60 < np.mean(covered) < 0.76
    assert (np.abs(np.mean(covered, axis=0) - 0.68) < 0.1).all()


def test_mdanalysis_counts_the_same_pairs() -> None:
    """`make_mdanalysis_rdf_reference.py`: a skewed cell, two elements, 20 frames."""
    with np.load(REFERENCE / "mdanalysis_rdf.npz") as file:
        reference = dict(file)
    positions = reference["positions"][:, None].astype(float)
    found = radial_distributions(
        positions,
        np.array([8] * 30 + [1] * 60),
        reference["cell"],
        element_pairs=[("O", "O"), ("O", "H"), ("H", "H")],
        max_distance=4.5,
    )
    for one in found:
        name = one.label.replace("-", "")
        counts = np.diff(one.coordination_number, prepend=0) * one.n_first * one.n_frames
        assert_allclose(counts, reference[f"count_{name}"], atol=1e-6)
        assert_allclose(one.g, reference[f"g_{name}"], atol=1e-6)
        assert_allclose(one.upper_edges, reference["edges"][1:], atol=1e-12)


@pytest.mark.public_data
def test_liquid_methanol_of_another_program(public_data: Path) -> None:
    """O-O of 61 molecules in a box of 16 A: mbGDML's g(r) divides by N (N - 1) as ours does."""
    folder = public_data / "reference" / "rdf_methanol_mbgdml"
    positions, numbers = np.load(folder / "61meoh-R.npy"), np.load(folder / "61meoh-Z.npy")
    distances, g = np.loadtxt(folder / "test_meoh_gr_OO.csv", delimiter=",", skiprows=1).T
    found = only(
        radial_distributions(
            positions[:, None],
            numbers,
            16.0 * np.eye(3),
            element_pairs=[("O", "O")],
            max_distance=8.0,
        )
    )
    assert_allclose(found.distances, distances, atol=1e-9)
    assert_allclose(found.g, g, rtol=1e-6)


@pytest.mark.public_data
def test_liquid_water_peaks_where_the_experiment_does(public_data: Path) -> None:
    """40 frames of 64 molecules by DFT: the first O-O shell is where it should be, but higher."""
    path = public_data / "water_periodic_deepmd" / "water_periodic_deepmd.extxyz.gz"
    text = io.StringIO(gzip.decompress(path.read_bytes()).decode())  # ASE seeks in the packed file
    frames = ase.io.read(text, "::8", format="extxyz")
    positions = np.array([frame.positions for frame in frames])[:, None]
    cells = np.array([frame.cell.array for frame in frames])
    oxygen, hydrogen = radial_distributions(
        positions, frames[0].numbers, cells, element_pairs=[("O", "O"), ("O", "H")]
    )
    experiment = np.loadtxt(public_data / "reference" / "water_experimental_gOO.csv")
    peak = 10 * experiment[np.argmax(experiment[:, 1]), 0]  # nm
    assert oxygen.distances[np.argmax(oxygen.g)] == pytest.approx(peak, abs=0.05)
    assert oxygen.g.max() == pytest.approx(experiment[:, 1].max(), rel=0.15)
    assert hydrogen.coordination_within(1.25).value == pytest.approx(2.0, abs=1e-9)


@pytest.mark.parametrize("cell", [9.0 * np.eye(3), SKEWED, SKEWED[[1, 0, 2]]])
def test_g_does_not_depend_on_where_it_ends(cell: np.ndarray) -> None:
    """A gas of 4 atoms: 1 at every distance below the shortest lattice vector, whatever r_max."""
    positions = gas(np.broadcast_to(cell, (2000, 3, 3)), 5)
    numbers = np.array([18] * 4 + [2])  # a single He has no pair of its own
    half = 0.5 / np.linalg.norm(np.linalg.inv(cell), axis=0).max()
    short, long = (
        {one.label: one for one in radial_distributions(positions, numbers, cell, max_distance=r)}
        for r in (0.95 * half, 1.9 * half)
    )
    assert list(short) == list(long) == ["He-Ar", "Ar-Ar"]
    for label, one in long.items():
        n_short = len(short[label].g)
        assert_allclose(one.g[:n_short], short[label].g, rtol=1e-12)
        z = (one.g - 1)[20:] / one.standard_error[20:]
        assert abs(z.mean()) < 4 / np.sqrt(len(z))
        assert np.abs(z).max() < 5


def test_a_variable_cell_changes_no_convention() -> None:
    """One frame whose half cell is shorter than r_max used to change the norm of all frames."""
    lengths = np.full(1000, 12.0)
    lengths[17] = 8.0
    cells = lengths[:, None, None] * np.eye(3)
    found = only(
        radial_distributions(gas(cells, 4), np.full(4, 18), cells, max_distance=5.5, bin_width=0.5)
    )
    assert np.average(found.g, weights=found.distances**2) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("turn", [1, -1], ids=["right-handed", "left-handed"])
def test_a_cell_of_one_atom_has_the_shells_of_its_crystal(turn: int) -> None:
    """fcc aluminium (a = 4.05 A): 12, 6 and 24 neighbours, with nothing asked for."""
    cell = turn * bulk("Al", "fcc", a=4.05).cell.array
    found = only(radial_distributions(np.zeros((1, 1, 1, 3)), [13], cell, n_blocks=1))
    assert found.distances[np.argmax(found.g)] == pytest.approx(4.05 / np.sqrt(2), abs=0.03)
    for distance, n_neighbours in ((3.0, 12), (4.5, 18), (5.5, 42)):
        assert found.coordination_within(distance).value == n_neighbours
    shells = 4 / 3 * np.pi * np.diff([0, *found.upper_edges**3])
    density = 4 / 4.05**3
    assert np.sum(found.g * shells * density) == pytest.approx(54, rel=1e-9)
    with pytest.raises(DataError, match=r"one Al, and none of its images .*--r-max"):
        radial_distributions(np.zeros((1, 1, 1, 3)), [13], cell, max_distance=2.0, n_blocks=1)


def test_impossible_questions_are_refused() -> None:
    positions, numbers = gas(np.broadcast_to(SKEWED, (20, 3, 3)), 4), np.array([6, 8, 8, 8])
    with pytest.raises(DataError, match="no element 'N' among C, O"):
        radial_distributions(positions, numbers, SKEWED, element_pairs=[("N", "O")])
    with pytest.raises(DataError, match="one atom about itself"):
        radial_distributions(positions, numbers, SKEWED, element_pairs=[("C", "C")])
    assert [d.label for d in radial_distributions(positions, numbers, SKEWED)] == ["C-O", "O-O"]
    with pytest.raises(DataError, match="4 atoms need as many atomic numbers, not 3"):
        radial_distributions(positions, numbers[:3], SKEWED)
    with pytest.raises(StructureError, match="flat"):
        radial_distributions(positions, numbers, SKEWED[[0, 0, 2]])
    with pytest.raises(StructureError, match="flat"):
        radial_distributions(positions, numbers, np.zeros((3, 3)))
    with pytest.raises(StructureError, match=r"0\.1 A thin"):
        radial_distributions(positions, numbers, np.diag([0.1, 5, 5]), max_distance=2.0)
    with pytest.raises(StructureError, match="not finite"):
        radial_distributions(positions, numbers, SKEWED * np.nan)
    with pytest.raises(ConfigError, match="max_distance must be at least"):
        radial_distributions(positions, numbers, SKEWED, max_distance=0.01)
    with pytest.raises(ConfigError, match="images of atoms: ask for less"):
        radial_distributions(positions, numbers, SKEWED, max_distance=2000.0)
    with pytest.raises(ConfigError, match="bin_width must be a positive number"):
        radial_distributions(positions, numbers, SKEWED, bin_width=-1.0)
    with pytest.raises(ConfigError, match="reference_volume must be a positive number"):
        radial_distributions(positions, numbers, SKEWED, reference_volume=0.0)
    broken = positions.copy()
    broken[7, 0, 0] = np.nan
    with pytest.raises(DataError, match="frame 7 are not finite"):
        radial_distributions(broken, numbers, SKEWED)
    found = radial_distributions(positions, numbers, SKEWED)[0]
    with pytest.raises(ConfigError, match="are not counted"):
        found.coordination_within(20.0)


def test_two_atoms_on_one_point_are_counted(tmp_path: Path) -> None:
    positions = np.zeros((10, 1, 2, 3))
    found = only(radial_distributions(positions, np.array([1, 1]), 5.0 * np.eye(3)))
    assert found.coordination_number[0] == 1.0
    assert np.isfinite(found.g).all()
    found.save_csv(tmp_path / "g.csv")
    header = (tmp_path / "g.csv").read_text().splitlines()[0]
    assert header.startswith("distances (A),g (1),standard_error (1),upper_edges (A)")
