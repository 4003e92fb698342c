"""Committees and the guard in the terms of ASE and i-PI; a real i-PI reads our members."""

import copy
import json
import pickle
import socket
import threading
import warnings
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.testing import assert_allclose

from calculators import MLPotentialCalculator
from calculators.ipi_client import main
from calculators.ipi_driver import MLPotentialDriver
from calculators.ipi_units import BOHR_PER_ANGSTROM, HARTREE_PER_EV
from md_runs.pimd.ipi_process import ipi_process
from mlpotential.errors import ConfigError, ExtrapolationError, ExtrapolationWarning
from mlpotential.graph import AtomGraph
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import ModelRecord, save_model

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from ipi.engine.forcefields import FFCommittee
    from ipi.interfaces.utils import parse_extra

WATER = Atoms("OHH", positions=[[0.0, 0.1, 0.2], [0.9, 0.2, -0.3], [-0.4, 0.8, 0.5]])
ANYTHING = {"lowest": [-1e3] * 8, "highest": [1e3] * 8}
N_MEMBERS, N_BEADS = 3, 2


@pytest.fixture
def pattern(potential, ethanol, tmp_path):
    """Three models of O and H that never saw O-H shorter than 0.8 A; a pattern of their files."""
    record = ModelRecord(
        shortest_distances={"H-O": 0.8, "H-H": 0.5, "C-H": 0.01, "C-C": 0.01, "C-O": 0.01},
        feature_ranges=dict.fromkeys("HCO", ANYTHING),
    )
    for number in range(N_MEMBERS):
        torch.manual_seed(number)
        member = copy.deepcopy(potential)
        for parameter in member.parameters():
            parameter.data += 0.05 * torch.randn_like(parameter)
        save_model(
            tmp_path / f"member_{number}.safetensors", member, AtomGraph.from_atoms(ethanol), record
        )
    return str(tmp_path / "member_*.safetensors")


@pytest.fixture
def structure(tmp_path):
    ase.io.write(tmp_path / "water.xyz", WATER)
    return str(tmp_path / "water.xyz")


def of_members(pattern, positions):
    evaluator = Evaluator(pattern, WATER.numbers, device="cpu")
    wanted = ("energy", "forces", "virial", "energy_std", "forces_std", "members")
    return evaluator.evaluate(np.asarray(positions), properties=wanted)


def test_results_in_ase(pattern):
    atoms = WATER.copy()
    atoms.calc = MLPotentialCalculator(pattern, "cpu")
    expected = of_members(pattern, atoms.positions[None])
    assert atoms.get_potential_energy() == pytest.approx(expected.energy[0], rel=1e-13)
    rounding = 1e-12 * np.abs(expected.forces).max()
    assert_allclose(atoms.get_forces(), expected.forces, atol=rounding)
    std = expected.energy_std[0]  # 0.01 eV between energies of 2,000 eV
    assert atoms.calc.results["energy_std"] == pytest.approx(std, rel=1e-8)
    assert_allclose(atoms.calc.results["forces_std"], expected.forces_std, atol=rounding)
    assert atoms.calc.traits.smooth_at_cutoff
    single = MLPotentialCalculator(pattern.replace("*", "1"), "cpu")
    single.get_forces(WATER)
    assert "energy_std" not in single.results


def test_results_can_be_frozen(pattern, tmp_path):
    """As everybody keeps them; what ASE has no name for is left out there, and found by its own."""
    calculator = MLPotentialCalculator(pattern, "cpu")
    atoms = WATER.copy()
    atoms.calc = calculator
    forces = atoms.get_forces()
    batch = calculator.calculate_batch([WATER])
    for kept in (calculator.results, copy.deepcopy(calculator).results, *batch):
        frozen = SinglePointCalculator(atoms, **kept)
        assert_allclose(frozen.get_forces(atoms), forces, atol=1e-12 * np.abs(forces).max())
        assert {"energy_std", "forces_std"}.isdisjoint(kept.keys())
        assert "forces_std" in kept
        assert kept["forces_std"].shape == (3, 3)
        assert kept.get("energy_std") == kept.extra["energy_std"] > 0.0
        assert kept.get("energy_of_another") is None
    again = pickle.loads(pickle.dumps(calculator.results))
    assert (dict(again).keys(), again.extra.keys()) == (kept.keys(), kept.extra.keys())


