"""Outputs that are no energy: their symmetries, sizes and scales, and models without energies."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from numpy.testing import assert_allclose

from calculators.ase_calculator import MLPotentialCalculator
from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.schnet.kernel import available_instruction_sets
from mlpotential.models.model_file import check_golden, load_model, save_model
from mlpotential.models.outputs import Output, check_outputs
from mlpotential.models.readouts.quantities import squared_radii
from mlpotential.models.registry import ARCHITECTURES, build_potential, config_of
from mlpotential.neighbors import split
from mlpotential.testing import predict, tiny_schnet

BACKENDS = [*(["native"] if available_instruction_sets() else []), "tabulated", "reference"]
OUTPUTS = {
    "energy": Output(),
    "dipole": Output(total_charge=0.0),
    "dipole_magnitude": Output(total_charge=0.0),
    "polarizability": Output(n_hidden=5),
    "spatial_extent": Output(),
    "Cv": Output(pooling="sum", unit="cal/mol/K"),
    "gap": Output(pooling="mean", unit="eV", activation="silu"),
}
NAMES = tuple(name for name in OUTPUTS if name != "energy")
WITHOUT_ENERGY = {name: OUTPUTS[name] for name in ("gap", "polarizability")}


@pytest.fixture(scope="module")
def model():
    return tiny_schnet(outputs=OUTPUTS)


def ethanol(seed: int = 1):
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=seed)
    return atoms


def graph_of(atoms) -> AtomGraph:
    return AtomGraph.from_atoms(atoms)


def test_they_turn_with_the_molecule(model):
    matrix = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    atoms, turned = ethanol(), ethanol()
    turned.positions = turned.positions @ matrix.T + [3.0, -7.0, 1.0]
    one, other = (predict(model, graph_of(a), *NAMES) for a in (atoms, turned))
    alpha = one.polarizability[0].numpy()
    assert_allclose(alpha, alpha.T, atol=1e-14)
    assert np.ptp(np.linalg.eigvalsh(alpha)) > 0.01, "a tensor, not a number"
    assert_allclose(other.polarizability[0], matrix @ alpha @ matrix.T, atol=1e-12)
    assert_allclose(other.dipole[0], one.dipole[0].numpy() @ matrix.T, atol=1e-12)
    for name in ("dipole_magnitude", "spatial_extent", "Cv", "gap"):
        assert_allclose(other.value(name), one.value(name), rtol=1e-11)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_has_them(architecture):
    """Rotated, and twice in one structure far apart."""
    config = config_of(architecture, {}).for_elements((1, 6, 8))
    outputs = {name: replace(o, n_hidden=None, activation=None) for name, o in OUTPUTS.items()}
    torch.manual_seed(0)
    model = build_potential(config, outputs).double().eval()
    atoms, turned = ethanol(), ethanol()
    turned.rotate(77, (1, 2, 3))
    one, other = (predict(model, graph_of(a), *NAMES) for a in (atoms, turned))
    for name in NAMES:
        if name not in ("dipole", "polarizability"):
            assert_allclose(other.value(name), one.value(name), rtol=1e-8, atol=1e-10)
    found, expected = (np.linalg.eigvalsh(p.polarizability[0].numpy()) for p in (other, one))
    assert_allclose(found, expected, atol=1e-9)
    assert model.properties >= {*NAMES, "forces", "charges"}


def test_sums_are_extensive_and_means_intensive(model):
    one = ethanol()
    two = one + one
    two.positions[len(one) :] += 300.0
    single, double = (predict(model, graph_of(a), *NAMES) for a in (one, two))
    assert_allclose(double.value("Cv"), 2.0 * single.value("Cv"), rtol=1e-11)
    assert_allclose(double.value("gap"), single.value("gap"), rtol=1e-11)
    assert_allclose(double.polarizability, 2.0 * single.polarizability, atol=1e-11)


def test_the_magnitude_is_that_of_the_dipole(model):
    found = predict(model, graph_of(ethanol()), "dipole", "dipole_magnitude")
    assert_allclose(found.dipole_magnitude, torch.linalg.vector_norm(found.dipole, dim=1))


def test_the_spatial_extent_by_hand(model):
    """<R^2> of point charges about the centre of nuclear charge."""
    atoms = ethanol()
    z, r = atoms.numbers, atoms.positions
    center = (z[:, None] * r).sum(axis=0) / z.sum()
    radii = ((r - center) ** 2).sum(axis=1)
    assert_allclose(squared_radii(graph_of(atoms)), radii, rtol=1e-12)
    twin = tiny_schnet(outputs={"spatial_extent": Output()})
    readout = twin.quantity_readouts["spatial_extent"]
    for parameter in readout.atomwise.output.parameters():
        torch.nn.init.zeros_(parameter)
    readout.charge_scale.set(0.0, 1.0, {1: 0.9, 6: 6.1, 8: 8.3})
    readout.extent_scale.set(0.0, 1.0, {1: 1.0, 6: 2.0, 8: 3.0})
    charges = np.select([z == 1, z == 6, z == 8], [0.9, 6.1, 8.3])
    expected = (charges * radii).sum() + 6 * 1.0 + 2 * 2.0 + 3.0
    assert float(predict(twin, graph_of(atoms), "spatial_extent").spatial_extent) == pytest.approx(
        expected, rel=1e-12
    )


def labelled_with(graph: AtomGraph, name: str, value: float) -> AtomGraph:
    values = torch.tensor([value], dtype=torch.float64)
    if name == "spatial_extent":
        return replace(graph, spatial_extent=values)
    return replace(graph, scalars={name: values})


def test_scales_meet_what_a_constant_per_element_can_say():
    names = ("H2O", "CH4", "CH3CH2OH", "CH3OH", "C2H6", "H2CO", "CO2")
    graphs = [graph_of(molecule(name)) for name in names]
    counts = np.array([[int((g.atomic_numbers == z).sum()) for z in (1, 6, 8)] for g in graphs])
    twin = tiny_schnet(outputs={k: OUTPUTS[k] for k in ("Cv", "gap", "spatial_extent")})
    for readout in twin.quantity_readouts.values():
        for parameter in readout.atomwise.output.parameters():
            torch.nn.init.zeros_(parameter)
    of_elements = np.array([1.0, 20.0, -3.0])
    radii = [
        [float(squared_radii(g)[g.atomic_numbers == z].sum()) for z in (1, 6, 8)] for g in graphs
    ]
    values = {
        "Cv": counts @ of_elements,
        "gap": np.linspace(3.0, 9.0, len(graphs)),
        "spatial_extent": np.array(radii) @ [1.0, 6.0, 8.0] + counts @ of_elements,
    }
    for name, expected in values.items():
        labelled = [labelled_with(g, name, x) for g, x in zip(graphs, expected, strict=True)]
        twin.quantity_readouts[name].fit_scale(ReferenceData(labelled, "molecules"), name)
    found = predict(twin, collate(graphs), *values)
    assert_allclose(found.value("Cv"), values["Cv"], rtol=1e-10)
    assert_allclose(found.value("spatial_extent"), values["spatial_extent"], rtol=1e-8)
    assert_allclose(found.value("gap"), 6.0, rtol=1e-10)
    assert float(twin.quantity_readouts["gap"].scale.std_per_atom) == pytest.approx(2.0)


def test_batch_equals_singles(model):
    graph = collate([graph_of(molecule(name)) for name in ("H2O", "CH3CH2OH", "C", "CH4")])
    together = predict(model, graph, *NAMES)
    alone = [predict(model, single, *NAMES) for single in split(graph)]
    for name in NAMES:
        expected = torch.cat([p.value(name) for p in alone])
        torch.testing.assert_close(together.value(name), expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("outputs", [OUTPUTS, WITHOUT_ENERGY])
def test_save_and_load(outputs, tmp_path):
    model, path = tiny_schnet(outputs=outputs), tmp_path / "model.safetensors"
    save_model(path, model, collate([graph_of(ethanol()), graph_of(molecule("H2O"))]))
    loaded = load_model(path)
    assert loaded.potential.outputs == outputs
    check = check_golden(loaded)
    assert check.passed
    assert check.relative_deviations.keys() == (
        {*NAMES, "forces"} if "energy" in outputs else outputs.keys()
    )
    assert check_golden(loaded, dtype="float32").passed
    with torch.no_grad():
        loaded.potential.quantity_readouts["gap"].atomwise.output.bias += 0.5
    assert not check_golden(loaded).passed


def test_a_model_without_energies(tmp_path):
    model = tiny_schnet(outputs=WITHOUT_ENERGY)
    atoms = ethanol()
    assert model.properties == {*WITHOUT_ENERGY, "features"}
    with pytest.raises(ConfigError, match="has no forces: it was trained without energy labels"):
        predict(model, graph_of(atoms), "forces")
    with pytest.raises(ConfigError, match="no energy"):
        model.hessian(graph_of(atoms))
    atoms.calc = MLPotentialCalculator(model, device="cpu")
    gap = predict(model, graph_of(atoms), "gap").scalars["gap"]
    assert atoms.calc.get_property("gap", atoms) == pytest.approx(float(gap), rel=1e-6)
    with pytest.raises(NotImplementedError):
        atoms.get_potential_energy()


def test_results_of_the_calculator(model):
    atoms = ethanol()
    atoms.calc = MLPotentialCalculator(model, device="cpu", dtype="float64")
    atoms.get_potential_energy()
    results, expected = atoms.calc.results, predict(model, graph_of(atoms), *NAMES)
    for name in NAMES:
        assert_allclose(results[name], np.asarray(expected.value(name))[0], rtol=1e-7, atol=1e-9)
    assert atoms.calc.result_units["Cv"] == "cal/mol/K"
    assert atoms.calc.result_units["polarizability"] == "A^3"
    (batch,) = atoms.calc.calculate_batch([atoms])
    assert_allclose(batch["polarizability"], results["polarizability"], rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_gives_them(model, backend):
    atoms = [molecule("H2O"), ethanol(), molecule("CH4")]
    graphs = collate([graph_of(a) for a in atoms])
    evaluator = Evaluator(model, [1], device="cpu", backend=backend)
    wanted = ("forces", *NAMES)
    found, expected = evaluator.evaluate_graph(graphs, wanted), predict(model, graphs, *wanted)
    for name in wanted:
        exact = np.asarray(expected.value(name))
        error = np.abs(found.value(name) - exact).max()
        assert error <= 1e-6 * np.abs(exact).max(), name
    alone = evaluator.evaluate_graph(graphs, ("dipole_magnitude",))
    assert_allclose(alone.dipole_magnitude, found.dipole_magnitude, rtol=1e-12)
    assert alone.dipole is alone.charges is None


def test_a_committee_gives_means():
    models = [tiny_schnet(seed, OUTPUTS) for seed in range(3)]
    atoms = ethanol()
    committee = Evaluator(models, atoms.numbers, device="cpu", dtype="float64")
    found = committee.evaluate(atoms.positions[None], None, ("energy_std", "gap", "polarizability"))
    singles = [predict(m, graph_of(atoms), "gap", "polarizability") for m in models]
    gaps = [float(p.scalars["gap"]) for p in singles]
    assert_allclose(found.scalars["gap"], np.mean(gaps), rtol=1e-12)
    mean = np.mean([p.polarizability.numpy() for p in singles], axis=0)
    assert_allclose(found.polarizability, mean, rtol=1e-12)


def test_a_crystal_has_some(model):
    graph = graph_of(bulk("C"))
    found = predict(model, graph, "polarizability", "gap")
    assert_allclose(
        found.polarizability[0], float(found.polarizability[0, 0, 0]) * np.eye(3), atol=1e-9
    )
    with pytest.raises(StructureError, match="periodic structure has no spatial extent"):
        predict(model, graph, "spatial_extent")


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({}, "outputs must be at least one"),
        ({"gap": Output(unit="eV")}, "gap is a scalar, and needs outputs.gap.pooling"),
        ({"gap": Output(pooling="mean")}, r"outputs\.gap\.unit"),
        ({"energy": Output(pooling="sum")}, "energy.pooling must be none"),
        ({"gap": Output("mean", "eV", total_charge=0.0)}, "total_charge must be given for dipole"),
        ({"virial": Output()}, "no output can be named 'virial'"),
        ({"a b": Output("mean", "eV")}, "no output can be named 'a b'"),
        ({"dipole": Output(), "dipole_magnitude": Output(n_hidden=3)}, "the same total_charge"),
    ],
)
def test_what_outputs_there_cannot_be(outputs, message):
    with pytest.raises(ConfigError, match=message):
        check_outputs(outputs)
