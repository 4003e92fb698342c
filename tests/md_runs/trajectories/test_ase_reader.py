"""Files written by ASE, whole, cut, damaged and with a restart inside."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units
from ase.io import write
from ase.md.verlet import VelocityVerlet
from spring_network import spring_cluster

from md_runs.reading import read_run
from md_runs.thermal_velocities import maxwell_boltzmann
from md_runs.trajectories.ase_reader import read_ase_output
from md_runs.trajectories.extxyz_writer import write_extended_xyz
from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import ConfigError, RunError


@pytest.fixture
def run(tmp_path):
    """A short run as `.traj`, and its frames."""
    atoms, path = spring_cluster(4), tmp_path / "run.traj"
    atoms.set_momenta(maxwell_boltzmann(atoms, 300.0, False, np.random.default_rng(0)))
    frames = []
    with VelocityVerlet(atoms, 0.5 * units.fs, trajectory=path, loginterval=2) as dynamics:
        dynamics.attach(lambda: frames.append(atoms.copy()), interval=2)
        for _ in dynamics.irun(10):
            pass
    return path, frames


def test_traj_of_a_run(run):
    path, frames = run
    trajectory = read_ase_output(path, frame_interval_fs=1.0)
    assert (trajectory.n_frames, trajectory.n_beads, trajectory.n_atoms) == (6, 1, 4)
    np.testing.assert_array_equal(trajectory.times_fs, np.arange(6.0))
    assert trajectory.cells is None
    for k, atoms in enumerate(frames):
        atoms.calc = spring_cluster(4).calc
        np.testing.assert_array_equal(trajectory.positions[k, 0], atoms.positions)
        velocities = atoms.get_velocities() * units.fs
        np.testing.assert_allclose(trajectory.velocities_angstrom_per_fs[k, 0], velocities)
        np.testing.assert_allclose(trajectory.forces[k, 0], atoms.get_forces(), atol=1e-12)
        assert trajectory.energies[k, 0] == pytest.approx(atoms.get_potential_energy())


def test_extended_xyz_with_times_and_a_restart(run, tmp_path):
    frames = run[1]
    for k, time in enumerate((0.0, 1.0, 2.0, 1.0, 2.0, 3.0)):
        frames[k].info["time_fs"] = time
        frames[k].set_cell([9.0 + k] * 3)
        frames[k].pbc = True
    write(tmp_path / "run.xyz", frames, format="extxyz")
    with pytest.warns(UserWarning, match="2 frames were recorded again after a restart"):
        trajectory = read_run(tmp_path / "run.xyz")
    np.testing.assert_array_equal(trajectory.times_fs, [0.0, 1.0, 2.0, 3.0])
    kept = [frames[k] for k in (0, 3, 4, 5)]
    for k, atoms in enumerate(kept):
        np.testing.assert_allclose(trajectory.positions[k, 0], atoms.positions, atol=1e-7)
        np.testing.assert_array_equal(trajectory.cells[k], atoms.cell)
    assert trajectory.energies is None
    assert trajectory.pbc == (True, True, True)


@pytest.mark.parametrize("n_missing", [1, 3, 60, 200])
def test_cut_extended_xyz_loses_its_last_frame(run, tmp_path, n_missing):
    path = tmp_path / "run.xyz"
    write(path, run[1], format="extxyz")
    path.write_bytes(path.read_bytes()[:-n_missing])
    with pytest.warns(UserWarning, match="the 5 frames before it are used"):
        assert read_ase_output(path, 1.0).n_frames == 5


def test_cut_traj_keeps_what_can_be_read(run):
    path, frames = run
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.warns(UserWarning, match="the 5 frames before it are used"):
        trajectory = read_ase_output(path, 1.0)
    np.testing.assert_array_equal(trajectory.positions[4, 0], frames[4].positions)


def test_unusable_files_are_refused(run, tmp_path):
    traj, frames = run
    path = tmp_path / "run.xyz"

    def refused(message, interval=1.0):
        with pytest.raises(RunError, match=message):
            read_run(path, interval)

    refused("cannot read the trajectory")
    path.write_text("")
    refused("no complete frame")
    write(path, frames, format="extxyz")
    refused("give frame_interval_fs", None)
    with pytest.raises(ConfigError, match="frame_interval_fs must be a positive number"):
        read_run(path, -1.0)
    text = path.read_text()
    path.write_text(text.replace("\n4\n", "\n3\n", 1))
    refused("frame 1 of .* has 3 atoms, those before 4")
    path.write_text(text.replace(" ", " x", 30))
    refused("frame 0 of .* is damaged")
    other = frames[3].copy()
    other.numbers = [1, 1, 1, 1]
    write(path, [*frames[:3], other], format="extxyz")
    refused("frame 3 of .* has other atoms")
    traj.write_bytes(b"nonsense" * 20)
    path = traj
    refused("not a readable ASE trajectory")


@pytest.mark.parametrize("n_beads", [1, 2])
def test_what_is_written_is_read(n_beads, tmp_path):
    """To the eight decimals of the format; each bead in a file of its own."""
    generator = np.random.default_rng(1)
    shape = (4, n_beads, 3, 3)
    written = Trajectory(
        atomic_numbers=np.array([8, 1, 1]),
        masses=np.array([15.5, 2.014, 1.008]),
        times_fs=np.array([0.0, 2.5, 5.0, 10.0]),
        positions=generator.normal(size=shape),
        velocities_angstrom_per_fs=generator.normal(scale=0.01, size=shape),
        forces=generator.normal(size=shape),
        energies=generator.normal(scale=1e4, size=shape[:2]),
        dipoles=generator.normal(size=(*shape[:2], 3)),
        polarizabilities=generator.normal(size=(*shape[:2], 3, 3)),
        charges=generator.normal(size=shape[:3]),
        cells=generator.normal(size=(4, 3, 3)),
        pbc=(True, True, False),
    )
    paths = write_extended_xyz(written, tmp_path / "run.extxyz")
    names = ["run.extxyz"] if n_beads == 1 else ["run_bead_0.extxyz", "run_bead_1.extxyz"]
    assert [path.name for path in paths] == sorted(p.name for p in tmp_path.iterdir()) == names
    for k, path in enumerate(paths):
        read = read_ase_output(path)
        assert read.pbc == written.pbc
        np.testing.assert_array_equal(read.atomic_numbers, written.atomic_numbers)
        np.testing.assert_allclose(read.masses, written.masses, atol=1e-8)
        np.testing.assert_array_equal(read.times_fs, written.times_fs)
        np.testing.assert_allclose(read.cells, written.cells, atol=1e-8)
        np.testing.assert_allclose(read.energies[:, 0], written.energies[:, k], rtol=1e-12)
        names = ("positions", "velocities_angstrom_per_fs", "forces")
        for name in (*names, "dipoles", "polarizabilities", "charges"):
            bead = getattr(written, name)[:, k]
            np.testing.assert_allclose(getattr(read, name)[:, 0], bead, atol=1e-8)


def test_a_file_that_cannot_be_written(run, tmp_path):
    trajectory = read_ase_output(run[0], 1.0)
    with pytest.raises(RunError, match=r"cannot write .*: No such file or directory"):
        write_extended_xyz(trajectory, tmp_path / "absent" / "run.extxyz")
