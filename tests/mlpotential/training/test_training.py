"""Training: it learns, and nothing that happens to it changes what it learns."""

import contextlib
import csv
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io import read, write

from mlpotential import __version__
from mlpotential.cli import main
from mlpotential.errors import DataError, RunError
from mlpotential.models.model_file import load_model
from mlpotential.training.checkpoint import load_checkpoint
from mlpotential.training.config_file import read_config
from mlpotential.training.evaluation.evaluate import evaluate_model
from mlpotential.training.metrics import Errors
from mlpotential.training.run import read_data_sets, run_training
from mlpotential.training.trainer import Trainer

COMMAND = Path(sys.executable).with_name("mlpotential")


def run(config_file, folder, *overrides):
    config = read_config(config_file, ["--folder", str(folder), *overrides])
    return run_training(config, progress=False)


def history(folder):
    with open(folder / "history.csv") as handle:
        return list(csv.DictReader(handle))


def test_learns_energies_and_forces(config_file, water_file, tmp_path):
    result = run(config_file, tmp_path / "run")
    rows = history(tmp_path / "run")
    assert len(rows) == 50
    first, best = float(rows[0]["validation_loss"]), min(float(r["validation_loss"]) for r in rows)
    assert best < 0.1 * first
    model = load_model(result.model_path)
    assert model.potential.elements == (1, 8)
    assert {len(v) for v in model.record.training["split"].values()} == {32, 8}
    assert model.record.errors["validation"] == asdict(result.errors["validation"])
    assert model.record.shortest_distances.keys() == {"H-H", "H-O"}
    evaluation = evaluate_model(
        result.model_path, water_file, energy_unit="eV", length_unit="Angstrom", device="cpu"
    )
    assert evaluation.errors.n_structures == 48
    force_rms = np.sqrt((evaluation.values["forces"][0] ** 2).mean())
    assert evaluation.errors.forces_mae < 0.3 * force_rms
    error = evaluation.values["forces"][1] - evaluation.values["forces"][0]
    np.testing.assert_allclose(evaluation.errors.forces_mae, np.abs(error).mean())
    by_element = evaluation.errors.forces_mae_by_element
    weighted = (2 * by_element["H"] + by_element["O"]) / 3
    np.testing.assert_allclose(weighted, evaluation.errors.forces_mae)


def test_forces_alone_then_integration_constant(config_file, tmp_path):
    """Energies are met on average although the loss never saw them."""
    result = run(
        config_file,
        tmp_path / "run",
        "--training.targets=forces",
        "--data.atom_references=none",
        "--training.max_epochs=20",
    )
    errors = result.errors["validation"]
    assert errors.energy_mae < 0.2  # of -76 eV


def test_energies_alone(config_file, tmp_path):
    result = run(config_file, tmp_path / "run", "--training.targets=energy")
    assert result.errors["validation"].forces_mae is None
    rows = history(tmp_path / "run")
    assert float(rows[-1]["validation_loss"]) < 0.3 * float(rows[0]["validation_loss"])


@pytest.mark.parametrize("schedule", ["exponential", "plateau", "cosine", "warm_restarts"])
def test_schedules_lower_the_rate(config_file, tmp_path, schedule):
    run(
        config_file,
        tmp_path / "run",
        f"--training.schedule={schedule}",
        "--training.max_epochs=8",
        "--training.decay_steps=8",
        "--training.plateau_patience=1",
        "--training.learning_rate=0.05",
        "--training.decay_factor=0.5",
        "--training.restart_period=10",
    )
    rates = [float(r["learning_rate"]) for r in history(tmp_path / "run")]
    assert rates[-1] < rates[0]
    if schedule == "exponential":  # 0.5 per 8 steps, 8 steps an epoch
        np.testing.assert_allclose(rates, 0.05 * 0.5 ** np.arange(1, 9))
    if schedule == "cosine":
        np.testing.assert_allclose(
            rates, 0.025 * (1 + np.cos(np.pi * np.arange(1, 9) / 8)), atol=1e-12
        )


def test_early_stopping(config_file, tmp_path):
    run(
        config_file,
        tmp_path / "run",
        "--training.early_stopping_patience=2",
        "--training.learning_rate=0.1",
        "--training.max_epochs=200",
    )
    assert len(history(tmp_path / "run")) < 200


