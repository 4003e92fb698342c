"""Repulsion of nuclei and dispersion beside a network: values, derivatives, every backend."""

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from numpy.testing import assert_allclose

from mlpotential import testing
from mlpotential.errors import ConfigError
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.schnet.kernel import available_instruction_sets
from mlpotential.models.model_file import check_golden, load_model, save_model
from mlpotential.models.terms.dispersion import Dispersion
from mlpotential.models.terms.evaluation import check_reach
from mlpotential.models.terms.settings import TermSettings, check_terms
from mlpotential.nn.zbl import zbl_energies
from mlpotential.testing import predict, tiny_schnet

BACKENDS = [*(["native"] if available_instruction_sets() else []), "tabulated", "reference"]
TERMS = {
    "zbl": {"zbl": TermSettings()},
    "d3": {"d3": TermSettings("pbe")},
    "d4": {"zbl": TermSettings(), "d4": TermSettings("pbe")},
}


@pytest.fixture(params=TERMS)
def model(request):
    if name := {"d3": "dftd3", "d4": "dftd4"}.get(request.param):
        pytest.importorskip(f"{name}.interface")
    model = tiny_schnet()
    model.scale.set(0.0, 0.3)  # no large energies, whose last digits differences would lose
    model.terms = TERMS[request.param]
    return model


def squeezed(name="CH3CH2OH", factor=0.8):
    """Bonds within the sums of covalent radii."""
    atoms = molecule(name)
    atoms.positions *= factor
    atoms.rattle(0.02, seed=1)
    return atoms


def graph_of(atoms) -> AtomGraph:
    return AtomGraph.from_atoms(atoms)


def diamond():
    atoms = bulk("C")
    atoms.set_cell(atoms.cell.array * 0.9, scale_atoms=True)
    atoms.rattle(0.05, seed=2)
    return atoms


def test_derivatives_of_a_molecule(model):
    graph = graph_of(squeezed("CH3OH"))
    testing.check_forces_are_gradients(model, graph, 1e-6)
    testing.check_virial_is_strain_derivative(model, graph, 1e-6)
    testing.check_no_net_force_or_torque(model, graph, 1e-9)
    testing.check_symmetries(model, graph, 1e-9)
    testing.check_hessian(model, graph_of(squeezed("H2O")), 1e-6)


def test_derivatives_of_a_crystal():
    """Of repulsion; sums of dispersion end at 50 A without a taper, so that differences jump."""
    model = tiny_schnet()
    model.terms = TERMS["zbl"]
    testing.check_forces_are_gradients(model, graph_of(diamond()), 1e-6)
    testing.check_virial_is_strain_derivative(model, graph_of(diamond()), 1e-6)


def test_dispersion_of_a_crystal():
    """Stress against differences over a strain that is large beside these jumps."""
    pytest.importorskip("dftd3.interface")
    calculation, atoms, step = Dispersion("d3", "pbe"), diamond(), 0.01
    _, forces, virial = calculation.evaluate(
        atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc
    )
    assert_allclose(forces.sum(axis=0), 0.0, atol=1e-10)
    energies = []
    for strain in (-step, step):
        cell, positions = ((1.0 + strain) * x for x in (atoms.cell.array, atoms.positions))
        energies.append(calculation.evaluate(atoms.numbers, positions, cell, atoms.pbc)[0].sum())
    assert -np.trace(virial) == pytest.approx((energies[1] - energies[0]) / (2 * step), rel=0.01)


def test_atomic_energies_add_up(model):
    answer = predict(model, graph_of(squeezed()), "energy", "atomic_energies")
    assert_allclose(answer.atomic_energies.sum(), answer.energy[0], rtol=1e-12)


def test_they_are_added_to_the_network(model):
    """By as much for each atom of a batch as alone, and not in training, which is of the rest."""
    graph = graph_of(squeezed())
    terms, model.terms = model.terms, {}
    network = predict(model, graph)
    model.terms = terms
    whole = predict(model, graph)
    assert abs(float(whole.energy - network.energy)) > 0.01
    testing.check_batch_equals_singles(model, [graph, graph_of(squeezed("CH4"))], 1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_adds_them(model, backend):
    atoms = squeezed()
    others = [squeezed("CH4"), *([] if "d4" in model.terms else [diamond()])]  # takes 10 s
    graphs = collate([graph_of(a) for a in (atoms, *others)])
    wanted = ("energy", "forces", "virial", "atomic_energies")
    evaluator = Evaluator(model, atoms.numbers, device="cpu", backend=backend)
    found, expected = evaluator.evaluate_graph(graphs, wanted), predict(model, graphs, *wanted)
    for name in wanted:
        exact = np.asarray(getattr(expected, name))
        assert_allclose(getattr(found, name), exact, atol=1e-6 * np.abs(exact).max(), err_msg=name)


def test_they_are_in_the_file(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, model, graph_of(squeezed()))
    loaded = load_model(path)
    assert loaded.potential.terms == model.terms
    assert check_golden(loaded).passed
    loaded.potential.terms = {}
    assert not check_golden(loaded).passed


def test_zbl_against_the_published_formula():
    """Two carbon atoms at 0.5 A, written out; nothing at the sum of the covalent radii, 1.52 A."""
    r, z = 0.5, 6.0
    x = r / (0.46850 / (2 * z**0.23))
    phi = 0.18175 * np.exp(-3.19980 * x) + 0.50986 * np.exp(-0.94229 * x)
    phi += 0.28022 * np.exp(-0.40290 * x) + 0.02817 * np.exp(-0.20162 * x)
    u = r / 1.52
    envelope = 1.0 - 28.0 * u**6 + 48.0 * u**7 - 21.0 * u**8
    expected = 14.399645 * z * z / r * phi * envelope  # e^2 / (4 pi eps_0) = 14.3996 eV A
    carbon, distances = torch.tensor([6, 6]), torch.tensor([r, 1.52], dtype=torch.float64)
    found = zbl_energies(distances, carbon, carbon)
    assert_allclose(found, [expected, 0.0], rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"zbll": TermSettings()}, "unknown term 'zbll'.*Did you mean 'zbl'"),
        ({"d3": TermSettings()}, r"terms.d3.functional must be a density functional"),
        ({"zbl": TermSettings("pbe")}, r"terms.zbl.functional must be left out"),
        ({n: TermSettings("pbe") for n in ("d3", "d4")}, "two forms of one energy"),
    ],
)
def test_what_terms_there_cannot_be(terms, message):
    with pytest.raises(ConfigError, match=message):
        check_terms(terms)


def test_an_unknown_functional_is_said():
    pytest.importorskip("dftd3.interface")
    model = tiny_schnet()
    model.terms = {"d3": TermSettings("nonsense")}
    with pytest.raises(ConfigError, match="d3 knows no functional 'nonsense'"):
        predict(model, graph_of(squeezed()))


def test_a_cutoff_within_the_reach_of_repulsion_is_refused():
    with pytest.raises(ConfigError, match=r"reaches 4\.88 A .* cutoff of the model, 4 A"):
        check_reach(TERMS["zbl"], [1, 55], 4.0)
    check_reach(TERMS["zbl"], [1, 55], None)
