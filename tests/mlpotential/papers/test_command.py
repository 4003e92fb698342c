"""`mlpotential papers`: trains rows, resumes, and shows them beside the papers' numbers."""

import csv
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import md_runs.ethanol
from mlpotential.cli import main
from mlpotential.models.model_file import load_model
from mlpotential.papers import measurement
from mlpotential.papers.figure import plot_learning_curves
from mlpotential.papers.measurement import kept_results
from mlpotential.papers.paper_table import read_table
from mlpotential.papers.results import as_markdown, result_of
from mlpotential.papers.test_set_errors import pooled_errors
from mlpotential.training.metrics import Errors
from mlpotential.training.studies import members as studies
from mlpotential.training.studies.members import Outcome
from mlpotential.units import EV_PER_KCAL_PER_MOL

FRAMES = Path(md_runs.ethanol.__file__).parent / "data" / "ethanol_test.extxyz.gz"
SMALL = [
    *("--data.n_train", "24", "--data.n_validation", "8", "--training.max_epochs", "1"),
    *("--model.n_features", "4", "--model.n_interactions", "1", "--model.rbf_stop", "4"),
    *("--training.dtype", "float64"),
]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "papers"


def run(folder, *rows, splits=("0", "1")):
    chosen = ["--rows", *rows, "--splits", *splits] if rows else []
    files = ["--files", f"ethanol={FRAMES}"] if rows else []
    words = ["papers", "md17", *chosen, *files, "--folder", str(folder), *(SMALL if rows else [])]
    return main(words)


def test_rows_are_trained_once_and_shown_beside_the_papers(folder, capsys, monkeypatch):
    assert run(folder, "ethanol_EF", "ethanol_E") == 0
    said = capsys.readouterr().out
    place = folder / "md17"
    records = [
        load_model(place / f"ethanol_EF_split_{k}" / "model.safetensors").record for k in (0, 1)
    ]
    assert records[0].training["split"]["test"] != records[1].training["split"]["test"]
    found = [record.errors["test"]["forces_mae"] / EV_PER_KCAL_PER_MOL for record in records]
    line = next(line for line in said.splitlines() if "ethanol_EF " in line and "forces" in line)
    error = abs(found[0] - found[1]) / 2
    mean, shown_error = (float(x) for x in line.split("|")[3].split("±"))
    assert mean == pytest.approx(np.mean(found), abs=0.1 * error)
    assert shown_error == pytest.approx(error, rel=0.1)
    assert "0.39 (A)" in line
    assert "| aspirin_EF " in said  # not finished: the paper's numbers alone
    assert (place / "results.md").read_text().strip() == said.strip()
    with open(place / "results.csv") as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["ethanol_EF", "ethanol_E"]
    row = rows["ethanol_EF"]
    assert float(row["forces_mae_kcal_per_mol_per_angstrom"]) == pytest.approx(np.mean(found))
    assert float(row["energy_mae_kcal_per_mol_published"]) == 0.08
    assert row["n_splits"] == "2"

    monkeypatch.setattr(studies, "run_training", lambda *_: pytest.fail("trained again"))
    assert run(folder, "ethanol_EF", "ethanol_E") == 0
    assert run(folder) == 0  # shows what there is
    assert capsys.readouterr().out == said + said


def test_mistakes(folder, capsys):
    for words, message in [
        (["md17", "--files", "methanol=x"], "takes ethanol=PATH"),
        (["md17", "--files", "ethanol=nowhere.xyz"], "nowhere.xyz"),
        (["md17", "--rows", "ethanol_EF"], "give --files ethanol=PATH"),
        (["md17", "--training.max_epochs", "3"], "needs --rows"),
        (["md17", "--rows", "ethanol_EF", "--splits", "-1"], "--splits"),
        (["qm9_learning_curve", "--files", "x=y"], "takes nothing"),
    ]:
        assert main(["papers", *words, "--folder", str(folder)]) == 2
        assert message in capsys.readouterr().err
    assert not folder.exists()


