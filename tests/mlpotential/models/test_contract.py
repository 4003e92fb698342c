"""Every architecture, with several settings, through the shipped contract checks."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from mlpotential import testing
from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph
from mlpotential.models.potential import Potential
from mlpotential.models.registry import build_potential, config_of
from mlpotential.properties import PROPERTIES

COSINE = {"cutoff_function": "cosine", "cutoff": 4.0}
SMALL_SCHNET = {
    "n_features": 12,
    "n_interactions": 2,
    "rbf_stop": 5.0,
    "rbf_spacing": 0.25,
    "rbf_gamma": None,
}
SMALL_DTNN = {"n_features": 8, "n_factors": 12, "n_interactions": 2, "rbf_stop": 5.0}
SMALL_NETWORKS = {"hidden_layers": "6 5", "activations": "t p l"}


def proposed(**settings: object) -> dict[str, object]:
    """Settings of BehlerParrinello with the functions of a rule for H and O."""
    given = SMALL_NETWORKS | {"cutoff": 4.0, "n_radial": 4, "n_angular": 2} | settings
    return asdict(config_of("BehlerParrinello", given).for_elements((1, 8)))


COMPACT_TEXT = """\
H 20 O 0.5 4 p2a
H 21 H O -1 3.5 0 180 p4
H 22 H O 0 4 90 270 p3
O 20 H 0.5 4 e
O 21 H H -1 3.5 -90 90 p1
O 22 H O 0 4 10 120 e
O 25 0 4 60 180 p2
"""
NARROW_TEXT = """\
H 2 O 3 1 7.5
H 3 H O 0.1 -1 2.5 7.5
H 13 0.05 1.2 1 1 7
O 2 H 2 0 6
O 3 H H 0.02 1 4 7.5 0.5
O 9 H O 0.02 1 1.5 7.5
"""
# A new architecture adds its rows here; what it promises decides what is asked of it.
CASES = {
    "SchNet-none": ("SchNet", SMALL_SCHNET),
    "SchNet-hard": ("SchNet", SMALL_SCHNET | {"cutoff_function": "hard", "cutoff": 4.0}),
    "SchNet-cosine": ("SchNet", SMALL_SCHNET | COSINE),
    "DTNN-none": ("DTNN", SMALL_DTNN),
    "DTNN-cosine": ("DTNN", SMALL_DTNN | COSINE),
    "SchNet-linear": ("SchNet", SMALL_SCHNET | COSINE | {"filter_output_activation": "none"}),
    "BP-wacsf": ("BehlerParrinello", proposed(symmetry_functions="wacsf")),
    "BP-hard": (
        "BehlerParrinello",
        proposed(symmetry_functions="acsf", cutoff_type=0, scaling="none"),
    ),
    "BP-compact": (
        "BehlerParrinello",
        SMALL_NETWORKS
        | {"symmetry_functions": COMPACT_TEXT, "cutoff_type": 0, "activations": "p p l"},
    ),
    "BP-narrow": (
        "BehlerParrinello",
        SMALL_NETWORKS
        | {"symmetry_functions": NARROW_TEXT, "length_unit": "Bohr", "cutoff_type": 2}
        | {"scaling": "scalecenter", "scale_min": -1.0},
    ),
}


@pytest.fixture(params=CASES)
def model(request) -> Potential:
    torch.manual_seed(3)
    model = build_potential(config_of(*CASES[request.param])).double()
    model.scale.set(-2.0, 0.7, {1: -13.6, 8: -75.0})
    return model.eval()


def molecule(seed: int = 0, n_atoms: int = 7) -> AtomGraph:
    rng = np.random.default_rng(seed)
    grid = np.array(list(np.ndindex(2, 2, 3)))[:n_atoms] * 1.3
    positions = grid + rng.normal(scale=0.15, size=(n_atoms, 3))
    return AtomGraph.from_arrays(rng.choice([1, 8], n_atoms), positions)


def skewed_cell() -> AtomGraph:
    rng = np.random.default_rng(5)
    cell = np.array([[3.1, 0.0, 0.0], [1.4, 2.9, 0.0], [-0.9, 0.7, 3.3]])
    fractional = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    positions = fractional @ cell + rng.normal(scale=0.1, size=(4, 3))
    return AtomGraph.from_arrays(np.array([8, 1, 8, 1]), positions, cell, True)


def water_box() -> AtomGraph:
    """Eight water molecules, turned at random, on a cubic lattice."""
    rng = np.random.default_rng(8)
    water = np.array([[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]])
    corners = np.array(list(np.ndindex(2, 2, 2))) * 3.1
    rotations = np.linalg.qr(rng.normal(size=(8, 3, 3)))[0]
    positions = (water @ rotations + corners[:, None, :]).reshape(-1, 3)
    return AtomGraph.from_arrays(np.tile([8, 1, 1], 8), positions, np.eye(3) * 6.2, True)


def slab() -> AtomGraph:
    """Of the molecule's atoms, periodic along two vectors."""
    graph = molecule()
    cell = np.array([[5.2, 0.0, 0.0], [1.1, 5.6, 0.0], [0.0, 0.0, 20.0]])
    numbers, positions = graph.atomic_numbers.numpy(), graph.positions.numpy()
    return AtomGraph.from_arrays(numbers, positions, cell, (True, True, False))


