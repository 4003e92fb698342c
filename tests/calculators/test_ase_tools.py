"""The calculator inside ASE's tools, compared with other ways to the same numbers."""

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.socketio import SocketIOCalculator
from ase.eos import EquationOfState
from ase.filters import ExpCellFilter, FrechetCellFilter, StrainFilter, UnitCellFilter
from ase.io import Trajectory, write
from ase.md import thermalize_momenta
from ase.md.andersen import Andersen
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.langevinbaoab import LangevinBAOAB
from ase.md.melchionna import MelchionnaNPT
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.nptberendsen import Inhomogeneous_NPTBerendsen, NPTBerendsen
from ase.md.nvtberendsen import NVTBerendsen
from ase.md.verlet import VelocityVerlet
from ase.mep import NEB
from ase.optimize import BFGS, FIRE, LBFGS, BFGSLineSearch
from ase.phonons import Phonons
from numpy.testing import assert_allclose

from calculators import MLPotentialCalculator
from calculators.ipi_client import main
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.model_file import load_model

MODEL = Path(__file__).parent.parent / "ase_suite" / "emt_schnet.safetensors"


@pytest.fixture(scope="module")
def model():
    return load_model(MODEL)


@pytest.fixture
def new(model):
    """Makes calculators."""
    return partial(MLPotentialCalculator, model, "cpu", guard="off")


@pytest.fixture
def copper(new):
    """Eight atoms in a sheared cell, near the minimum."""
    atoms = bulk("Cu") * (2, 2, 2)
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + 0.02 * np.eye(3, k=1)), scale_atoms=True)
    atoms.rattle(0.05, seed=1)
    atoms.calc = new()
    return atoms


@pytest.fixture
def evaluations(monkeypatch):
    """Counts calls of Evaluator.evaluate."""
    calls = []
    original = Evaluator.evaluate
    monkeypatch.setattr(Evaluator, "evaluate", lambda *a, **k: calls.append(1) or original(*a, **k))
    return calls


@pytest.mark.parametrize("optimizer", [BFGS, LBFGS, BFGSLineSearch, FIRE])
def test_optimizers_find_one_minimum(copper, optimizer):
    copper.set_cell(bulk("Cu").cell * 2)
    with optimizer(copper, logfile=None) as search:
        assert search.run(fmax=1e-4, steps=300)
    perfect = bulk("Cu")
    perfect.calc = copper.calc
    assert_allclose(copper.get_potential_energy() / 8, perfect.get_potential_energy(), atol=1e-7)


@pytest.mark.parametrize(
    "cell_filter", [FrechetCellFilter, UnitCellFilter, ExpCellFilter, StrainFilter]
)
@pytest.mark.filterwarnings("ignore:Use FrechetCellFilter")
def test_filters_find_the_volume_of_the_equation_of_state(new, cell_filter):
    atoms = bulk("Cu", cubic=True)
    atoms.calc = new()
    volumes, energies = [], []
    for scale in np.linspace(0.99, 1.01, 7):
        atoms.set_cell(bulk("Cu", cubic=True).cell * scale, scale_atoms=True)
        volumes.append(atoms.get_volume())
        energies.append(atoms.get_potential_energy())
    volume, energy, _ = EquationOfState(volumes, energies).fit()
    with BFGS(cell_filter(atoms), logfile=None) as search:
        assert search.run(fmax=1e-3, steps=100)
    assert_allclose(atoms.get_volume(), volume, rtol=2e-3)
    assert_allclose(atoms.get_potential_energy(), energy, atol=2e-4)


def test_bands_with_shared_and_with_own_calculators(copper, new):
    """An atom that moves into a vacancy: the same band either way."""
    perfect = bulk("Cu") * (2, 2, 2)
    start, end = perfect.copy(), perfect.copy()
    del start[0]
    del end[0]
    end.positions[0] = perfect.positions[0]
    paths = []
    for shared in (True, False):
        images = [start.copy(), *(start.copy() for _ in range(3)), end.copy()]
        common = new()
        for image in images:
            image.calc = common if shared else new()
        band = NEB(images, allow_shared_calculator=shared, method="improvedtangent")
        band.interpolate(mic=True)
        straight = images[2].positions.copy()
        with FIRE(band, logfile=None) as search:
            search.run(fmax=0.05, steps=8)
        assert np.abs(images[2].positions - straight).max() > 1e-3
        paths.append(np.array([image.positions for image in images]))
    assert_allclose(paths[0], paths[1], atol=1e-10)


def test_phonons_are_the_modes_of_the_supercell(new, model, tmp_path):
    """At the wave vectors that fit into it: 8 q-points of 3 branches, 24 modes of 8 atoms."""
    primitive = bulk("Cu")
    phonons = Phonons(primitive, new(), supercell=(2, 2, 2), delta=0.01, name=tmp_path / "phonon")
    phonons.run()
    phonons.read(acoustic=True)
    points = np.stack(np.meshgrid(*[[0.0, 0.5]] * 3), axis=-1).reshape(-1, 3)
    found = phonons.band_structure(points, verbose=False)
    supercell = primitive * (2, 2, 2)
    evaluator = Evaluator(model, supercell.numbers, True, "cpu", guard="off")
    hessian = evaluator.hessian(supercell.positions, supercell.cell[:])
    values = np.linalg.eigvalsh(hessian / primitive.get_masses()[0])
    factor = units._hbar * 1e10 / np.sqrt(units._e * units._amu)
    exact = factor * np.sign(values) * np.sqrt(np.abs(values))
    assert_allclose(np.sort(found.ravel())[3:], exact[3:], rtol=5e-3)
    assert_allclose(exact[:3], 0.0, atol=1e-5)


