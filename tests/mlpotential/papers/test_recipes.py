"""Recipes of the papers' tables: each row can be trained, and stands by the papers' numbers."""

from pathlib import Path

import pytest

from mlpotential.errors import ConfigError
from mlpotential.papers.paper_table import Column, read_table, table_names
from mlpotential.units import E_ANGSTROM_PER_DEBYE, EV_PER_KCAL_PER_MOL


def config_of(table, row, split=0, paths=None, overrides=()):
    paths = {name: f"{name}.extxyz" for name in table.files} if paths is None else paths
    return table.config(table.rows[row], split, Path("here"), paths, overrides)


@pytest.mark.parametrize("name", table_names())
def test_every_row_can_be_trained(name):
    table = read_table(name)
    for row in table.rows.values():
        config = config_of(table, row.name, split=3)
        assert (config.data.split_seed, config.training.seed) == (3, 3)
        assert Path(config.folder).name == "here"
        labels = {*config.labels, "energy_per_atom" if "energy" in config.outputs else ""}
        shown = [column for column in table.columns if column.label in labels]
        assert shown, f"{row.name} gives none of the columns"
        for published in row.published:
            column = next(c for c in table.columns if c.name == published)
            assert column.label in labels, f"{row.name} is compared by what it does not learn"


def test_the_papers_numbers():
    # Schuett et al., J. Chem. Phys. 148, 241722 (2018), Tables I, III, IV, V
    properties = read_table("qm9_properties").rows
    assert str(properties["mu_N5000"].published["mu"]) == "0.033 ± 0.001 (A, N = 110,000)"
    aspirin = read_table("md17").rows["aspirin_EF"].published
    assert (aspirin["energy"].value, aspirin["forces"].value) == (0.37, 1.35)
    assert aspirin["energy"].n_train is None  # as many as here
    assert read_table("c20").rows["T6_F128_rho0"].published["forces"].value == 0.058


def test_settings_of_a_row_replace_the_common_ones():
    table = read_table("qm9_learning_curve")
    schnet, dtnn = config_of(table, "SchNet_T6_N5000"), config_of(table, "DTNN_T3_N1000")
    assert (schnet.model.architecture, schnet.model.n_interactions) == ("SchNet", 6)
    assert (schnet.data.train_subset, schnet.data.n_train) == (5000, 25000)
    assert (dtnn.model.architecture, dtnn.model.n_features) == ("DTNN", 30)
    assert dtnn.data.n_train == schnet.data.n_train  # the same held-out molecules
    assert config_of(table, "SchNet_T6_N5000").model.n_interactions == 6  # nothing was changed
    longer = config_of(table, "SchNet_T6_N5000", overrides=["--training.max_epochs", "7"])
    assert longer.training.max_epochs == 7


def test_files():
    table = read_table("md17")
    given = {"ethanol": "md17:ethanol.npz", "aspirin": "a.extxyz"}
    ethanol = config_of(table, "ethanol_EF", paths=given).data
    assert ethanol.path.endswith("ethanol.npz")
    assert ethanol.energy_unit is None  # the set's name says it
    aspirin = config_of(table, "aspirin_EF", paths=given).data
    assert (Path(aspirin.path).name, aspirin.energy_unit) == ("a.extxyz", "eV")
    message = "row aspirin_EF of md17 needs frames of aspirin .*: give --files aspirin=PATH"
    with pytest.raises(ConfigError, match=message):
        config_of(table, "aspirin_EF", paths={"ethanol": "e.extxyz"})


def test_rows_by_pattern():
    table = read_table("qm9_learning_curve")
    names = [row.name for row in table.chosen(["DTNN*", "SchNet_T1_N1000"])]
    assert names == ["SchNet_T1_N1000", "DTNN_T3_N1000", "DTNN_T3_N5000", "DTNN_T3_N25000"]
    with pytest.raises(ConfigError, match=r"no row 'DTNN_T3_N500'.*Did you mean 'DTNN_T3_N5000'"):
        table.chosen(["DTNN_T3_N500"])
    with pytest.raises(ConfigError, match=r"no table 'md18'.*Did you mean 'md17'"):
        read_table("md18")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (Column("e", "energy", "kcal/mol"), 1.0 / EV_PER_KCAL_PER_MOL),
        (Column("f", "forces", "kcal/mol/Angstrom"), 1.0 / EV_PER_KCAL_PER_MOL),
        (Column("p", "energy_per_atom", "meV/atom"), 1000.0),
        (Column("mu", "mu", "Debye"), 1.0 / E_ANGSTROM_PER_DEBYE),
        (Column("Cv", "Cv", "cal/mol/K"), 1.0),
    ],
)
def test_units(column, expected):
    assert column.per_own_unit == pytest.approx(expected, rel=1e-12)


def test_names_of_columns():
    assert Column("f", "forces", "kcal/mol/Angstrom").in_names == (
        "forces_mae_kcal_per_mol_per_angstrom"
    )
    assert Column("r", "energy", "eV", "rmse").head == "energy RMSE (eV)"
    assert Column("r2", "r2", "Angstrom^2").in_names == "r2_mae_angstrom2"