def test_forces_are_gradients(model):
    testing.check_forces_are_gradients(model, molecule())


def test_virial_of_a_molecule(model):
    testing.check_virial_is_strain_derivative(model, molecule())


def test_symmetries(model):
    testing.check_symmetries(model, molecule())


def test_no_net_force_or_torque(model):
    testing.check_no_net_force_or_torque(model, molecule())


def test_batch_equals_singles(model):
    testing.check_batch_equals_singles(model, [molecule(0), molecule(1, 4), molecule(2, 1)])


def test_hessian(model):
    testing.check_hessian(model, molecule(n_atoms=4))


@pytest.mark.parametrize("atomic_number", [1, 8])
def test_isolated_atom(model, atomic_number):
    testing.check_isolated_atom(model, atomic_number)


def test_additive_where_promised(model):
    if model.traits.additive:
        testing.check_additive(model, molecule())
    else:
        with pytest.raises(AssertionError, match="does not promise"):
            testing.check_additive(model, molecule())


def test_continuous_at_cutoff_where_promised(model):
    if model.cutoff is None:
        assert model.traits.smooth_at_cutoff
    elif model.traits.smooth_at_cutoff:
        testing.check_continuous_at_cutoff(model, (1, 8))
    else:
        with pytest.raises(AssertionError, match="does not promise"):
            testing.check_continuous_at_cutoff(model, (1, 8))


def test_what_a_model_says_of_itself(model):
    asked = model.properties - ({"stress"} if not model.traits.periodic else set())
    answer = testing.predict(model, molecule(), *asked)
    assert answer.features.shape == (7, model.n_features)
    for name in asked - {"features", "stress"}:
        shape = PROPERTIES[name].array_shape(n_atoms=7, n_graphs=1)
        assert getattr(answer, name).shape == shape, name
    with pytest.raises(ConfigError, match="unknown property 'force'.*Did you mean 'forces'"):
        testing.predict(model, molecule(), "force")
    with pytest.raises(ConfigError, match=r"not for \[119\]"):
        model.check_elements([1, 119])


def test_a_slab(model):
    if model.traits.periodic:
        testing.check_forces_are_gradients(model, slab())
        testing.check_no_net_force_or_torque(model, slab())
        testing.check_virial_is_strain_derivative(model, slab())


def test_float32(model):
    exact = testing.predict(model, molecule())
    found = testing.predict(model.float(), molecule())
    largest = float(exact.forces.abs().max())
    assert float((found.forces - exact.forces).abs().max()) <= 1e-4 * largest
    assert float((found.energy - exact.energy).abs()) <= 1e-4 * max(largest, 1.0)
    assert found.energy.dtype == torch.float64


@pytest.mark.parametrize("structure", [skewed_cell, water_box])
def test_periodic(model, structure):
    """Forces, stress, symmetries with periodic boundaries; 2 x 2 x 2 cells are eight times one."""
    if not model.traits.periodic:
        with pytest.raises(StructureError, match="cutoff"):
            testing.predict(model, structure())
        return
    graph = structure()
    testing.check_no_net_force_or_torque(model, graph)
    testing.check_virial_is_strain_derivative(model, graph)
    if graph.n_atoms < 10:
        testing.check_forces_are_gradients(model, graph)
        testing.check_symmetries(model, graph)
        testing.check_hessian(model, graph)
    single = testing.predict(model, graph, "energy", "forces", "stress")
    big = testing.predict(model, supercell(graph), "energy", "forces", "stress")
    torch.testing.assert_close(big.energy, 8.0 * single.energy, rtol=1e-12, atol=0.0)
    torch.testing.assert_close(big.forces, single.forces.repeat(8, 1), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(big.stress, single.stress, rtol=1e-9, atol=1e-12)


def supercell(graph: AtomGraph) -> AtomGraph:
    cell = graph.cell[0].numpy()
    shifts = np.array(list(np.ndindex(2, 2, 2))) @ cell
    positions = (shifts[:, None, :] + graph.positions.numpy()).reshape(-1, 3)
    return AtomGraph.from_arrays(
        np.tile(graph.atomic_numbers.numpy(), 8), positions, 2 * cell, True
    )


def test_float32_follows_float64(model):
    graph = molecule()
    exact = testing.predict(model, graph)
    single = testing.predict(model.float(), graph)
    assert single.energy.dtype == torch.float64
    torch.testing.assert_close(single.energy, exact.energy, rtol=1e-7, atol=0.0)
    scale = float(exact.forces.abs().max())
    torch.testing.assert_close(single.forces, exact.forces, rtol=0.0, atol=2e-5 * scale)
