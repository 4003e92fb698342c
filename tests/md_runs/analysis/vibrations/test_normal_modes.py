"""Normal modes of molecules whose frequencies are known in closed form."""

import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.morse import MorsePotential
from ase.neighborlist import neighbor_list
from ase.vibrations import Vibrations, VibrationsData
from harmonic_molecules import (
    HarmonicCharges,
    angle,
    methane,
    per_cm,
    springs,
    turned,
    valence_hessian,
)
from harmonic_molecules import water as spring_water

from md_runs.analysis.vibrations.normal_modes import (
    NormalModes,
    cartesian_displacements,
    compare_frequencies,
    degenerate_groups,
    normal_modes,
    normal_modes_of_vibrations,
    read_normal_modes,
)
from md_runs.hessian import hessian_by_finite_differences
from mlpotential.errors import DataError

REFERENCE = Path(__file__).parents[3] / "reference"


def test_harmonic_dimer() -> None:
    positions, masses = np.array([[0.3, 0.1, -0.2], [1.1, 0.9, 0.4]]), np.array([12.011, 15.999])
    modes = normal_modes(springs(positions, [(0, 1, 119.0)]), masses, positions)
    reduced = masses.prod() / masses.sum()
    assert modes.n_modes == 1
    assert modes.wavenumbers_per_cm[0] == pytest.approx(per_cm(119.0, reduced), abs=1e-4)
    assert len(modes.residual_wavenumbers_per_cm) == 5
    assert np.abs(modes.residual_wavenumbers_per_cm).max() < 1e-2
    displacements = cartesian_displacements(modes)[0]
    assert np.allclose(masses @ displacements, 0, atol=1e-12)


def test_linear_triatomic_has_both_bends() -> None:
    """CO2 with stretches k and a bend: omega^2 = k/m_O, k (1/m_O + 2/m_C), and twice the bend."""
    k, k_bend, carbon, oxygen = 97.0, 5.0, 12.011, 15.999
    positions = np.array([[-1.16, 0, 0], [0, 0, 0], [1.16, 0, 0]])
    bend = np.array([1.0, -2.0, 1.0])
    hessian = springs(positions, [(0, 1, k), (1, 2, k)]).reshape(3, 3, 3, 3)
    for axis in (1, 2):
        hessian[:, axis, :, axis] += k_bend * np.outer(bend, bend)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    hessian = np.einsum("xa,iajb,yb->ixjy", turn, hessian, turn)
    modes = normal_modes(
        hessian.reshape(9, 9), np.array([oxygen, carbon, oxygen]), positions @ turn.T
    )
    expected = [
        per_cm(k_bend * (2 / oxygen + 4 / carbon), 1.0),
        per_cm(k_bend * (2 / oxygen + 4 / carbon), 1.0),
        per_cm(k, oxygen),
        per_cm(k * (1 / oxygen + 2 / carbon), 1.0),
    ]
    assert np.allclose(modes.wavenumbers_per_cm, expected, rtol=0, atol=1e-4)
    assert modes.degenerate_groups() == [[0, 1], [2], [3]]


def test_water_has_three_modes_of_the_right_symmetry() -> None:
    water = molecule("H2O")
    masses = water.get_masses()
    hessian = springs(water.positions, [(0, 1, 50.0), (0, 2, 50.0), (1, 2, 10.0)])
    modes = normal_modes(hessian, masses, water.positions)
    assert modes.n_modes == 3
    assert np.abs(modes.residual_wavenumbers_per_cm).max() < 1e-2
    everything = np.linalg.eigvalsh(hessian / np.sqrt(np.outer(*[np.repeat(masses, 3)] * 2)))
    expected = [per_cm(curvature, 1.0) for curvature in everything[6:]]
    assert np.allclose(modes.wavenumbers_per_cm, expected, rtol=1e-8)
    stretch = np.linalg.norm(modes.modes[:, 1:], axis=2)
    assert np.allclose(stretch[:, 0], stretch[:, 1])  # the two hydrogens move alike


