"""Any run through one entry: what it becomes, and what becomes of bad ones."""

from __future__ import annotations

from dataclasses import replace

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from spring_network import spring_cluster

from md_runs.analysis.spectra.density_of_states import vibrational_density_of_states
from md_runs.analysis.spectra.spectrum_corrections import without_difference_damping
from md_runs.analysis.structure.rdf import pair_distribution
from md_runs.classical.run import run_classical
from md_runs.classical.settings import ClassicalRun
from md_runs.reading import read_run
from md_runs.trajectories.frame_arrays import of_bead
from md_runs.trajectories.frames_file import read_header, read_records
from md_runs.trajectories.h5md_writer import write_h5md
from md_runs.trajectories.trajectory import Trajectory, centroid_of, with_velocities
from mlpotential.errors import DataError, RunError

INTERVAL_FS = 0.5


def water_frames(n_frames=9):
    """Frames of ASE with everything that extended XYZ can hold."""
    generator = np.random.default_rng(2)
    frames = []
    for k in range(n_frames):
        atoms = molecule("H2O")
        atoms.rattle(0.02, rng=generator)
        atoms.set_velocities(generator.normal(scale=0.01, size=(3, 3)))
        atoms.info = {"time_fs": INTERVAL_FS * k, "polarizability": generator.normal(size=(3, 3))}
        results = {
            "energy": float(generator.normal(scale=1e3)),
            "forces": generator.normal(size=(3, 3)),
            "dipole": generator.normal(size=3),
            "charges": generator.normal(size=3),
        }
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    return frames


@pytest.mark.parametrize("name", ["run.extxyz", "run.traj", "run.json"])
def test_ase_formats_agree_with_ase(name, tmp_path):
    """Extended XYZ is read by columns here, the others through ASE."""
    ase.io.write(tmp_path / name, water_frames())
    trajectory = read_run(tmp_path / name, None if "json" not in name else INTERVAL_FS)
    frames = ase.io.read(tmp_path / name, ":")
    results = [atoms.calc.results for atoms in frames]
    for k, atoms in enumerate(frames):
        velocities = atoms.get_velocities() * units.fs
        np.testing.assert_array_equal(trajectory.positions[k, 0], atoms.positions)
        np.testing.assert_allclose(trajectory.velocities_angstrom_per_fs[k, 0], velocities)
    for field, key in (
        ("energies", "energy"),
        ("forces", "forces"),
        ("dipoles", "dipole"),
        ("charges", "charges"),
    ):
        expected = np.stack([np.asarray(result[key]) for result in results])
        np.testing.assert_allclose(getattr(trajectory, field)[:, 0], expected, rtol=1e-14)
    if name != "run.json":
        polarizabilities = np.stack([atoms.info["polarizability"] for atoms in frames])
        np.testing.assert_allclose(trajectory.polarizabilities[:, 0], polarizabilities)
    np.testing.assert_allclose(trajectory.times_fs, INTERVAL_FS * np.arange(9))


def test_the_last_number_of_a_cut_frame_is_not_believed(tmp_path):
    """ASE reads `-0.` for `-0.478000` without a word."""
    path = tmp_path / "run.xyz"
    ase.io.write(path, water_frames(3), format="extxyz")
    path.write_text(path.read_text()[:-4])
    with pytest.warns(UserWarning, match="the 2 frames before it are used"):
        assert read_run(path).n_frames == 2


def test_numbers_that_are_not_finite_name_their_frame(tmp_path):
    frames = water_frames()
    frames[6].positions[1, 2] = np.nan
    ase.io.write(tmp_path / "run.extxyz", frames)
    with pytest.raises(RunError, match="frame 6 of .* has positions that are not finite"):
        read_run(tmp_path / "run.extxyz")
    good = read_run_of(water_frames(), tmp_path)
    broken = np.array(good.positions)
    broken[6, 0, 1, 2] = np.inf
    write_h5md(replace(good, positions=broken), tmp_path / "run.h5")
    with pytest.raises(DataError, match="frame 6 are not finite"):
        pair_distribution(read_run(tmp_path / "run.h5").positions, n_blocks=1)


def read_run_of(frames, tmp_path):
    ase.io.write(tmp_path / "good.extxyz", frames)
    return read_run(tmp_path / "good.extxyz")


