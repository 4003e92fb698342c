"""Probes of all architectures against what they are said to be, and their symmetries."""

import copy

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule

from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph
from mlpotential.interpretation.fields.local_chemical_potential import LocalChemicalPotential
from mlpotential.models.behler_parrinello import BehlerParrinello
from mlpotential.models.behler_parrinello_config import BehlerParrinelloConfig
from mlpotential.models.dtnn import DTNN
from mlpotential.models.dtnn_config import DTNNConfig
from mlpotential.models.outputs import Output
from mlpotential.neighbors import connect
from mlpotential.nn.activations import shifted_softplus
from mlpotential.testing import tiny_schnet

OPEN = {"cutoff_function": "none", "cutoff": None}
HARD = {"cutoff_function": "hard", "cutoff": 4.0}


def tiny_dtnn(cutoff: float | None = None) -> DTNN:
    torch.manual_seed(0)
    config = DTNNConfig(
        n_features=6,
        n_factors=5,
        n_interactions=2,
        rbf_stop=6.0,
        cutoff=cutoff,
        cutoff_function="none" if cutoff is None else "cosine",
    )
    return known(DTNN(config))


def tiny_behler_parrinello() -> BehlerParrinello:
    torch.manual_seed(0)
    config = BehlerParrinelloConfig(hidden_layers="5", activations="t l", cutoff=4.0)
    model = BehlerParrinello(config.for_elements([1, 6, 8]))
    molecules = [molecule(name) for name in ("CH3CH2OH", "C6H6", "H2O", "CO2")]
    model.fit_to_structures([AtomGraph.from_atoms(atoms) for atoms in molecules])
    return known(model)


def known(model):
    model = model.double().eval()
    model.scale.set(-0.4, 0.3, {1: -13.6, 6: -1030.0})
    model.elements = (1, 6, 8)
    return model


def some_points(atoms: Atoms, n: int = 5, width: float = 1.5) -> np.ndarray:
    rng = np.random.default_rng(3)
    return atoms.positions[rng.integers(len(atoms), size=n)] + width * rng.normal(size=(n, 3))


def images_of(atoms: Atoms, n: int = 6) -> list[tuple[int, np.ndarray]]:
    """Each atom, and its images in many cells."""
    if not atoms.pbc.any():
        return list(enumerate(atoms.positions))
    shifts = [np.array([i, j, k]) for i in range(-n, n + 1) for j in range(-n, n + 1)
              for k in range(-n, n + 1)]  # fmt: skip
    cell = np.asarray(atoms.cell)
    return [(a, x + s @ cell) for s in shifts for a, x in enumerate(atoms.positions)]


@torch.no_grad()
def by_loops(model, atoms: Atoms, point: np.ndarray, probe: int) -> float:
    """Eq. (6) of the paper with the networks of SchNet themselves, neighbour by neighbour."""
    graph = connect(AtomGraph.from_atoms(atoms), model.cutoff)
    layers, x = list(model.layers(graph)), model.embedding.weight[probe]
    images = images_of(atoms)
    distances = np.linalg.norm([point - position for _, position in images], axis=1)
    for t, block in enumerate(model.blocks):
        message, n_neighbors = torch.zeros_like(x), 0
        for (atom, _), distance in zip(images, distances, strict=True):
            if model.cutoff is not None and distance >= model.cutoff:
                continue
            basis = model.radial_basis(torch.tensor([distance]))
            w = block.filter_network(basis)[0]
            if model.config.cutoff_function == "cosine":
                w = w * 0.5 * (np.cos(np.pi * distance / model.cutoff) + 1.0)
            message = message + block.in_to_filter(layers[t][atom]) * w
            n_neighbors += 1
        if model.config.cutoff_function == "hard":
            message = message / max(n_neighbors, 1)
        x = x + block.output(shifted_softplus(block.filter_to_out(message)))
    y = model.readout(x[None], graph)
    return float(model.scale.std_per_atom * y + model.scale.mean_per_atom)