FS = units.fs
INTEGRATORS = {
    "VelocityVerlet": partial(VelocityVerlet, timestep=2 * FS),
    "Langevin": partial(
        Langevin, timestep=2 * FS, temperature_K=300, friction=0.01 / FS, fixcm=False
    ),
    "LangevinBAOAB": partial(
        LangevinBAOAB, timestep=2 * FS, temperature_K=300, T_tau=50 * FS, rng=1
    ),
    "Andersen": partial(Andersen, timestep=2 * FS, temperature_K=300, andersen_prob=0.05),
    "Bussi": partial(Bussi, timestep=2 * FS, temperature_K=300, taut=50 * FS),
    "NVTBerendsen": partial(NVTBerendsen, timestep=2 * FS, temperature_K=300, taut=50 * FS),
    "NoseHooverChainNVT": partial(
        NoseHooverChainNVT, timestep=2 * FS, temperature_K=300, tdamp=50 * FS
    ),
    "NPTBerendsen": partial(
        NPTBerendsen, timestep=2 * FS, temperature_K=300, pressure_au=0.0, compressibility_au=1.0
    ),
    "Inhomogeneous_NPTBerendsen": partial(
        Inhomogeneous_NPTBerendsen,
        timestep=2 * FS,
        temperature_K=300,
        pressure_au=0.0,
        compressibility_au=1.0,
    ),
    "MelchionnaNPT": partial(
        MelchionnaNPT,
        timestep=2 * FS,
        temperature_K=300,
        externalstress=0.0,
        ttime=50 * FS,
        pfactor=(100 * FS) ** 2 * units.GPa * 100,
    ),
    "IsotropicMTKNPT": partial(
        IsotropicMTKNPT,
        timestep=2 * FS,
        temperature_K=300,
        pressure_au=0.0,
        tdamp=50 * FS,
        pdamp=500 * FS,
    ),
    "MTKNPT": partial(
        MTKNPT, timestep=2 * FS, temperature_K=300, pressure_au=0.0, tdamp=50 * FS, pdamp=500 * FS
    ),
}


@pytest.mark.parametrize("name", INTEGRATORS)
def test_integrators(new, evaluations, tmp_path, name):
    """No evaluation too many, and a trajectory whose results are those of its structures."""
    atoms = bulk("Cu", cubic=True)
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + 0.02 * np.eye(3, k=1)), scale_atoms=True)
    atoms.calc = new()
    cell = atoms.cell.copy()
    thermalize_momenta(atoms, 600.0, rng=np.random.default_rng(0))
    with Trajectory(tmp_path / "run.traj", "w", atoms) as trajectory:
        dynamics = INTEGRATORS[name](atoms)
        dynamics.attach(trajectory, interval=5)
        dynamics.run(20)
    berendsen_barostat = name.endswith("NPTBerendsen")  # it changes the cell between two forces
    assert 20 <= len(evaluations) <= (42 if berendsen_barostat else 22)
    assert ("NPT" in name) == (np.abs(atoms.cell - cell).max() > 1e-6)
    own = new()
    with Trajectory(tmp_path / "run.traj") as trajectory:
        frames = list(trajectory)
    assert len(frames) == 5
    for frame in frames:
        assert_allclose(frame.get_potential_energy(), own.get_potential_energy(frame), atol=1e-10)
        assert_allclose(frame.get_forces(), own.get_forces(frame), atol=1e-9)
        assert_allclose(frame.get_stress(), own.get_stress(frame), atol=1e-10)
    assert np.abs(frames[0].positions - frames[-1].positions).max() > 1e-3


def test_threads_with_a_calculator_each(copper, new):
    structures = [copper.copy() for _ in range(8)]
    for seed, atoms in enumerate(structures):
        atoms.rattle(0.05, seed=seed)
    one = new()
    expected = [one.get_forces(atoms) for atoms in structures]

    def forces(atoms):
        atoms.calc = new()
        return atoms.get_forces()

    with ThreadPoolExecutor(4) as threads:
        for found, right in zip(threads.map(forces, structures), expected, strict=True):
            assert_allclose(found, right, rtol=0, atol=0)


@pytest.mark.slow
def test_atoms_with_their_calculator_go_to_another_process(copper):
    """A fresh process, which gets the model with the pickle."""
    expected = copper.get_potential_energy()
    copper.rattle(0.02, seed=5)
    moved = copper.copy()
    moved.calc = copper.calc
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        found = processes.submit(moved.get_potential_energy).result()
    assert found != expected
    assert_allclose(found, copper.get_potential_energy(), rtol=1e-12)


def test_own_client_relaxes_a_cell_for_a_server_of_ase(copper, new, tmp_path):
    """A triclinic cell, so that a transposed one would not relax."""
    write(tmp_path / "start.extxyz", copper)
    name, codes = f"mlpotential_relax_{os.getpid()}", []
    options = ["--model", str(MODEL), "--structure", str(tmp_path / "start.extxyz")]
    client = threading.Thread(
        target=lambda: codes.append(main([*options, "--unix", name])), daemon=True
    )
    direct = copper.copy()
    direct.calc = new()
    with SocketIOCalculator(unixsocket=name, timeout=60.0) as server:
        client.start()
        copper.calc = server
        for atoms in (copper, direct):
            with BFGS(FrechetCellFilter(atoms), logfile=None) as search:
                assert search.run(fmax=0.01, steps=60)
        energy, stress = copper.get_potential_energy(), copper.get_stress()
    client.join(30.0)
    assert codes == [0]
    assert_allclose(energy, direct.get_potential_energy(), atol=1e-6)
    assert_allclose(stress, direct.get_stress(), atol=1e-7)
    assert_allclose(copper.cell, direct.cell, atol=1e-5)
