"""Which backend is chosen, what it promises, and what is shared between evaluators."""

import copy
import logging
import pickle
import re
import sys
from dataclasses import fields, replace
from importlib.machinery import EXTENSION_SUFFIXES
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from random_models import (
    ALL,
    EMULATED,
    INSTRUCTION_SETS,
    Gathering,
    SchNetOfSomeone,
    crystal,
    molecule,
    random_schnet,
)

from mlpotential import testing
from mlpotential.errors import ConfigError, StructureError
from mlpotential.graph import AtomGraph, Prediction
from mlpotential.inference import prepared_model
from mlpotential.inference.evaluator import Evaluator
from mlpotential.inference.execution import Backend
from mlpotential.inference.schnet import filter_table, kernel
from mlpotential.inference.schnet.native import NativeSchNet

FAST = ["tabulated", *EMULATED, *(["native"] if INSTRUCTION_SETS else [])]
needs_kernel = pytest.mark.skipif(not INSTRUCTION_SETS, reason="there is no compiled kernel")

WATER = np.array([[[0.0, 0.0, 0.0], [0.76, 0.59, 0.0], [-0.76, 0.59, 0.0]]])


class AsPotential:
    """An evaluator where `mlpotential.testing` expects a model."""

    def __init__(self, evaluator: Evaluator, model) -> None:
        self.evaluator, self.cutoff, self.traits = evaluator, model.cutoff, model.traits

    def eval(self):
        return self

    def __call__(self, graph: AtomGraph, properties) -> Prediction:
        answer = self.evaluator.evaluate_graph(graph, properties)
        found = {f.name: getattr(answer, f.name) for f in fields(Prediction)}
        return Prediction(
            **{name: None if x is None else torch.from_numpy(x) for name, x in found.items()}
        )


@pytest.fixture(params=FAST)
def backend(request):
    return request.param


@pytest.fixture
def no_kernel(monkeypatch):
    monkeypatch.setattr(kernel, "library_path", lambda instruction_set: None)


@pytest.mark.parametrize("tolerance", [1e-8, 1e-1])
@pytest.mark.parametrize(
    ("backend", "threads"), [("tabulated", 1), *((backend, 2) for backend in FAST[1:])]
)
def test_contract(backend, threads, tolerance, monkeypatch):
    """Derivatives, symmetries, sums; with a coarse table too, for it is differentiated exactly."""
    monkeypatch.setitem(filter_table.TABLE_TOLERANCE, torch.float64, tolerance)
    model = random_schnet("cosine", seed=2)
    model.scale.set(-2.0, 0.7)  # no large energies, whose last digits differences would lose
    own = AsPotential(Evaluator(model, [1], False, "cpu", None, backend, threads), model)
    small, solid = molecule(6), crystal((4.9, 1.7, 3.4), skew=0.3)
    for graph in (small, solid):
        testing.check_forces_are_gradients(own, graph)
        testing.check_virial_is_strain_derivative(own, graph)
        testing.check_symmetries(own, graph)
        testing.check_no_net_force_or_torque(own, graph)
    testing.check_batch_equals_singles(own, [small, solid])
    testing.check_isolated_atom(own, 8)
    testing.check_additive(own, small)
    testing.check_continuous_at_cutoff(own, (1, 8))
    if tolerance == 1e-1:
        apart = own(small, ("forces",)).forces - testing.predict(model, small).forces
        assert apart.abs().max() > 1e-6, "the table is not coarse"


def test_the_registry_and_the_names_agree():
    """Command lines know the names without the classes, which need torch."""
    assert ("auto", *(backend.name for backend in prepared_model.BACKENDS)) == get_args(Backend)


def test_filters_that_are_not_radial_are_not_tabulated():
    """The model's own promise decides, whatever its class."""
    model = random_schnet()
    model.traits = replace(model.traits, radial_filters=False)
    for backend in ("tabulated", "native"):
        with pytest.raises(ConfigError, match="SchNet has no filters to tabulate: use"):
            Evaluator(model, [1], device="cpu", backend=backend)
    assert Evaluator(model, [1], device="cpu").backend == "reference"


