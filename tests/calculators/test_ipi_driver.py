"""The i-PI driver against i-PI's own ASE driver, finite strain, and the faults it must refuse."""

import json
import warnings

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from fake_evaluators import LennardJonesCrystal
from numpy.testing import assert_allclose, assert_array_equal

from calculators.ipi_driver import MLPotentialDriver, answer, driver_path
from calculators.ipi_units import BOHR_PER_ANGSTROM, HARTREE_PER_EV, to_answers
from mlpotential.errors import ConfigError, ModelFileError, RunError, StructureError
from mlpotential.graph import Prediction

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from ipi.interfaces.utils import parse_extra
    from ipi.pes import load_pes, scan_pes_file
    from ipi.pes._ase import ASEDriver


@pytest.fixture
def crystal():
    """Four atoms in a triclinic cell that i-PI accepts: a along x, b in the xy plane."""
    atoms = bulk("Ar", "fcc", a=4.0, cubic=True)
    cell = np.array([[4.1, 0.0, 0.0], [0.7, 3.9, 0.0], [-0.4, 0.9, 4.2]])
    atoms.set_cell(cell, scale_atoms=True)
    atoms.rattle(0.1, seed=0)
    return atoms


def in_bohr(atoms):
    """i-PI's h (vectors as columns) and positions."""
    return atoms.cell.array.T * BOHR_PER_ANGSTROM, atoms.positions * BOHR_PER_ANGSTROM


def ase_file(folder, atoms):
    ase.io.write(folder / "structure.extxyz", atoms)
    return str(folder / "structure.extxyz")


@pytest.fixture
def driver_for(model_path, tmp_path):
    def make(atoms, **parameters):
        structure = ase_file(tmp_path, atoms)
        return MLPotentialDriver(str(model_path), structure, device="cpu", **parameters)

    return make


def test_agrees_with_the_ase_driver_of_ipi(crystal, tmp_path):
    reference = ASEDriver(template=ase_file(tmp_path, crystal))
    reference.ase_calculator = LennardJones(sigma=2.5, epsilon=0.1, rc=5.0, smooth=True)
    h, positions = in_bohr(crystal)
    assert np.abs(h - h.T).max() > 1.0  # a transposed cell would show
    potential, forces, virial, _ = reference.compute(h, positions)
    ours = answer(LennardJonesCrystal(crystal), [h], [positions])[0]
    assert_allclose(ours[0], potential, rtol=1e-12)
    assert_allclose(ours[1], forces, rtol=2e-7, atol=1e-12)  # i-PI's own ev/ang is rounded
    assert_allclose(ours[2], virial.reshape(3, 3), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["diamond", "ethanol"])
def test_virial_is_minus_the_strain_derivative(name, request, driver_for):
    """In i-PI's frame and units, for a skewed crystal and for a molecule."""
    atoms = request.getfixturevalue(name)
    driver = driver_for(atoms)
    h, positions = in_bohr(atoms) if name == "diamond" else (np.eye(3), in_bohr(atoms)[1])
    _, _, virial, _ = driver(h, positions)
    numerical, eps = np.zeros((3, 3)), 1e-4
    for a, b in np.ndindex(3, 3):
        strain = np.zeros((3, 3))
        strain[a, b] = eps
        up, down = np.eye(3) + strain, np.eye(3) - strain
        high, low = (driver(s @ h, positions @ s.T)[0] for s in (up, down))
        numerical[a, b] = -(high - low) / (2 * eps)
    assert np.abs(virial).max() > 1e-4
    assert_array_equal(virial, virial.T)
    assert_allclose(virial, numerical, atol=1e-6 * np.abs(virial).max())


def test_forces_are_minus_the_gradient_in_atomic_units(ethanol, driver_for):
    driver = driver_for(ethanol)
    _, positions = in_bohr(ethanol)
    forces, eps = driver(np.eye(3), positions)[1], 1e-4
    for atom, axis in [(0, 0), (3, 1), (8, 2)]:
        step = np.zeros_like(positions)
        step[atom, axis] = eps
        high, low = (driver(np.eye(3), positions + s * step)[0] for s in (1, -1))
        assert_allclose(forces[atom, axis], -(high - low) / (2 * eps), rtol=1e-5)


def test_all_beads_in_one_evaluation(crystal):
    evaluator = LennardJonesCrystal(crystal)
    h, positions = in_bohr(crystal)
    rng = np.random.default_rng(1)
    beads = [positions + rng.normal(0, 0.05, positions.shape) for _ in range(4)]
    answers = answer(evaluator, [h] * 4, beads)
    assert evaluator.n_calls == 1
    assert len({a[0] for a in answers}) == 4
    for bead, batched in zip(beads, answers, strict=True):
        single = answer(evaluator, [h], [bead])[0]
        for one, many in zip(single[:3], batched[:3], strict=True):
            assert_allclose(one, many, rtol=1e-12, atol=1e-13)