def test_atoms_that_come_go_or_change_places_are_refused(tmp_path):
    frames = water_frames()
    swapped = [*frames[:5], frames[5][[1, 0, 2]]]
    for name in ("run.extxyz", "run.traj"):
        ase.io.write(tmp_path / name, swapped)
        with pytest.raises(RunError, match="frame 5 of .* has other atoms"):
            read_run(tmp_path / name, INTERVAL_FS)
        ase.io.write(tmp_path / name, [*frames[:5], frames[5][:2]])
        with pytest.raises(RunError, match="frame 5 of .* has (other|2) atoms"):
            read_run(tmp_path / name, INTERVAL_FS)


def test_repeated_frames_are_left_out_and_counted(tmp_path):
    frames = water_frames()
    whole = read_run_of(frames, tmp_path)
    ase.io.write(tmp_path / "run.extxyz", frames[:6] + frames[3:])
    with pytest.warns(UserWarning, match="3 frames were recorded again after a restart"):
        found = read_run(tmp_path / "run.extxyz")
    np.testing.assert_array_equal(found.positions, whole.positions)
    np.testing.assert_array_equal(found.energies, whole.energies)


def test_uneven_and_missing_times_have_a_way_out(tmp_path):
    frames = water_frames()
    frames[4].info["time_fs"] += 0.2
    ase.io.write(tmp_path / "run.extxyz", frames)
    with pytest.raises(DataError, match="not evenly spaced in time.*--frame-interval-fs"):
        _ = read_run(tmp_path / "run.extxyz").frame_interval_fs
    assert read_run(tmp_path / "run.extxyz", 2.0).frame_interval_fs == 2.0
    for atoms in frames:
        del atoms.info["time_fs"]
    ase.io.write(tmp_path / "run.extxyz", frames)
    with pytest.raises(RunError, match="tells no times .*--frame-interval-fs"):
        read_run(tmp_path / "run.extxyz")


def test_quantities_that_some_frames_lack_are_left_out(tmp_path):
    frames = water_frames()
    del frames[5].calc.results["dipole"]
    ase.io.write(tmp_path / "run.traj", frames)
    with pytest.warns(UserWarning, match="not every frame of .* has dipoles"):
        trajectory = read_run(tmp_path / "run.traj")
    assert trajectory.dipoles is None
    assert trajectory.energies is not None


@pytest.mark.parametrize(
    ("factor", "message"),
    [(units.Bohr, None), (1.0, "shortest distance .* 1.83 A"), (0.1 * units.Bohr, "0.0969 A")],
)
def test_lengths_in_another_unit_are_noticed(factor, message, tmp_path):
    """Positions in bohr that are called A, and in A that are called nm."""
    frames = [molecule("H2O") for _ in range(3)]
    for atoms in frames:
        atoms.positions *= factor / units.Bohr
    ase.io.write(tmp_path / "run.extxyz", frames)
    if message is None:
        read_run(tmp_path / "run.extxyz", 1.0)
        return
    with pytest.warns(UserWarning, match=message):
        read_run(tmp_path / "run.extxyz", 1.0)


def test_velocities_in_another_unit_are_noticed(tmp_path):
    good = read_run_of(water_frames(), tmp_path)
    fast = np.asarray(good.velocities_angstrom_per_fs) * 1e3
    write_h5md(replace(good, velocities_angstrom_per_fs=fast), tmp_path / "run.h5")
    with pytest.warns(UserWarning, match="velocities of the first frame are those of .* K"):
        read_run(tmp_path / "run.h5")


def test_a_classical_run_tells_what_moved_it(tmp_path):
    settings = ClassicalRun(ensemble="langevin", n_steps=4, stride=2, temperature_K=250.0)
    run_classical(spring_cluster(4), settings, tmp_path / "run")
    trajectory = read_run(tmp_path / "run")
    assert (trajectory.dynamics, trajectory.friction_per_fs) == ("Langevin", 0.01)
    assert (trajectory.temperature_K, trajectory.integration_timestep_fs) == (250.0, 0.5)
    assert read_run(tmp_path / "run" / "trajectory.frames").dynamics == "Langevin"
    write_h5md(trajectory, tmp_path / "run.h5")
    again = read_run(tmp_path / "run.h5")
    for name in ("dynamics", "friction_per_fs", "temperature_K", "integration_timestep_fs"):
        assert getattr(again, name) == getattr(trajectory, name)