def test_water_of_a_valence_force_field() -> None:
    """G. Herzberg, "Infrared and Raman Spectra" (1945), eqs. (II,200) to (II,202): with stretches
    k, a bend k_bend (of l^2 angle^2) and the half angle a, 4 pi^2 nu^2 = lambda is
    antisymmetric (1 + 2 m_H / m_O sin^2 a) k / m_H, and for the two symmetric modes
    sum (1 + 2 m_H / m_O cos^2 a) k / m_H + 2 (1 + 2 m_H / m_O sin^2 a) k_bend / m_H,
    product 2 (1 + 2 m_H / m_O) k k_bend / m_H^2.
    """
    k, k_bend, length, half, hydrogen, oxygen = 48.4, 4.3, 0.957, np.radians(52.26), 1.008, 15.999
    positions = length * np.array(
        [[0, 0, 0], [np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]]
    )
    hessian = springs(positions, [(0, 1, k), (0, 2, k)])
    hessian += valence_hessian(positions, [(angle(1, 0, 2), k_bend * length**2)])
    masses, ratio = np.array([oxygen, hydrogen, hydrogen]), 2 * hydrogen / oxygen
    antisymmetric = (1 + ratio * np.sin(half) ** 2) * k / hydrogen
    total = (1 + ratio * np.cos(half) ** 2) * k / hydrogen
    total += 2 * (1 + ratio * np.sin(half) ** 2) * k_bend / hydrogen
    product = 2 * (1 + ratio) * k * k_bend / hydrogen**2
    root = np.sqrt(total**2 / 4 - product)
    expected = np.sort(
        [per_cm(c, 1.0) for c in (antisymmetric, total / 2 - root, total / 2 + root)]
    )
    modes = normal_modes(hessian, masses, positions)
    assert np.allclose(modes.wavenumbers_per_cm, expected, rtol=1e-7)
    assert np.allclose(modes.wavenumbers_per_cm, [1595, 3657, 3756], rtol=0.03)  # as water has


def test_modes_are_orthonormal_and_free_of_rigid_motion() -> None:
    with np.load(REFERENCE / "c20_pbe_d4_hessian.npz") as file:
        positions, hessian = file["positions"], file["hessian"]
    masses = np.random.default_rng(1).uniform(10, 20, size=20)
    modes = normal_modes(hessian, masses, positions)
    flat = modes.modes.reshape(54, 60)
    assert np.allclose(flat @ flat.T, np.eye(54), atol=1e-12)
    displacements = modes.modes / np.sqrt(masses)[:, None]
    momenta = np.einsum("i,kix->kx", masses, displacements)
    angular_momenta = np.einsum("i,kix->kx", masses, np.cross(positions, displacements))
    assert np.abs(momenta).max() < 1e-10
    assert np.abs(angular_momenta).max() < 1e-10


def test_c20_reproduces_the_frequencies_computed_with_its_hessian() -> None:
    with np.load(REFERENCE / "c20_pbe_d4_hessian.npz") as file:
        positions, hessian, frequencies = (file[k] for k in ("positions", "hessian", "frequencies"))
    modes = normal_modes(hessian, np.full(20, 12.011), positions)
    assert modes.n_modes == 54
    assert modes.n_imaginary == 0
    assert np.allclose(modes.wavenumbers_per_cm, frequencies, rtol=0, atol=1e-6)
    singles = sum(len(group) == 1 for group in modes.degenerate_groups())
    pairs = sum(len(group) == 2 for group in modes.degenerate_groups())
    assert (singles, pairs) == (18, 18)  # D3d


def test_frequencies_and_zero_point_energy_agree_with_ase() -> None:
    water = molecule("H2O")
    hessian = springs(water.positions, [(0, 1, 50.0), (0, 2, 50.0), (1, 2, 10.0)])
    ase = VibrationsData.from_2d(water, hessian)
    modes = normal_modes(hessian, water.get_masses(), water.positions)
    assert np.allclose(modes.wavenumbers_per_cm, ase.get_frequencies()[6:].real, rtol=1e-9)
    assert modes.zero_point_energy == pytest.approx(np.sum(ase.get_energies()[6:].real) / 2)


def test_hessians_of_all_sources_give_the_same_modes(tmp_path: Path) -> None:
    """Exact, by central differences, and ASE's Vibrations and VibrationsData."""
    atoms, hessian = turned(*spring_water())
    atoms.calc = HarmonicCharges(atoms.get_positions(), hessian, np.zeros(3))
    exact = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    numerical = hessian_by_finite_differences(atoms).hessian
    ase = Vibrations(atoms, name=str(tmp_path / "vibrations"))
    ase.run()
    for modes in (
        normal_modes(numerical, atoms.get_masses(), atoms.positions),
        normal_modes_of_vibrations(ase.get_vibrations()),
        normal_modes_of_vibrations(VibrationsData.from_2d(atoms, hessian)),
    ):
        assert np.allclose(modes.wavenumbers_per_cm, exact.wavenumbers_per_cm, rtol=1e-9)
        assert np.abs(modes.residual_wavenumbers_per_cm).max() < 1
        assert np.array_equal(modes.positions, atoms.positions)
    assert np.allclose(exact.wavenumbers_per_cm, ase.get_frequencies()[6:].real, rtol=1e-9)


