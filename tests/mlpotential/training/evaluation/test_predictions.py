"""Tables of predictions, by the command and by the functions below it."""

import csv
import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from numpy.testing import assert_allclose

from mlpotential.cli import main
from mlpotential.errors import RunError, StructureError
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.outputs import Output
from mlpotential.training.evaluation import predictions
from mlpotential.training.evaluation.predictions import predict_structures

UNITS = ["--energy-unit", "eV", "--length-unit", "Angstrom"]
BARE = ["--unlabelled", "--length-unit", "Angstrom"]
OF_TWO_OUTPUTS = ["index", "formula", "n_atoms", "energy_eV", "energy_per_atom_eV", "gap_eV"]
pytestmark = pytest.mark.filterwarnings(
    "ignore::mlpotential.data.declared_units.SuspiciousDataWarning"  # labels are of nothing real
)


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def numbers(rows, name):
    return np.array([float(row[name]) for row in rows])


def evaluate(*arguments, code=0):
    assert main(["evaluate", *map(str, arguments), "--device", "cpu"]) == code


def expected(model, frames, name):
    """By the other way to a prediction."""
    found = []
    for atoms in frames:
        evaluator = Evaluator(model, atoms.numbers, device="cpu", dtype="float64", guard="off")
        found.append(evaluator.evaluate(atoms.positions[None], None, (name,)).value(name)[0])
    return np.array(found)


def test_structures_without_labels(gap_model, bare_file, frames, tmp_path, capsys):
    table = tmp_path / "out.csv"
    evaluate(gap_model, bare_file, *BARE, "--predictions", table, "--batch-size", "2")
    shown = capsys.readouterr().out
    assert f"{table} (5 structures, no errors)" in shown
    assert "MAE" not in shown
    rows = rows_of(table)
    assert list(rows[0]) == OF_TWO_OUTPUTS
    assert [row["index"] for row in rows] == list("01234")
    assert [row["formula"] for row in rows] == ["H2O", "C2H6O", "CH4", "CH2O", "C6H6"]
    assert [int(row["n_atoms"]) for row in rows] == [len(atoms) for atoms in frames]
    written = read(bare_file, ":")  # positions have 8 decimals
    energies = expected(gap_model, written, "energy")
    assert_allclose(numbers(rows, "energy_eV"), energies, rtol=1e-9)
    n_atoms = numbers(rows, "n_atoms")
    assert_allclose(numbers(rows, "energy_per_atom_eV"), energies / n_atoms, rtol=1e-9)
    assert_allclose(numbers(rows, "gap_eV"), expected(gap_model, written, "gap"), rtol=1e-6)


def test_structures_with_labels(gap_model, labelled_file, bare_file, tmp_path, capsys):
    """Errors as without the table, which is that of the same structures without labels."""
    labels = [*UNITS, "--label-units", "gap=eV", "--label-keys", "gap=GAP"]
    evaluate(gap_model, labelled_file, *labels, "--json", tmp_path / "alone.json")
    files = ["--json", tmp_path / "e.json", "--predictions", tmp_path / "out.csv"]
    evaluate(gap_model, labelled_file, *labels, *files)
    assert "forces on C" in capsys.readouterr().out
    assert (tmp_path / "e.json").read_text() == (tmp_path / "alone.json").read_text()
    rows = rows_of(tmp_path / "out.csv")
    assert list(rows[0]) == OF_TWO_OUTPUTS
    (errors,) = json.loads((tmp_path / "e.json").read_text()).values()
    gaps = np.array([atoms.info["GAP"] for atoms in read(labelled_file, ":")])
    mae = np.abs(numbers(rows, "gap_eV") - gaps).mean()
    assert errors["others"]["gap_mae"] == pytest.approx(mae, rel=1e-6)
    assert predict_structures(gap_model, bare_file, tmp_path / "b.csv", length_unit="Angstrom") == 5
    assert_allclose(
        numbers(rows_of(tmp_path / "b.csv"), "energy_eV"), numbers(rows, "energy_eV"), rtol=1e-9
    )


def test_outputs_that_are_not_compared_are_predicted(gap_model, labelled_file, tmp_path):
    evaluate(gap_model, labelled_file, *UNITS, "--no-forces", "--predictions", tmp_path / "out.csv")
    assert list(rows_of(tmp_path / "out.csv")[0]) == OF_TWO_OUTPUTS


@pytest.mark.parametrize("option", ["--energy-key", "--forces-key"])
def test_a_misspelt_key_is_no_lack_of_labels(gap_model, labelled_file, tmp_path, capsys, option):
    table = tmp_path / "out.csv"
    evaluate(gap_model, labelled_file, *UNITS, option, "enrgy", "--predictions", table, code=2)
    assert "under the key 'enrgy' that was asked for" in capsys.readouterr().err
    assert not table.exists()


def test_a_file_without_labels_is_not_guessed(gap_model, bare_file, tmp_path, capsys):
    evaluate(gap_model, bare_file, *UNITS, "--predictions", tmp_path / "out.csv", code=2)
    assert "no energy (looked for energy, REF_energy)" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--unlabelled"], "name the file to be written, --predictions"),
        ([*BARE, "--energy-unit", "eV", "--predictions", "o.csv"], "it out, or --energy-unit."),
        ([*BARE, "--energy-key", "E", "--plot", "p.png"], "it out, or --energy-key, --plot."),
        (["--unlabelled", "--predictions", "o.csv"], "declare its units with length_unit"),
        ([*BARE, "--predictions", "no/such/o.csv"], "cannot write no/such/o.csv: No such folder"),
    ],
)
def test_mistakes_are_told(gap_model, bare_file, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    evaluate(gap_model, bare_file, *options, code=2)
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [BARE, UNITS])
def test_an_unknown_element_is_named_before_anything_is_computed(
    gap_model, labelled_file, tmp_path, monkeypatch, capsys, options
):
    frames = read(labelled_file, ":")
    frames[3].symbols[0] = "Cl"
    write(tmp_path / "d.extxyz", frames, format="extxyz")
    monkeypatch.setattr("mlpotential.models.schnet.SchNet.forward", None)  # nobody calls it
    table = tmp_path / "out.csv"
    evaluate(gap_model, tmp_path / "d.extxyz", *options, "--predictions", table, code=2)
    error = capsys.readouterr().err.splitlines()[-1]
    assert "the model was not trained on Cl (first in frame 3), but on H, C, O" in error
    assert not table.exists()