@pytest.mark.parametrize(
    "option",
    [
        "--training.ema_decay=0.9",
        "--training.max_gradient_norm=0.01",
        "--training.weight_decay=0.5",
    ],
)
def test_average_clipping_and_decay_change_the_outcome(config_file, tmp_path, option):
    plain = run(config_file, tmp_path / "plain", "--training.max_epochs=3")
    other = run(config_file, tmp_path / "other", "--training.max_epochs=3", option)
    assert plain.errors != other.errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_kills", "extra"),
    [
        pytest.param(
            1,
            (
                "--training.ema_decay=0.9",
                "--training.schedule=plateau",
                "--training.weight_decay=0.1",
            ),
            id="averaged",
        ),
        pytest.param(3, ("--training.schedule=exponential",), id="plain"),
    ],
)
def test_kill_9_changes_nothing(config_file, tmp_path, capsys, n_kills, extra):
    """Killed, again and again, then finished: the same model, bit by bit.

    While the process lives, nobody else may use its folder.
    """
    options = (*extra, "--training.checkpoint_interval_s=0")  # one after every step
    rng = np.random.default_rng(len(extra))
    folder = tmp_path / "killed"
    command = ["train", str(config_file), "--folder", str(folder), *options]
    command += ["--training.max_epochs=100000"]
    for _ in range(n_kills):
        process = subprocess.Popen([COMMAND, *command], stderr=subprocess.PIPE, text=True)
        wait_for_progress(folder, process)
        assert main(command) == 2
        assert f"in use by process {process.pid}" in capsys.readouterr().err
        time.sleep(rng.uniform(0.0, 0.3))
        process.kill()
        _, errors = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, errors
    options += (f"--training.max_epochs={len(history(folder)) + 3}",)
    for name in ("whole", "killed"):
        run(config_file, tmp_path / name, *options)
    assert (folder / "history.csv").read_text() == (tmp_path / "whole/history.csv").read_text()
    same = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert same[0] == same[1]


def wait_for_progress(folder, process):
    """Until a checkpoint newer than now is there, or the process has ended."""
    checkpoint = folder / "checkpoint.pt"
    start = time.time()
    while process.poll() is None:
        if checkpoint.exists() and checkpoint.stat().st_mtime > start:
            return
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
def test_signals_leave_a_checkpoint(config_file, tmp_path, capsys, monkeypatch, number, code):
    """Of the whole step in which they come."""
    original = Trainer._next_batch

    def interrupted(self):
        if self.step == 5:
            signal.raise_signal(number)
        return original(self)

    monkeypatch.setattr(Trainer, "_next_batch", interrupted)
    assert main(["train", str(config_file), "--folder", str(tmp_path / "run")]) == code
    assert "the same command continues" in capsys.readouterr().err
    assert load_checkpoint(tmp_path / "run")["step"] == 6


def test_finished_run_returns_at_once(config_file, tmp_path):
    options = ("--training.max_epochs=2",)
    first = run(config_file, tmp_path / "run", *options)
    content = first.model_path.read_bytes()
    assert run(config_file, tmp_path / "run", *options).errors == first.errors
    assert first.model_path.read_bytes() == content


def test_longer_run_continues(config_file, tmp_path):
    options = ("--training.schedule=exponential",)
    run(config_file, tmp_path / "whole", *options, "--training.max_epochs=8")
    run(config_file, tmp_path / "parts", *options, "--training.max_epochs=3")
    run(config_file, tmp_path / "parts", *options, "--training.max_epochs=8")
    texts = [(tmp_path / n / "history.csv").read_text() for n in ("whole", "parts")]
    assert texts[0] == texts[1]


def test_the_log_tells_the_whole_story(config_file, water_file, tmp_path):
    """Machine, versions, data, epochs, what it ended with; how it went on, and what was refused."""
    options = ("--training.schedule=exponential", "--training.max_epochs={}")
    folder = tmp_path / "run"
    for n_epochs in (2, 3):
        result = run(config_file, folder, *(o.format(n_epochs) for o in options))
    with pytest.raises(RunError):
        run(config_file, folder, "--training.seed=1")
    lines = (folder / "training.log").read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", line) for line in lines)
    texts = [line[21:] for line in lines]
    beginnings = [text for text in texts if text.startswith(f"mlpotential {__version__}, torch")]
    assert len(beginnings) == 3
    assert f"Python {platform.python_version()}, process {os.getpid()} on " in beginnings[0]
    assert [t.split(",")[0] for t in texts if re.match(r"epoch|starts|continues", t)] == [
        f"starts in {folder}", "epoch 1", "epoch 2", "continues after epoch 2", "epoch 3",
    ]  # fmt: skip
    assert f"32 structures of {water_file.name} to train on" in texts
    assert texts.count(f"model: {result.model_path}") == 2
    assert "holds a run with other settings" in texts[-1]


def test_early_stopping_counts_across_an_interruption(config_file, tmp_path):
    options = (
        "--training.schedule=exponential",
        "--training.learning_rate=0.1",
        "--training.early_stopping_patience=3",
    )
    run(config_file, tmp_path / "whole", *options)
    n_epochs = len(history(tmp_path / "whole"))
    assert 3 < n_epochs < 50
    run(config_file, tmp_path / "parts", *options, f"--training.max_epochs={n_epochs - 1}")
    run(config_file, tmp_path / "parts", *options)
    assert history(tmp_path / "parts") == history(tmp_path / "whole")