def test_a_run_of_an_older_version_is_read_and_goes_on(tmp_path):
    """Its frames do not tell what moved them; the checkpoint does."""
    folder, settings = tmp_path / "run", ClassicalRun(ensemble="bussi", n_steps=4, stride=2)
    run_classical(spring_cluster(4), settings, folder)
    path = folder / "trajectory.frames"
    header, records = read_header(path), read_records(path)
    old = replace(header, dynamics=None, temperature_K=None)
    assert b"dynamics" not in old.to_bytes()
    path.write_bytes(old.to_bytes() + records.tobytes())
    trajectory = read_run(folder)
    assert (trajectory.dynamics, trajectory.temperature_K) == ("Bussi", 300.0)
    run_classical(spring_cluster(4), replace(settings, n_steps=8), folder)
    again = read_run(folder)
    assert (again.n_frames, again.dynamics) == (5, "Bussi")
    np.testing.assert_array_equal(again.positions[:3], trajectory.positions)


def test_the_structure_gives_masses_and_periodicity(tmp_path):
    ase.io.write(tmp_path / "run.extxyz", water_frames())
    heavy = Atoms("OHH", cell=[9.0, 9.0, 9.0], pbc=True)
    heavy.set_masses([16.0, 2.014, 2.014])
    trajectory = read_run(tmp_path / "run.extxyz", structure=heavy)
    assert trajectory.masses.tolist() == [16.0, 2.014, 2.014]
    np.testing.assert_array_equal(trajectory.cells[8], 9.0 * np.eye(3))
    with pytest.raises(RunError, match="has other atoms than the structure, or in another order"):
        read_run(tmp_path / "run.extxyz", structure=Atoms("HOH"))


def gromacs_like(path, n_frames=50):
    """A foreign H5MD file: nm and ps, float32, time by increment, wrapped with images."""
    generator = np.random.default_rng(3)
    unwrapped = 0.5 + np.cumsum(generator.normal(scale=0.02, size=(n_frames, 3, 3)), axis=0)
    box = np.array([2.0, 2.0, 3.0])
    images = np.floor(unwrapped / box).astype(np.int32)
    with h5py.File(path, "w") as file:
        file.create_group("h5md").attrs["version"] = (1, 1)
        atoms = file.create_group("particles/water")
        atoms.create_group("box").attrs["boundary"] = ["periodic"] * 3
        atoms["box"].attrs["dimension"] = 3
        atoms["box/edges"] = box
        atoms["box/edges"].attrs["unit"] = "nm"
        atoms["species"] = np.array([8, 1, 1])
        values = {"position": unwrapped - images * box, "velocity": generator.normal(size=(3, 3))}
        for name, unit in (("position", "nm"), ("velocity", "nm ps-1")):
            group = atoms.create_group(name)
            frames = np.broadcast_to(values[name], (n_frames, 3, 3)).astype(np.float32)
            group["value"] = frames
            group["value"].attrs["unit"] = unit
            group["step"] = 10
            group["time"] = 0.002
            group["time"].attrs["unit"] = "ps"
            group["time"].attrs["offset"] = 1.0
        atoms["image/value"] = images
        force = atoms.create_group("force")
        force["value"] = np.ones((n_frames, 3, 3))
        force["value"].attrs["unit"] = "kJ mol-1 nm-1"
        force["step"] = 10
    return unwrapped * 10.0, values["velocity"] * 1e-2


