"""Learning curves: nested sets beside the same held-out ones, resumable, with table and figure."""

import csv
import json
import signal

import numpy as np
import pytest
from matplotlib.image import imread

from mlpotential.cli import main
from mlpotential.errors import ConfigError, DataError
from mlpotential.models.model_file import load_model
from mlpotential.training.config_file import read_config
from mlpotential.training.run import read_data_sets
from mlpotential.training.studies import members as studies
from mlpotential.training.studies.learning_curve import fit_power_law, learning_curve_members
from mlpotential.training.trainer import Trainer

SHORT = ("--training.max_epochs", "1")


def words(config_file, folder, *more):
    sizes = ["--n-train", "16", "8", "--folder", str(folder)]
    return ["learning-curve", str(config_file), *sizes, *SHORT, *(more or ("--seeds", "3"))]


def table(folder):
    with open(folder / "learning_curve.csv") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in ("wall_s", "cpu_s")} for row in rows]


def model_of(folder, n, seed):
    return load_model(folder / f"n_train_{n}_seed_{seed}" / "model.safetensors")


def test_by_the_command(config_file, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "curve"
    seeds = ("--seeds", "3", "4")
    assert main(words(config_file, folder, *seeds)) == 0
    said = capsys.readouterr().out
    rows = table(folder)
    assert [(row["n_train"], row["n_seeds"]) for row in rows] == [("8", "2"), ("16", "2")]
    records = {(n, s): model_of(folder, n, s).record for n in (8, 16) for s in (3, 4)}
    splits = [record.training["split"] for record in records.values()]
    for split in splits:
        assert (split["validation"], split["test"]) == (splits[0]["validation"], splits[0]["test"])
        assert (len(split["validation"]), len(split["test"])) == (8, 8)
        assert not set(split["train"]) & {*split["validation"], *split["test"]}
    assert splits[2]["train"] == splits[3]["train"]  # of 16; seeds have the same data
    assert splits[2]["train"][:8] == splits[0]["train"] == splits[1]["train"]
    found = [records[8, s].errors["test"]["forces_mae"] for s in (3, 4)]
    assert float(rows[0]["test_forces_mae_eV_per_angstrom"]) == pytest.approx(np.mean(found))
    error = rows[0]["test_forces_mae_eV_per_angstrom_standard_error"]
    assert float(error) == pytest.approx(abs(found[0] - found[1]) / 2)
    assert "errors on the test set ± standard error over seeds" in said
    assert f"{folder}/learning_curve.csv" in said
    picture = imread(folder / "learning_curve.png")
    assert 0.001 < (picture[..., :3].min(axis=2) < 0.5).mean() < 0.2  # lines and words on white

    monkeypatch.setattr(studies, "run_training", None)  # nothing is trained again
    assert main(words(config_file, folder, *seeds)) == 0
    assert capsys.readouterr().out == said


def test_it_goes_on_where_it_was_stopped(config_file, tmp_path, monkeypatch, capsys):
    original = Trainer._next_batch

    def interrupted(self):
        if self.step == 2 and self.folder.name == "n_train_16_seed_3":
            signal.raise_signal(signal.SIGTERM)
        return original(self)

    with monkeypatch.context() as context:
        context.setattr(Trainer, "_next_batch", interrupted)
        assert main(words(config_file, tmp_path / "parts")) == 128 + signal.SIGTERM
    assert "the same command continues" in capsys.readouterr().err
    assert len(table(tmp_path / "parts")) == 1
    for name in ("parts", "whole"):
        assert main(words(config_file, tmp_path / name)) == 0
    assert table(tmp_path / "parts") == table(tmp_path / "whole")


def test_other_settings_are_other_trainings(config_file, tmp_path, capsys):
    """Finished members are not taken for those of other settings; longer ones are continued."""
    folder = tmp_path / "curve"
    constant = ("--training.schedule", "exponential", "--seeds", "3")
    assert main(words(config_file, folder, *constant)) == 0
    assert main(words(config_file, folder, *constant, "--training.learning_rate", "1e-4")) == 2
    assert "n_train_8_seed_3 failed" in capsys.readouterr().err
    longer = [w if w != "1" else "2" for w in words(config_file, folder, *constant)]
    assert main(longer) == 0
    assert {row["epochs"] for row in table(folder)} == {"2.0"}
    outcome = json.loads((folder / "n_train_8_seed_3/outcome.json").read_text())["outcome"]
    assert outcome["wall_s"] > 0.0


@pytest.mark.parametrize(
    ("sizes", "seeds", "what"),
    [
        ([8, 8], None, "--n-train names 8 twice"),
        ([8], [1, 1], "--seeds names 1 twice"),
        ([8, 33], None, "data.n_train draws 32"),
        ([0], None, "--n-train must be"),
        ([8], [-1], "--seeds must be"),
    ],
)
def test_mistakes(config_file, tmp_path, sizes, seeds, what):
    with pytest.raises(ConfigError, match=what):
        learning_curve_members(read_config(config_file), sizes, seeds, tmp_path)


def test_what_is_not_drawn_is_the_test_set(config_file, tmp_path):
    config = read_config(config_file, ["--data.n_train=null"])
    members = learning_curve_members(config, [4, 20], None, tmp_path)
    for member, size in zip(members, (4, 20), strict=True):
        data = read_data_sets(member.config)
        assert [len(data.train), len(data.validation), len(data.test)] == [size, 8, 20]


def test_a_subset_larger_than_the_whole(config_file):
    config = read_config(config_file, ["--data.train_subset=33"])
    with pytest.raises(DataError, match="train_subset is 33, but 32 frames"):
        read_data_sets(config)


def test_power_law():
    n = np.array([10, 100, 1000])
    law = fit_power_law(n, 5.0 * n**-0.7)
    assert (law.prefactor, law.exponent) == pytest.approx((5.0, 0.7))
    assert law.exponent_error == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(law.at(n), 5.0 * n**-0.7)
    assert np.isnan(fit_power_law(n[:2], [1.0, 0.5]).exponent_error)
    assert fit_power_law([10], [1.0]) is None


def test_the_error_of_the_exponent_is_that_of_repetition():
    rng = np.random.default_rng(0)
    n = np.array([10, 30, 100, 300, 1000])
    laws = [fit_power_law(n, n**-0.5 * np.exp(rng.normal(scale=0.1, size=5))) for _ in range(2000)]
    variance = np.var([law.exponent for law in laws])
    assert np.mean([law.exponent_error**2 for law in laws]) == pytest.approx(variance, rel=0.1)
