"""Structures outside the training data: found by every backend, named, counted, told once."""

import copy
import dataclasses
import logging
import warnings

import numpy as np
import pytest
import torch
from ase.data import chemical_symbols
from guard_findings import expected_findings, lone_atoms, random_domain
from numpy.testing import assert_array_equal
from random_models import ELEMENTS, EMULATED, INSTRUCTION_SETS, crystal, molecule, random_schnet

from mlpotential.errors import (
    ConfigError,
    ExtrapolationError,
    ExtrapolationWarning,
    ModelFileError,
    RunError,
    StructureError,
)
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference import guard
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.guard import GuardReport
from mlpotential.inference.pair_graph import PairGraph
from mlpotential.inference.prepared_model import PreparedModel
from mlpotential.inference.schnet.filter_table import TABLE_TOLERANCE, tabulate_filters
from mlpotential.inference.schnet.native import NativeSchNet
from mlpotential.inference.structures import ConnectedStructures
from mlpotential.inference.training_domain import (
    FEATURE_MARGIN,
    is_outside,
)
from mlpotential.models.model_file import LoadedModel, ModelRecord, load_model, save_model
from mlpotential.neighbors import connect
from mlpotential.training.seen_in_training import feature_ranges

BACKENDS = [*(["native"] if INSTRUCTION_SETS else []), *EMULATED, "tabulated", "reference"]
NAMES = [chemical_symbols[z] for z in ELEMENTS]
CH3 = np.array([6, 1, 1, 1])
REST = np.array([[0.0, 0, 0], [1.1, 0, 0], [-0.5, 1.0, 0], [-0.5, -1.0, 0]])
SHORT = np.array([[0.0, 0, 0], [1.1, 0, 0], [-0.4, 0.7, 0], [-0.5, -1.0, 0]])  # C-H of 0.806 A
ANYTHING = {"lowest": [-1e3] * 16, "highest": [1e3] * 16}
ANY_8 = {"lowest": [-1e3] * 8, "highest": [1e3] * 8}
TOO_FEW = {"lowest": [0.0] * 7, "highest": [1.0] * 7}
NO_HIGHEST = {"lowest": [0.0] * 8}
NO_NUMBERS = {"lowest": ["a"] * 8, "highest": [1.0] * 8}


def guarded(model, record, graph=None) -> LoadedModel:
    """A model as if from a file with this record."""
    return LoadedModel(model, record, graph or AtomGraph.from_arrays(CH3, REST), "")


LIKE_C20 = {"largest_nearest_distance": 1.53, "least_coordination": 3, "isolated": False}
NO_DISTANCE = {"least_coordination": 1, "isolated": False}


def distances_only(ch=1.0):
    return ModelRecord(shortest_distances={"C-H": ch, "H-H": 0.5})


