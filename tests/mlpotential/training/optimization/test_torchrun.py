"""The real `torchrun`: stopped, with a process killed, and continued, it trains what one trains."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from mlpotential.cli import main
from mlpotential.training.checkpoint import load_checkpoint

TORCHRUN = Path(sys.executable).with_name("torchrun")
OPTIONS = ("--training.schedule=exponential", "--training.checkpoint_interval_s=0")
ENDLESS = "--training.max_epochs=100000"


def start(config_file, folder, *words):
    command = [TORCHRUN, "--standalone", "--nproc-per-node", "2", "-m", "mlpotential", "train"]
    command += [config_file, "--folder", folder, *OPTIONS, *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def wait_for_a_step(folder, process):
    checkpoint, begun = folder / "checkpoint.pt", time.time()
    while process.poll() is None:
        if checkpoint.exists() and checkpoint.stat().st_mtime > begun:
            return
        time.sleep(0.05)
    pytest.fail(process.communicate()[1])


@pytest.mark.slow
def test_torchrun(config_file, tmp_path):
    folder = tmp_path / "together"
    process = start(config_file, folder, ENDLESS)
    wait_for_a_step(folder, process)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "the same command continues it" in errors
    stopped = load_checkpoint(folder)["step"]

    process = start(config_file, folder, ENDLESS)
    wait_for_a_step(folder, process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[1]), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert f"exitcode  : -{signal.SIGKILL:d}" in errors
    killed = load_checkpoint(folder)["step"]
    assert killed > stopped

    last = f"--training.max_epochs={killed // 8 + 2}"
    process = start(config_file, folder, last)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    command = ["train", str(config_file), "--folder", str(tmp_path / "alone"), *OPTIONS, last]
    assert main(command) == 0
    states = [load_checkpoint(place)["model"] for place in (folder, tmp_path / "alone")]
    for name, tensor in states[0].items():
        largest = float(tensor.abs().max())
        torch.testing.assert_close(tensor, states[1][name], rtol=0, atol=1e-6 * largest)
