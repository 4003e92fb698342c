"""Modes matched by overlap: against sets of which it is known how they differ."""

from dataclasses import replace

import numpy as np
import pytest
from harmonic_molecules import carbon_dioxide, methane, turned, water

from md_runs.analysis.vibrations.mode_comparison import compare_modes
from md_runs.analysis.vibrations.normal_modes import NormalModes, compare_frequencies, normal_modes
from mlpotential.errors import DataError


def modes_of(atoms, hessian) -> NormalModes:
    return normal_modes(hessian, atoms.get_masses(), atoms.positions)


@pytest.mark.parametrize("build", [water, methane, carbon_dioxide])
def test_a_molecule_elsewhere_is_the_same(build) -> None:
    """Each degenerate group overlaps with itself alone, though its modes are others."""
    reference = modes_of(*build())
    found = compare_modes(modes_of(*turned(*build())), reference)
    assert np.abs(found.relative_deviations).max() < 1e-9
    assert np.allclose(found.overlaps, 1)
    assert np.abs(found.displacements).max() < 1e-9
    n_modes = reference.n_modes
    assert np.allclose(found.duschinsky @ found.duschinsky.T, np.eye(n_modes), atol=1e-9)
    for group in reference.degenerate_groups():
        assert {int(found.matches[k]) for k in group} == set(group)


def test_modes_that_exchange_their_order_are_found() -> None:
    """A stiffer bend than in the reference, above its stretches."""
    atoms, hessian = water()
    reference = modes_of(atoms, hessian)
    coordinates = reference.modes * np.sqrt(reference.masses)[:, None]
    bend = coordinates[0].ravel()
    stiffened = modes_of(atoms, hessian + 70.0 * np.outer(bend, bend))
    assert stiffened.wavenumbers_per_cm[2] > 4300
    found = compare_modes(stiffened, reference)
    assert found.matches.tolist() == [2, 0, 1]
    assert found.relative_deviations[0] > 2
    assert np.allclose(found.relative_deviations[1:], 0, atol=1e-9)
    ascending = compare_frequencies(stiffened.wavenumbers_per_cm, reference.wavenumbers_per_cm)
    assert np.abs(ascending.relative_deviations).min() > 0.02  # pairs unlike with unlike


def test_the_shift_of_the_minimum_is_given_along_the_reference_modes() -> None:
    atoms, hessian = water()
    reference = modes_of(atoms, hessian)
    shift = np.array([0.05, -0.02, 0.03])  # A sqrt(amu)
    motion = np.einsum("k,kix->ix", shift, reference.modes)
    moved = atoms.copy()
    moved.positions += motion / np.sqrt(reference.masses)[:, None]
    found = compare_modes(modes_of(*turned(moved, hessian)), reference)
    assert np.allclose(found.displacements, shift, atol=1e-9)
    assert found.overlaps.min() > 0.99


def test_degenerate_modes_keep_together_when_they_mix_with_others() -> None:
    """Three T2 modes turned among themselves and by 20 degrees into the E pair and A1."""
    reference = modes_of(*methane())
    rng = np.random.default_rng(7)
    angle = np.radians(20.0)
    mixing = np.eye(9)
    for inside, outside in ((0, 3), (1, 4), (2, 8)):
        plane = np.ix_([inside, outside], [inside, outside])
        mixing[plane] = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
    mixing[:3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] @ mixing[:3]
    mixed = replace(reference, modes=np.einsum("kl,lix->kix", mixing, reference.modes))
    found = compare_modes(mixed, reference)
    assert {int(k) for k in found.matches[:3]} == {0, 1, 2}
    assert found.matches[3:].tolist() == list(range(3, 9))
    assert np.allclose(found.overlaps[:3].mean(), np.cos(angle) ** 2)
    assert found.overlaps[5:8].tolist() == pytest.approx([1, 1, 1])


def test_columns_are_those_of_the_table(tmp_path) -> None:
    reference = modes_of(*water())
    compare_modes(reference, reference).save_csv(tmp_path / "modes.csv")
    header = (tmp_path / "modes.csv").read_text().splitlines()[0]
    assert header == (
        "reference_per_cm (1/cm),wavenumbers_per_cm (1/cm),relative_deviations (1),matches (1),"
        "overlaps (1),displacements (A sqrt(amu))"
    )


def test_what_cannot_be_compared_is_refused() -> None:
    reference = modes_of(*water())
    with pytest.raises(DataError, match="different atoms"):
        compare_modes(modes_of(*methane()), reference)
    with pytest.raises(DataError, match="different atoms"):
        compare_modes(replace(reference, masses=reference.masses[::-1].copy()), reference)
    bent, hessian = carbon_dioxide()
    bent.positions[0, 0] += 0.3
    with pytest.raises(DataError, match="3 modes cannot be matched to 4"):
        compare_modes(modes_of(bent, hessian), modes_of(*carbon_dioxide()))
    mirror, hessian = methane()
    mirror.positions = mirror.positions[[0, 2, 1, 3, 4]]  # two hydrogens exchanged
    with pytest.raises(DataError, match="atoms in the same order"):
        compare_modes(modes_of(mirror, hessian), modes_of(*methane()))
    imaginary = replace(reference, wavenumbers_per_cm=np.array([-5.0, 10.0, 20.0]))
    with pytest.raises(DataError, match="reference has a mode of -5 1/cm"):
        compare_modes(reference, imaginary)


def test_what_cannot_turn_stays_where_it_is() -> None:
    """Beside fixed atoms a turned structure is another one; a free molecule is no reference."""
    atoms, hessian = methane()
    stiff = hessian + 5.0 * np.eye(15)
    fixed = np.arange(5) > 1
    reference = normal_modes(stiff, atoms.get_masses(), atoms.positions, fixed=fixed)
    same = compare_modes(reference, reference)
    assert np.allclose(same.overlaps, 1)
    assert not same.displacements.any()
    moved = replace(reference, positions=reference.positions + np.array([0.05, 0, 0]))
    shift = compare_modes(moved, reference).displacements
    along = np.sqrt(reference.masses) @ reference.modes[:, :, 0].T * 0.05
    assert shift == pytest.approx(along)
    with pytest.raises(DataError, match="of a free molecule, the other"):
        compare_modes(modes_of(*methane()), reference)
