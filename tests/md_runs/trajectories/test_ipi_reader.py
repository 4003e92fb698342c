"""Outputs of a real i-PI process, whole and damaged, held against i-PI's own parsers."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import dipole_pes
import ipi
import numpy as np
import pytest
from ase import Atoms, units
from dipole_pes import CHARGES, STIFFNESS

from md_runs.reading import read_run
from mlpotential.errors import RunError

NOT_USED = "ignore:the cell in .* is not used"

INPUT = """<simulation verbosity="quiet" threading="False">
  <output prefix="sim">
    <properties stride="1" filename="out">
      [step, time{picosecond}, potential{electronvolt}, bead_potentials{kelvin}] </properties>
    <trajectory filename="pos" stride="2">positions{angstrom}</trajectory>
    <trajectory filename="vel" stride="2">velocities</trajectory>
    <trajectory filename="for" stride="2" format="ase">forces</trajectory>
    <trajectory filename="xc" stride="2">x_centroid</trajectory>
    <trajectory filename="vc" stride="2">v_centroid{m/s}</trajectory>
    <trajectory filename="pc" stride="2">p_centroid</trajectory>
    <trajectory filename="dip" stride="2" extra_type="dipole">extras</trajectory>
  </output>
  <total_steps>21</total_steps>
  <prng><seed>1</seed></prng>
  <ffdirect name="ff" threaded="False" pbc="False">
    <pes>custom</pes><pes_path>dipole_pes.py</pes_path><parameters>{}</parameters></ffdirect>
  <system>
    <initialize nbeads="4">
      <file mode="xyz">start.xyz</file><velocities mode="thermal" units="kelvin">300</velocities>
    </initialize>
    <forces><force forcefield="ff"/></forces>
    <motion mode="dynamics"><fixcom>False</fixcom>
      <dynamics mode="nvt"><timestep units="femtosecond">0.5</timestep>
        <thermostat mode="pile_l"><tau units="femtosecond">100</tau></thermostat>
      </dynamics></motion>
    <ensemble><temperature units="kelvin">300</temperature></ensemble>
  </system>