def test_single_and_list_calls(ethanol, driver_for):
    driver = driver_for(ethanol, verbosity=True)  # ffdirect adds it
    h, positions = np.eye(3), in_bohr(ethanol)[1]
    potential, forces, virial, extras = driver(h, positions)
    batch = driver([h, h], [positions, positions])
    assert isinstance(batch, list)
    assert len(batch) == 2
    assert type(potential) is float
    assert (forces.shape, forces.dtype) == ((9, 3), np.float64)
    for one in batch:
        assert_allclose(one[0], potential, rtol=1e-13)
        assert_allclose(one[1], forces, rtol=1e-9, atol=1e-12)
        assert_allclose(one[2], virial, rtol=1e-9, atol=1e-12)
    fields = parse_extra(extras)
    assert extras.isascii()
    assert_allclose(fields["energy_eV"] * HARTREE_PER_EV, potential, rtol=1e-13)
    assert len(fields["atomic_energies_eV"]) == 9
    assert_allclose(np.sum(fields["atomic_energies_eV"]), fields["energy_eV"], rtol=1e-12)
    assert min(fields["atomic_energies_eV"]) < -1000.0  # carbon, by the model's references


def test_ipi_may_overwrite_what_it_gets(ethanol, driver_for):
    driver = driver_for(ethanol)
    h, positions = np.eye(3), in_bohr(ethanol)[1]
    first = driver([h, h], [positions, positions])
    expected = [[np.copy(x) for x in one[:3]] for one in first]
    first[0][2][:] = 0.0
    first[0][1][:] = 7.0
    assert_array_equal(first[1][1], expected[1][1])
    for again, old in zip(driver([h, h], [positions, positions]), expected, strict=True):
        assert_array_equal(again[1], old[1])
        assert_array_equal(again[2], old[2])


def test_the_cell_of_a_molecule_does_not_count(ethanol, driver_for):
    driver = driver_for(ethanol)
    positions = in_bohr(ethanol)[1]
    large, tiny = driver(1e3 * np.eye(3), positions), driver(0.1 * np.eye(3), positions)
    for one, other in zip(large[:3], tiny[:3], strict=True):
        assert_array_equal(one, other)


def prediction(energy, forces, virial, atomic_energies=None):
    zeros = np.zeros(len(forces))
    atomic_energies = zeros if atomic_energies is None else atomic_energies
    return Prediction(energy, forces, virial, atomic_energies=atomic_energies)


def test_virial_is_symmetrised():
    virial = np.arange(9.0).reshape(1, 3, 3)
    sent = to_answers(prediction(np.zeros(1), np.zeros((2, 3)), virial), 1)[0][2]
    assert_allclose(sent, HARTREE_PER_EV * (virial[0] + virial[0].T) / 2)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_refuses_numbers_that_are_not_finite(bad):
    forces, virial, atomic = np.zeros((4, 3)), np.zeros((2, 3, 3)), np.zeros(4)
    forces[3, 1] = virial[1, 0, 2] = atomic[2] = bad
    good = {"energy": np.zeros(2), "forces": np.zeros((4, 3)), "virial": np.zeros((2, 3, 3))}
    for fault, place in [
        ({"energy": np.array([bad, 0.0])}, "energy of bead 0"),
        ({"forces": forces}, "forces of bead 1, atom 1"),
        ({"virial": virial}, "virial of bead 1"),
        ({"atomic_energies": atomic}, "atomic energies of bead 1, atom 0"),
    ]:
        with pytest.raises(RunError, match=rf"the model gave (nan|inf) in the {place}:"):
            to_answers(prediction(**{**good, **fault}), 2)


def test_refuses_bad_structures(ethanol, driver_for):
    driver = driver_for(ethanol)
    positions = in_bohr(ethanol)[1]
    with pytest.raises(StructureError, match="i-PI sent 8 atoms, but the structure file has 9"):
        driver(np.eye(3), positions[:-1])
    positions[2, 0] = np.nan
    with pytest.raises(StructureError, match="atom 2"):
        driver(np.eye(3), positions)


def test_refuses_bad_parameters(ethanol, driver_for, tmp_path, model_path):
    with pytest.raises(ConfigError, match=r"'devise'\. Did you mean 'device'"):
        driver_for(ethanol, devise="cpu")
    with pytest.raises(ConfigError, match="'structure' is missing"):
        MLPotentialDriver(model=str(model_path))
    with pytest.raises(StructureError, match="cannot read the structure file"):
        MLPotentialDriver(model=str(model_path), structure=str(tmp_path / "none.xyz"))
    with pytest.raises(ModelFileError):
        MLPotentialDriver(model=str(tmp_path / "none"), structure=ase_file(tmp_path, ethanol))
    with pytest.raises(StructureError, match="does not know"):
        driver_for(molecule("NH3"))


def test_ipi_finds_the_driver(ethanol, model_path, tmp_path):
    assert scan_pes_file(driver_path()) == ("MLPotentialDriver", "mlpotential")
    driver_class = load_pes("custom", driver_path())
    driver = driver_class(model=str(model_path), structure=ase_file(tmp_path, ethanol))
    potential, _, _, extras = driver(np.eye(3), in_bohr(ethanol)[1])
    assert_allclose(json.loads(extras)["energy_eV"] * HARTREE_PER_EV, potential)
