"""Histograms of absolute errors."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

from mlpotential.cli import main
from mlpotential.errors import DataError
from mlpotential.training.evaluation.error_histogram import (
    AbsoluteErrors,
    absolute_errors,
    plot_error_histogram,
)
from mlpotential.training.evaluation.evaluate import Evaluation, evaluate_model
from mlpotential.training.metrics import Errors

UNITS = {"energy_unit": "eV", "length_unit": "Angstrom", "device": "cpu"}
pytestmark = pytest.mark.filterwarnings(
    "ignore::mlpotential.data.declared_units.SuspiciousDataWarning"  # labels are of nothing real
)


@pytest.fixture(scope="module")
def evaluation(gap_model, labelled_file):
    return evaluate_model(gap_model, labelled_file, gap_unit="eV", gap_key="GAP", **UNITS)


def drawn(errors):
    return plot_error_histogram(errors, Figure().subplots())


def test_energies_of_molecules_are_total(evaluation):
    errors = absolute_errors(evaluation, "energy")
    assert (errors.quantity, errors.unit, len(errors.values)) == ("total energy", "eV", 5)
    assert errors.mean == pytest.approx(evaluation.errors.energy_mae, rel=1e-9)


def test_energies_of_crystals_are_per_atom(gap_model, tmp_path):
    frames = []
    for k, atoms in enumerate([bulk("C", "diamond", a=3.57), bulk("C", "diamond", a=3.6) * 2]):
        atoms.calc = SinglePointCalculator(atoms, energy=-1030.0 * len(atoms) + k)
        frames.append(atoms)
    write(tmp_path / "d.extxyz", frames, format="extxyz")
    evaluation = evaluate_model(gap_model, tmp_path / "d.extxyz", with_forces=False, **UNITS)
    errors = absolute_errors(evaluation, "energy")
    assert (errors.quantity, errors.unit) == ("energy per atom", "eV/atom")
    assert errors.mean == pytest.approx(evaluation.errors.energy_per_atom_mae, rel=1e-9)
    assert drawn(errors).get_title() == "energy per atom, 2 values"


@pytest.mark.parametrize(
    ("label", "quantity", "unit", "n"),
    [("forces", "force component", "eV/Å", 99), ("gap", "gap", "eV", 5)],
)
def test_other_labels(evaluation, label, quantity, unit, n):
    errors = absolute_errors(evaluation, label)
    assert (errors.quantity, errors.unit, len(errors.values)) == (quantity, unit, n)
    assert errors.mean == pytest.approx(evaluation.errors.pair(label)[0], rel=1e-9)


def test_the_picture_shows_the_numbers():
    values = np.random.default_rng(0).lognormal(-5.0, 1.5, 3000)
    ax = drawn(AbsoluteErrors(values, "gap", "eV"))
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("absolute error (eV)", "count")
    assert sum(bar.get_height() for bar in ax.patches) == 3000
    widths = [np.log10((bar.get_x() + bar.get_width()) / bar.get_x()) for bar in ax.patches]
    assert_allclose(widths, widths[0], rtol=1e-6)
    lines = [line.get_xdata()[0] for line in ax.lines]
    assert_allclose(lines, [values.mean(), np.median(values), np.percentile(values, 95)])
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words[0] == f"MAE {values.mean():.3g} eV"
    assert [word.split(" 0")[0] for word in words[1:]] == ["median", "95th percentile"]


def test_errors_that_a_logarithmic_axis_cannot_show_are_counted():
    ax = drawn(AbsoluteErrors(np.array([0.0, 0.0, 0.0, 1e-9, 0.1, 0.2]), "gap", "eV"))
    assert sum(bar.get_height() for bar in ax.patches) == 2
    assert "not shown: 4 below 2e-07" in [text.get_text() for text in ax.get_legend().get_texts()]
    assert ax.get_xlim()[0] > 0.05, "the median of 5e-10 does not widen it"


def test_equal_errors_and_none():
    assert [bar.get_height() for bar in drawn(AbsoluteErrors(np.ones(4), "gap", "eV")).patches] == [
        4
    ]
    (text,) = drawn(AbsoluteErrors(np.zeros(4), "gap", "eV")).texts
    assert text.get_text() == "all errors are 0"


def test_labels_of_weight_zero_are_none(gap_model, labelled_file, tmp_path):
    frames = read(labelled_file, ":")
    frames[1].info["energy_weight"] = 0.0
    write(tmp_path / "d.extxyz", frames, format="extxyz")
    evaluation = evaluate_model(gap_model, tmp_path / "d.extxyz", **UNITS)
    errors = absolute_errors(evaluation, "energy")
    assert len(errors.values) == 4
    assert errors.mean == pytest.approx(evaluation.errors.energy_mae, rel=1e-9)
    assert len(absolute_errors(evaluation, "forces").values) == 99


def test_labels_that_are_not_there_and_predictions_that_are_no_numbers(evaluation):
    with pytest.raises(DataError, match="there are no errors of dipole"):
        absolute_errors(evaluation, "dipole")
    values = {"gap": np.array([[1.0, 2.0], [np.nan, 2.0]])}
    broken = Evaluation(Errors(2), values, {"gap": "eV"}, np.zeros(0), False)
    with pytest.raises(DataError, match="1 of 2 predictions of gap are not finite"):
        absolute_errors(broken, "gap")


def test_command(gap_model, labelled_file, tmp_path, capsys):
    files = [str(gap_model), str(labelled_file), "--device", "cpu"]
    files += ["--energy-unit", "eV", "--length-unit", "Angstrom"]
    picture = tmp_path / "errors.png"
    assert main(["evaluate", *files, "--histogram", str(picture)]) == 0
    assert f"histogram of errors: {picture}" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["evaluate", *files, "--histogram", str(tmp_path / "errors.csv")]) == 2
    assert "cannot write the histogram " in capsys.readouterr().err
