"""Committees: means and standard deviations of single models, and models that make none."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from random_models import ALL, INSTRUCTION_SETS, crystal, molecule, random_schnet

from mlpotential.errors import ConfigError, ExtrapolationWarning, ModelFileError
from mlpotential.graph import AtomGraph, collate
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import LoadedModel, ModelRecord, save_model

BACKENDS = [*(["native"] if INSTRUCTION_SETS else []), "tabulated", "reference"]
SPREADS = ("energy_std", "forces_std")


@pytest.fixture(scope="module")
def models():
    return [random_schnet(seed=seed, n_features=16 + 8 * seed) for seed in range(3)]


def single_answers(models, graph, backend="reference"):
    numbers = graph.atomic_numbers.numpy()
    evaluators = [Evaluator(m, numbers[:1], device="cpu", backend=backend) for m in models]
    return [evaluator.evaluate_graph(graph, ALL) for evaluator in evaluators]


@pytest.mark.parametrize("backend", BACKENDS)
def test_mean_and_spread_of_single_models(models, backend):
    """Of a molecule and a crystal together, every property; the sample standard deviation."""
    graph = collate([molecule(9), crystal((3.3, 2.7, 2.9), skew=0.2)])
    committee = Evaluator(models, [6], device="cpu", backend=backend)
    answer = committee.evaluate_graph(graph, (*ALL, *SPREADS, "members"))
    singles = single_answers(models, graph, backend)
    for name in ALL:
        values = np.stack([getattr(single, name) for single in singles])
        mean = values.mean(axis=0)
        rounding = 1e-12 * np.nanmax(np.abs(mean))  # a molecule has no stress
        assert_allclose(getattr(answer, name), mean, rtol=0, atol=rounding)
    energies = np.stack([single.energy for single in singles])
    variance = ((energies - energies.mean(axis=0)) ** 2).sum(axis=0) / (len(models) - 1)
    assert_allclose(answer.energy_std, np.sqrt(variance), rtol=1e-11)  # of much larger energies
    forces = np.stack([single.forces for single in singles])
    variance = ((forces - forces.mean(axis=0)) ** 2).sum(axis=0) / (len(models) - 1)
    assert_allclose(answer.forces_std, np.sqrt(variance), rtol=0, atol=1e-12 * np.abs(forces).max())
    assert answer.forces_std.shape == (graph.n_atoms, 3)
    for member, single in zip(answer.members, singles, strict=True):
        largest = np.abs(single.virial).max()
        assert_allclose(member.virial, single.virial, rtol=0, atol=1e-12 * largest)


@pytest.mark.parametrize("backend", BACKENDS)
def test_replicas(models, backend):
    """A batch gives each replica what it has alone, bit for bit."""
    atoms = molecule(9)
    rng = np.random.default_rng(0)
    positions = atoms.positions.numpy() + rng.normal(scale=0.05, size=(4, 9, 3))
    committee = Evaluator(models, atoms.atomic_numbers.numpy(), device="cpu", backend=backend)
    wanted = ("energy", "forces", *SPREADS)
    batch = committee.evaluate(positions, properties=wanted)
    alone = [committee.evaluate(p[None], properties=wanted) for p in positions]
    tolerance = 0.0 if backend == "native" else 1e-11  # spreads of energies of 7,000 eV
    for name in wanted:
        expected = np.concatenate([getattr(a, name) for a in alone])
        assert_allclose(getattr(batch, name), expected, rtol=tolerance, atol=tolerance)


def test_order_does_not_matter(models):
    atoms = molecule(9)
    wanted = ("energy", "forces", *SPREADS)
    answers = [
        Evaluator(order, atoms.atomic_numbers.numpy(), device="cpu").evaluate(
            atoms.positions.numpy()[None], properties=wanted
        )
        for order in (models, models[::-1])
    ]
    for name in wanted:
        one, other = (getattr(answer, name) for answer in answers)
        assert_allclose(one, other, rtol=1e-11, atol=1e-12)  # spreads of energies of 7,000 eV


def test_only_what_was_asked_for(models):
    atoms = molecule(4)
    committee = Evaluator(models, atoms.atomic_numbers.numpy(), device="cpu")
    answer = committee.evaluate(atoms.positions.numpy()[None], properties=("forces_std",))
    assert answer.forces is answer.energy_std is answer.members is None
    assert answer.energy.shape == (1,)
    assert answer.forces_std.shape == (4, 3)


def test_forces_are_the_derivative_of_the_mean_energy(models):
    atoms = molecule(5)
    committee = Evaluator(models, atoms.atomic_numbers.numpy(), device="cpu", dtype="float64")
    positions = atoms.positions.numpy()
    forces = committee.evaluate(positions[None]).forces
    step = np.zeros_like(positions)
    step[2, 1] = 1e-4
    high, low = committee.evaluate(np.stack([positions + step, positions - step])).energy
    assert forces[2, 1] == pytest.approx(-(high - low) / 2e-4, rel=1e-5)


def test_hessian_is_the_mean(models):
    atoms = molecule(3)
    numbers, positions = atoms.atomic_numbers.numpy(), atoms.positions.numpy()
    single = [Evaluator(m, numbers, device="cpu").hessian(positions) for m in models]
    committee = Evaluator(models, numbers, device="cpu").hessian(positions)
    assert_allclose(committee, np.mean(single, axis=0), rtol=1e-12, atol=1e-12)


def test_what_a_committee_says_of_itself(models):
    hard = random_schnet("hard", seed=1)
    committee = Evaluator([models[0], hard], [6], device="cpu", backend="tabulated")
    assert committee.n_members == 2
    assert not committee.traits.smooth_at_cutoff
    assert committee.traits.periodic
    assert committee.backend == "tabulated"
    errors = [Evaluator(m, [6], device="cpu").table_error for m in (models[0], hard)]
    assert committee.table_error.filters == max(e.filters for e in errors)
    assert Evaluator(models, [6], device="cpu", backend="reference").table_error is None


def test_copies(models):
    atoms = molecule(4)
    committee = Evaluator(models, atoms.atomic_numbers.numpy(), device="cpu")
    positions = atoms.positions.numpy()[None]
    expected = committee.evaluate(positions, properties=SPREADS)
    for twin in (copy.deepcopy(committee), pickle.loads(pickle.dumps(committee))):
        found = twin.evaluate(positions, properties=SPREADS)
        assert_allclose(found.forces_std, expected.forces_std, rtol=0, atol=0)


@pytest.fixture
def files(potential, ethanol, tmp_path):
    """Three model files of one architecture, `run_*/model.safetensors`."""
    anything = {"lowest": [-1e3] * 8, "highest": [1e3] * 8}
    pairs = ("C-C", "C-H", "C-O", "H-H", "H-O", "O-O")
    record = ModelRecord("", {}, {}, dict.fromkeys(pairs, 0.01), dict.fromkeys("HCO", anything))
    for number in range(3):
        torch.manual_seed(number)
        member = copy.deepcopy(potential)
        for parameter in member.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        path = tmp_path / f"run_{number}" / "model.safetensors"
        path.parent.mkdir()
        save_model(path, member, AtomGraph.from_atoms(ethanol), record)
    return [tmp_path / f"run_{number}" / "model.safetensors" for number in range(3)]


def test_list_and_pattern_of_files(files, ethanol, tmp_path):
    positions, wanted = ethanol.positions[None], ("energy", *SPREADS)
    sources = ([str(f) for f in files], files[::-1], str(tmp_path / "run_*" / "model.safetensors"))
    answers = [
        Evaluator(source, ethanol.numbers, device="cpu").evaluate(positions, properties=wanted)
        for source in sources
    ]
    assert answers[0].energy_std[0] > 0.0
    for answer in answers[1:]:
        assert_allclose(answer.energy, answers[0].energy, rtol=1e-13)
        assert_allclose(answer.energy_std, answers[0].energy_std, rtol=1e-9)  # 0.1 eV of 4,000


def test_a_file_whose_name_looks_like_a_pattern(files, ethanol):
    path = files[0].with_name("model[1].safetensors")
    files[0].rename(path)
    assert Evaluator(str(path), ethanol.numbers, device="cpu").n_members == 1


def test_no_committee(files, ethanol, potential, tmp_path):
    for too_few in ([], [potential], str(tmp_path / "run_1*" / "*.safetensors")):
        with pytest.raises(ConfigError, match="a committee has at least two models, not [01]"):
            Evaluator(too_few, ethanol.numbers, device="cpu")
    with pytest.raises(ModelFileError, match="no model file matches '.*nothing"):
        Evaluator(str(tmp_path / "nothing*"), ethanol.numbers, device="cpu")
    with pytest.raises(ConfigError, match="one model by itself has no energy_std, members"):
        Evaluator(potential, ethanol.numbers, device="cpu").evaluate(
            ethanol.positions[None], properties=("energy_std", "members")
        )


def test_members_that_do_not_fit(models):
    without = random_schnet("none", seed=1)
    fewer = copy.deepcopy(models[1])
    fewer.elements = (1, 6)
    single = copy.deepcopy(models[1]).float()
    for other, words in (
        (without, r"same cutoff \(A\), but that of model 0 is 5.0 and that of model 1 None"),
        (fewer, r"same elements, but that of model 0 is \[1, 6, 8, 29\] and .* \[1, 6\]"),
        (single, "same dtype, but that of model 0 is torch.float64"),
    ):
        with pytest.raises(ConfigError, match=words):
            Evaluator([models[0], other], [6], device="cpu")
    Evaluator([models[0], single], [6], device="cpu", dtype="float32")  # said what it shall be


def test_extra_networks(models, ethanol):
    """Means of equal names; a member without is refused."""
    loaded = [
        LoadedModel(m, ModelRecord(), AtomGraph.from_atoms(ethanol), "", {"other": extra})
        for m, extra in zip(models, models[::-1], strict=True)
    ]
    committee = Evaluator(loaded, ethanol.numbers, device="cpu", dtype="float64", guard="off")
    answer = committee.evaluate(ethanol.positions[None], properties=("energy", "extra_energies"))
    assert_allclose(answer.extra_energies["other"], answer.energy, rtol=1e-12)
    with pytest.raises(ConfigError, match="same extra networks"):
        Evaluator([*loaded[:2], models[2]], ethanol.numbers, device="cpu", guard="off")


def test_the_guard_hears_every_member(models):
    """The limit of the strictest counts, and each structure once."""
    numbers, positions = [6, 1], np.array([[[0.0, 0, 0], [1.05, 0, 0]]])
    golden = AtomGraph.from_arrays(np.array(numbers), positions[0])
    members = [
        LoadedModel(m, ModelRecord(shortest_distances={"C-H": d}), golden, "")
        for m, d in zip(models, (1.0, 1.2, 1.1), strict=True)
    ]
    evaluator = Evaluator(members, numbers, device="cpu")
    with pytest.warns(ExtrapolationWarning, match=r"0.150 A less than any C-H \(1.200 A\)"):
        evaluator.evaluate(positions)
    assert (evaluator.guard.report.n_evaluated, evaluator.guard.report.n_outside) == (1, 1)
    inside = [replace(m, record=ModelRecord(shortest_distances={"C-H": 1.0})) for m in members]
    Evaluator(inside, numbers, device="cpu").evaluate(positions)