def test_modes_keep_their_structure_when_the_atoms_move_on() -> None:
    atoms, hessian = spring_water()
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    before = atoms.get_positions()
    atoms.positions += 1.0
    assert np.array_equal(modes.positions, before)


def test_vibrations_of_a_part_are_those_beside_fixed_atoms() -> None:
    """Both hydrogens fixed: the oxygen alone moves; about their line it turns freely."""
    atoms, hessian = spring_water()
    part = VibrationsData(atoms, hessian.reshape(3, 3, 3, 3)[:1, :, :1], indices=[0])
    modes = normal_modes_of_vibrations(part)
    assert modes.fixed.tolist() == [False, True, True]
    expected = np.linalg.eigvalsh(hessian[:3, :3])  # one is 0: out of the plane
    assert expected[0] == pytest.approx(0, abs=1e-9)
    assert modes.wavenumbers_per_cm == pytest.approx(
        [per_cm(k, atoms.get_masses()[0]) for k in expected[1:]]
    )
    assert not modes.modes[:, 1:].any()
    whole = normal_modes(hessian, atoms.get_masses(), atoms.positions, fixed=modes.fixed)
    assert np.array_equal(whole.wavenumbers_per_cm, modes.wavenumbers_per_cm)
    assert np.abs(whole.residual_wavenumbers_per_cm).max() < 1e-3


@pytest.mark.parametrize(("n_fixed", "n_modes"), [(1, 12 - 3), (2, 9 - 1), (3, 6), (4, 3)])
def test_what_fixed_atoms_leave_of_rigid_motions(n_fixed: int, n_modes: int) -> None:
    """Of five atoms: three turns about one, one about two, none about three."""
    atoms, hessian = methane()
    fixed = np.arange(5) < n_fixed
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions, fixed=fixed)
    assert modes.n_modes == n_modes
    assert modes.wavenumbers_per_cm.min() > 100
    assert not modes.is_free
    flat = modes.modes.reshape(modes.n_modes, -1)
    assert np.allclose(flat @ flat.T, np.eye(modes.n_modes))


def crystal_hessian(atoms: Atoms, reach: float, spring: float) -> np.ndarray:
    """Springs between neighbours, images among them, [3N, 3N] (eV/A^2): the cells move alike."""
    hessian = np.zeros((len(atoms), 3, len(atoms), 3))
    for i, j, vector in zip(*neighbor_list("ijD", atoms, reach), strict=True):
        block = spring * np.outer(vector, vector) / (vector @ vector)
        hessian[i, :, i] += block
        hessian[i, :, j] -= block
    return hessian.reshape(3 * len(atoms), -1)


def modes_of_crystal(atoms: Atoms, reach: float, spring: float, **settings) -> NormalModes:
    hessian = crystal_hessian(atoms, reach, spring)
    return normal_modes(hessian, atoms.get_masses(), atoms.positions, pbc=atoms.pbc, **settings)


def test_the_optical_modes_of_diamond() -> None:
    """Two atoms, four springs k each: omega^2 = (4 k / 3) / mu, three times (Born, von Karman)."""
    atoms = bulk("SiC", "zincblende", a=4.36)
    modes = modes_of_crystal(atoms, 2.0, 7.0)
    reduced = 1 / np.sum(1 / atoms.get_masses())
    assert modes.wavenumbers_per_cm == pytest.approx([per_cm(28.0 / 3.0, reduced)] * 3)
    assert modes.residual_wavenumbers_per_cm == pytest.approx(np.zeros(3), abs=1e-3)