@pytest.mark.parametrize(
    ("settings", "periodic"),
    [({}, False), (OPEN, False), (HARD, False), ({}, True), (HARD, True)],
    ids=["cosine", "no cutoff", "hard", "crystal, cosine", "crystal, hard"],
)
def test_schnet_is_what_a_loop_gives(settings, periodic, ethanol):
    """In both dtypes, within the error of the tables that is stated."""
    model = tiny_schnet(**settings)
    atoms = bulk("C") if periodic else ethanol
    if periodic:
        atoms.rattle(0.05, seed=1)
    points = some_points(atoms)
    expected = np.array([by_loops(model, atoms, point, 8) for point in points])
    assert np.ptp(expected) > 1e-5  # eV: it is no constant
    for dtype, tolerance in (("float32", 1e-6), ("float64", 1e-9)):
        found = LocalChemicalPotential(model, atoms, dtype=dtype).at(points, "O")
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@torch.no_grad()
@pytest.mark.parametrize("cutoff", [None, 4.0])
def test_dtnn_is_what_a_loop_gives(cutoff, ethanol):
    model = tiny_dtnn(cutoff=cutoff)
    layers = list(model.layers(connect(AtomGraph.from_atoms(ethanol), cutoff)))
    points = some_points(ethanol)
    expected = []
    for point in points:
        c = model.embedding.weight[6]
        for features in layers[:-1]:
            for j, position in enumerate(ethanol.positions):
                distance = torch.tensor([np.linalg.norm(position - point)])
                factors = model.distance_to_factors(model.radial_basis(distance))[0]
                product = model.interaction.features_to_factors(features[j]) * factors
                v = torch.tanh(model.interaction.factors_to_features(product))
                if cutoff is not None:
                    inside = float(distance) < cutoff
                    v = v * inside * 0.5 * (np.cos(np.pi * float(distance) / cutoff) + 1.0)
                c = c + v
        expected.append(0.3 * float(model.readout(c[None], None)) - 0.4)
    found = LocalChemicalPotential(model, ethanol, dtype="float64").at(points)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("periodic", [False, True])
def test_behler_parrinello_is_the_atomic_energy_of_an_added_atom(periodic, ethanol, diamond):
    """Its own energy, less its reference, in a structure that it is put into."""
    model, atoms = tiny_behler_parrinello(), diamond if periodic else ethanol
    points = some_points(atoms, width=1.0)
    found = LocalChemicalPotential(model, atoms, dtype="float64").at(points, "H")
    for point, omega in zip(points, found, strict=True):
        # a cell so large that the probe does not see its own images
        cells = atoms.repeat((2, 2, 4)) if periodic else atoms
        both = cells + Atoms("H", [point])
        graph = connect(AtomGraph.from_atoms(both), model.cutoff)
        energy = float(model(graph, ["atomic_energies"]).atomic_energies[-1])
        assert omega == pytest.approx(energy + 13.6, rel=1e-11, abs=1e-11)


MODELS = {
    "SchNet": lambda: tiny_schnet(n_features=16, n_interactions=3),
    "SchNet without cutoff": lambda: tiny_schnet(**OPEN),
    "DTNN": tiny_dtnn,
    "BehlerParrinello": tiny_behler_parrinello,
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_probe_leaves_the_molecule_alone(make, ethanol):
    """Neither model nor molecule change, and probes do not feel each other."""
    model = make()
    before = copy.deepcopy(model.state_dict())
    positions = ethanol.positions.copy()
    graph = connect(AtomGraph.from_atoms(ethanol), model.cutoff)
    energy = model(graph, ["energy"]).energy.clone()
    points = some_points(ethanol, 40)
    omega = LocalChemicalPotential(model, ethanol, dtype="float64")
    together = omega.at(points)
    for k in (0, 17, 39):
        assert omega.at(points[k : k + 1]) == pytest.approx(together[k], rel=1e-12)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(graph, ["energy"]).energy, energy)
    assert np.array_equal(ethanol.positions, positions)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_gradients_are_finite_differences(make, ethanol):
    omega = LocalChemicalPotential(make(), ethanol, dtype="float64")
    points, step = some_points(ethanol, 4), 1e-4
    found = omega.gradients(points, "C")
    expected = np.stack(
        [(omega.at(points + h) - omega.at(points - h)) / (2 * step) for h in step * np.eye(3)],
        axis=1,
    )
    assert np.abs(found - expected).max() < 1e-6 * np.abs(expected).max()


