"""Weights of structures: read under every usual name, refused where senseless, never dropped."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write

from mlpotential.data.read import read_reference_data
from mlpotential.data.statistics import energy_statistics, fit_atom_references
from mlpotential.errors import DataError
from mlpotential.graph import Prediction, collate
from mlpotential.properties import LABELS
from mlpotential.training.losses import loss_per_graph
from mlpotential.training.metrics import ErrorAccumulator

ENERGIES = [-30.0, -31.0, 500.0]  # the last is no energy


def frames(**infos):
    """Three water molecules with energies and forces; `infos` by key, a value for each."""
    found = []
    for k, energy in enumerate(ENERGIES):
        atoms = Atoms("OHH", np.array([[0, 0, 0], [0.95, 0, 0], [-0.24, 0.92, 0]]) + 0.01 * k)
        atoms.positions[1, 0] += 0.02 * k
        forces = np.full((3, 3), 0.1 * (k + 1))
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        atoms.info = {key: values[k] for key, values in infos.items()}
        found.append(atoms)
    return found


def read(path):
    return read_reference_data(path, energy_unit="eV", length_unit="Angstrom")


def read_extxyz(folder, **infos):
    write(folder / "set.extxyz", frames(**infos), format="extxyz")
    return read(folder / "set.extxyz")


def read_npz(folder, **infos):
    atoms = frames()
    np.savez(
        folder / "set.npz",
        z=atoms[0].numbers,
        R=[a.positions for a in atoms],
        E=ENERGIES,
        F=[a.get_forces() for a in atoms],
        **infos,
    )
    return read(folder / "set.npz")


def read_db(folder, **infos):
    with connect(folder / "set.db") as database:
        for k, atoms in enumerate(frames()):
            database.write(atoms, **{key: values[k] for key, values in infos.items()})
    return read(folder / "set.db")


@pytest.mark.parametrize("reader", [read_extxyz, read_npz, read_db])
def test_every_reader_knows_them(reader, tmp_path):
    data = reader(tmp_path, weight=[1.0, 2.0, 3.0], energy_weight=[1.0, 0.5, 0.0])
    batch = collate(list(data))
    np.testing.assert_allclose(batch.label_weights("energy"), [1.0, 1.0, 0.0])
    np.testing.assert_allclose(batch.label_weights("forces"), [1.0, 2.0, 3.0])


NAMES = ["force_weight", "forces_weight", "forces_weights", "config_forces_weight", "Forces_Weight"]


@pytest.mark.parametrize("key", NAMES)
def test_other_names(key, tmp_path):
    batch = collate(list(read_extxyz(tmp_path, **{key: [1.0, 2.0, 4.0]})))
    np.testing.assert_allclose(batch.label_weights("forces"), [1.0, 2.0, 4.0])
    np.testing.assert_allclose(batch.label_weights("energy"), 1.0)


def test_without_weights_all_are_one_and_the_hash_is_that_of_old_files(tmp_path):
    data = read_extxyz(tmp_path)
    assert all(graph.weights is None for graph in data)
    np.testing.assert_allclose(data[0].label_weights("forces"), 1.0)
    assert read_extxyz(tmp_path, weight=[1.0, 1.0, 2.0]).sha256 != data.sha256


@pytest.mark.parametrize("value", [-1.0, float("inf"), float("nan"), "heavy"])
def test_senseless_weights_are_refused_with_their_frame(value, tmp_path):
    with pytest.raises(DataError, match=r"set.extxyz, frame 1 .*energy_weight should be a number"):
        read_extxyz(tmp_path, energy_weight=[1.0, value, 1.0])


def test_two_weights_of_one_label_are_refused(tmp_path):
    with pytest.raises(DataError, match="second weight of the forces"):
        read_extxyz(tmp_path, force_weight=[1.0] * 3, forces_weight=[1.0] * 3)


def test_energies_of_weight_zero_count_nowhere(tmp_path):
    """Neither in references and scale nor in the loss nor in errors."""
    data = read_extxyz(tmp_path, energy_weight=[1.0, 1.0, 0.0])
    mean, std = energy_statistics(data, {1: 0.0, 8: 0.0})
    np.testing.assert_allclose((mean, std), (-30.5 / 3, 0.5 / 3))
    references = fit_atom_references(data)
    np.testing.assert_allclose(2 * references[1] + references[8], -30.5)
    batch = collate(list(data))
    prediction = Prediction(energy=batch.energy + 1.0, forces=batch.forces + 2.0)
    losses = loss_per_graph(prediction, batch, {"energy": 0.5, "forces": 1.0})
    np.testing.assert_allclose(losses, [0.5 + 12.0, 0.5 + 12.0, 12.0])
    accumulator = ErrorAccumulator()
    prediction.energy[2] += 1000.0
    accumulator.add(prediction, batch)
    errors = accumulator.errors()
    assert errors.n_structures == 3
    np.testing.assert_allclose((errors.energy_mae, errors.forces_mae), (1.0, 2.0))


def test_no_energies_at_all_is_said(tmp_path):
    data = read_extxyz(tmp_path, energy_weight=[0.0] * 3)
    with pytest.raises(DataError, match="weight of the energy is 0 in all structures"):
        energy_statistics(data, dict.fromkeys((1, 8), 0.0))


def test_weights_are_columns_of_the_table_of_labels(tmp_path):
    (graph, *_) = read_extxyz(tmp_path, weight=[2.0] * 3)
    assert graph.weights.shape == (1, len(LABELS) + 1)