@pytest.mark.filterwarnings("ignore:the shortest distance")
def test_foreign_h5md(tmp_path):
    positions, velocities = gromacs_like(tmp_path / "run.h5md")
    trajectory = read_run(tmp_path / "run.h5md")
    np.testing.assert_allclose(trajectory.positions[:, 0], positions, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(trajectory.velocities_angstrom_per_fs[7, 0], velocities, rtol=1e-6)
    np.testing.assert_allclose(trajectory.times_fs, 1000.0 + 2.0 * np.arange(50))
    np.testing.assert_allclose(trajectory.cells[3], np.diag([20.0, 20.0, 30.0]))
    kj_per_mol_per_nm = units.kJ / units.mol / units.nm
    np.testing.assert_allclose(trajectory.forces[:, 0], kj_per_mol_per_nm)
    assert trajectory.pbc == (True, True, True)
    assert trajectory.masses[0] == pytest.approx(15.999)


def oscillation(interval_fs, n_frames=4000):
    """CO2-like: the two oxygens move against each other at 2000 1/cm."""
    omega = 2 * np.pi * 2.99792458e-5 * 2000.0
    times = interval_fs * np.arange(n_frames)
    positions = np.zeros((n_frames, 1, 3, 3))
    positions[:, 0, :, 0] = [-1.16, 0.0, 1.16]
    positions[:, 0, 0, 0] -= 0.05 * np.sin(omega * times)
    positions[:, 0, 2, 0] += 0.05 * np.sin(omega * times)
    return Trajectory(np.array([8, 6, 8]), np.array([16.0, 12.0, 16.0]), times, positions), omega


def test_velocities_from_positions_are_damped_as_they_should_be(tmp_path):
    """By sinc(w h)^2 in a spectrum, which the correction takes back."""
    moving, omega = oscillation(2.0)
    write_h5md(moving, tmp_path / "run.h5")
    with pytest.warns(UserWarning, match="they are central differences"):
        found = with_velocities(read_run(tmp_path / "run.h5"))
    assert (found.n_frames, len(found.velocities_angstrom_per_fs)) == (3998, 3998)
    np.testing.assert_array_equal(found.times_fs, moving.times_fs[1:-1])
    np.testing.assert_array_equal(found.positions, moving.positions[1:-1])
    exact = 0.05 * omega * np.cos(omega * found.times_fs)
    damping = np.sinc(omega * 2.0 / np.pi)
    velocities = np.asarray(found.velocities_angstrom_per_fs)
    np.testing.assert_allclose(velocities[:, 0, 2, 0], damping * exact, atol=1e-10)
    spectrum = vibrational_density_of_states(
        [of_bead(found.velocities_angstrom_per_fs, 0)], None, found.masses, 2.0, 400, "translation"
    )
    corrected = without_difference_damping(spectrum, 2)
    peak = np.argmax(spectrum.intensity)
    assert spectrum.wavenumbers_per_cm[peak] == pytest.approx(2000.0, abs=10)
    ratio = spectrum.intensity[peak] / corrected.intensity[peak]
    assert ratio == pytest.approx(damping**2, rel=0.02)
    assert with_velocities(found) is found
    with pytest.raises(DataError, match="at least 4 frames"):
        with_velocities(oscillation(1.0, 3)[0])


def test_the_centroid_is_the_mean_over_beads():
    generator = np.random.default_rng(4)
    beads = Trajectory(
        np.array([1, 1]),
        np.ones(2),
        np.arange(5.0),
        generator.normal(size=(5, 4, 2, 3)),
        dipoles=generator.normal(size=(5, 4, 3)),
        cells=np.broadcast_to(np.eye(3), (5, 3, 3)),
        pbc=(True, True, True),
    )
    mean = centroid_of(beads)
    assert (mean.n_beads, mean.cells is beads.cells) == (1, True)
    np.testing.assert_allclose(mean.positions[2, 0], beads.positions[2].mean(axis=0))
    np.testing.assert_allclose(mean.dipoles[1:3, 0], beads.dipoles[1:3].mean(axis=1))


def test_what_is_nothing_is_refused(tmp_path):
    for name, message in (
        ("absent.frames", "cannot read the trajectory"),
        ("absent.extxyz", "cannot read the trajectory"),
        ("absent", "cannot read the trajectory .*: No such file"),
        ("absent.h5", "cannot read .* as HDF5"),
        ("", "holds no run: expected trajectory.frames"),
    ):
        with pytest.raises(RunError, match=message):
            read_run(tmp_path / name)
    (tmp_path / "notes.txt").write_text("nothing\nof use\n")
    with pytest.raises(RunError, match="not a trajectory of this program, of i-PI or of ASE"):
        read_run(tmp_path / "notes.txt")