def symmetric_benzene() -> Atoms:
    """Of exact sixfold symmetry about z."""
    angles = np.arange(6) * np.pi / 3.0
    circle = np.stack([np.cos(angles), np.sin(angles), np.zeros(6)], axis=1)
    return Atoms("C6H6", np.vstack([1.397 * circle, 2.481 * circle]))


def rotated(points: np.ndarray, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return points @ np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_sixfold_symmetry_of_benzene(make):
    """To 1e-6 of the largest, in the dtype of pictures, for points anywhere."""
    atoms = symmetric_benzene()
    omega = LocalChemicalPotential(make(), atoms)
    points = some_points(atoms, 30)
    values = omega.at(points)
    scale = np.abs(values).max()
    assert np.ptp(values) > 1e-3 * scale
    for k in range(1, 6):
        turned = omega.at(rotated(points, k * np.pi / 3.0))
        assert np.abs(turned - values).max() < 1e-6 * scale
    assert np.abs(omega.at(points * [1, 1, -1]) - values).max() < 1e-6 * scale
    assert np.abs(omega.at(rotated(points, 0.5)) - values).max() > 1e-4 * scale


PERIODIC = {
    "SchNet": tiny_schnet,
    "SchNet with a hard cutoff": lambda: tiny_schnet(**HARD),
    "DTNN": lambda: tiny_dtnn(cutoff=4.0),
    "BehlerParrinello": tiny_behler_parrinello,
}


@pytest.mark.parametrize("make", PERIODIC.values(), ids=PERIODIC)
def test_a_crystal_repeats(make):
    """By its own lattice vectors, also where the cell at hand is larger, and by no others."""
    primitive = bulk("C")
    points = np.random.default_rng(0).normal(scale=4.0, size=(12, 3))
    omega = LocalChemicalPotential(make(), primitive, dtype="float64")
    values = omega.at(points)
    for shift in np.asarray(primitive.cell):
        np.testing.assert_allclose(omega.at(points + 3 * shift), values, rtol=1e-9)
    assert np.abs(omega.at(points + 0.5 * primitive.cell[0]) - values).max() > 1e-6
    supercell = LocalChemicalPotential(make(), primitive * (2, 1, 2), dtype="float64")
    np.testing.assert_allclose(supercell.at(points), values, rtol=1e-9)


def test_slabs_and_wires_repeat_along_their_own_directions():
    """And a cell that is not reduced gives the same as one that is."""
    slab = Atoms("CH", [[0.1, 0.2, 5.0], [0.3, 1.0, 5.9]], pbc=[True, True, False],
                 cell=[[2.4, 0, 0], [0.4, 2.6, 0], [0, 0, 3.0]])  # fmt: skip
    points = np.random.default_rng(0).normal(scale=2.0, size=(9, 3)) + np.array([0, 0, 5.0])
    omega = LocalChemicalPotential(tiny_schnet(), slab, dtype="float64")
    values = omega.at(points)
    a, b, c = np.asarray(slab.cell)
    np.testing.assert_allclose(omega.at(points + 5 * a - 2 * b), values, rtol=1e-10)
    assert np.abs(omega.at(points + c) - values).max() > 1e-6
    skewed = slab.copy()
    skewed.set_cell([a, b + 9 * a, c])
    other = LocalChemicalPotential(tiny_schnet(), skewed, dtype="float64")
    np.testing.assert_allclose(other.at(points), values, rtol=1e-10)


def test_far_away_nothing_is_left():
    """Beyond the cutoff a probe is alone; without one, filters have become constant."""
    atoms, far = molecule("H2O"), np.array([[60.0, 0.0, 0.0], [0.0, 80.0, 0.0]])
    model = tiny_schnet()
    lone = connect(AtomGraph.from_atoms(Atoms("C")), model.cutoff)
    alone = float(model(lone, ["energy"]).energy) + 1030.0
    found = LocalChemicalPotential(model, atoms, dtype="float64").at(far)
    np.testing.assert_allclose(found, alone, rtol=1e-11)
    omega = LocalChemicalPotential(tiny_schnet(**OPEN), atoms, dtype="float64")
    omega.at(atoms.positions)  # short tables
    first, second = omega.at(far)
    assert first == pytest.approx(second, rel=1e-12)


def test_other_outputs_of_atoms():
    gap = Output(pooling="mean", unit="eV")
    model = tiny_schnet(0, {"energy": Output(), "gap": gap, "dipole": Output()})
    model.quantity_readouts["gap"].scale.set(2.0, 0.5)
    atoms = molecule("CH4")
    points = some_points(atoms)
    omega = LocalChemicalPotential(model, atoms, "gap")
    assert omega.unit == "eV"
    assert np.abs(omega.at(points) - 2.0).max() < 2.0
    assert np.abs(omega.at(points) - LocalChemicalPotential(model, atoms).at(points)).min() > 0.5
    with pytest.raises(ConfigError, match="no output 'dipole' that is made of atomic.*energy, gap"):
        LocalChemicalPotential(model, atoms, "dipole")


def test_what_cannot_be_probed_is_told():
    class Other(type(tiny_schnet())):
        """A subclass may do anything between its layers."""

    model, water = tiny_schnet(), molecule("H2O")
    other = Other(model.config).double()
    for build, error, words in (
        (lambda: LocalChemicalPotential(other, water), ConfigError, "Other has no local chemical"),
        (lambda: LocalChemicalPotential([model, model], water), ConfigError, "not a committee"),
        (lambda: LocalChemicalPotential(model, molecule("NH3")), StructureError, "not know N: it"),
        (
            lambda: LocalChemicalPotential(tiny_schnet(**OPEN), bulk("C")),
            StructureError,
            "no cutoff",
        ),
        (
            lambda: LocalChemicalPotential(model, water).at(np.zeros((1, 3)), "N"),
            ConfigError,
            "no probe 'N': it was trained on H, C, O",
        ),
        (lambda: LocalChemicalPotential("absent", water), ValueError, "absent"),
    ):
        with pytest.raises(error, match=words):
            build()
    assert LocalChemicalPotential(model, water).at(np.zeros((0, 3))).shape == (0,)
    with pytest.raises(ValueError, match="shape"):
        LocalChemicalPotential(model, water).at(np.zeros(3))


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_around_another_structure_is_as_if_made_for_it(make, ethanol):
    """Whichever of both is asked first, and however far away the points are."""
    model = make()
    other = ethanol.copy()
    other.rattle(0.1, seed=4)
    near, far = some_points(ethanol), 3.0 * some_points(ethanol)
    first = LocalChemicalPotential(model, ethanol, dtype="float64")
    before = first.at(near, 1)
    moved = first.around(other)
    fresh = LocalChemicalPotential(model, other, dtype="float64")
    for points in (near, far, near):
        np.testing.assert_allclose(moved.at(points, 1), fresh.at(points, 1), rtol=1e-9, atol=1e-10)
    assert np.abs(moved.at(near, 1) - before).max() > 1e-5  # eV: the structures differ
    np.testing.assert_array_equal(first.at(near, 1), before)