def test_components_of_vectors_and_tensors_have_columns(save_tiny, bare_file, tmp_path):
    outputs = {"dipole": Output(total_charge=0.0), "polarizability": Output()}
    model = save_tiny(outputs)
    predict_structures(model, bare_file, tmp_path / "o.csv", length_unit="Angstrom")
    rows = rows_of(tmp_path / "o.csv")
    dipoles = [f"dipole_{axis}_e_angstrom" for axis in "xyz"]
    tensors = [f"polarizability_{c}_angstrom3" for c in ("xx", "yy", "zz", "yz", "xz", "xy")]
    header = ["index", "formula", "n_atoms", *dipoles, "dipole_magnitude_e_angstrom", *tensors]
    assert list(rows[0]) == header
    frames = read(bare_file, ":")
    found = np.array([numbers(rows, name) for name in dipoles]).T
    assert_allclose(found, expected(model, frames, "dipole"), rtol=1e-6, atol=1e-9)
    lengths = np.linalg.norm(found, axis=1)
    assert_allclose(numbers(rows, "dipole_magnitude_e_angstrom"), lengths, rtol=1e-6)
    alpha = expected(model, frames, "polarizability")
    for name, (i, j) in zip(tensors, [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)], strict=True):
        assert_allclose(numbers(rows, name), alpha[:, i, j], rtol=1e-6, atol=1e-9)


def test_an_output_of_the_name_of_a_column(save_tiny, bare_file, tmp_path):
    outputs = {"energy": Output(), "energy_per_atom": Output(pooling="mean", unit="eV")}
    model = save_tiny(outputs)
    predict_structures(model, bare_file, tmp_path / "o.csv", length_unit="Angstrom")
    header = (tmp_path / "o.csv").read_text().splitlines()[0]
    assert header == "index,formula,n_atoms,energy_eV,energy_per_atom_eV"


def test_crystals_have_no_dipoles(save_tiny, tmp_path, caplog):
    write(tmp_path / "c.cif", bulk("C", "diamond", a=3.57))
    model = save_tiny({"energy": Output(), "dipole": Output(total_charge=0.0)})
    assert predict_structures(model, tmp_path / "c.cif", tmp_path / "o.csv") == 1
    (row,) = rows_of(tmp_path / "o.csv")
    assert list(row) == OF_TWO_OUTPUTS[:-1]
    assert "as frame 0 is periodic: dipole, dipole_magnitude" in caplog.text
    model = save_tiny({"dipole": Output(total_charge=0.0)})
    with pytest.raises(StructureError, match="a periodic structure has no dipole"):
        predict_structures(model, tmp_path / "c.cif", tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()


def test_atoms_by_themselves_are_structures(gap_model, tmp_path):
    """Beside labels they would be reference energies."""
    atom = Atoms("C", info={"config_type": "IsolatedAtom"})
    write(tmp_path / "d.extxyz", [atom, Atoms("OH", [[0, 0, 0], [0, 0, 0.97]])], format="extxyz")
    predict_structures(gap_model, tmp_path / "d.extxyz", tmp_path / "o.csv", length_unit="Angstrom")
    assert [row["formula"] for row in rows_of(tmp_path / "o.csv")] == ["C", "HO"]


def test_rows_are_those_of_the_frames_in_the_file(gap_model, labelled_file, tmp_path):
    """Where isolated atoms are set aside, the others keep their numbers."""
    frames = read(labelled_file, ":")
    atom = Atoms("C", info={"config_type": "IsolatedAtom", "energy": -1000.0})
    write(tmp_path / "d.extxyz", [frames[0], atom, frames[1]], format="extxyz")
    evaluate(gap_model, tmp_path / "d.extxyz", *UNITS, "--predictions", tmp_path / "o.csv")
    rows = rows_of(tmp_path / "o.csv")
    assert [(row["index"], row["formula"]) for row in rows] == [("0", "H2O"), ("2", "C2H6O")]


@pytest.mark.parametrize("reason", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_table_leaves_nothing(gap_model, bare_file, tmp_path, monkeypatch, reason):
    """Neither half a table nor a change of an older one."""
    table, halves = tmp_path / "out.csv", []
    table.write_text("older")
    add = predictions.PredictionTable.add

    def interrupted(self, prediction, graph):
        if self._n_written:
            self._file.flush()
            halves.append((tmp_path / "out.csv.partial").read_text())
            raise reason
        add(self, prediction, graph)

    monkeypatch.setattr(predictions.PredictionTable, "add", interrupted)
    kind = KeyboardInterrupt if reason is KeyboardInterrupt else RunError
    with pytest.raises(kind):
        predict_structures(gap_model, bare_file, table, length_unit="Angstrom", batch_size=2)
    assert [len(half.splitlines()) for half in halves] == [3], "written as they are computed"
    assert table.read_text() == "older"
    assert list(tmp_path.iterdir()) == [table]