def test_no_committee_in_ase(potential):
    with pytest.raises(ConfigError, match="at least two models"):
        MLPotentialCalculator([potential])


def test_guard_of_the_calculator(pattern):
    calculator = MLPotentialCalculator(pattern, "cpu")
    assert calculator.guard is None
    near = WATER.copy()
    near.set_distance(0, 1, 0.7, fix=0)
    with pytest.warns(ExtrapolationWarning, match=r"0 \(O\) and 1 \(H\) are 0.700 A apart"):
        calculator.get_forces(near)
    calculator.get_forces(near[:2])
    assert calculator.guard.report.n_outside == 2
    stopping = MLPotentialCalculator(pattern, "cpu", guard="stop")
    stopping.get_forces(WATER)
    with pytest.raises(ExtrapolationError, match="0.100 A less than any O-H"):
        stopping.get_forces(near)
    assert stopping.results == {}


def test_extras_of_the_driver(pattern, structure):
    """In atomic units, of each replica; without the members of a single model."""
    driver = MLPotentialDriver(pattern, structure, device="cpu")
    positions = np.stack([WATER.positions, 1.1 * WATER.positions])
    expected = of_members(pattern, positions)
    answers = driver.compute([np.eye(3)] * 2, [BOHR_PER_ANGSTROM * p for p in positions])
    per_force = HARTREE_PER_EV / BOHR_PER_ANGSTROM
    for k, (potential, forces, virial, text) in enumerate(answers):
        extras = json.loads(text)
        assert np.mean(extras["committee_pot"]) == pytest.approx(potential, rel=1e-13)
        assert_allclose(np.mean(extras["committee_force"], 0), forces.ravel(), rtol=1e-9)
        assert_allclose(np.mean(extras["committee_virial"], 0), virial.ravel(), rtol=1e-9)
        for m, member in enumerate(expected.members):
            of_replica = member.forces.reshape(2, -1)[k]
            assert_allclose(extras["committee_force"][m], per_force * of_replica, rtol=1e-6)
        assert extras["energy_std_eV"] == pytest.approx(expected.energy_std[k], rel=1e-6)
        std = expected.forces_std.reshape(2, -1)[k]
        assert_allclose(extras["forces_std_eV_per_angstrom"], std, rtol=1e-6)
    single = MLPotentialDriver(pattern.replace("*", "0"), structure, device="cpu")
    assert "committee_pot" not in json.loads(
        single.compute(np.eye(3), BOHR_PER_ANGSTROM * positions[0])[3]
    )


def test_members_as_ffcommittee_takes_them_apart(pattern, structure):
    """i-PI's own code, fed with what our driver gives."""
    driver = MLPotentialDriver(pattern, structure, device="cpu")
    positions = BOHR_PER_ANGSTROM * WATER.positions
    answer = list(driver.compute(np.eye(3), positions))
    answer[3] = parse_extra(answer[3])
    field = SimpleNamespace(release=lambda request: None)
    committee = FFCommittee(name="committee", fflist=[field], parse_json=True)
    request = {"pos": positions.ravel(), "ff_handles": [{"result": answer, "status": "Done"}]}
    committee.gather(request)
    potential, forces, virial, extras = request["result"]
    assert potential == pytest.approx(answer[0], rel=1e-13)
    assert_allclose(forces, answer[1].ravel(), rtol=1e-9)
    assert_allclose(virial, answer[2], rtol=1e-9)
    assert extras["committee_force"].shape == (N_MEMBERS, 9)
    assert extras["committee_virial"].shape == (N_MEMBERS, 9)
    std = extras["committee_uncertainty"] / HARTREE_PER_EV
    assert std == pytest.approx(extras["committee_energy_std_eV"][0], rel=1e-9)