def test_a_cubic_cell_of_fcc_folds_three_points_x_to_gamma() -> None:
    """m omega^2 = 8 k (longitudinal) and 4 k (twice transverse) at each X; nothing of the cell."""
    modes = modes_of_crystal(bulk("Ar", "fcc", a=5.26, cubic=True), 4.0, 0.3)
    mass = modes.masses[0]
    expected = [per_cm(1.2, mass)] * 6 + [per_cm(2.4, mass)] * 3
    assert modes.wavenumbers_per_cm == pytest.approx(expected)
    assert modes_of_crystal(bulk("Ar", "fcc", a=5.26), 4.0, 0.3).n_modes == 0


def test_a_supercell_has_the_modes_of_its_cell_among_others() -> None:
    cell = bulk("SiC", "zincblende", a=4.36)
    modes, more = modes_of_crystal(cell, 2.0, 7.0), modes_of_crystal(cell * 2, 2.0, 7.0)
    assert more.n_modes == 3 * 16 - 3
    assert more.wavenumbers_per_cm[-3:] == pytest.approx(modes.wavenumbers_per_cm)


def test_atoms_fixed_in_a_crystal_are_walls() -> None:
    """One atom of fcc that moves among fixed ones: m omega^2 = 4 k (12 springs, a third each)."""
    atoms = bulk("Ar", "fcc", a=5.26, cubic=True)
    modes = modes_of_crystal(atoms, 4.0, 0.3, fixed=np.arange(4) > 0)
    assert modes.wavenumbers_per_cm == pytest.approx([per_cm(1.2, modes.masses[0])] * 3)
    assert len(modes.residual_wavenumbers_per_cm) == 0


def test_modes_of_crystals_and_beside_fixed_atoms_are_read_as_they_were_saved(tmp_path) -> None:
    atoms = bulk("Ar", "fcc", a=5.26, cubic=True)
    saved = modes_of_crystal(atoms, 4.0, 0.3, fixed=np.arange(4) > 0)
    saved.save_json(tmp_path / "modes.json")
    found = read_normal_modes(tmp_path / "modes.json")
    assert found.fixed.tolist() == [False, True, True, True]
    assert found.pbc == (True, True, True)
    assert not found.is_free


def test_modes_are_read_as_they_were_saved(tmp_path: Path) -> None:
    for name, atoms, hessian in (
        ("water", *spring_water()),
        ("atom", Atoms("Ar"), np.zeros((3, 3))),
    ):
        modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
        path = tmp_path / f"{name}.json"
        modes.save_json(path)
        found = read_normal_modes(path)
        assert vars(found).keys() == vars(modes).keys()
        for field, value in vars(modes).items():
            assert np.array_equal(getattr(found, field), value), field
            assert np.shape(getattr(found, field)) == np.shape(value)
    path.write_text(json.dumps({"type": "Spectrum", "density": [1.0]}))
    with pytest.raises(DataError, match="holds no normal modes"):
        read_normal_modes(path)
    path.write_text("{")
    with pytest.raises(DataError, match="holds no normal modes"):
        read_normal_modes(path)
    with pytest.raises(DataError, match="cannot read the modes"):
        read_normal_modes(tmp_path / "nothing.json")