</simulation>
"""
START = """3
# CELL(abcABC): 20 21 22 90 80 90 positions{angstrom} cell{angstrom}
O 0 0 0
H 0.96 0 0
H -0.24 0.93 0
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of four beads that nobody touches."""
    folder = tmp_path_factory.mktemp("ipi")
    (folder / "input.xml").write_text(INPUT)
    (folder / "start.xyz").write_text(START)
    shutil.copy(Path(dipole_pes.__file__), folder)
    command = [Path(sys.executable).with_name("i-pi"), "input.xml"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def run(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def parsed_by_ipi(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves the file open
        return ipi.read_trajectory(path, **options)


@pytest.mark.filterwarnings(NOT_USED)
@pytest.mark.parametrize("name", ["", "sim", "sim.pos_2.xyz", "sim.out"])
def test_numbers_are_those_of_ipis_own_parsers(finished, name):
    trajectory = read_run(finished / name)
    values, _ = ipi.read_output(str(finished / "sim.out"))
    np.testing.assert_allclose(trajectory.times_fs, 1e3 * values["time"][::2])
    np.testing.assert_allclose(
        trajectory.energies, values["bead_potentials"][::2] * units.kB, rtol=1e-5
    )
    for k in range(4):
        frames = parsed_by_ipi(str(finished / f"sim.pos_{k}.xyz"))
        positions = np.stack([atoms.positions for atoms in frames])
        np.testing.assert_allclose(trajectory.positions[:, k], positions, rtol=1e-6)
        frames = parsed_by_ipi(str(finished / f"sim.vel_{k}.xyz"))
        velocities = np.stack([atoms.arrays["velocities"] for atoms in frames]) * units.fs
        np.testing.assert_allclose(
            trajectory.velocities_angstrom_per_fs[:, k], velocities, rtol=1e-6
        )
        extras = parsed_by_ipi(str(finished / f"sim.dip_{k}"), format="extras")
        np.testing.assert_allclose(
            trajectory.dipoles[:, k], extras["dipole"] * units.Bohr, rtol=1e-6
        )
    assert trajectory.atomic_numbers.tolist() == [8, 1, 1]
    np.testing.assert_allclose(trajectory.masses, [15.999, 1.008, 1.008], rtol=1e-3)
    assert (trajectory.dynamics, trajectory.temperature_K) == ("PIMD", 300.0)
    assert trajectory.integration_timestep_fs == pytest.approx(0.5)
    assert trajectory.cells is None


@pytest.mark.filterwarnings(NOT_USED)
def test_forces_and_dipoles_belong_to_the_positions(finished):
    """The forces of springs and the dipole of charges, in eV/A and e A."""
    trajectory = read_run(finished)
    positions = np.asarray(trajectory.positions)
    stiffness = STIFFNESS * units.Hartree / units.Bohr**2
    forces = -stiffness * (positions - positions[0])
    np.testing.assert_allclose(trajectory.forces, forces, atol=2e-4)
    dipoles = np.einsum("a,fbax->fbx", CHARGES, positions)
    np.testing.assert_allclose(trajectory.dipoles, dipoles, atol=1e-5)
    in_debye = read_run(finished, extras_units={"dipole": "debye"})
    np.testing.assert_allclose(
        in_debye.dipoles, dipoles / units.Bohr * units.Debye, rtol=2e-6, atol=1e-6
    )


@pytest.mark.filterwarnings(NOT_USED)
def test_the_centroid_is_read_from_its_files_or_is_the_mean(run):
    beads = read_run(run)
    for files in ("sim.*", "sim.vc.*", "sim.[xp]c.*"):  # velocities, then momenta, then none
        if files != "sim.*":
            for path in run.glob(files):
                path.unlink()
        found = read_run(run, of_centroid=True)
        for field in ("positions", "velocities_angstrom_per_fs", "dipoles"):
            mean = np.asarray(getattr(beads, field)).mean(axis=1, keepdims=True)
            np.testing.assert_allclose(getattr(found, field), mean, rtol=1e-5, atol=1e-5)


def test_the_cell_counts_where_the_structure_says_so(finished):
    with pytest.warns(UserWarning, match="the cell in .*sim.pos_0.xyz is not used"):
        assert read_run(finished).cells is None
    water = Atoms("OHH", pbc=[True, True, False])
    water.set_masses([15.5, 2.0, 1.0])
    trajectory = read_run(finished, structure=water)
    lengths = np.linalg.norm(trajectory.cells, axis=2)
    np.testing.assert_allclose(lengths, np.tile([20, 21, 22], (11, 1)), rtol=1e-5)
    cosine = (trajectory.cells[3, 0] @ trajectory.cells[3, 2]) / (20 * 22)
    assert np.degrees(np.arccos(cosine)) == pytest.approx(80, abs=1e-3)
    assert trajectory.pbc == (True, True, False)
    assert trajectory.masses.tolist() == [15.5, 2.0, 1.0]
    with pytest.raises(RunError, match="has 3 atoms, but the structure has 2"):
        read_run(finished, structure=Atoms("OH"))
    with pytest.raises(RunError, match="has other elements than the structure"):
        read_run(finished, structure=Atoms("HOH"))


def append_again(path: Path, n_frames: int) -> None:
    """What a restart from an earlier checkpoint leaves."""
    lines = path.read_text().splitlines(keepends=True)
    n_lines = {"sim.out": 1}.get(path.name, 2 if "dip" in path.name else 5)
    path.write_text("".join(lines + lines[-n_frames * n_lines :]))


@pytest.mark.filterwarnings(NOT_USED)
def test_steps_that_a_restart_repeated_are_left_out(run):
    whole = read_run(run)
    for path in run.glob("sim.*"):
        append_again(path, 6 if path.name == "sim.out" else 3)
    with pytest.warns(UserWarning, match="3 frames were recorded again after a restart"):
        again = read_run(run)
    for field in ("times_fs", "positions", "dipoles", "energies"):
        np.testing.assert_array_equal(getattr(again, field), getattr(whole, field))


def shorten(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:-n_bytes])


@pytest.mark.filterwarnings(NOT_USED)
def test_a_killed_run_loses_its_last_frame(run):
    """Also where only one file is cut, inside its last number."""
    shorten(run / "sim.pos_1.xyz", 2)
    shorten(run / "sim.dip_3", 5)
    shorten(run / "sim.out", 4)
    with pytest.warns(UserWarning, match="the 10 frames before it are used"):
        trajectory = read_run(run)
    assert trajectory.n_frames == 10
    assert trajectory.dipoles.shape == (10, 4, 3)


@pytest.mark.filterwarnings(NOT_USED, "ignore:the last frame of .* is cut")
def test_files_that_do_not_belong_together_are_refused(run):
    def refused(message, **options):
        with pytest.raises(RunError, match=message):
            read_run(run, **options)

    dipoles = (run / "sim.dip_2").read_text()
    (run / "sim.dip_2").write_text("".join(dipoles.splitlines(keepends=True)[:8]))
    refused(r"sim\.dip_2 ends at step 6, others go on to step 20: it was cut")
    (run / "sim.dip_2").write_text(
        re.sub(r"\d+ $", lambda m: f"{int(m[0]) + 1} ", dipoles, flags=re.M)
    )
    refused("no step in common")
    (run / "sim.dip_2").write_text(dipoles)
    shutil.copy(run / "sim.pos_0.xyz", run / "other.pos_0.xyz")
    refused("outputs of several simulations: give the prefix of one of them, .*other or .*sim")
    (run / "other.pos_0.xyz").unlink()
    positions = (run / "sim.pos_1.xyz").read_text()
    (run / "sim.pos_1.xyz").write_text(positions.replace("       O", "       N"))
    refused(r"sim\.pos_1\.xyz has other atoms than .*sim\.pos_0\.xyz")
    (run / "sim.pos_1.xyz").write_text(positions.replace("{angstrom}", "{furlong}"))
    (run / "sim.pos_0.xyz").write_text(positions.replace("{angstrom}", "{furlong}"))
    refused("has positions in 'furlong', no unit of i-PI")
    for path in run.glob("sim.pos_*"):
        path.unlink()
    for path in run.glob("sim.xc*"):
        path.unlink()
    refused("has no positions among its i-PI outputs")


@pytest.mark.filterwarnings(NOT_USED)
def test_times_come_from_the_checkpoint_or_are_given(run):
    (run / "sim.out").unlink()
    np.testing.assert_allclose(read_run(run).times_fs, np.arange(11.0))
    (run / "RESTART").unlink()
    (run / "input.xml").unlink()
    with pytest.raises(RunError, match="tells the time step: give frame_interval_fs"):
        read_run(run)
    np.testing.assert_array_equal(read_run(run, 2.5).times_fs, 2.5 * np.arange(11))


@pytest.mark.filterwarnings(NOT_USED)
def test_quantities_recorded_less_often(run):
    """Where velocities are written more often than positions, common frames remain."""
    for k in range(4):
        path = run / f"sim.pos_{k}.xyz"
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for i, line in enumerate(lines) if (i // 5) % 2 == 0]
        path.write_text("".join(kept))
    with pytest.warns(UserWarning, match="the 6 frames are used that all have, of 11"):
        trajectory = read_run(run)
    np.testing.assert_allclose(trajectory.times_fs, 2.0 * np.arange(6))