@needs_kernel
def test_auto_is_native_for_schnet_on_the_cpu(sayings):
    evaluator = Evaluator(random_schnet(), [1, 8], device="cpu")
    assert evaluator.backend == "native"
    assert not sayings.messages
    sayings.set_level(logging.INFO, "mlpotential")
    for threads, named in ((1, "1 thread"), (2, "2 threads")):
        said = str(Evaluator(random_schnet(), [1, 8, 1], device="cpu", threads=threads))
        assert re.fullmatch(rf"H2O: native kernel \(\w+\), float64, {named}", said)
        assert sayings.messages.count(said) == 1


def test_auto_without_a_kernel_says_so_once(no_kernel, sayings):
    for _ in range(2):
        evaluator = Evaluator(random_schnet(), [8, 1, 1], device="cpu")
        assert evaluator.backend == "tabulated"
        assert np.isfinite(evaluator.evaluate(WATER).energy).all()
    (message,) = sayings.messages
    assert message.startswith("there is no compiled kernel, so models are evaluated by the tab")


def test_native_without_a_kernel(no_kernel):
    remedy = "use backend='tabulated'. [A-Z]"
    with pytest.raises(ConfigError, match=rf"for this processor \(there are: none\): {remedy}"):
        Evaluator(random_schnet(), [1], device="cpu", backend="native")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A package without kernels, from which Python took `kernel`."""
    folder = tmp_path / "clone/mlpotential/inference/schnet"
    folder.mkdir(parents=True)
    monkeypatch.setattr(kernel, "__file__", str(folder / "kernel.py"))
    return folder


def test_an_installed_package_without_kernels_lacked_a_compiler(place):
    assert "was installed where no C++ compiler worked" in kernel.why_there_is_none()


@pytest.mark.parametrize("has_kernel", [True, False])
def test_a_source_folder_without_kernels_is_named(has_kernel, place, tmp_path, monkeypatch):
    """So is the installed copy that has some; nothing is said of a compiler."""
    (place / "csrc").mkdir()
    (place / "csrc/schnet.cpp").touch()
    installed = tmp_path / "site-packages"
    library = f"mlpotential/inference/schnet/_schnet_portable{EXTENSION_SUFFIXES[0]}"
    record = installed / "mlpotential-9.dist-info/RECORD"
    record.parent.mkdir(parents=True)
    record.write_text(f"mlpotential/__init__.py,,\n{library},,\n")
    (record.parent / "METADATA").write_text("Metadata-Version: 2.1\nName: mlpotential\n")
    (installed / library).parent.mkdir(parents=True)
    if has_kernel:
        (installed / library).touch()
    monkeypatch.setattr(sys, "path", [str(installed)])
    text = kernel.why_there_is_none()
    root = tmp_path / "clone"
    assert text.startswith(f"Python takes the package from the source folder {root}, where none")
    assert f"pip install -e {root}" in text
    assert (f"not from {installed}, where there is one" in text) is has_kernel


@pytest.mark.parametrize(
    ("kind", "lack"),
    [
        (Gathering, "Gathering has no filters to tabulate"),
        (SchNetOfSomeone, "SchNetOfSomeone is not SchNet itself, so its filters are not tabulated"),
    ],
)
def test_auto_for_other_networks_is_the_reference(kind, lack, sayings):
    """Also for a SchNet that somebody changed: nobody knows what it computes."""
    model = Gathering() if kind is Gathering else SchNetOfSomeone(random_schnet().config).double()
    for _ in range(2):
        evaluator = Evaluator(model, [8, 1, 1], device="cpu")
        assert evaluator.backend == "reference"
        assert evaluator.table_error is None
    assert sayings.messages == [f"{lack}: it is evaluated by the reference backend"]
    expected = testing.predict(model, AtomGraph.from_arrays(np.array([8, 1, 1]), WATER[0]))
    forces = expected.forces.numpy()
    assert_allclose(evaluator.evaluate(WATER).forces, forces, atol=1e-12 * np.abs(forces).max())


def test_auto_on_another_device_is_tabulated(sayings):
    chosen = prepared_model.choose_backend("auto", random_schnet(), torch.device("cuda"))
    assert chosen.name == "tabulated"
    assert not sayings.messages


def test_native_on_another_device(monkeypatch):
    """`meta` stands for CUDA, which is not everywhere."""
    monkeypatch.setattr(prepared_model, "resolve_device", torch.device)
    with pytest.raises(ConfigError, match="for the CPU, not for meta: use device='cpu', or"):
        Evaluator(random_schnet(), [1], device="meta", backend="native")


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", None, 2**31, 2**32])
def test_threads_that_make_no_sense(threads):
    with pytest.raises(ConfigError, match="threads must be a whole number from 1 to 1024, not "):
        Evaluator(random_schnet(), [1], device="cpu", threads=threads)


@pytest.fixture
def tabulations(monkeypatch):
    """One entry for each time that filters were tabulated."""
    calls = []
    tabulate = filter_table.tabulate_filters
    monkeypatch.setattr(
        filter_table, "tabulate_filters", lambda *given: calls.append(1) or tabulate(*given)
    )
    return calls


def test_other_atoms_with_the_same_model(backend, tabulations):
    """Prepared once; the numbers are those of an evaluator made for these atoms."""
    model, solid = random_schnet(), crystal((4.9, 3.4, 3.4))
    first = Evaluator(model, [8, 1, 1], device="cpu", backend=backend)
    before = first.evaluate(WATER, properties=ALL)
    second = first.for_atoms(solid.atomic_numbers.numpy(), True)
    assert len(tabulations) == 1
    assert (second.backend, second.dtype, second.device) == (backend, "float64", first.device)
    assert second.table_error == first.table_error
    fresh = Evaluator(model, solid.atomic_numbers.numpy(), True, "cpu", backend=backend)
    arguments = solid.positions.numpy()[None], solid.cell.numpy(), ALL
    for name in ALL:
        actual, expected = (getattr(e.evaluate(*arguments), name) for e in (second, fresh))
        assert_array_equal(actual, expected)
    assert_array_equal(first.evaluate(WATER).forces, before.forces)
    with pytest.raises(StructureError, match="does not know Au"):
        first.for_atoms([79])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_callers_model_is_copied(backend, dtype):
    """It stays as it is, and what becomes of it changes nothing."""
    model = random_schnet().train()
    kept = copy.deepcopy(model.state_dict())
    evaluator = Evaluator(model, [8, 1, 1], device="cpu", dtype=dtype, backend=backend)
    before = evaluator.evaluate(WATER, properties=ALL)
    assert model.training
    assert all(p.requires_grad and p.dtype == torch.float64 for p in model.parameters())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, kept[name]), name
        tensor.zero_()
    after = evaluator.evaluate(WATER, properties=ALL)
    for name in ("energy", "forces", "virial", "atomic_energies"):
        assert_array_equal(getattr(after, name), getattr(before, name))
    assert before.forces.any()


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies(duplicate, backend, tabulations):
    """With the same settings and bits; a deep copy shares the model, a pickle carries it."""
    first = Evaluator(random_schnet(), [8, 1, 1], False, "cpu", "float32", backend, threads=2)
    before = first.evaluate(WATER)
    second = duplicate(first)
    assert len(tabulations) == (1 if duplicate is copy.deepcopy else 2)
    assert (second.backend, second.dtype, second.n_atoms) == (backend, "float32", 3)
    assert_array_equal(second.evaluate(WATER).forces, before.forces)
    del first
    assert_array_equal(second.evaluate(WATER).forces, before.forces)


@pytest.mark.parametrize("wanted", ["energy", "forces", "stress"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
def test_a_network_out_of_bounds(bad, wanted, backend):
    """An error in words whatever was asked for."""
    model, solid = random_schnet(), crystal((4.9, 3.4, 3.4))
    model.blocks[1].output.weight.data[3, 2] = bad
    evaluator = Evaluator(model, solid.atomic_numbers.numpy(), True, "cpu", "float32", backend)
    with pytest.raises(StructureError, match=r"not finite: the structure is far"):
        evaluator.evaluate(solid.positions.numpy()[None], solid.cell.numpy(), (wanted,))


@needs_kernel
def test_only_the_stress_is_out_of_bounds(monkeypatch):
    """The energy of a network may be a number where its derivative is none."""
    solid = crystal((4.9, 3.4, 3.4))
    evaluator = Evaluator(random_schnet(), solid.atomic_numbers.numpy(), True, "cpu")
    evaluate = NativeSchNet.evaluate

    def lose_the_virial(*given):
        answer = evaluate(*given)
        answer[0].virial[0, 2, 1] = np.nan
        return answer

    monkeypatch.setattr(NativeSchNet, "evaluate", lose_the_virial)
    with pytest.raises(StructureError, match="in virial that is not finite"):
        evaluator.evaluate(solid.positions.numpy()[None], solid.cell.numpy(), ("stress",))