def committee_input(port):
    """Over TCP: i-PI gives `sockets_prefix` only to force fields that stand by themselves."""
    numbers = ", ".join(repr(x) for x in (BOHR_PER_ANGSTROM * WATER.positions).ravel().tolist())
    kinds = ("pot", "force", "virial", "uncertainty")
    wanted = "".join(
        f"<trajectory filename='{kind}' stride='1' extra_type='committee_{kind}'> extras "
        "</trajectory>"
        for kind in kinds
    )
    return f"""<simulation verbosity='quiet' safe_stride='1000000'>
  <output prefix='sim'>
    <properties filename='out' stride='1'> [step, potential] </properties>
    <trajectory filename='x' stride='1' format='xyz'> positions{{angstrom}} </trajectory> {wanted}
  </output>
  <total_steps>3</total_steps> <prng> <seed>7</seed> </prng>
  <ffcommittee name='all'> <parse_json>True</parse_json>
    <ffsocket name='members' mode='inet' pbc='False'> <address>127.0.0.1</address>
      <port>{port}</port> <timeout>30</timeout> </ffsocket>
  </ffcommittee>
  <system>
    <beads natoms='3' nbeads='{N_BEADS}'>
      <q shape='({N_BEADS}, 9)'> [{", ".join([numbers] * N_BEADS)}] </q>
      <m shape='(3)'> [29156, 1837, 1837] </m> <names shape='(3)'> [O, H, H] </names>
    </beads>
    <cell shape='(3, 3)'> [40, 0, 0, 0, 40, 0, 0, 0, 40] </cell>
    <initialize nbeads='{N_BEADS}'> <velocities mode='thermal' units='kelvin'> 300 </velocities>
    </initialize>
    <forces> <force forcefield='all'/> </forces>
    <motion mode='dynamics'> <dynamics mode='nve'>
      <timestep units='femtosecond'> 0.25 </timestep> </dynamics> </motion>
    <ensemble> <temperature units='kelvin'> 300 </temperature> </ensemble>
  </system>
</simulation>"""


def numbers_in(path):
    return np.loadtxt(path, comments="#", ndmin=2)


@pytest.mark.slow
def test_real_ffcommittee(pattern, structure, tmp_path):
    """Two beads, three steps: potential, members and uncertainty are those of the evaluator."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "input.xml").write_text(committee_input(port))
    codes = []
    options = ["--model", pattern, "--structure", structure, "--device", "cpu"]
    options += ["--port", str(port), "--wait", "60"]
    client = threading.Thread(target=lambda: codes.append(main(options)), daemon=True)
    with ipi_process("input.xml", tmp_path) as process:
        client.start()
        assert process.wait(60) == 0, (tmp_path / "i-pi.log").read_text()
    client.join(30.0)
    assert codes == [0]
    potentials = numbers_in(tmp_path / "sim.out")[:, 1]
    assert len(potentials) == 4
    means = []
    for bead in range(N_BEADS):
        frames = ase.io.read(tmp_path / f"sim.x_{bead}.xyz", index=":", format="xyz")
        expected = of_members(pattern, [frame.positions for frame in frames])
        pots = numbers_in(tmp_path / f"sim.pot_{bead}")
        energies = np.stack([member.energy for member in expected.members], axis=1)
        assert_allclose(pots / HARTREE_PER_EV, energies, rtol=1e-6)
        spread = numbers_in(tmp_path / f"sim.uncertainty_{bead}").ravel() / HARTREE_PER_EV
        assert_allclose(spread, expected.energy_std, rtol=1e-3)
        assert spread.min() > 1e-3
        forces = numbers_in(tmp_path / f"sim.force_{bead}").reshape(4, N_MEMBERS, 9)
        of_member = np.stack([m.forces.reshape(4, 9) for m in expected.members], axis=1)
        unit = HARTREE_PER_EV / BOHR_PER_ANGSTROM
        assert_allclose(forces, unit * of_member, atol=2e-4 * np.abs(forces).max())
        means.append(pots.mean(axis=1))
    assert_allclose(potentials, np.mean(means, axis=0), rtol=1e-7)
