"""Point groups of molecules whose symmetry is known, and of structures built from operations."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from harmonic_molecules import buckminsterfullerene, dodecahedron, ferrocene
from scipy.spatial.transform import Rotation

from md_runs.analysis.vibrations.character_tables import irreps
from md_runs.analysis.vibrations.point_groups import PointGroup, near_misses, point_group
from mlpotential.errors import ConfigError, DataError, StructureError

REFERENCE = Path(__file__).parents[3] / "reference"


def group_of(atoms: Atoms, **settings: float) -> PointGroup:
    return point_group(atoms.numbers, atoms.positions, atoms.get_masses(), **settings)


def sulfur_hexafluoride() -> Atoms:
    return Atoms("SF6", [[0, 0, 0], *(1.56 * np.eye(3)), *(-1.56 * np.eye(3))])


def c20_minimum() -> Atoms:
    with np.load(REFERENCE / "c20_pbe_d4_hessian.npz") as file:
        return Atoms("C20", file["positions"])


# Symmetry numbers: C. J. Cramer, Essentials of Computational Chemistry, 2nd ed. (2004), app. B,
# and the number of rotations of the group.
MOLECULES = {
    "He": (Atoms("He"), "Kh", 1),
    "HCl": (molecule("HCl"), "Cinfv", 1),
    "HCN": (molecule("HCN"), "Cinfv", 1),
    "CO2": (molecule("CO2"), "Dinfh", 2),
    "acetylene": (molecule("C2H2"), "Dinfh", 2),
    "water": (molecule("H2O"), "C2v", 2),
    "hydrogen peroxide": (molecule("H2O2"), "C2", 2),
    "ammonia": (molecule("NH3"), "C3v", 3),
    "methane": (molecule("CH4"), "Td", 12),
    "ethylene": (molecule("C2H4"), "D2h", 4),
    "staggered ethane": (molecule("C2H6"), "D3d", 6),
    "allene": (molecule("C3H4_D2d"), "D2d", 4),
    "boron trifluoride": (molecule("BF3"), "D3h", 6),
    "trans-butane": (molecule("trans-butane"), "C2h", 2),
    "methanol": (molecule("CH3OH"), "Cs", 1),
    "benzene": (molecule("C6H6"), "D6h", 12),
    "sulfur hexafluoride": (sulfur_hexafluoride(), "Oh", 24),
    "staggered ferrocene": (ferrocene(is_staggered=True), "D5d", 10),
    "eclipsed ferrocene": (ferrocene(is_staggered=False), "D5h", 10),
    "C20 at its minimum": (c20_minimum(), "D3d", 6),
    "C20 as a dodecahedron": (Atoms("C20", dodecahedron()), "Ih", 60),
    "C60": (Atoms("C60", buckminsterfullerene()), "Ih", 60),
}


@pytest.mark.parametrize("name", MOLECULES)
def test_molecules(name: str) -> None:
    atoms, symbol, symmetry_number = MOLECULES[name]
    turned = atoms.copy()
    rng = np.random.default_rng(3)
    turned.positions = atoms.positions @ Rotation.random(None, rng).as_matrix() + rng.normal(size=3)
    turned.positions += rng.uniform(-1e-3, 1e-3, turned.positions.shape)
    for structure, largest in ((atoms, 1e-5), (turned, 5e-3)):
        group = group_of(structure)
        assert (group.schoenflies, group.symmetry_number) == (symbol, symmetry_number)
        assert group.largest_deviation < largest
        assert np.allclose(group.axes @ group.axes.T, np.eye(3))
        assert np.linalg.det(group.axes) == pytest.approx(1)


def turn(n: int, axis: tuple[float, float, float] = (0, 0, 1)) -> np.ndarray:
    return Rotation.from_rotvec(2 * np.pi / n * np.array(axis) / np.linalg.norm(axis)).as_matrix()


HORIZONTAL, VERTICAL = np.diag([1.0, 1.0, -1.0]), np.diag([1.0, -1.0, 1.0])
ACROSS, INVERSION = np.diag([1.0, -1.0, -1.0]), -np.eye(3)
TETRAHEDRAL = [turn(3, (1, 1, 1)), turn(2)]
FIVEFOLD = turn(5, (0, 1, (1 + np.sqrt(5)) / 2))
GENERATORS = {
    "C1": [],
    "Ci": [INVERSION],
    "Cs": [HORIZONTAL],
    "T": TETRAHEDRAL,
    "Th": [*TETRAHEDRAL, INVERSION],
    "Td": [*TETRAHEDRAL, HORIZONTAL @ turn(4)],
    "O": [*TETRAHEDRAL, turn(4)],
    "Oh": [*TETRAHEDRAL, turn(4), INVERSION],
    "I": [*TETRAHEDRAL, FIVEFOLD],
    "Ih": [*TETRAHEDRAL, FIVEFOLD, INVERSION],
}
for n in (2, 3, 4, 5, 6, 7, 8):
    GENERATORS |= {
        f"C{n}": [turn(n)],
        f"C{n}v": [turn(n), VERTICAL],
        f"C{n}h": [turn(n), HORIZONTAL],
        f"D{n}": [turn(n), ACROSS],
        f"D{n}h": [turn(n), ACROSS, HORIZONTAL],
        f"D{n}d": [HORIZONTAL @ turn(2 * n), ACROSS],
        f"S{2 * n}": [HORIZONTAL @ turn(2 * n)],
    }
for n in (3, 5, 7):  # S2n = S_2n^k with odd n holds Cn and the inversion, not the mirror
    GENERATORS[f"S{2 * n}"] = [turn(n), INVERSION]
    GENERATORS[f"D{n}d"] = [turn(n), ACROSS, INVERSION]


POINTS = np.array([[2.0, 0.7, 1.3], [-0.4, 3.1, 0.8], [1.1, -0.9, -3.7], [4.1, 0.3, 0.2]])


def generated(generators: list[np.ndarray]) -> np.ndarray:
    """All products of the generators, [n_operations, 3, 3]."""
    found = np.eye(3)[None]
    for k in range(120):
        for generator in generators:
            product = generator @ found[k]
            if np.abs(product - found).max(axis=(1, 2)).min() > 1e-6:
                found = np.append(found, product[None], axis=0)
        if k + 1 == len(found):
            break
    return found


@cache
def built(symbol: str) -> tuple[np.ndarray, np.ndarray, PointGroup]:
    """Atoms at general places with all their images: operations, positions, the group found."""
    operations = generated(GENERATORS[symbol])
    points = POINTS[: 1 if symbol[0] in "TOI" else 4]
    positions = np.einsum("kxy,py->pkx", operations, points).reshape(-1, 3)
    numbers = np.repeat([6, 7, 8, 9][: len(points)], len(operations))
    return operations, positions, point_group(numbers, positions, np.ones(len(numbers)))


@pytest.mark.parametrize("symbol", GENERATORS)
def test_structures_of_every_group(symbol: str) -> None:
    operations, positions, group = built(symbol)
    assert group.schoenflies == symbol
    assert len(group.operations) == len(operations)
    assert np.allclose(group.operations[0], np.eye(3))
    centered = positions - positions.mean(axis=0)
    for operation, permutation in zip(group.operations, group.permutations, strict=True):
        assert np.abs(operation - operations).max(axis=(1, 2)).min() < 1e-6
        assert np.allclose(centered @ operation.T, centered[permutation], atol=1e-6)


@pytest.mark.parametrize("symbol", GENERATORS)
def test_characters_are_orthogonal_and_complete(symbol: str) -> None:
    operations, _, group = built(symbol)
    table = irreps(group)
    characters = np.array([irrep.characters for irrep in table])
    gram = characters @ characters.T / len(operations)
    norms = np.diag(gram)
    assert np.allclose(gram, np.diag(norms), atol=1e-9)
    assert set(norms.round(6)) <= {1.0, 2.0}  # 2: a pair of complex conjugate ones
    dimensions = np.array([irrep.dimension for irrep in table])
    assert np.sum(dimensions**2 / norms) == pytest.approx(len(operations))
    assert len({irrep.name for irrep in table}) == len(table)
    assert (characters[0] == 1).all()


# F. A. Cotton, Chemical Applications of Group Theory, 3rd ed., appendix IIA.
@pytest.mark.parametrize(
    ("symbol", "names"),
    [
        ("Ci", "Ag Au"),
        ("Cs", "A' A''"),
        ("C4", "A B E"),
        ("C5", "A E1 E2"),
        ("C3h", "A' E' A'' E''"),
        ("C4h", "Ag Bg Eg Au Bu Eu"),
        ("S4", "A B E"),
        ("S6", "Ag Eg Au Eu"),
        ("S8", "A B E1 E2 E3"),
        ("C6v", "A1 A2 B1 B2 E1 E2"),
        ("D2", "A B1 B3 B2"),
        ("D3", "A1 A2 E"),
        ("D2d", "A1 A2 B1 B2 E"),
        ("D4d", "A1 A2 B1 B2 E1 E2 E3"),
        ("D3h", "A1' A2' E' A1'' A2'' E''"),
        ("D5h", "A1' A2' E1' E2' A1'' A2'' E1'' E2''"),
        ("T", "A E T"),
        ("Th", "Ag Eg Tg Au Eu Tu"),
        ("Td", "A1 A2 E T1 T2"),
        ("Ih", "Ag T1g T2g Gg Hg Au T1u T2u Gu Hu"),
    ],
)
def test_names_of_representations(symbol: str, names: str) -> None:
    group = built(symbol)[2]
    assert [irrep.name for irrep in irreps(group)] == names.split()


@pytest.mark.parametrize(
    ("symbol", "functions"),  # translations and rotations, Cotton, appendix IIA
    [
        ("C3v", ("A1 E", "A2 E")),
        ("C4v", ("A1 E", "A2 E")),
        ("C6v", ("A1 E1", "A2 E1")),
        ("D3h", ("A2'' E'", "A2' E''")),
        ("D3d", ("A2u Eu", "A2g Eg")),
        ("D2d", ("B2 E", "A2 E")),
        ("D4d", ("B2 E1", "A2 E3")),
        ("S8", ("B E1", "A E3")),
        ("S4", ("B E", "A E")),
        ("C3h", ("A'' E'", "A' E''")),
        ("Td", ("T2", "T1")),
        ("Oh", ("T1u", "T1g")),
        ("Ih", ("T1u", "T1g")),
        ("D2", ("B1 B2 B3", "B1 B2 B3")),
    ],
)
def test_representations_of_vectors_and_rotations(symbol: str, functions: tuple[str, str]) -> None:
    group = built(symbol)[2]
    vector = np.trace(group.operations, axis1=1, axis2=2)
    rotation = vector * np.linalg.det(group.operations)
    for characters, names in zip((vector, rotation), functions, strict=True):
        found = {i.name for i in irreps(group) if i.multiplicity(characters) > 0.5}
        assert found == set(names.split())


def test_isotopes_are_different_atoms() -> None:
    water, methane = molecule("H2O"), molecule("CH4")
    masses = water.get_masses()
    masses[1] = 2.014
    assert point_group(water.numbers, water.positions, masses).schoenflies == "Cs"
    masses = methane.get_masses()
    masses[1] = 2.014
    group = point_group(methane.numbers, methane.positions, masses)
    assert (group.schoenflies, group.symmetry_number) == ("C3v", 3)


def test_the_tolerance_decides_and_what_holds_is_a_group() -> None:
    atoms = molecule("CH4")
    bond = atoms.positions[1] - atoms.positions[0]
    atoms.positions[1] += 0.03 * bond / np.linalg.norm(bond)
    loose, tight = group_of(atoms, tolerance=0.05), group_of(atoms, tolerance=0.01)
    assert (loose.schoenflies, tight.schoenflies) == ("Td", "C3v")
    assert 0.01 < loose.largest_deviation < 0.05
    rng = np.random.default_rng(4)
    for _ in range(20):
        atoms = molecule("C6H6")
        atoms.positions += rng.normal(scale=0.005, size=atoms.positions.shape)
        group = group_of(atoms)  # somewhere between D6h and C1
        products = np.einsum("aij,bjk->abik", group.operations, group.operations).reshape(-1, 9)
        distances = np.abs(products[:, None] - group.operations.reshape(-1, 9)).max(axis=2)
        assert distances.min(axis=1).max() < 0.05
        assert 24 % len(group.operations) == 0


def test_nearly_linear_molecules_are_linear_within_the_tolerance() -> None:
    atoms = molecule("CO2")
    atoms.positions[0, 0] += 0.005
    assert group_of(atoms).schoenflies == "Dinfh"
    assert group_of(atoms, tolerance=1e-3).schoenflies == "C2v"
    assert "tolerance 0.01 A" in str(group_of(atoms))


@pytest.mark.parametrize(("name", "seed"), [("CH4", 1), ("C6H6", 1), ("NH3", 2), ("CH3OH", 3)])
def test_near_misses_are_told_and_their_tolerance_is_enough(name: str, seed: int) -> None:
    atoms = molecule(name)
    ideal = group_of(atoms).schoenflies
    atoms.positions += np.random.default_rng(seed).normal(scale=0.01, size=(len(atoms), 3))
    group = group_of(atoms)
    found = near_misses(atoms.numbers, atoms.positions, atoms.get_masses(), group)
    assert list(found)[-1] == ideal
    assert list(found.values()) == sorted(found.values())
    for schoenflies, needed in found.items():
        assert 0.01 < needed < 0.1
        assert group_of(atoms, tolerance=needed * 1.001).schoenflies == schoenflies
    loose = group_of(atoms, tolerance=found[ideal] * 1.001)
    assert loose.symmetry_number == group_of(molecule(name)).symmetry_number


def test_what_has_its_full_symmetry_has_no_near_miss() -> None:
    for name in ("CH4", "H2O", "CO2", "HCN", "C60"):
        atoms = molecule(name)
        group = group_of(atoms)
        assert not near_misses(atoms.numbers, atoms.positions, atoms.get_masses(), group), name
    argon = Atoms("Ar")
    assert not near_misses(argon.numbers, argon.positions, argon.get_masses(), group_of(argon))


def test_a_bent_hcn_is_nearly_linear() -> None:
    atoms = molecule("HCN")
    atoms.positions[2, 0] += 0.05
    found = near_misses(atoms.numbers, atoms.positions, atoms.get_masses(), group_of(atoms))
    assert list(found) == ["Cinfv"]
    assert 0.01 < found["Cinfv"] < 0.03


def test_planar_molecule_lies_in_yz() -> None:
    """Mulliken's choice for C2v and D2h; ethylene has its C=C along z."""
    water = group_of(molecule("H2O"))
    normal = np.cross(*(molecule("H2O").positions[1:] - molecule("H2O").positions[0]))
    assert abs(water.axes[0] @ normal) == pytest.approx(np.linalg.norm(normal))
    ethylene = molecule("C2H4")
    axes = group_of(ethylene).axes
    bond = ethylene.positions[1] - ethylene.positions[0]
    assert abs(axes[2] @ bond) == pytest.approx(np.linalg.norm(bond))
    assert np.allclose(ethylene.positions @ axes[0], 0, atol=1e-6)


def test_impossible_input_is_refused() -> None:
    positions, numbers, masses = np.eye(3), np.ones(3, int), np.ones(3)
    with pytest.raises(DataError, match="positions must have shape"):
        point_group(numbers, positions[:, :2], masses)
    with pytest.raises(DataError, match="as many atomic numbers"):
        point_group(numbers[:2], positions, masses)
    with pytest.raises(DataError, match="masses of shape"):
        point_group(numbers, positions, masses[:2])
    with pytest.raises(DataError, match="not finite"):
        point_group(numbers, positions * np.nan, masses)
    with pytest.raises(ConfigError, match="tolerance must be a positive number"):
        point_group(numbers, positions, masses, tolerance=0.0)
    with pytest.raises(StructureError, match=r"atoms 0 and 1 are 0\.015 A apart"):
        point_group(numbers, np.array([[0, 0, 0], [0, 0, 0.015], [0, 1, 0]]), masses)
