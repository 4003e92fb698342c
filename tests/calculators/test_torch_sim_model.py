"""The model of torch-sim: batches of replicas and of mixed structures, its checks and its MD."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest
import torch
from ase.build import molecule

from mlpotential import Evaluator
from mlpotential.errors import ConfigError
from mlpotential.testing import tiny_schnet

WHY = "torch-sim is an extra: pip install 'mlpotential[torch-sim]'"
CPU = torch.device("cpu")


@pytest.fixture
def ts():
    return pytest.importorskip("torch_sim", reason=WHY)


@pytest.fixture
def make_model(ts):
    from calculators.torch_sim_model import TorchSimModel

    def make(potential, **options):
        return TorchSimModel(potential, device="cpu", **options)

    return make


def state_of(ts, structures, dtype=torch.float64):
    return ts.initialize_state(structures, CPU, dtype)


def check(found, expected, rtol=1e-10):
    np.testing.assert_allclose(found["energy"].numpy(), expected.energy, rtol=rtol)
    largest = np.abs(expected.forces).max()
    np.testing.assert_allclose(found["forces"].numpy(), expected.forces, atol=rtol * largest)


def test_replicas(ts, potential, ethanol, make_model):
    """One evaluator serves them all, and is kept as long as atoms are the same."""
    copies = [ethanol.copy() for _ in range(3)]
    for k, atoms in enumerate(copies):
        atoms.rattle(0.05, seed=10 + k)
    model = make_model(potential)
    found = model(state_of(ts, copies))
    positions = np.stack([atoms.positions for atoms in copies])
    check(found, Evaluator(potential, ethanol.numbers).evaluate(positions))
    assert found["stress"].shape == (3, 3, 3)
    assert not found["stress"].any()  # of molecules, which have no volume
    kept = model._evaluator
    model(state_of(ts, copies[:1]))
    assert model._evaluator is kept
    assert model.dtype == torch.float64
    assert model.device == CPU


def test_mixed_molecules(ts, potential, ethanol, make_model):
    others = [ethanol, molecule("H2O"), molecule("CH4"), molecule("CO2")]
    found = make_model(potential, compute_stress=False)(state_of(ts, others))
    assert found.keys() == {"energy", "forces"}
    start = 0
    for k, atoms in enumerate(others):
        expected = Evaluator(potential, atoms.numbers).evaluate(atoms.positions[None])
        stop = start + len(atoms)
        check({"energy": found["energy"][k : k + 1], "forces": found["forces"][start:stop]},
              expected)  # fmt: skip
        start = stop


@pytest.mark.parametrize("are_replicas", [True, False])
def test_crystals_have_a_stress(ts, potential, diamond, make_model, are_replicas):
    """In skewed cells, whose vectors are columns there."""
    other = diamond.copy() if are_replicas else diamond[:6]
    other.set_cell(1.02 * other.cell.array + 0.1 * np.eye(3, k=-1), scale_atoms=True)
    found = make_model(potential)(state_of(ts, [diamond, other]))
    assert found["energy"].shape == (2,)
    start = 0
    for k, atoms in enumerate((diamond, other)):
        expected = Evaluator(potential, atoms.numbers, True).evaluate(
            atoms.positions[None], atoms.cell.array[None], ("energy", "forces", "stress")
        )
        stop = start + len(atoms)
        check({"energy": found["energy"][k : k + 1], "forces": found["forces"][start:stop]},
              expected)  # fmt: skip
        largest = np.abs(expected.stress).max()
        np.testing.assert_allclose(
            found["stress"][k].numpy(), expected.stress[0], atol=1e-9 * largest
        )
        start = stop


def test_its_own_checks_pass(ts, make_model):
    from torch_sim.models.interface import validate_model_outputs

    model = tiny_schnet()
    references = {1: -13.6, 6: -1030.0, 12: -5400.0, 14: -7800.0, 26: -34000.0}
    model.elements = tuple(references)
    model.scale.set(-1.5, 0.3, references)
    validate_model_outputs(make_model(model), CPU, torch.float64)


def nve(ts):
    """The integrator, by the names of torch-sim 0.3 and later."""
    if hasattr(ts, "Integrator"):
        return ts.Integrator.nve
    return ts.integrators.nve


def test_energy_is_conserved(ts, potential, ethanol, make_model):
    model, totals, kinetic = make_model(potential), [], []

    def noted(state):
        kinetic.append(float(ts.calc_kinetic_energy(masses=state.masses, momenta=state.momenta)))
        totals.append(kinetic[-1] + float(state.energy))

    state = state_of(ts, [ethanol])
    for _ in range(20):
        state = ts.integrate(state, model, integrator=nve(ts), n_steps=3, temperature=300.0,
                             timestep=0.00025)  # fmt: skip
        noted(state)
    assert np.ptp(totals) < 0.02 * np.ptp(kinetic)


def test_dtypes(ts, potential, ethanol, make_model):
    found = make_model(potential, dtype=torch.float32)(state_of(ts, [ethanol], torch.float32))
    assert {values.dtype for values in found.values()} == {torch.float32}
    expected = Evaluator(potential, ethanol.numbers).evaluate(ethanol.positions[None])
    check(found, expected, rtol=1e-4)
    with pytest.raises(ConfigError, match="dtype of states is .*not torch.float16"):
        make_model(potential, dtype=torch.float16)


def test_without_torch_sim(monkeypatch):
    monkeypatch.delitem(sys.modules, "calculators.torch_sim_model", raising=False)
    for name in ("torch_sim", "torch_sim.models", "torch_sim.models.interface"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'mlpotential\[torch-sim\]'"):
        importlib.import_module("calculators.torch_sim_model")
