"""Training on CUDA in float64 takes the same path as on the CPU."""

import csv

import numpy as np
import pytest
import torch

from mlpotential.models.model_file import load_model
from mlpotential.training.config_file import read_config
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


def run(config_file, folder, device, *options):
    words = ["--folder", str(folder), f"--training.device={device}", *options]
    model_path = run_training(read_config(config_file, words), progress=False).model_path
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


def test_resumed_on_the_other_device(config_file, tmp_path):
    """A checkpoint of the device goes on where it was, on either side."""
    options = ("--training.schedule=exponential", "--training.ema_decay=0.9")
    expected, _ = run(config_file, tmp_path / "cpu", "cpu", *options, "--training.max_epochs=3")
    for epochs, device in ((1, DEVICE), (2, "cpu"), (3, DEVICE)):
        actual, _ = run(
            config_file, tmp_path / "both", device, *options, f"--training.max_epochs={epochs}"
        )
    np.testing.assert_allclose(actual, expected, rtol=1e-8)
