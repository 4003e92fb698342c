"""The C20 model that ships, against the network that labelled its data: at rest, and on beads."""

import numpy as np
import pytest

from md_runs.c20 import MODEL
from md_runs.molecular_modes import wavenumbers_beside
from mlpotential.data.read import read_reference_data
from mlpotential.graph import collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import check_golden, load_model
from mlpotential.units import EV_PER_KCAL_PER_MOL


def test_the_file_reproduces_itself():
    assert check_golden(load_model(MODEL)).passed


def test_wavenumbers():
    """The softest pair within 3 %, all others within 0.3 %; kept in the file as found here."""
    name = "reference_modes.json"
    found = wavenumbers_beside(str(MODEL), str(MODEL.with_name(name))).comparison
    deviations = np.abs(found.relative_deviations)
    assert deviations[:2].max() < 0.03
    assert deviations[2:].max() < 0.003
    kept = load_model(MODEL).record.wavenumbers[name]
    np.testing.assert_allclose(kept["wavenumbers_per_cm"], found.wavenumbers_per_cm, atol=0.02)


@pytest.mark.parametrize("kind", ["test", "test_beads", "test_near_minimum"])
def test_errors_are_those_in_the_file(kind):
    data = read_reference_data(
        MODEL.with_name("data") / f"c20_{kind}.extxyz.gz", energy_unit="eV", length_unit="Angstrom"
    )
    evaluator = Evaluator(MODEL, data[0].atomic_numbers.numpy(), device="cpu", guard="off")
    graph = collate(list(data))
    forces = evaluator.evaluate_graph(graph, ("forces",)).forces
    found = np.abs(forces - graph.forces.numpy()).mean()
    assert found == pytest.approx(load_model(MODEL).record.errors[kind]["forces_mae"], rel=1e-3)
    if kind == "test_near_minimum":
        assert found < 0.008 * EV_PER_KCAL_PER_MOL
