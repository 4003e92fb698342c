"""Committees trained by one command, and what a model file keeps of its training data."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io import read

from mlpotential.cli import main
from mlpotential.data.read import read_reference_data
from mlpotential.errors import ConfigError, DataError, ExtrapolationWarning
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import ModelRecord, check_golden, load_model, replace_record
from mlpotential.neighbors import connect
from mlpotential.training.committee import committee_pattern, member_configs, run_committee
from mlpotential.training.config_file import read_config
from mlpotential.training.seen_in_training import (
    add_training_domain,
    feature_ranges,
    neighborhoods,
)

SHORT_RUN = ("--training.max_epochs=2", "--training.seed=5")


def config_of(config_file, folder, *overrides):
    return read_config(config_file, ["--folder", str(folder), *SHORT_RUN, *overrides])


def water_data(path):
    return read_reference_data(path, energy_unit="eV", length_unit="Angstrom")


def test_a_committee_by_the_command(config_file, water_file, tmp_path, capsys):
    """Each member is the run of its seed; the same command again changes nothing."""
    folder = tmp_path / "all"
    words = ["train", config_file, "--committee", "2", "--folder", folder, *SHORT_RUN]
    outputs = []
    for _ in range(2):
        assert main(list(map(str, words))) == 0
        outputs.append(capsys.readouterr().out)
    paths = [folder / f"seed_{seed}" / "model.safetensors" for seed in (5, 6)]
    for path in paths:
        assert f"model: {path}" in outputs[0]
    pattern = committee_pattern(config_of(config_file, folder))
    assert f"committee: '{pattern}'" in outputs[0]
    assert outputs[0] == outputs[1]
    first, second = (load_model(path) for path in paths)
    assert first.record.training["settings"]["seed"] == 5
    weights = [m.potential.embedding.weight for m in (first, second)]
    assert not torch.equal(*weights)
    assert first.record.training["split"] == second.record.training["split"]
    frames = read(water_file, index=":4")
    committee = Evaluator(pattern, frames[0].numbers, device="cpu")
    positions = np.stack([frame.positions for frame in frames])
    assert committee.evaluate(positions, properties=("energy_std",)).energy_std.min() > 0.0


def test_members_are_ordinary_runs(config_file, tmp_path):
    config = config_of(config_file, tmp_path / "all", "--data.split_seed=3")
    members = member_configs(config, 3)
    assert [m.training.seed for m in members] == [5, 6, 7]
    assert [Path(m.folder).name for m in members] == ["seed_5", "seed_6", "seed_7"]
    assert {m.data for m in members} == {config.data}
    with pytest.raises(ConfigError, match="at least two members, not 1"):
        run_committee(config, 1)


def test_training_keeps_the_ranges(config_file, water_file, tmp_path):
    """No training structure is outside; one far from all is, in distances and features."""
    config = config_of(config_file, tmp_path / "all")
    result = run_committee(config, 2, progress=False)[0]
    model = load_model(result.model_path)
    assert model.record.feature_ranges.keys() == {"H", "O"}
    ranges = model.record.feature_ranges["H"]
    assert len(ranges["lowest"]) == len(ranges["highest"]) == 16
    assert all(low < high for low, high in zip(ranges["lowest"], ranges["highest"], strict=True))
    frames = read(water_file, index=":")
    chosen = [frames[k].positions for k in model.record.training["split"]["train"]]
    evaluator = Evaluator(result.model_path, frames[0].numbers, device="cpu")
    evaluator.evaluate(np.stack(chosen))
    assert evaluator.guard.report.n_evaluated == 32
    assert evaluator.guard.report.n_outside == 0
    with pytest.warns(ExtrapolationWarning):
        evaluator.evaluate(0.5 * chosen[0][None])
    report = evaluator.guard.report
    pair = "-".join(sorted(report.nearest.symbols))
    assert report.nearest.shortest == model.record.shortest_distances[pair]
    assert report.farthest is not None


def test_ranges_are_the_extremes(potential, ethanol):
    """Over atoms of one element, in batches of any size, edges or none."""
    rng = np.random.default_rng(0)
    graphs = [
        AtomGraph.from_arrays(ethanol.numbers, ethanol.positions + shift)
        for shift in rng.normal(scale=0.1, size=(5, len(ethanol), 3))
    ]
    found = feature_ranges(potential, graphs, batch_size=2)
    assert found == feature_ranges(potential, graphs, batch_size=5)
    for symbol, number in (("H", 1), ("C", 6), ("O", 8)):
        rows = []
        for graph in graphs:
            connected = connect(graph, potential.cutoff)
            features = potential.representation(connected).detach().numpy()
            rows.append(features[ethanol.numbers == number])
        rows = np.concatenate(rows)
        np.testing.assert_allclose(found[symbol]["lowest"], rows.min(axis=0), rtol=1e-5)
        np.testing.assert_allclose(found[symbol]["highest"], rows.max(axis=0), rtol=1e-5)


def test_how_alone_atoms_were(potential):
    """Counted by hand; a molecule with an atom that left, and an atom by itself."""
    bent = np.array([[0.0, 0, 0], [0.97, 0, 0], [-0.3, 0.93, 0]])  # O and two H
    parted = np.array([[0.0, 0, 0], [0.97, 0, 0], [-2.0, 0, 0]])
    alone = np.array([[0.0, 0, 0], [0.97, 0, 0], [-50.0, 0, 0]])
    formaldehyde = np.array([[0.0, 0, 0], [1.2, 0, 0], [-0.6, 0.9, 0], [-0.6, -0.9, 0]])

    def found(*geometries):
        graphs = [AtomGraph.from_arrays(np.array([8, 1, 1]), x) for x in geometries]
        return neighborhoods(
            potential, [*graphs, AtomGraph.from_arrays(np.array([6, 8, 1, 1]), formaldehyde)]
        )

    def entry(distance, coordination, isolated=False):
        return {
            "largest_nearest_distance": pytest.approx(distance, rel=1e-5),
            "least_coordination": coordination,
            "isolated": isolated,
        }

    c = entry(np.hypot(0.6, 0.9), 3)
    assert found(bent) == {"H": entry(np.hypot(0.6, 0.9), 1), "C": c, "O": entry(1.2, 1)}
    assert found(bent, parted) == {"H": entry(2.0, 0), "C": c, "O": entry(1.2, 1)}
    far = entry(np.hypot(0.6, 0.9), 1, isolated=True)
    assert found(bent, alone) == {"H": far, "C": c, "O": entry(1.2, 1)}


def test_an_element_without_data(potential):
    methane = AtomGraph.from_arrays(np.array([6, 1]), np.array([[0.0, 0, 0], [1.1, 0, 0]]))
    with pytest.raises(DataError, match="no structure holds O, which the model knows"):
        feature_ranges(potential, [methane])


def test_adding_the_domain_to_an_old_model(config_file, water_file, tmp_path):
    """It is that of a training of today; nothing else in the file changes."""
    config = config_of(config_file, tmp_path / "all")
    path = run_committee(config, 2, progress=False)[1].model_path
    trained = load_model(path)
    record = trained.record
    replace_record(path, ModelRecord(record.title, record.training, record.errors))
    assert load_model(path).record.feature_ranges == {}
    data = water_data(water_file).select(trained.record.training["split"]["train"])
    add_training_domain(path, data)
    again = load_model(path)
    assert again.record == trained.record
    assert again.sha256 == trained.sha256
    assert check_golden(again).passed