def test_other_settings_in_the_folder_are_refused(config_file, tmp_path):
    run(config_file, tmp_path / "run", "--training.max_epochs=2")
    with pytest.raises(RunError, match=r"training.seed: 0 -> 1"):
        run(config_file, tmp_path / "run", "--training.max_epochs=2", "--training.seed=1")
    assert read_config(tmp_path / "run/config.yaml").training.seed == 0  # still of that run


def test_damaged_checkpoint(config_file, tmp_path):
    run(config_file, tmp_path / "run", "--training.max_epochs=2")
    checkpoint = tmp_path / "run/checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(RunError, match="cannot be read"):
        run(config_file, tmp_path / "run", "--training.max_epochs=2")


def test_read_only_folder(config_file, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        run(config_file, tmp_path / "file" / "run")


def test_duplicate_frames_are_refused(config_file, water_file, tmp_path):
    config = read_config(config_file, ["--folder", str(tmp_path / "run")])
    data = replace(config.data, validation_path=str(water_file), n_validation=None)
    with pytest.raises(DataError, match="also in the training set"):
        run_training(replace(config, data=data), progress=False)


def test_exploding_loss_is_reported(config_file, tmp_path):
    with pytest.raises(RunError, match="lower training.learning_rate"):
        run(config_file, tmp_path / "run", "--training.learning_rate=1e30")


@contextlib.contextmanager
def files_of_at_most(n_bytes):
    """What is written beyond fails with EFBIG, as ENOSPC does on a full disk."""
    kept = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, kept[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, kept)


def test_disk_full_keeps_the_last_checkpoint(config_file, tmp_path, capsys):
    """With a limit on file size, the command fails with a line and leaves what was good."""
    run(config_file, tmp_path / "run", "--training.schedule=exponential", "--training.max_epochs=1")
    before = (tmp_path / "run/checkpoint.pt").read_bytes()
    command = ["train", str(config_file), "--folder", str(tmp_path / "run")]
    command += ["--training.schedule=exponential", "--training.max_epochs=3"]
    with files_of_at_most(10_240):
        assert main(command) == 2
    assert "cannot write" in capsys.readouterr().err
    assert (tmp_path / "run/checkpoint.pt").read_bytes() == before


def test_another_programs_checkpoint(config_file, tmp_path):
    (tmp_path / "run").mkdir()
    torch.save({"epoch": 3}, tmp_path / "run/checkpoint.pt")
    with pytest.raises(RunError, match="it is of another program"):
        run(config_file, tmp_path / "run")


def test_the_best_weights_are_stored(config_file, tmp_path):
    """Not the last ones, where the last epochs were worse."""
    options = ("--training.schedule=exponential", "--training.learning_rate=0.05")
    result = run(config_file, tmp_path / "run", *options, "--training.max_epochs=12")
    rows = history(tmp_path / "run")
    best = min(rows, key=lambda row: float(row["validation_loss"]))
    assert best is not rows[-1]
    column = "validation_forces_mae_eV_per_angstrom"
    np.testing.assert_allclose(
        result.errors["validation"].forces_mae, float(best[column]), rtol=1e-12
    )
    assert float(rows[-1][column]) != pytest.approx(float(best[column]), rel=1e-6)


def test_the_averaged_weights_are_stored(config_file, tmp_path, monkeypatch):
    """theta' <- d theta' + (1 - d) theta after each step, from the first step's weights on."""
    weights = []

    class RecordingAdam(torch.optim.Adam):
        def step(self, closure=None):
            super().step(closure)
            parameters = self.param_groups[0]["params"]
            weights.append([p.detach().clone() for p in parameters])

    monkeypatch.setattr(torch.optim, "Adam", RecordingAdam)
    result = run(
        config_file, tmp_path / "run", "--training.ema_decay=0.8", "--training.max_epochs=1"
    )
    assert len(weights) == 8
    expected = weights[0]
    for step in weights[1:]:
        expected = [0.8 * a + 0.2 * b for a, b in zip(expected, step, strict=True)]
    stored = list(load_model(result.model_path).potential.parameters())
    for ours, average, last in zip(stored, expected, weights[-1], strict=True):
        torch.testing.assert_close(ours, average, rtol=1e-12, atol=1e-13)
        assert not torch.equal(average, last) or not last.any()


def test_validation_loss_that_is_not_finite(config_file, tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "_validate", lambda self: (float("nan"), Errors(8)))
    with pytest.raises(RunError, match=r"validation loss is nan .* in another folder"):
        run(config_file, tmp_path / "run")
    assert not (tmp_path / "run/model.safetensors").exists()


def test_random_numbers_of_the_caller_stay(config_file, tmp_path):
    state = torch.get_rng_state()
    run(config_file, tmp_path / "run", "--training.max_epochs=1")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("n_validation", "n_train"), [(48, None), (60, None), (8, 60)])