def test_list(capsys):
    assert main(["papers"]) == 0
    assert "md17" in (said := capsys.readouterr().out)
    assert "A Tables III and IV" in said


def outcome(mae, n=100, epochs=10):
    errors = Errors(n_structures=n, energy_mae=mae, energy_rmse=2.0 * mae)
    return Outcome({}, "test", errors, epochs, 100, 72.0, 36.0)


def test_means_over_splits():
    table = read_table("qm9_learning_curve")
    row = table.rows["SchNet_T3_N25000"]
    result = result_of(table, row, [outcome(0.03), outcome(0.05)])
    mean, error = result.errors["energy"]
    assert (mean, error) == (
        pytest.approx(0.04),
        pytest.approx(0.01),
    )  # s / sqrt(2) = 0.0141 / 1.41
    assert (result.epoch_s, result.hours) == (pytest.approx(3.6), pytest.approx(0.01))
    text = as_markdown(table, {row.name: result})
    assert "0.040 ± 0.010" in text
    assert "0.014 (A Fig. 3, N = 110,000)" in text


def test_rows_whose_names_begin_alike_are_kept_apart(folder, monkeypatch):
    table = read_table("md17")
    monkeypatch.setattr(
        measurement, "read_outcome", lambda path: outcome(float(path.parent.name[-1]))
    )
    for name in ("ethanol_EF_split_1", "ethanol_EF_5A_split_2"):
        (folder / name).mkdir(parents=True)
        (folder / name / "outcome.json").touch()
    found = kept_results(table, folder)
    unit = EV_PER_KCAL_PER_MOL
    assert {n: r.errors["energy"][0] * unit for n, r in found.items()} == {
        "ethanol_EF": pytest.approx(1.0),
        "ethanol_EF_5A": pytest.approx(2.0),
    }


def test_learning_curves(folder):
    table = read_table("qm9_learning_curve")
    results = {
        name: result_of(table, table.rows[name], [outcome(mae)])
        for name, mae in (
            ("SchNet_T1_N1000", 0.3),
            ("SchNet_T1_N5000", 0.1),
            ("DTNN_T3_N1000", 0.2),
        )
    }
    ax = plot_learning_curves(table, results, table.columns[0], Figure().subplots())
    drawn = {container.get_label(): container.lines[0] for container in ax.containers}
    assert list(drawn) == ["SchNet, T = 1", "DTNN, T = 3"]
    np.testing.assert_allclose(drawn["SchNet, T = 1"].get_xydata(), [[1000, 0.3], [5000, 0.1]])
    grey = {tuple(line.get_xydata()[0]) for line in ax.lines if line.get_marker() == "s"}
    assert grey == {(110000.0, 0.015), (110000.0, 0.014)}


def test_histograms_hold_the_errors_of_all_splits(folder, tmp_path, capsys):
    """Their means are those that the trainings found on the same structures."""
    assert main(["papers", "md17", "--folder", str(folder), "--histograms", "none.png"]) == 2
    assert "none of these rows is finished" in capsys.readouterr().err
    assert run(folder, "ethanol_EF") == 0
    table = read_table("md17")
    energies, forces = pooled_errors(table, table.rows["ethanol_EF"], folder / "md17")
    errors = kept_results(table, folder / "md17")["ethanol_EF"].errors
    assert (energies.unit, forces.unit) == ("kcal/mol", "kcal/mol/Angstrom")
    assert energies.mean == pytest.approx(errors["energy"][0], rel=1e-6)
    assert forces.mean == pytest.approx(errors["forces"][0], rel=1e-6)
    path = tmp_path / "errors.png"
    words = ["--rows", "ethanol_*", "--histograms", str(path)]
    assert main(["papers", "md17", "--folder", str(folder), *words]) == 0
    assert "ethanol_EF: " in capsys.readouterr().out
    assert path.read_bytes().startswith(b"\x89PNG")
