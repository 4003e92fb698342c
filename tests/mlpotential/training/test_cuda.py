"""Training on CUDA in float64 takes the same path as on the CPU."""

import csv
import socket

import numpy as np
import pytest
import torch
from ase.build import molecule

from mlpotential.graph import AtomGraph
from mlpotential.models.model_file import load_model, save_model
from mlpotential.testing import tiny_schnet
from mlpotential.training.config_file import read_config
from mlpotential.training.optimization.processes import ALONE, joined_processes
from mlpotential.training.run import run_training

DEVICE = "cuda"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

OPTIONS = {
    "forces_and_energies": (),
    "forces": ("--training.targets=forces",),
    "everything": ("--training.ema_decay=0.9", "--training.max_gradient_norm=1"),
}


def run(config_file, folder, device, *options, processes=ALONE):
    words = ["--folder", str(folder), f"--training.device={device}", *options]
    config = read_config(config_file, words)
    model_path = run_training(config, progress=False, processes=processes).model_path
    with open(folder / "history.csv") as handle:
        losses = [float(row["validation_loss"]) for row in csv.DictReader(handle)]
    return losses, load_model(model_path).potential


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_two_epochs(config_file, tmp_path, options):
    options = (*options, "--training.max_epochs=2")
    expected, on_cpu = run(config_file, tmp_path / "cpu", "cpu", *options)
    actual, on_device = run(config_file, tmp_path / "device", DEVICE, *options)
    np.testing.assert_allclose(actual, expected, rtol=1e-8)
    for name, values in on_cpu.state_dict().items():
        torch.testing.assert_close(on_device.state_dict()[name], values, rtol=1e-8, atol=1e-8)


def test_curvature_and_a_group_of_one_process(config_file, tmp_path, monkeypatch):
    """With collectives of NCCL and gloo, as torchrun would start it."""
    teacher = tmp_path / "teacher.safetensors"
    save_model(teacher, tiny_schnet(), AtomGraph.from_atoms(molecule("H2O")))
    options = [f"--training.curvature_from={teacher}", "--training.curvature_weight=0.01"]
    options += ["--training.max_epochs=2", "--training.ema_decay=0.9"]
    expected, on_cpu = run(config_file, tmp_path / "cpu", "cpu", *options)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"RANK": 0, "WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    with joined_processes() as processes:
        assert processes.are_joined
        actual, on_device = run(
            config_file, tmp_path / "device", DEVICE, *options, processes=processes
        )
    np.testing.assert_allclose(actual, expected, rtol=1e-8)
    for name, values in on_cpu.state_dict().items():
        torch.testing.assert_close(on_device.state_dict()[name], values, rtol=1e-8, atol=1e-8)


def test_resumed_on_the_other_device(config_file, tmp_path):
    """A checkpoint of the device goes on where it was, on either side."""
    options = ("--training.schedule=exponential", "--training.ema_decay=0.9")
    expected, _ = run(config_file, tmp_path / "cpu", "cpu", *options, "--training.max_epochs=3")
    for epochs, device in ((1, DEVICE), (2, "cpu"), (3, DEVICE)):
        actual, _ = run(
            config_file, tmp_path / "both", device, *options, f"--training.max_epochs={epochs}"
        )
    np.testing.assert_allclose(actual, expected, rtol=1e-8)