def test_sets_larger_than_the_data(config_file, tmp_path, n_validation, n_train):
    config = read_config(config_file, ["--folder", str(tmp_path / "run")])
    data = replace(config.data, n_validation=n_validation, n_train=n_train)
    with pytest.raises(DataError, match="none of the 48|more than the 48"):
        run_training(replace(config, data=data), progress=False)


def test_batch_larger_than_the_data(config_file, tmp_path):
    run(config_file, tmp_path / "run", "--training.batch_size=1000", "--training.max_epochs=2")
    assert [int(row["step"]) for row in history(tmp_path / "run")] == [1, 2]


def test_atom_references_of_a_file(config_file, tmp_path):
    (tmp_path / "references.yaml").write_text("{H: -1.0, O: -70.0, C: -1000.0, Og: 3.0}")
    option = f"--data.atom_references={tmp_path / 'references.yaml'}"
    result = run(config_file, tmp_path / "run", option, "--training.max_epochs=1")
    references = load_model(result.model_path).potential.scale.atom_references
    assert (references[1], references[8], references[6]) == (-1.0, -70.0, 0.0)


def test_missing_atom_reference(config_file, tmp_path):
    (tmp_path / "references.yaml").write_text("{H: -1.0}")
    with pytest.raises(DataError, match=r"no reference energy for the elements \[8\]"):
        run(
            config_file,
            tmp_path / "run",
            f"--data.atom_references={tmp_path / 'references.yaml'}",
        )


def test_element_that_only_the_validation_set_has(config_file, water_file, tmp_path):
    (tmp_path / "v.extxyz").write_text(water_file.read_text().replace("\nO ", "\nN "))
    config = read_config(config_file, ["--folder", str(tmp_path / "run")])
    data = replace(
        config.data, validation_path=str(tmp_path / "v.extxyz"), n_validation=None, n_train=None
    )
    with pytest.raises(DataError, match=r"atomic numbers \[7\], which no training structure"):
        run_training(replace(config, data=data), progress=False)


def test_the_first_frames_of_a_validation_file(config_file, water_file, tmp_path):
    """As many as asked for; more than there are is a mistake."""
    frames = read(water_file, ":")
    for name, part in (("t", frames[:40]), ("v", frames[40:])):
        write(tmp_path / f"{name}.extxyz", part, format="extxyz")
    config = read_config(config_file)
    data = replace(
        config.data,
        path=str(tmp_path / "t.extxyz"),
        validation_path=str(tmp_path / "v.extxyz"),
        n_train=None,
    )
    sets = [read_data_sets(replace(config, data=replace(data, n_validation=n))) for n in (3, None)]
    assert [len(s.validation) for s in sets] == [3, 8]
    assert [len(s.train) for s in sets] == [40, 40]
    first = [graph.positions.numpy() for graph in sets[0].validation]
    np.testing.assert_allclose(first, [atoms.positions for atoms in frames[40:43]], atol=1e-7)
    with pytest.raises(DataError, match="n_validation is 9"):
        read_data_sets(replace(config, data=replace(data, n_validation=9)))


def test_energies_only_with_forces_requested(config_file, water_file, tmp_path):
    lines = water_file.read_text().replace(":forces:R:3", "").splitlines()
    text = "\n".join(" ".join(w.split()[:4]) if w[:1] in "OH" else w for w in lines) + "\n"
    (tmp_path / "energies.extxyz").write_text(text)
    option = f"--data.path={tmp_path / 'energies.extxyz'}"
    with pytest.raises(DataError, match="no forces"):
        run(config_file, tmp_path / "run", option)
    result = run(
        config_file,
        tmp_path / "run",
        option,
        "--training.targets=energy",
        "--training.max_epochs=1",
    )
    assert result.errors["validation"].energy_mae is not None


def test_a_given_test_set_leaves_no_other(config_file, water_file, tmp_path):
    """The split in the model file lists only frames that were used."""
    frames = water_file.read_text().splitlines(keepends=True)
    (tmp_path / "a.extxyz").write_text("".join(frames[: 5 * 44]))
    (tmp_path / "b.extxyz").write_text("".join(frames[5 * 44 :]))
    result = run(
        config_file,
        tmp_path / "run",
        f"--data.path={tmp_path / 'a.extxyz'}",
        f"--data.test_path={tmp_path / 'b.extxyz'}",
        "--training.max_epochs=1",
    )
    assert result.errors["test"].n_structures == 4
    split = load_model(result.model_path).record.training["split"]
    assert [len(split[name]) for name in ("train", "validation", "test")] == [32, 8, 0]
