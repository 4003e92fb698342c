"""Sweeps: all combinations, seeds averaged over, failures by name."""

import csv

import numpy as np
import pytest
from matplotlib.figure import Figure

from mlpotential.cli import main
from mlpotential.errors import ConfigError
from mlpotential.training.metrics import Errors
from mlpotential.training.studies.figure import plot_sweep
from mlpotential.training.studies.members import Outcome
from mlpotential.training.studies.sweep import sweep_members
from mlpotential.training.studies.table import as_csv, as_text, rows_of


def outcome(values, energy, forces=None):
    errors = Errors(8, energy_per_atom_mae=energy, forces_mae=forces)
    return Outcome(values, "validation", errors, epochs=3, steps=24, wall_s=2.0, cpu_s=1.0)


def test_by_the_command(config_file, tmp_path, capsys):
    folder = tmp_path / "sweep"
    words = ["sweep", str(config_file), "--model.n_interactions", "1", "2", "--training.seed"]
    words += ["0", "1", "--training.max_epochs=1", "--folder", str(folder)]
    assert main(words) == 0
    with open(folder / "sweep.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(r["model.n_interactions"], r["n_seeds"]) for r in rows] == [("1", "2"), ("2", "2")]
    assert (folder / "sweep.png").stat().st_size > 10_000
    assert (folder / "n_interactions_2_seed_1/model.safetensors").exists()
    assert "n_interactions  seeds" in capsys.readouterr().out


def test_a_member_that_fails_is_named_and_the_others_are_kept(config_file, tmp_path, capsys):
    words = ["sweep", str(config_file), "--training.learning_rate", "1e-3", "1e30", "1e-2"]
    words += ["--training.max_epochs=1", "--folder", str(tmp_path)]
    assert main(words) == 2
    assert "learning_rate_1e30 failed: the loss is" in capsys.readouterr().err
    assert (tmp_path / "sweep.csv").read_text().count("\n") == 2
    assert (tmp_path / "learning_rate_1e-3/outcome.json").exists()
    assert not (tmp_path / "learning_rate_1e-2").exists()


def test_all_combinations(config_file, tmp_path):
    words = "--model.n_features 8 16 --training.max_epochs=7 --training.ema_decay 0.9 null"
    members = sweep_members(config_file, words.split(), tmp_path)
    names = ["model.n_features", "training.ema_decay"]
    found = [tuple(member.values[name] for name in names) for member in members]
    assert found == [(8, 0.9), (8, None), (16, 0.9), (16, None)]
    assert members[1].name == "n_features_8_ema_decay_null"
    for member, (n_features, decay) in zip(members, found, strict=True):
        assert member.config.model.n_features == n_features
        assert (member.config.training.ema_decay, member.config.training.max_epochs) == (decay, 7)


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("--model.n_features 8", "several values of a setting"),
        ("--training.seed 0 1", "several values of a setting besides the seed"),
        ("--data.n_train 8 16", "mlpotential learning-curve"),
        ("--model.n_features 8 8", "has a value twice"),
        ("--model.n_features 8 --model.n_features 16", "is given twice"),
        ("--model.n_features", "needs a value"),
        ("8 16 --model.n_features", "expected --name"),
        ("--model.n_featurs 8 16", "Did you mean 'model.n_features'"),
        ("--model.n_features 8 many", "n_features must be a whole number"),
    ],
)
def test_mistakes_cost_no_training(config_file, tmp_path, words, what):
    with pytest.raises(ConfigError, match=what):
        sweep_members(config_file, words.split(), tmp_path)


def test_means_and_standard_errors():
    rows = rows_of(
        [
            outcome({"model.n_features": n, "training.seed": seed}, 1e-3 * n * (1 + seed))
            for n in (8, 16)
            for seed in range(3)
        ]
    )
    assert [row.n_seeds for row in rows] == [3, 3]
    ((mean, error),) = (row.errors[m] for row in rows[:1] for m in row.errors)
    assert mean == pytest.approx(16e-3)
    assert error == pytest.approx(8e-3 / np.sqrt(3))
    assert "8 ± 5" not in as_text(rows)
    assert "16.0 ± 4.6" in as_text(rows)
    lines = as_csv(rows).splitlines()
    assert lines[0].startswith("model.n_features,n_seeds,validation_energy_per_atom_mae_eV_per")
    assert lines[0].endswith("epochs,steps,wall_s,cpu_s")


def test_one_training_has_no_standard_error():
    rows = rows_of([outcome({"model.n_features": 8}, 5e-3, 0.02)])
    assert "±" not in as_text(rows)
    assert ",0.005,,0.02,,3.0," in as_csv(rows)


@pytest.mark.parametrize(
    ("values", "scale", "labels"),
    [
        ([1, 2, 6], "linear", ["1", "2", "6"]),
        ([1e-4, 1e-2], "log", ["0.0001", "0.01"]),
        (["cosine", "plateau"], "linear", ["cosine", "plateau"]),
        ([0.9, None], "linear", ["0.9", "None"]),
    ],
)
def test_axes_of_the_figure(values, scale, labels):
    rows = rows_of(
        [
            outcome({"training.this": v, "training.that": k}, 1e-3 * (1 + k), 0.1)
            for v in values
            for k in (0, 1)
        ]
    )
    ax = plot_sweep(rows, next(iter(rows[0].errors)), Figure().subplots())
    assert ax.get_xscale() == scale
    assert [tick.get_text() for tick in ax.get_xticklabels()] == labels
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["that 0", "that 1"]
    assert ax.get_ylabel() == "energy MAE (meV/atom)"