def ranges_of(model, graphs):
    """Feature ranges of these structures, with those of absent elements made up."""
    known = {chemical_symbols[z] for g in graphs for z in g.atomic_numbers.tolist()}
    own = copy.deepcopy(model)
    own.elements = tuple(z for z in ELEMENTS if chemical_symbols[z] in known)
    ranges = feature_ranges(own, graphs)
    return dict.fromkeys([chemical_symbols[z] for z in ELEMENTS], ANYTHING) | ranges


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)
def test_findings_of_the_kernel(instruction_set, dtype, threads):
    """Molecules and crystals at once, and one structure shared by threads."""
    model, domain = random_schnet(n_interactions=2), random_domain()
    single = molecule(30, seed=7)
    several = collate(
        [molecule(1), molecule(9), crystal((3.3, 1.7, 1.9), skew=0.2), lone_atoms(), molecule(5)]
    )
    own = copy.deepcopy(model).to(getattr(torch, dtype))
    table = tabulate_filters(own, TABLE_TOLERANCE[own.dtype])
    kernel = NativeSchNet(own, table, threads, instruction_set, domain)
    for graph in (connect(single, model.cutoff), connect(several, model.cutoff)):
        found = kernel.evaluate(PairGraph.from_graph(graph), graph.positions.numpy(), (), True)[1]
        expected = expected_findings(model, graph, domain)
        expected.assert_are(found, rtol=1e-6 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("backend", ["tabulated", "reference"])
def test_findings_in_torch(backend):
    model, domain = random_schnet(), random_domain()
    graph = collate([molecule(9), crystal((3.3, 1.7, 1.9), skew=0.2), lone_atoms()])
    structures = ConnectedStructures(graph, model.cutoff)
    prepared = PreparedModel(model, "cpu", backend=backend, domain=domain)
    found = prepared.predict(structures, ("energy",), monitored=True)[1]
    expected_findings(model, structures.graph, domain).assert_are(found, rtol=1e-6)
    assert_array_equal(found.graphs_outside(), [True, True, True])


@pytest.mark.parametrize("backend", BACKENDS)
def test_warns_once_of_the_short_pair(backend):
    model = guarded(random_schnet(), distances_only())
    evaluator = Evaluator(model, CH3, device="cpu", backend=backend)
    evaluator.evaluate(REST[None])
    with pytest.warns(ExtrapolationWarning) as told:
        evaluator.evaluate(SHORT[None])
    for _ in range(2):
        evaluator.evaluate(SHORT[None])  # warnings are errors here
    assert [warning.filename for warning in told] == [__file__]  # whoever called the evaluator
    text = str(told[0].message)
    assert "atoms 0 (C) and 2 (H) are 0.806 A apart, 0.194 A less than any C-H (1.000 A)" in text
    report = evaluator.guard.report
    assert (report.n_evaluated, report.n_outside) == (4, 3)
    assert report.nearest.atoms == (0, 2)
    assert report.nearest.distance == pytest.approx(np.hypot(0.4, 0.7))
    assert "3 of 4 structures (distances checked) outside the training data" in str(report)


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_replica_counts(backend):
    model = guarded(random_schnet(), distances_only())
    evaluator = Evaluator(model, CH3, device="cpu", backend=backend)
    with pytest.warns(ExtrapolationWarning, match=r"0 \(C\) and 2 \(H\) of structure 1 are 0.806"):
        evaluator.evaluate(np.stack([REST, SHORT, REST, REST]))
    assert evaluator.guard.report.n_outside == 1
    graphs = [AtomGraph.from_arrays(CH3, p) for p in (REST, SHORT, SHORT)]
    evaluator.evaluate_graph(collate(graphs))
    assert evaluator.guard.report.n_outside == 3
    assert evaluator.guard.report.n_evaluated == 7


@pytest.mark.parametrize("backend", BACKENDS)
def test_stop(backend):
    model = guarded(random_schnet(), distances_only())
    evaluator = Evaluator(model, CH3, device="cpu", backend=backend, guard="stop")
    evaluator.evaluate(REST[None])
    for _ in range(2):
        with pytest.raises(StructureError, match=r"atoms 0 \(C\) and 2 \(H\) are 0.806 A") as stop:
            evaluator.evaluate(SHORT[None])
        assert isinstance(stop.value, ExtrapolationError)


def test_off_is_silent():
    model = guarded(random_schnet(), distances_only())
    evaluator = Evaluator(model, CH3, device="cpu", guard="off")
    evaluator.evaluate(SHORT[None])  # warnings are errors here
    assert evaluator.guard.report == GuardReport()
    assert "not checked" in str(evaluator.guard.report)


def test_another_mode():
    with pytest.raises(ConfigError, match="guard must be one of warn, stop, off, not 'halt'"):
        Evaluator(random_schnet(), CH3, device="cpu", guard="halt")


def test_a_potential_has_no_training_data(caplog):
    evaluator = Evaluator(random_schnet(), CH3, device="cpu")
    evaluator.evaluate(SHORT[None])
    assert evaluator.guard.checks == ()
    assert not caplog.records


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_unusual_features(backend, dtype):
    """Inside on all structures the ranges are of; named by atom and element where it is not."""
    model = random_schnet()
    rng = np.random.default_rng(0)
    seen = REST + rng.normal(scale=0.05, size=(40, 4, 3))
    graphs = [AtomGraph.from_arrays(CH3, positions) for positions in seen]
    record = ModelRecord(feature_ranges=ranges_of(model, graphs))
    evaluator = Evaluator(guarded(model, record), CH3, device="cpu", dtype=dtype, backend=backend)
    evaluator.evaluate(seen)
    assert evaluator.guard.report.n_outside == 0
    assert evaluator.guard.checks == ("features",)
    far = REST.copy()
    far[3] *= 2.0
    with pytest.warns(ExtrapolationWarning, match="features of atom . .* lie beyond those of any"):
        evaluator.evaluate(far[None])
    worst = evaluator.guard.report.farthest
    ranges = record.feature_ranges[worst.symbol]
    features = model(connect(AtomGraph.from_arrays(CH3, far), model.cutoff), ("features",)).features
    low, high = np.array(ranges["lowest"]), np.array(ranges["highest"])
    x = features[worst.atom].numpy()
    beyond = (np.maximum(low - x, x - high) / (high - low)).max()
    assert worst.excess == pytest.approx(beyond, rel=1e-3)
    assert worst.excess > FEATURE_MARGIN
    assert worst.symbol == chemical_symbols[CH3[worst.atom]]


def test_margin_of_features():
    """A tenth of the range's width beyond its end, and not less."""
    assert not is_outside(-np.inf, 1.0 + 1.99 * FEATURE_MARGIN, 0.0, 0)
    assert is_outside(-np.inf, 1.0 + 2.01 * FEATURE_MARGIN, 0.0, 0)


def test_elements_that_never_met():
    """Without a C-O pair in training any within the search radius is new."""
    model = guarded(random_schnet(), ModelRecord(shortest_distances={"C-C": 1.2, "O-O": 1.1}))
    evaluator = Evaluator(model, [6, 8], device="cpu")
    with pytest.warns(ExtrapolationWarning, match=r"less than any C-O \(6.000 A\)"):
        evaluator.evaluate(np.array([[[0.0, 0, 0], [3.0, 0, 0]]]))


def c20(scale=1.0, far=None):
    """C20 of 1.44 A, as large as said, an atom moved out by a factor."""
    golden = (1.0 + 5.0**0.5) / 2.0
    corners = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    for x in (-1 / golden, 1 / golden):
        for y in (-golden, golden):
            corners += [(0, x, y), (x, y, 0), (y, 0, x)]
    positions = scale * 1.44 * golden / 2.0 * np.array(corners, np.float64)
    if far is not None:
        positions[7] *= far
    return positions


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("cutoff", ["none", "cosine"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_atoms_that_are_too_alone(backend, cutoff, threads):
    """What distances and features let pass; C20 as it is, and dense carbon, are inside."""
    record = ModelRecord(neighborhoods=dict.fromkeys(NAMES, LIKE_C20))
    model = guarded(random_schnet(cutoff), record)

    def evaluated(positions, guard="warn"):
        numbers = [6] * len(positions)
        evaluator = Evaluator(
            model, numbers, device="cpu", backend=backend, threads=threads, guard=guard
        )
        evaluator.evaluate(np.stack([positions, positions]))
        return evaluator.guard.report

    assert evaluated(c20(), "stop").n_outside == 0
    assert evaluated(c20(0.9), "stop").n_outside == 0
    alone = r"atom 0 \(C\) of structure 0 has no neighbour"
    few = "of structure 0 has a coordination number of {} .in training at least 3"
    far = "of structure 0 is {} A away .in training at most 1.530 A"
    pair = np.array([[0.0, 0, 0], [1.0, 0, 0]])
    for positions, words in (
        (c20(10.0), far.format("14.400") if cutoff == "none" else alone),
        (c20(far=3.0), r"neighbour of atom 7 \(C\) " + far.format("4.*")),
        (c20()[:1], alone),
        (50.0 * pair, far.format("50.000") if cutoff == "none" else alone),
        (1.4 * pair, few.format(1)),
    ):
        with pytest.warns(ExtrapolationWarning, match=words):
            assert evaluated(positions).n_outside == 2
        with pytest.raises(ExtrapolationError, match=words):
            evaluated(positions, "stop")


@pytest.mark.parametrize("backend", BACKENDS)
def test_neighbours_in_periodic_cells(backend):
    """Images are neighbours: simple cubic atoms have six, in a wide cell none."""
    like_cubic = {"largest_nearest_distance": 1.6, "least_coordination": 6, "isolated": False}
    model = guarded(random_schnet(), ModelRecord(neighborhoods=dict.fromkeys(NAMES, like_cubic)))
    evaluator = Evaluator(model, [6], True, device="cpu", backend=backend)
    evaluator.evaluate(np.zeros((1, 1, 3)), 1.6 * np.eye(3)[None])
    with pytest.warns(ExtrapolationWarning, match="coordination number of 2 .in training at lea"):
        evaluator.evaluate(np.zeros((1, 1, 3)), np.diag([1.6, 2.4, 2.4])[None])
    evaluator.guard.start_run()
    with pytest.warns(ExtrapolationWarning, match=r"atom 0 \(C\) has no neighbour"):
        evaluator.evaluate(np.zeros((1, 1, 3)), 10.0 * np.eye(3)[None])


@pytest.mark.parametrize("backend", BACKENDS)
def test_isolated_atoms_of_the_training_data(backend):
    """They are inside, and say nothing of atoms with neighbours."""
    record = ModelRecord(neighborhoods=dict.fromkeys(NAMES, LIKE_C20 | {"isolated": True}))
    model = guarded(random_schnet(), record)
    evaluator = Evaluator(model, [6], device="cpu", backend=backend)
    evaluator.evaluate(np.zeros((1, 1, 3)))
    with pytest.warns(ExtrapolationWarning, match="is 4.900 A away"):
        evaluator.for_atoms([6, 6]).evaluate(np.array([[[0.0, 0, 0], [4.9, 0, 0]]]))


def test_a_committee_finds_what_any_member_knows():
    knows = guarded(random_schnet(), ModelRecord(neighborhoods=dict.fromkeys(NAMES, LIKE_C20)))
    evaluator = Evaluator([knows, random_schnet(seed=1)], [6], device="cpu")
    with pytest.warns(ExtrapolationWarning, match=r"atom 0 \(C\) has no neighbour"):
        evaluator.evaluate(np.zeros((1, 1, 3)))


def test_an_atom_near_its_own_image():
    model = guarded(random_schnet(), ModelRecord(shortest_distances={"C-C": 2.0}))
    evaluator = Evaluator(model, [6], True, device="cpu")
    cell = np.diag([5.2, 1.5, 5.4])
    with pytest.warns(ExtrapolationWarning, match=r"atom 0 \(C\) and an image of it are 1.500 A"):
        evaluator.evaluate(np.zeros((1, 1, 3)), cell[None])


def test_training_structures_are_inside_to_the_last_bit():
    """The shortest pair itself is no extrapolation, whatever rounding does to it."""
    rng = np.random.default_rng(1)
    positions = REST + rng.normal(scale=0.1, size=(50, 4, 3))
    lengths = np.linalg.norm(positions[:, 0, None] - positions[:, 1:], axis=2)
    record = ModelRecord(shortest_distances={"C-H": float(lengths.min()), "H-H": 0.1})
    evaluator = Evaluator(guarded(random_schnet(), record), CH3, device="cpu")
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    evaluator.evaluate(positions @ turn)


def test_runs_are_separate():
    model = guarded(random_schnet(), distances_only())
    evaluator = Evaluator(model, CH3, device="cpu")
    for _ in range(2):
        evaluator.guard.start_run()
        with pytest.warns(ExtrapolationWarning):
            evaluator.evaluate(SHORT[None])
        assert evaluator.guard.report.n_evaluated == 1
    other = evaluator.for_atoms(CH3[:3])  # the same run
    other.evaluate(SHORT[None, :3])
    assert evaluator.guard.report.n_outside == 2
    assert copy.deepcopy(evaluator).guard.report.n_evaluated == 0
    assert copy.deepcopy(evaluator).guard.mode == "warn"


def test_missing_ranges_are_told_once(caplog, potential, ethanol, tmp_path):
    guard._notify_of_missing_checks.cache_clear()
    path = tmp_path / "old.safetensors"
    near = {"C-H": 0.1}
    only_near = ModelRecord(shortest_distances=near)
    old = ModelRecord(shortest_distances=near, feature_ranges=dict.fromkeys("HCO", ANY_8))
    for kept, words in (
        (only_near, "says nothing of the features and neighborhoods in its training data"),
        (old, "says nothing of the neighborhoods in its training data"),
        (ModelRecord(), "says nothing of its"),
    ):
        save_model(path, potential, AtomGraph.from_atoms(ethanol), kept)
        with caplog.at_level(logging.WARNING, "mlpotential"):
            for _ in range(2):
                Evaluator(path, ethanol.numbers, device="cpu", backend="reference")
        assert [words in r.message for r in caplog.records] == [True]
        caplog.clear()
    guard._notify_of_missing_checks.cache_clear()


@pytest.mark.parametrize(
    "broken",
    [
        {"shortest_distances": {"C-Xy": 1.0}},
        {"shortest_distances": {"CH": 1.0}},
        {"shortest_distances": {"C-H": "near"}},
        {"shortest_distances": {"C-H": -1.0}},
        {"feature_ranges": {"C": {"lowest": [0.0] * 8, "highest": [1.0] * 8}}},
        {"feature_ranges": dict.fromkeys("HCO", TOO_FEW)},
        {"feature_ranges": dict.fromkeys("HCO", NO_HIGHEST)},
        {"feature_ranges": dict.fromkeys("HCO", NO_NUMBERS)},
        {"neighborhoods": {"C": LIKE_C20}},
        {"neighborhoods": dict.fromkeys("HCO", NO_DISTANCE)},
        {"neighborhoods": dict.fromkeys("HCO", LIKE_C20 | {"largest_nearest_distance": None})},
        {"neighborhoods": dict.fromkeys("HCO", LIKE_C20 | {"least_coordination": -1})},
        {"neighborhoods": dict.fromkeys("HCO", (1.5, 3, False))},
    ],
)
def test_a_record_that_cannot_be_used(potential, ethanol, broken):
    record = dataclasses.replace(ModelRecord(), **broken)
    model = guarded(potential, record, AtomGraph.from_atoms(ethanol))
    with pytest.raises(ModelFileError, match="says of its training data cannot be used"):
        Evaluator(model, ethanol.numbers, device="cpu")


def test_old_files_have_no_ranges(potential, ethanol, tmp_path, monkeypatch):
    """A file whose record was written before there were feature ranges."""
    path = tmp_path / "old.safetensors"
    monkeypatch.setattr(
        "mlpotential.models.model_file.asdict",
        lambda record: {
            k: v
            for k, v in dataclasses.asdict(record).items()
            if k not in ("feature_ranges", "neighborhoods")
        },
    )
    save_model(path, potential, AtomGraph.from_atoms(ethanol), distances_only())
    assert b"neighborhoods" not in path.read_bytes()
    assert load_model(path).record == distances_only()


def test_reports_add_up_and_survive_a_file(tmp_path):
    model = guarded(random_schnet(), distances_only())
    evaluator = Evaluator(model, CH3, device="cpu")
    with pytest.warns(ExtrapolationWarning):
        evaluator.evaluate(SHORT[None])
    first = evaluator.guard.report
    evaluator.guard.start_run()
    evaluator.evaluate(REST[None])
    path = tmp_path / "report.json"
    (first + evaluator.guard.report).write(path)
    total = GuardReport.read(path)
    assert total == dataclasses.replace(first, n_evaluated=2)
    path.write_text('{"n_evaluated": 2}')
    with pytest.raises(RunError, match="cannot read .*report.json"):
        GuardReport.read(path)


def test_the_longest_stretch():
    """Evaluations in a row of which most structures were outside, also over parts of a run."""
    model = guarded(random_schnet(), distances_only())
    evaluator = Evaluator(model, CH3, device="cpu")
    inside, outside = np.stack([REST] * 3), np.stack([SHORT, SHORT, REST])

    def run(*batches):
        evaluator.guard.start_run()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for batch in batches:
                evaluator.evaluate(batch)
        report = evaluator.guard.report
        return report, (report.longest_stretch, report.stretch_start)

    assert run(inside, inside)[1] == (0, 0)
    first, stretch = run(inside, outside, outside, inside, outside)
    assert stretch == (6, 3)
    assert run(inside, np.stack([SHORT, REST]), np.stack([REST, SHORT, REST]))[1] == (0, 0)
    later, stretch = run(inside, outside, outside, outside, inside)
    assert stretch == (9, 3)
    total = first + later
    assert (total.longest_stretch, total.stretch_start) == (9, 15 + 3)
    assert (later + first).stretch_start == 3


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_said_of_other_mistakes(backend):
    """Two atoms in one place are refused as ever, with the guard or without."""
    model = guarded(random_schnet(), distances_only())
    merged = REST.copy()
    merged[1] = merged[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(StructureError, match="atoms 0 and 1 are in one place"):
            Evaluator(model, CH3, device="cpu", backend=backend).evaluate(merged[None])
