"""Isolated atoms in training data, and frames of the file in messages and model files."""

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import read, write

from mlpotential.cli import main
from mlpotential.data.declared_units import SuspiciousDataWarning
from mlpotential.data.splits import random_split
from mlpotential.errors import DataError
from mlpotential.models.model_file import load_model
from mlpotential.training.config_file import read_config
from mlpotential.training.evaluation.evaluate import evaluate_model
from mlpotential.training.run import read_data_sets, run_training

ATOMS = (
    "1\nProperties=species:S:1:pos:R:3 energy=-13.5 config_type=IsolatedAtom\nH 0 0 0\n"
    "1\nProperties=species:S:1:pos:R:3 energy=-49.0 config_type=IsolatedAtom\nO 0 0 0\n"
)
SHORT = "--training.max_epochs=1"


@pytest.fixture
def with_atoms(water_file, tmp_path):
    path = tmp_path / "with_atoms.extxyz"
    path.write_text(ATOMS + water_file.read_text())
    return path


def config(config_file, tmp_path, *options):
    return read_config(config_file, ["--folder", str(tmp_path / "run"), SHORT, *options])


def test_isolated_atoms_as_references(config_file, with_atoms, tmp_path):
    options = (f"--data.path={with_atoms}", "--data.atom_references=isolated_atoms")
    result = run_training(config(config_file, tmp_path, *options), progress=False)
    model = load_model(result.model_path)
    assert model.potential.scale.atom_references[[1, 8]].tolist() == [-13.5, -49.0]
    split = model.record.training["split"]
    assert len(split["train"]) == 32
    used = np.concatenate([split[name] for name in split])
    assert used.min() >= 2  # the atoms are frames 0 and 1
    assert used.max() == 49
    with pytest.warns(SuspiciousDataWarning, match="2 isolated atoms are left out"):
        evaluation = evaluate_model(
            result.model_path, with_atoms, energy_unit="eV", length_unit="Angstrom", device="cpu"
        )
    assert evaluation.errors.n_structures == 48


def test_a_file_of_isolated_atoms(config_file, tmp_path):
    (tmp_path / "atoms.extxyz").write_text(ATOMS)
    option = f"--data.atom_references={tmp_path / 'atoms.extxyz'}"
    result = run_training(config(config_file, tmp_path, option), progress=False)
    references = load_model(result.model_path).potential.scale.atom_references
    assert references[[1, 8]].tolist() == [-13.5, -49.0]


def test_isolated_atoms_that_are_not_used_are_named(config_file, with_atoms, tmp_path):
    with pytest.warns(SuspiciousDataWarning, match="atom_references: isolated_atoms alone, which"):
        run_training(config(config_file, tmp_path, f"--data.path={with_atoms}"), progress=False)


def test_elements_without_an_isolated_atom(config_file, tmp_path):
    options = config(config_file, tmp_path, "--data.atom_references=isolated_atoms")
    with pytest.raises(DataError, match="no isolated atom of H, O: add a frame"):
        run_training(options, progress=False)


def test_frames_of_the_file_are_named(config_file, water_file, tmp_path):
    frames = read(water_file, ":")
    write(tmp_path / "twice.extxyz", [*frames, frames[3]])
    options = [f"--data.path={tmp_path / 'twice.extxyz'}", "--data.n_train=30"]
    options.append(f"--data.split_seed={seed_that_parts(3, 48)}")
    with pytest.raises(DataError, match=r"frame (3|48) of twice.* is frame (48|3) of twice"):
        read_data_sets(config(config_file, tmp_path, *options))


def seed_that_parts(first, second):
    """Of a split into 30 training and 8 other frames of 49 that has one in each."""
    for seed in range(100):
        split = random_split(49, 30, 8, seed=seed)
        if first in split.train and second not in split.train:
            return seed
    raise AssertionError


def test_a_force_unit_of_its_own(config_file, water_file, tmp_path, capsys):
    """Forces in Hartree/Bohr beside eV and Angstrom: the same model, the same errors."""
    first = run_training(config(config_file, tmp_path), progress=False)
    frames = read(water_file, ":")
    for atoms in frames:
        energy, forces = atoms.get_potential_energy(), atoms.get_forces() / 51.422067090480645
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    path = tmp_path / "atomic.db"
    with connect(path) as database:
        for atoms in frames:
            database.write(atoms)
    options = (f"--data.path={path}", "--data.force_unit=Hartree/Bohr")
    second = run_training(
        read_config(config_file, ["--folder", str(tmp_path / "b"), SHORT, *options]),
        progress=False,
    )
    for name, errors in first.errors.items():
        assert second.errors[name].forces_mae == pytest.approx(errors.forces_mae, rel=1e-6)
    units = ["--energy-unit", "eV", "--length-unit", "Angstrom", "--device", "cpu"]
    assert main(["evaluate", str(first.model_path), str(water_file), *units]) == 0
    plain = capsys.readouterr().out.splitlines()[1:]
    units += ["--force-unit", "Hartree/Bohr"]
    assert main(["evaluate", str(first.model_path), str(path), *units]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == plain
