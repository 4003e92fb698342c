"""One potential for every kind of run: a model now, any calculator later."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from numpy.testing import assert_allclose, assert_array_equal

from md_runs.classical import ClassicalRun, run_classical
from md_runs.force_provider import CalculatorForces, ModelForces
from md_runs.pimd import PimdRun, run_pimd, run_ring_polymer_segments
from md_runs.trajectories.frames_file import read_trajectory
from mlpotential.errors import ConfigError, RunError
from mlpotential.inference.execution import Execution

EMT = CalculatorForces("ase.calculators.emt:EMT", {"asap_cutoff": True})
SETTINGS = PimdRun(n_steps=4, n_beads=2, stride=2, properties_stride=2, record_forces=True)


@pytest.mark.parametrize("name", ["calculator", pytest.param("model", marks=pytest.mark.slow)])
def test_the_same_forces_classical_and_as_beads(tmp_path, request, name):
    """Energies and forces of both runs are those of the provider's own calculator."""
    if name == "model":
        atoms = request.getfixturevalue("diamond")
        forces = ModelForces(request.getfixturevalue("model_path"))
    else:
        atoms, forces = bulk("Cu") * (2, 2, 1), EMT
    beads = run_pimd(atoms, forces, SETTINGS, tmp_path / "beads").trajectory
    atoms.calc = forces.calculator()
    classical = run_classical(atoms, ClassicalRun(n_steps=4, stride=2), tmp_path / "classical")
    for trajectory, frame in ((beads, 1), (read_trajectory(classical.trajectory_file), 2)):
        moved = atoms.copy()
        moved.calc = forces.calculator()
        moved.cell = trajectory.cells[frame]
        moved.positions = trajectory.positions[frame, 0]
        assert_allclose(trajectory.energies[frame, 0], moved.get_potential_energy(), rtol=1e-6)
        assert_allclose(trajectory.forces[frame, 0], moved.get_forces(), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_ring_polymer_segments_of_a_calculator(tmp_path):
    settings = replace(SETTINGS, dynamics="trpmd", segment_ps=0.002, start_spacing_ps=0.001)
    result = run_ring_polymer_segments(bulk("Cu") * (2, 2, 1), EMT, settings, tmp_path)
    assert result.trajectories[0].dynamics == "TRPMD"


@pytest.mark.slow
def test_another_calculator_does_not_go_on(tmp_path):
    atoms = bulk("Cu") * (2, 2, 1)
    first = run_pimd(atoms, EMT, SETTINGS, tmp_path)
    again = run_pimd(atoms, EMT, SETTINGS, tmp_path)
    assert_array_equal(np.asarray(again.trajectory.positions), first.trajectory.positions)
    other = CalculatorForces("ase.calculators.lj:LennardJones", {"rc": 4.0})
    with pytest.raises(RunError, match="calculator was .*EMT.* and is now .*LennardJones"):
        run_pimd(atoms, other, SETTINGS, tmp_path)
    with pytest.raises(ConfigError, match="give it to the force provider"):
        run_pimd(atoms, EMT, SETTINGS, tmp_path, execution=Execution(dtype="float32"))
