"""Symmetry labels of the modes of molecules whose vibrations are in the textbooks."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.io import read
from harmonic_molecules import (
    benzene,
    buckminsterfullerene,
    carbon_dioxide,
    methane,
    springs,
    springs_by_length,
    turned,
    water,
)
from scipy.spatial.distance import pdist

from calculators import MLPotentialCalculator
from md_runs.analysis.vibrations.irreps import ModeSymmetries, mode_symmetries
from md_runs.analysis.vibrations.normal_modes import (
    NormalModes,
    cartesian_displacements,
    normal_modes,
)
from md_runs.analysis.vibrations.point_groups import point_group
from md_runs.c20 import MODEL, STRUCTURE
from md_runs.relax import relax
from mlpotential import Evaluator
from mlpotential.errors import DataError

REFERENCE = Path(__file__).parents[3] / "reference"


def analysed(atoms: Atoms, hessian: np.ndarray) -> tuple[NormalModes, ModeSymmetries]:
    """Modes and labels, in an orientation that nothing in the program could know."""
    atoms, hessian = turned(atoms, hessian)
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    group = point_group(atoms.numbers, modes.positions, modes.masses)
    return modes, mode_symmetries(modes, group)


def levels(modes: NormalModes, symmetries: ModeSymmetries) -> list[str]:
    """The label of each level, softest first; all modes of a level must share it."""
    found = []
    for group in modes.degenerate_groups():
        assert len({symmetries.labels[k] for k in group}) == 1
        found.append(symmetries.labels[group[0]])
    return found


def active(symmetries: ModeSymmetries) -> tuple[set[str], set[str]]:
    """Labels of the modes that absorb; that scatter."""
    both = (symmetries.is_infrared_active, symmetries.is_raman_active)
    infrared, raman = ({symmetries.labels[k] for k in np.flatnonzero(is_on)} for is_on in both)
    return infrared, raman


def test_water() -> None:
    """2 A1 + B2 with the molecule in the yz plane; the antisymmetric stretch is B2."""
    modes, symmetries = analysed(*water())
    assert str(symmetries) == "2A1 + B2"
    assert levels(modes, symmetries) == ["A1", "B2", "A1"]  # bend, antisymmetric, symmetric
    moves = np.linalg.norm(cartesian_displacements(modes)[1, 0])
    assert moves > 0.05  # the oxygen moves along the line of the hydrogens
    assert symmetries.purities.min() > 1 - 1e-9


def test_formaldehyde_wags_out_of_its_plane_in_b1() -> None:
    """Formaldehyde: 3 A1 + B1 + 2 B2, the wag is B1 (G. Herzberg, vol. III, yz plane)."""
    atoms = molecule("H2CO")
    bonds = [(i, j, 20.0 + i + j) for i in range(4) for j in range(i)]
    hessian = springs(atoms.positions, bonds)
    normal = np.cross(*(atoms.positions[1:3] - atoms.positions[0]))
    normal /= np.linalg.norm(normal)
    r = atoms.positions - atoms.positions.mean(axis=0)
    flat = np.column_stack([np.ones(4), r])  # heights that are no turn of the whole molecule
    buckling = np.linalg.svd(flat)[0][:, -1]
    out = np.outer(buckling, normal).ravel()
    _, symmetries = analysed(atoms, hessian + 3.0 * np.outer(out, out))
    assert Counter(symmetries.labels) == {"A1": 3, "B1": 1, "B2": 2}
    assert symmetries.labels[0] == "B1"


def test_methane() -> None:
    modes, symmetries = analysed(*methane())
    assert str(symmetries) == "A1 + E + 2T2"
    assert levels(modes, symmetries) == ["T2", "E", "T2", "A1"]
    assert active(symmetries) == ({"T2"}, {"A1", "E", "T2"})


def test_carbon_dioxide() -> None:
    modes, symmetries = analysed(*carbon_dioxide())
    assert levels(modes, symmetries) == ["Πu", "Σg+", "Σu+"]
    assert active(symmetries) == ({"Πu", "Σu+"}, {"Σg+"})


def test_hydrogen_cyanide() -> None:
    atoms = molecule("HCN")  # C, N, H
    hessian = springs(atoms.positions, [(0, 1, 110.0), (0, 2, 36.0)]).reshape(3, 3, 3, 3)
    z = atoms.positions[:, 2]
    bend = np.cross(z, np.ones(3)) / 3
    for axis in (0, 1):
        hessian[:, axis, :, axis] += np.outer(bend, bend)
    modes, symmetries = analysed(atoms, hessian.reshape(9, 9))
    assert levels(modes, symmetries) == ["Π", "Σ+", "Σ+"]
    assert active(symmetries) == ({"Π", "Σ+"}, {"Π", "Σ+"})


def test_benzene() -> None:
    """E. B. Wilson, Phys. Rev. 45, 706 (1934), doi:10.1103/PhysRev.45.706: 20 levels."""
    modes, symmetries = analysed(*benzene())
    assert len(modes.degenerate_groups()) == 20
    expected = {"A1g": 2, "A2g": 1, "B2g": 2, "E1g": 1, "E2g": 4}
    expected |= {"A2u": 1, "B1u": 2, "B2u": 2, "E1u": 3, "E2u": 2}
    assert Counter(levels(modes, symmetries)) == expected == symmetries.representation
    assert active(symmetries) == ({"A2u", "E1u"}, {"A1g", "E1g", "E2g"})
    out_of_plane = np.abs(modes.modes @ plane_normal(modes.positions)).max(axis=1) > 1e-3
    assert {symmetries.labels[k] for k in np.flatnonzero(out_of_plane)} == {
        "A2u", "B2g", "E1g", "E2u",
    }  # fmt: skip
    assert levels(modes, symmetries)[-4:] == ["B1u", "E2g", "E1u", "A1g"]  # C-H stretches


def plane_normal(positions: np.ndarray) -> np.ndarray:
    return np.linalg.svd(positions - positions.mean(axis=0))[2][2]


def test_buckminsterfullerene() -> None:
    """The 46 levels of C60, of which 4 absorb and 10 scatter (D. E. Weeks, W. G. Harter, J. Chem.
    Phys. 90, 4744 (1989), doi:10.1063/1.456571)."""
    atoms = Atoms("C60", buckminsterfullerene())
    lengths = np.unique(pdist(atoms.positions).round(2))[:6]
    constants = dict(zip(lengths, [40.0, 5.0, 5.0, 0.5, 0.5, 0.3], strict=True))
    _, symmetries = analysed(atoms, springs_by_length(atoms.positions, constants))
    expected = {"Ag": 2, "T1g": 3, "T2g": 4, "Gg": 6, "Hg": 8}
    expected |= {"Au": 1, "T1u": 4, "T2u": 5, "Gu": 6, "Hu": 7}
    assert symmetries.representation == expected
    dimensions = {"A": 1, "T": 3, "G": 4, "H": 5}
    assert Counter(symmetries.labels) == {n: k * dimensions[n[0]] for n, k in expected.items()}
    assert active(symmetries) == ({"T1u"}, {"Ag", "Hg"})


def test_c20_has_18_single_modes_and_18_pairs() -> None:
    """D3d; the count of each kind follows from the atoms that each operation leaves in place."""
    with np.load(REFERENCE / "c20_pbe_d4_hessian.npz") as file:
        atoms, hessian = Atoms("C20", file["positions"]), file["hessian"]
    modes, symmetries = analysed(atoms, hessian)
    assert symmetries.schoenflies == "D3d"
    dimensions = [2 if label.startswith("E") else 1 for label in symmetries.labels]
    for group in modes.degenerate_groups():
        assert {dimensions[k] for k in group} == {len(group)}
    singles = sum(n for name, n in symmetries.representation.items() if name[0] == "A")
    pairs = sum(n for name, n in symmetries.representation.items() if name[0] == "E")
    assert (singles, pairs) == (18, 18)
    # Unmoved atoms: E 20, C3 2, C2' 0, i 0, S6 0, sigma_d 4. Characters of 3N less those of
    # translations and rotations: E 54, C3 0, C2' 2, i 0, S6 0, sigma_d 4.
    assert symmetries.representation == {
        "A1g": 6, "A2g": 3, "Eg": 9, "A1u": 4, "A2u": 5, "Eu": 9,
    }  # fmt: skip


@pytest.mark.slow
def test_the_shipped_model_finds_the_same_symmetry_from_a_shaken_start() -> None:
    """Relaxed in float64 from random displacements, which have no symmetry."""
    start = read(STRUCTURE)
    start.rattle(0.02, seed=1)
    start.calc = MLPotentialCalculator(MODEL, device="cpu", dtype="float64")
    relaxed, _ = relax(start, force_tolerance=1e-4)
    evaluator = Evaluator(MODEL, relaxed.numbers, device="cpu", dtype="float64")
    _, symmetries = analysed(relaxed, evaluator.hessian(relaxed.positions))
    assert symmetries.schoenflies == "D3d"
    assert str(symmetries) == "6A1g + 3A2g + 9Eg + 4A1u + 5A2u + 9Eu"
    assert symmetries.purities.min() > 0.999


def test_pairs_that_noise_has_split_keep_their_labels() -> None:
    atoms, hessian = methane()
    noise = np.random.default_rng(5).normal(scale=0.02, size=hessian.shape)
    modes, symmetries = analysed(atoms, hessian + noise + noise.T)
    assert len(modes.degenerate_groups(0.01)) == 9
    assert Counter(symmetries.labels) == {"A1": 1, "E": 2, "T2": 6}
    assert 0.9 < symmetries.purities.min() < 1 - 1e-6


def test_modes_that_mix_by_accident_are_labelled_together() -> None:
    modes, _ = analysed(*water())
    angle = 0.6
    mixing = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    together = np.array([modes.wavenumbers_per_cm[0], 4000.0, 4000.0])
    mixed = np.concatenate([modes.modes[:1], np.einsum("kl,lix->kix", mixing, modes.modes[1:])])
    modes = replace(modes, wavenumbers_per_cm=together, modes=mixed)
    numbers = molecule("H2O").numbers
    symmetries = mode_symmetries(modes, point_group(numbers, modes.positions, modes.masses))
    assert symmetries.labels.tolist() == ["A1", "A1 + B2", "A1 + B2"]
    assert symmetries.representation == {"A1": 2, "B2": 1}
    apart = replace(modes, wavenumbers_per_cm=np.array([1000.0, 3000.0, 4000.0]))
    symmetries = mode_symmetries(apart, point_group(numbers, modes.positions, modes.masses))
    assert symmetries.labels.tolist() == ["A1", "?", "?"]
    assert symmetries.is_infrared_active.all()  # nothing forbids them


def test_a_hessian_without_the_symmetry_of_the_structure_is_told() -> None:
    atoms, hessian = benzene()
    rng = np.random.default_rng(6)
    noise = rng.normal(scale=3.0, size=hessian.shape)
    _, symmetries = analysed(atoms, hessian + noise + noise.T)
    assert "?" in symmetries.labels


def test_another_structure_is_refused() -> None:
    atoms, hessian = water()
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    other = turned(atoms, hessian)[0]
    group = point_group(other.numbers, other.positions, other.get_masses())
    with pytest.raises(DataError, match="operations of C2v miss atoms"):
        mode_symmetries(modes, group)
    methane_group = point_group(*_parts(molecule("CH4")))
    with pytest.raises(DataError, match="point group is of 5 atoms, the modes of 3"):
        mode_symmetries(modes, methane_group)


def test_almost_linear_is_told() -> None:
    """A degree is nothing to the modes; to the point group it is what its tolerance says."""
    atoms, hessian = carbon_dioxide()
    atoms.positions[0, 0] += 0.008
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    assert modes.n_modes == 4
    assert mode_symmetries(modes, point_group(*_parts(atoms))).schoenflies == "Dinfh"
    with pytest.raises(DataError, match="is not linear within the tolerance"):
        mode_symmetries(modes, point_group(*_parts(atoms), tolerance=1e-3))
    atoms.positions[0, 0] += 0.1
    modes = normal_modes(hessian, atoms.get_masses(), atoms.positions)
    assert modes.n_modes == 3
    with pytest.raises(DataError, match="is linear within the tolerance"):
        mode_symmetries(modes, point_group(*_parts(atoms), tolerance=0.2))


def _parts(atoms: Atoms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return atoms.numbers, atoms.positions, atoms.get_masses()
