"""Training by two processes is training by one, whatever the shares and whatever happens."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from ase.build import molecule

from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph
from mlpotential.models.model_file import load_model, save_model
from mlpotential.testing import tiny_schnet
from mlpotential.training.checkpoint import load_checkpoint
from mlpotential.training.config_file import read_config
from mlpotential.training.optimization.processes import ALONE, Processes
from mlpotential.training.run import run_training

ROUNDING = 1e-9  # some hundred steps of Adam in float64, with sums in another order
# 32 structures: batches of 5, 5, ..., 2; of 31 and 1, of which the second process has none.
RUNS = {
    "everything": (
        "--training.batch_size=5",
        "--training.ema_decay=0.9",
        "--training.max_gradient_norm=0.05",
        "--training.schedule=plateau",
        "--training.plateau_patience=1",
        "--training.learning_rate=0.05",
        "--training.early_stopping_patience=3",
        "--training.max_epochs=16",
    ),
    "curvature": (
        "--training.batch_size=5",
        "--training.max_epochs=1",
        "--training.curvature_weight=0.02",
        "--training.curvature_from={teacher}",
    ),
    "forces": ("--training.batch_size=31", "--training.targets=forces", "--training.max_epochs=3"),
}
PROLONGED = ("--training.schedule=warm_restarts", "--training.max_epochs={}")


def start_two(config_path, runs):
    """As torchrun would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    program = Path(__file__).with_name("one_of_many.py")
    return [
        subprocess.Popen(
            [sys.executable, program, config_path, json.dumps(runs)],
            env=os.environ | variables | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("processes")


@pytest.fixture(scope="module")
def alone(folder, run_settings):
    """Trains in one process."""
    config_path = folder / "run.yaml"
    config_path.write_text(yaml.safe_dump(run_settings))

    teacher = folder / "teacher.safetensors"
    save_model(teacher, tiny_schnet(), AtomGraph.from_atoms(molecule("H2O")))

    def run(name, *words):
        words = [word.format(teacher=teacher) for word in words]
        config = read_config(config_path, ["--folder", str(folder / name), *words])
        return run_training(config, progress=False)

    return run


@pytest.fixture(scope="module")
def whole(folder, alone):
    """The folder of a training by one process that others have to come to."""
    alone("whole", *(w.format(2) for w in PROLONGED))
    return folder / "whole"


@pytest.fixture(scope="module")
def ends(folder, alone):
    """How two processes, started once, ended their trainings; by name, of each process."""
    first = [w.format(1) for w in PROLONGED]
    alone("one_then_two", *first)
    whole = [w.format(2) for w in PROLONGED]
    runs = {name: {"words": list(words)} for name, words in RUNS.items()}
    runs["one_then_two"] = {"words": whole}
    runs["two_then_one"] = {"words": first}
    runs["stopped"] = {"words": whole, "event": "SIGTERM", "step": 5, "rank": 1}
    runs["different"] = {"words": whole, "words_of_others": ["--training.learning_rate=0.1"]}
    runs["dead"] = {"words": whole, "event": "death", "step": 3, "rank": 1}
    runs["dead"]["words"] = [*whole, "--training.checkpoint_interval_s=0"]
    for name, run in runs.items():
        place = folder / (name if name == "one_then_two" else f"{name}_by_two")
        for words in ("words", "words_of_others"):
            if words in run:
                filled = [
                    word.format(teacher=folder / "teacher.safetensors") for word in run[words]
                ]
                run[words] = ["--folder", str(place), *filled]
    processes = start_two(folder / "run.yaml", list(runs.values()))
    outputs = [process.communicate(timeout=120) for process in processes]
    assert processes[1].returncode == 1, outputs
    told = [[json.loads(line) for line in out.splitlines()] for out, _ in outputs]
    return {
        name: [lines[k] if k < len(lines) else "nothing" for lines in told]
        for k, name in enumerate(runs)
    }


def history(folder):
    with open(folder / "history.csv") as handle:
        rows = list(csv.DictReader(handle))
    return np.array([[float(number) for number in row.values()] for row in rows])


def assert_same_training(one, other):
    np.testing.assert_allclose(history(one), history(other), rtol=ROUNDING)
    models = [load_model(f / "model.safetensors") for f in (one, other)]
    states = [model.potential.state_dict() for model in models]
    for name, tensor in states[0].items():
        largest = float(tensor.abs().max())
        torch.testing.assert_close(tensor, states[1][name], rtol=0, atol=ROUNDING * largest)
    for name, errors in models[0].record.errors.items():
        other_errors = models[1].record.errors[name]
        assert errors["n_structures"] == other_errors["n_structures"]
        assert errors["forces_mae_by_element"] == pytest.approx(
            other_errors["forces_mae_by_element"], rel=ROUNDING
        )


@pytest.mark.parametrize("name", RUNS)
def test_two_are_one(folder, alone, ends, name):
    """History, weights, early stop, constant of integration and errors."""
    assert ends[name] == [None, None]
    alone(name, *RUNS[name])
    assert_same_training(folder / name, folder / f"{name}_by_two")
    if name == "everything":
        assert len(history(folder / name)) < 16  # stopped early
        assert history(folder / name)[-1, 2] < 0.05  # and the plateau was noticed


def test_the_number_of_processes_may_change(folder, alone, whole, ends):
    assert ends["one_then_two"] == ends["two_then_one"] == [None, None]
    assert_same_training(whole, folder / "one_then_two")
    alone("two_then_one_by_two", *(w.format(2) for w in PROLONGED))
    assert_same_training(whole, folder / "two_then_one_by_two")


def test_a_signal_to_one_stops_both_after_the_step(folder, alone, whole, ends):
    for end in ends["stopped"]:
        assert end[0] == "RunInterrupted"
        assert "interrupted after step 6" in end[1]
    assert load_checkpoint(folder / "stopped_by_two")["step"] == 6
    alone("stopped_by_two", *(w.format(2) for w in PROLONGED))
    assert_same_training(whole, folder / "stopped_by_two")


def test_processes_with_different_settings_are_refused(folder, ends):
    for end in ends["different"]:
        assert end[0] == "RunError"
        assert "process 1 has other settings or data than process 0" in end[1]


def test_the_death_of_one_ends_the_other(folder, ends):
    """At once, and what it had saved is whole."""
    error, nothing = ends["dead"]
    assert nothing == "nothing"
    assert error[0] == "RunError"
    assert "another process of this training has ended" in error[1]
    assert load_checkpoint(folder / "dead_by_two")["step"] == 3


def test_the_first_alone_writes_the_log(folder, ends):
    text = (folder / "everything_by_two/training.log").read_text()
    assert text.count("2 processes") == text.count("starts in") == 1


def test_shares():
    parts = [Processes(rank, 3).share(range(7)) for rank in range(3)]
    assert parts == [[0, 3, 6], [1, 4], [2, 5]]
    assert ALONE.share(range(7)) == list(range(7))


def test_devices(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert Processes(3, 4, 1).device("auto") == torch.device("cuda", 1)
    assert Processes(3, 4, 1).device("cpu") == torch.device("cpu")
    assert ALONE.device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ConfigError, match="cannot share"):
        Processes(0, 2, 0).device("cuda:1")
    with pytest.raises(ConfigError, match="has 2 GPUs"):
        Processes(2, 4, 2).device("cuda")
