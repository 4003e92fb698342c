"""Structure factors: Bragg peaks, ideal gases, molecules, and what sums must give."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from md_runs.analysis.structure.structure_factor import debye_structure_factors, structure_factors
from md_runs.analysis.structure.wave_vectors import allowed_wave_vectors
from mlpotential.errors import ConfigError, DataError, StructureError

SKEWED = np.array([[9.0, 0, 0], [3.0, 8.0, 0], [-2.0, 2.5, 10.0]])  # A


def frames(atoms: Atoms, n_frames: int = 2) -> np.ndarray:
    return np.tile(atoms.positions, (n_frames, 1, 1, 1))


def test_allowed_wave_vectors_are_all_there_are():
    found = allowed_wave_vectors(SKEWED, 3.0, 0.25, 10**6)
    grid = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), -1).reshape(-1, 3)
    lengths = np.linalg.norm(2 * np.pi * grid @ np.linalg.inv(SKEWED).T, axis=1)
    expected = np.sort(lengths[(lengths > 0) & (lengths <= 3.0)])
    both = np.sort(np.repeat(found.lengths, 2))  # q and -q
    np.testing.assert_allclose(both, expected)
    assert found.counts.sum() == len(found.lengths)
    shells = np.repeat(np.arange(len(found.counts)), found.counts)
    places = (found.lengths / 0.25).astype(int)
    assert len(np.unique(places)) == len(found.counts)
    assert (np.diff(places)[np.diff(shells) == 0] == 0).all()


def test_of_many_wave_vectors_some_are_kept_in_every_shell():
    whole = allowed_wave_vectors(3 * SKEWED, 3.0, 0.25, 10**6)
    some = allowed_wave_vectors(3 * SKEWED, 3.0, 0.25, 20)
    np.testing.assert_array_equal(some.counts, np.minimum(whole.counts, 20))
    assert {tuple(n) for n in some.numbers} <= {tuple(n) for n in whole.numbers}
    again = allowed_wave_vectors(3 * SKEWED, 3.0, 0.25, 20)
    np.testing.assert_array_equal(again.numbers, some.numbers)
    directions = some.numbers @ np.linalg.inv(3 * SKEWED).T
    directions /= np.linalg.norm(directions, axis=1)[:, None]
    second_moments = directions.T @ directions / len(directions)
    assert np.abs(second_moments - np.eye(3) / 3).max() < 0.1


def test_bragg_peaks_of_fcc():
    """N at q of (111), (200), (220), (311), (222), (400); nothing between."""
    crystal = bulk("Ar", "fcc", a=5.26, cubic=True) * (3, 3, 3)
    (found,) = structure_factors(
        frames(crystal), crystal.numbers, crystal.cell.array, None, 4.9, 0.02, 10**6, 1
    )
    peaks = found.ashcroft_langreth > 1e-9
    squares = (found.wavevectors[peaks] * 5.26 / (2 * np.pi)) ** 2
    assert squares == pytest.approx([3, 4, 8, 11, 12, 16], rel=0.01)
    multiplicities = np.array([8, 6, 12, 24, 8, 6]) / 2  # of q and -q one
    scattered = (found.ashcroft_langreth * found.n_vectors)[peaks]
    assert scattered == pytest.approx(108 * multiplicities)


def test_partials_of_rock_salt_interfere():
    """Odd reflections: Na against Cl; even ones: with it."""
    crystal = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    found = structure_factors(
        frames(crystal), crystal.numbers, crystal.cell.array, None, 2.5, 0.01, 10**6, 1
    )
    by_label = {one.label: one for one in found}
    assert list(by_label) == ["all", "Na-Na", "Na-Cl", "Cl-Cl"]
    q = found[0].wavevectors * 5.64 / (2 * np.pi)
    odd, even = np.argmin(abs(q - np.sqrt(3))), np.argmin(abs(q - 2))
    values = {name: one.ashcroft_langreth[[odd, even]] for name, one in by_label.items()}
    assert values["all"] == pytest.approx([0, 8], abs=1e-9)
    assert values["Na-Na"] == pytest.approx([4, 4])
    assert values["Na-Cl"] == pytest.approx([-4, 4])
    cl = by_label["Na-Cl"]
    np.testing.assert_allclose(cl.faber_ziman, 1 + cl.ashcroft_langreth / 0.5)
    na = by_label["Na-Na"]
    np.testing.assert_allclose(na.faber_ziman, 1 + (na.ashcroft_langreth - 1) / 0.5)


def test_a_crystal_in_a_breathing_cell_keeps_its_peaks():
    crystal = bulk("Ar", "fcc", a=5.26, cubic=True) * (2, 2, 2)
    scales = np.array([0.97, 1.0, 1.03])[:, None, None]
    (found,) = structure_factors(
        (scales * crystal.positions)[:, None], crystal.numbers, scales * crystal.cell.array,
        None, 2.2, 0.01, 10**6, 1,
    )  # fmt: skip
    top = int(np.argmax(found.ashcroft_langreth))
    assert found.wavevectors[top] == pytest.approx(2 * np.pi * np.sqrt(3) / 5.26)
    assert found.ashcroft_langreth[top] == pytest.approx(32)


@pytest.mark.parametrize("cell", [12.0 * np.eye(3), 1.3 * SKEWED, 1.3 * SKEWED[[1, 0, 2]]])
def test_an_ideal_gas_scatters_one(cell):
    rng = np.random.default_rng(0)
    numbers = np.array([1] * 60 + [8] * 30)
    r = rng.uniform(-1, 2, size=(60, 2, 90, 3)) @ cell
    for one in structure_factors(r, numbers, cell, max_wavevector=4.0):
        expected = 0.0 if one.label == "H-O" else 1.0
        deviations = (one.ashcroft_langreth - expected) / one.standard_error
        assert np.mean(deviations**2) < 2.5, one.label  # of Student's t with 9 degrees 9 / 7
        assert one.ashcroft_langreth.mean() == pytest.approx(expected, abs=0.03)
        assert one.faber_ziman.mean() == pytest.approx(1, abs=0.06)
        assert (one.n_beads, one.n_frames, one.n_blocks) == (2, 60, 10)


def test_a_gas_of_molecules_scatters_as_debye_says():
    """Dimers anywhere, in any direction: 1 + sin(q d) / (q d), in a cell and without one."""
    rng = np.random.default_rng(6)
    d, cell = 1.5, 1.3 * SKEWED
    centres = rng.uniform(size=(80, 1, 30, 3)) @ cell
    bonds = rng.normal(size=centres.shape)
    bonds *= d / np.linalg.norm(bonds, axis=-1, keepdims=True)
    r = np.concatenate([centres, centres + bonds], axis=2)
    (gas,) = structure_factors(r, np.full(60, 7), cell, max_wavevector=6.0)
    exact = 1 + np.sinc(gas.wavevectors * d / np.pi)
    assert np.mean(((gas.ashcroft_langreth - exact) / gas.standard_error) ** 2) < 2.0
    (one,) = debye_structure_factors(r[:, :, [0, 30]], np.array([7, 7]), gas.wavevectors)
    np.testing.assert_allclose(one.ashcroft_langreth, exact, rtol=1e-9)


def test_debye_partials_add_up():
    atoms = molecule("CH3OH")
    q = np.array([1e-6, 0.5, 2.0, 7.0])
    found = debye_structure_factors(frames(atoms), atoms.numbers, q, n_blocks=1)
    whole = found[0].ashcroft_langreth
    distances = atoms.get_all_distances()
    direct = [np.sinc(x * distances / np.pi).sum() / len(atoms) for x in q]
    np.testing.assert_allclose(whole, direct, rtol=1e-9)
    assert whole[0] == pytest.approx(len(atoms))  # forward: all in phase
    total = sum(
        (1 if one.label[0] == one.label[-1] else 2)
        * np.sqrt(one.n_first * one.n_second)
        * one.ashcroft_langreth
        for one in found[1:]
    )
    np.testing.assert_allclose(total / len(atoms), whole, rtol=1e-9)
    assert found[0].is_of_molecule
    assert np.isnan(found[1].faber_ziman).all()
    (asked,) = debye_structure_factors(frames(atoms), atoms.numbers, q, [("O", "H")], 1)[1:]
    np.testing.assert_allclose(asked.ashcroft_langreth, found[3].ashcroft_langreth)


def test_an_atom_scatters_one():
    (found,) = debye_structure_factors(np.zeros((2, 1, 1, 3)), [18], np.array([0.0, 5.0]), None, 1)
    assert found.ashcroft_langreth.tolist() == [1.0, 1.0]


def test_impossible_input_is_refused():
    r, numbers, cell = np.zeros((4, 1, 2, 3)), np.array([1, 8]), 6.0 * np.eye(3)
    with pytest.raises(ConfigError, match="max_wavevector must be a positive number"):
        structure_factors(r, numbers, cell, max_wavevector=0.0)
    with pytest.raises(ConfigError, match="most_vectors must be a whole number"):
        structure_factors(r, numbers, cell, most_vectors=0)
    with pytest.raises(ConfigError, match="allows no wave vector up to 0.5 1/A"):
        structure_factors(r, numbers, cell, max_wavevector=0.5)
    with pytest.raises(ConfigError, match="allows too many wave vectors"):
        structure_factors(r, numbers, 1e4 * cell)
    with pytest.raises(DataError, match="no element 'C' among H, O"):
        structure_factors(r, numbers, cell, [("C", "H")])
    with pytest.raises(StructureError, match="flat"):
        structure_factors(r, numbers, np.diag([6.0, 6.0, 0.0]))
    with pytest.raises(DataError, match="4 frames cannot be divided into 10 blocks"):
        structure_factors(r, numbers, cell)
    with pytest.raises(DataError, match="not finite"):
        structure_factors(r * np.nan, numbers, cell, n_blocks=1)
