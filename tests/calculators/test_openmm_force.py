"""The force of OpenMM: units, subsets, boxes, saved systems, and OpenMM's own integrators."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

from calculators import MLPotentialCalculator
from calculators.openmm_force import openmm_force
from mlpotential import Evaluator
from mlpotential.errors import ConfigError, StructureError
from mlpotential.testing import tiny_schnet
from mlpotential.units import EV_PER_KJ_PER_MOL

NM, KJ_PER_MOL_PER_NM = 0.1, 10 / EV_PER_KJ_PER_MOL  # of A, of eV/A
WHY = "OpenMM is an extra: pip install 'mlpotential[openmm]'"


@pytest.fixture
def mm():
    return pytest.importorskip("openmm", reason=WHY)


@pytest.fixture
def make_context(mm):
    """Makes contexts of atoms in A, with the forces that are given."""

    def make(atoms, *forces, integrator=None, platform="Reference"):
        system = mm.System()
        for mass in atoms.get_masses():
            system.addParticle(mass)
        if atoms.pbc.any():
            system.setDefaultPeriodicBoxVectors(*(NM * atoms.cell.array))
        for force in forces:
            system.addForce(force)
        return context_of(mm, system, atoms, integrator, platform)

    return make


def context_of(mm, system, atoms, integrator=None, platform="Reference"):
    integrator = integrator or mm.VerletIntegrator(0.00025)
    context = mm.Context(system, integrator, mm.Platform.getPlatformByName(platform))
    context.setPositions(NM * atoms.positions)
    return context


def answers(context) -> tuple[float, np.ndarray]:
    """Energy (eV) and forces (eV/A)."""
    state = context.getState(getEnergy=True, getForces=True)
    energy = state.getPotentialEnergy()._value * EV_PER_KJ_PER_MOL
    return energy, np.array(state.getForces(asNumpy=True)._value) / KJ_PER_MOL_PER_NM


def check(context, expected, tolerance=1e-9):
    energy, forces = answers(context)
    assert energy == pytest.approx(expected.energy[0], rel=1e-12)
    largest = np.abs(expected.forces).max()
    np.testing.assert_allclose(forces[: len(expected.forces)], expected.forces,
                               atol=tolerance * largest)  # fmt: skip


@pytest.mark.parametrize(("platform", "tolerance"), [("Reference", 1e-9), ("CPU", 1e-4)])
def test_energy_and_forces(potential, ethanol, make_context, platform, tolerance):
    """The CPU platform rounds positions to float32."""
    expected = Evaluator(potential, ethanol.numbers).evaluate(ethanol.positions[None])
    force = openmm_force(potential, ethanol.numbers)
    assert not force.usesPeriodicBoundaryConditions()
    energy, forces = answers(make_context(ethanol, force, platform=platform))
    assert energy == pytest.approx(expected.energy[0], rel=1e-9)
    largest = np.abs(expected.forces).max()
    np.testing.assert_allclose(forces, expected.forces, atol=tolerance * largest)


def test_a_saved_system_has_the_model(mm, potential, ethanol, make_context):
    context = make_context(ethanol, openmm_force(potential, ethanol.numbers))
    text = mm.XmlSerializer.serialize(context.getSystem())
    again = context_of(mm, mm.XmlSerializer.deserialize(text), ethanol)
    expected = Evaluator(potential, ethanol.numbers).evaluate(ethanol.positions[None])
    check(again, expected)


def test_some_particles_of_a_system(potential, ethanol, make_context):
    """The others feel nothing of it, wherever they stand in the list."""
    order = np.array([9, 1, 4, 0, 10, 2, 3, 5, 8])  # of ethanol among 12 particles
    crowd = ethanol[np.zeros(12, int)]
    crowd.positions = np.random.default_rng(3).normal(scale=20.0, size=(12, 3))
    crowd.positions[order] = ethanol.positions
    force = openmm_force(potential, ethanol.numbers, particles=order)
    energy, forces = answers(make_context(crowd, force))
    expected = Evaluator(potential, ethanol.numbers).evaluate(ethanol.positions[None])
    assert energy == pytest.approx(expected.energy[0], rel=1e-12)
    np.testing.assert_allclose(forces[order], expected.forces, atol=1e-9)
    np.testing.assert_array_equal(forces[np.setdiff1d(np.arange(12), order)], 0)


def test_boxes(potential, diamond, make_context):
    """A box counts where it is asked to, and atoms may be in any image."""
    diamond.set_cell([[5.1, 0, 0], [1.2, 5.3, 0], [-0.8, 1.1, 5.5]], scale_atoms=True)
    expected = Evaluator(potential, diamond.numbers, True).evaluate(
        diamond.positions[None], diamond.cell.array[None]
    )
    force = openmm_force(potential, diamond.numbers, periodic=True)
    assert force.usesPeriodicBoundaryConditions()
    diamond.positions[3] += diamond.cell[1] - 2 * diamond.cell[0]
    check(make_context(diamond, force), expected)


def test_energy_is_conserved(mm, potential, ethanol, make_context):
    context = make_context(ethanol, openmm_force(potential, ethanol.numbers))
    context.setVelocitiesToTemperature(300, 4711)
    totals, kinetic = [], []
    for _ in range(40):
        context.getIntegrator().step(2)
        state = context.getState(getEnergy=True)
        kinetic.append(state.getKineticEnergy()._value)
        totals.append(kinetic[-1] + state.getPotentialEnergy()._value)
    assert np.ptp(totals) < 0.02 * np.ptp(kinetic)


def test_ring_polymers_of_openmm(mm, potential, ethanol, make_context):
    """Its RPMD integrator asks for one copy after another."""
    integrator = mm.RPMDIntegrator(4, 300, 1.0, 0.00025)
    context = make_context(ethanol, openmm_force(potential, ethanol.numbers), integrator=integrator)
    for copy in range(4):
        integrator.setPositions(copy, NM * ethanol.positions)
    integrator.step(5)
    evaluator = Evaluator(potential, ethanol.numbers)
    for copy in range(4):
        state = integrator.getState(copy, getPositions=True, getForces=True, getEnergy=True)
        positions = np.array(state.getPositions(asNumpy=True)._value) / NM
        expected = evaluator.evaluate(positions[None])
        energy = state.getPotentialEnergy()._value * EV_PER_KJ_PER_MOL
        assert energy == pytest.approx(expected.energy[0], rel=1e-9)
    assert context.getTime()._value == pytest.approx(5 * 0.00025)


def test_pressure_of_openmm(mm, potential, diamond, make_context):
    """Its barostat asks for energies of boxes that it changes."""
    diamond.set_cell([5.2, 5.2, 5.2], scale_atoms=True)
    force = openmm_force(potential, diamond.numbers, periodic=True)
    barostat = mm.MonteCarloBarostat(1.0, 300, 1)
    context = make_context(
        diamond, force, barostat, integrator=mm.LangevinMiddleIntegrator(300, 1.0, 0.00025)
    )
    context.getIntegrator().step(5)
    state = context.getState(getPositions=True, getEnergy=True)
    box = np.array(state.getPeriodicBoxVectors(asNumpy=True)._value) / NM
    positions = np.array(state.getPositions(asNumpy=True)._value) / NM
    expected = Evaluator(potential, diamond.numbers, True).evaluate(positions[None], box[None])
    energy = state.getPotentialEnergy()._value * EV_PER_KJ_PER_MOL
    assert energy == pytest.approx(expected.energy[0], rel=1e-9)


def test_mistakes_are_told(mm, potential, ethanol, make_context):
    for particles, message in (
        ([0, 1], "2 particles were given for 9 atomic numbers"),
        ([0] * 9, "different indices"),
        ([-1, *range(8)], "counted from 0"),
    ):
        with pytest.raises(StructureError, match=message):
            openmm_force(potential, ethanol.numbers, particles=particles)
    without_cutoff = tiny_schnet(cutoff_function="none", cutoff=None)
    with pytest.raises(StructureError, match="cutoff"):
        openmm_force(without_cutoff, ethanol.numbers, periodic=True)
    force = openmm_force(potential, ethanol.numbers[:-1])
    with pytest.raises(mm.OpenMMException, match="is of 8 atoms, but the system has 9 particles"):
        answers(make_context(ethanol, force))


def test_without_openmm(potential, ethanol, monkeypatch):
    monkeypatch.setitem(sys.modules, "openmm", None)
    with pytest.raises(ConfigError, match=r"not installed: pip install 'mlpotential\[openmm\]'"):
        openmm_force(potential, ethanol.numbers)
    old = types.ModuleType("openmm")
    old.Platform = types.SimpleNamespace(getOpenMMVersion=lambda: "8.1")
    monkeypatch.setitem(sys.modules, "openmm", old)
    with pytest.raises(ConfigError, match=r"OpenMM 8.1 has no PythonForce, which came with 8.6"):
        openmm_force(potential, ethanol.numbers)


def test_openmm_ml_takes_the_calculator(mm, model_path, potential, ethanol):
    """Its potential `ase`, whole and of a part of a system."""
    openmmml = pytest.importorskip("openmmml", reason="openmm-ml: pip install openmmml")
    from openmm import app

    topology = app.Topology()
    residue = topology.addResidue("ETH", topology.addChain())
    for symbol in ethanol.symbols:
        topology.addAtom(symbol, app.Element.getBySymbol(symbol), residue)
    calculator = MLPotentialCalculator(model_path, device="cpu")
    system = openmmml.MLPotential("ase").createSystem(topology, calculator=calculator)
    expected = Evaluator(model_path, ethanol.numbers).evaluate(ethanol.positions[None])
    energy, forces = answers(context_of(mm, system, ethanol))
    assert energy == pytest.approx(expected.energy[0], rel=1e-7)
    np.testing.assert_allclose(forces, expected.forces, atol=1e-7 * np.abs(expected.forces).max())