def test_away_from_a_stationary_point_rotations_mix_only_before_projection() -> None:
    """A Morse dimer under tension: its rotations have curvature F/d, its stretch is V''."""
    atoms = Atoms("N2", [[0, 0, 0], [0, 0.1, 1.3]])
    atoms.calc = MorsePotential(epsilon=5.0, r0=1.1, rho0=2.0, rcut1=50.0, rcut2=60.0)
    step, hessian = 1e-4, np.zeros((6, 6))
    for column in range(6):
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = atoms.calc
            moved.positions[column // 3, column % 3] += sign * step
            hessian[:, column] -= sign * moved.get_forces().ravel() / (2 * step)
    distance = atoms.get_distance(0, 1)
    pull, mass = -atoms.get_forces()[1] @ (atoms.positions[1] / distance), atoms.get_masses()[0]
    exponential = np.exp(-2.0 * (distance / 1.1 - 1))
    curvature = 2 * 5.0 * (2.0 / 1.1) ** 2 * (2 * exponential**2 - exponential)
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    assert modes.wavenumbers_per_cm == pytest.approx([per_cm(curvature, mass / 2)], rel=1e-5)
    rotations = modes.residual_wavenumbers_per_cm[-2:]
    assert np.allclose(rotations, per_cm(pull / distance, mass / 2), rtol=1e-5)
    assert rotations[0] > 100


def test_bent_molecule_off_its_minimum_keeps_pure_vibrations() -> None:
    """Any symmetric matrix: the vibrations span the complement of the rigid motions exactly."""
    water = molecule("H2O")
    rng = np.random.default_rng(2)
    matrix = rng.normal(size=(9, 9))
    modes = normal_modes(matrix + matrix.T, water.get_masses(), water.positions + 5.0)
    assert modes.n_modes == 3
    assert modes.n_imaginary > 0  # an imaginary mode is a negative number
    angular = np.einsum(
        "i,kix->kx",
        np.sqrt(water.get_masses()),
        np.cross(water.positions - water.get_center_of_mass(), modes.modes),
    )
    assert np.abs(angular).max() < 1e-10


def test_an_atom_has_no_vibrations() -> None:
    assert normal_modes(np.zeros((3, 3)), np.array([4.0]), np.zeros((1, 3))).n_modes == 0


def test_table_names_degeneracies_and_imaginary_modes() -> None:
    positions = molecule("H2O").positions
    hessian = -springs(positions, [(0, 1, 50.0), (0, 2, 50.0), (1, 2, 10.0)])
    lines = normal_modes(hessian, molecule("H2O").get_masses(), positions).table(1e4).splitlines()
    assert lines[0].split() == ["modes", "wavenumber", "(1/cm)", "degeneracy"]
    assert lines[1].split()[0] == "1-3"
    assert lines[1].split()[2:] == ["3", "imaginary"]


def test_table_sums_numbers_and_names_texts_once_for_degenerate_modes() -> None:
    positions = molecule("H2O").positions
    hessian = springs(positions, [(0, 1, 50.0), (0, 2, 50.0), (1, 2, 10.0)])
    modes = normal_modes(hessian, molecule("H2O").get_masses(), positions)
    columns = {"symmetry": ["A1", "B2", "B2"], "IR": np.array([1.0, 2.5, 4.0])}
    lines = modes.table(1000.0, columns).splitlines()
    assert lines[0].split()[-2:] == ["symmetry", "IR"]
    assert lines[1].split()[-3:] == ["1", "A1", "1"]
    assert lines[2].split()[0] == "2-3"
    assert lines[2].split()[-3:] == ["2", "B2", "6.5"]


def test_degenerate_groups_do_not_chain() -> None:
    assert degenerate_groups(np.array([1.0, 1.4, 1.8, 5.0]), 0.5) == [[0, 1], [2], [3]]


def test_frequencies_are_compared_in_ascending_order() -> None:
    found = compare_frequencies(np.array([220.0, 99.0]), np.array([100.0, 200.0]))
    assert np.allclose(found.relative_deviations, [-0.01, 0.1])
    assert found.mean_relative_deviation == pytest.approx(0.055)
    assert found.max_relative_deviation == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("wavenumbers", "reference", "message"),
    [
        ([1.0], [1.0, 2.0], "as many modes"),
        ([], [], "as many modes"),
        ([1.0, np.nan], [1.0, 2.0], "not finite"),
        ([1.0, 2.0], [-3.0, 2.0], "reference has a mode of -3 1/cm"),
    ],
)
def test_frequencies_that_cannot_be_compared(
    wavenumbers: list[float], reference: list[float], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        compare_frequencies(np.array(wavenumbers), np.array(reference))


def test_impossible_input_is_refused() -> None:
    positions, masses = np.eye(3), np.ones(3)
    hessian = np.eye(9)
    with pytest.raises(DataError, match=r"3 atoms need a Hessian of shape \[9, 9\], not \[6, 6\]"):
        normal_modes(np.eye(6), masses, positions)
    with pytest.raises(DataError, match=r"or, of those that move, \[3, 3\], not \[6, 6\]"):
        normal_modes(np.eye(6), masses, positions, fixed=np.array([False, True, True]))
    with pytest.raises(DataError, match="all atoms are fixed"):
        normal_modes(hessian, masses, positions, fixed=np.ones(3, bool))
    with pytest.raises(DataError, match="masses of shape"):
        normal_modes(hessian, np.ones(2), positions)
    with pytest.raises(DataError, match="not finite"):
        normal_modes(hessian * np.nan, masses, positions)
    with pytest.raises(DataError, match="not symmetric: elements differ by up to 1 eV"):
        normal_modes(hessian + np.eye(9, k=1), masses, positions)
    with pytest.raises(DataError, match=r"positions must have shape"):
        normal_modes(hessian, masses, positions[:, :2])
