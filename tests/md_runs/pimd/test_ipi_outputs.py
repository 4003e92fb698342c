"""What goes into a PIMD run folder and comes out of it, without an i-PI process."""

import json
import shutil
import subprocess
import sys
import warnings
import xml.etree.ElementTree as ET
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.constraints import FixAtoms
from ase.units import kB
from numpy.testing import assert_allclose, assert_array_equal

from md_runs.force_provider import IpiDriver
from md_runs.pimd import ipi_process, read_pimd_trajectory
from md_runs.pimd.ipi_checkpoints import (
    cut_outputs,
    newest_checkpoint,
    remove_checkpoints_after,
    remove_old_checkpoints,
)
from md_runs.pimd.ipi_input import (
    continued_xml,
    geometry_xyz,
    input_xml,
    to_ipi_frame,
)
from md_runs.pimd.ipi_outputs import (
    Outputs,
    ProgressReader,
    read_frames,
    read_properties,
)
from md_runs.pimd.record import check_same_run, read_record, write_record
from md_runs.pimd.segments import thermal_bead_velocities
from md_runs.pimd.settings import PimdRun
from md_runs.trajectories.frame_arrays import LazyFrames
from mlpotential.errors import ConfigError, RunError, StructureError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import ipi
    from ipi.inputs.simulation import InputSimulation
    from ipi.utils.io.inputs.io_xml import xml_parse_string

SETTINGS = PimdRun(n_steps=60, n_beads=2, stride=10, properties_stride=5, checkpoint_stride=20)
COLUMNS = ["step", "time{femtosecond}", "conserved{electronvolt}", "temperature{kelvin}",
           "potential{electronvolt}", "kinetic_cv{electronvolt}"]  # fmt: skip


def positions_at(step, bead):
    rng = np.random.default_rng([step, bead])
    return np.round(rng.normal(0.0, 300.0, (3, 3)), 8)


def frame(step, bead):
    """As i-PI 3.3 writes it."""
    rows = zip("OHH", positions_at(step, bead), strict=True)
    return (
        '3\nLattice="999.9 0.0 0.0 0.0 999.9 0.0 0.0 0.0 999.9" Properties=species:S:1:pos:R:3 '
        f'ipi_comment="Step:  {step:10d}  Bead:   {bead:5d} positions{{ase}}  cell{{ase}}" '
        'pbc="T T T"\n'
    ) + "".join(f"{s:2s} {x:16.8f} {y:16.8f} {z:16.8f}\n" for s, (x, y, z) in rows)


def properties_line(step, potential=-2.0):
    values = [step, 0.5 * step, 1.0, 300.0 + step, potential, 3.0]
    return "  " + "".join(f"{value:24.16e}   " for value in values) + "\n"


def checkpoint_text(step, q="1.0, 2.0, 3.0"):
    state = (
        f"<beads><q shape='(1, 3)'> [ {q} ] </q><p shape='(1, 3)'> [ 0.0, 0.0, 0.0 ] </p></beads>"
    )
    return f"<!-- info -->\n<simulation><step>{step}</step><system>{state}</system></simulation>"


@pytest.fixture
def folder(tmp_path):
    """A run that was killed at step 47: checkpoints at 20 and 40."""
    header = [f"# column   {k + 1}     --> {name} : info\n" for k, name in enumerate(COLUMNS)]
    lines = [properties_line(step) for step in range(0, 50, 5)]
    (tmp_path / "simulation.out").write_text("".join(header + lines))
    for bead in range(2):
        frames = "".join(frame(step, bead) for step in range(0, 50, 10))
        (tmp_path / f"simulation.positions_{bead}.extxyz").write_text(frames)
    for k in range(3):
        (tmp_path / f"simulation.checkpoint_{k}").write_text(checkpoint_text(20 * k))
    return tmp_path


def outputs(folder):
    return Outputs(folder, SETTINGS, 3)


def newest_step(folder):
    checkpoint = newest_checkpoint(outputs(folder))
    return None if checkpoint is None else checkpoint.step


def positions_of(folder):
    return read_frames(outputs(folder), 40, masses=np.ones(3))["positions"]


def test_newest_checkpoint(folder):
    assert newest_step(folder) == 40
    (folder / "RESTART").write_text(checkpoint_text(45))
    assert newest_step(folder) == 45


@pytest.mark.parametrize("damage", [
    checkpoint_text(40)[:-30],
    "",
    checkpoint_text(40, q="1.0, nan, 3.0"),
    checkpoint_text(40, q="1.0, inf, 3.0"),
    checkpoint_text(40, q="1.0, 2.0.0, 3.0"),
    checkpoint_text("4x"),
])  # fmt: skip
def test_a_damaged_checkpoint_is_passed_over(folder, damage):
    (folder / "simulation.checkpoint_2").write_text(damage)
    assert newest_step(folder) == 20
    remove_checkpoints_after(folder, 20)
    assert not (folder / "simulation.checkpoint_2").exists()


@pytest.mark.parametrize("name", ["simulation.out", "simulation.positions_1.extxyz"])
def test_a_checkpoint_counts_only_with_all_outputs_before_it(folder, name):
    """The last record before step 40 is cut."""
    path = folder / name
    text = path.read_text()
    start = text.index(properties_line(40) if name.endswith("out") else frame(40, 1))
    path.write_text(text[: start + 100])
    assert newest_step(folder) == 20
    path.unlink()
    with pytest.raises(RunError, match="at step 20: they were changed or damaged"):
        newest_step(folder)


def test_nan_in_the_outputs_is_never_continued(folder):
    path = folder / "simulation.out"
    path.write_text(path.read_text().replace(properties_line(30), properties_line(30, np.nan)))
    assert newest_step(folder) == 20


def test_the_beginning_is_no_checkpoint(folder):
    for k in (1, 2):
        (folder / f"simulation.checkpoint_{k}").unlink()
    assert newest_step(folder) is None


def test_cut_and_read(folder):
    for path in folder.glob("simulation.positions_*"):
        path.write_text(path.read_text() + frame(50, 0)[:70])  # the kill came here
    cut_outputs(outputs(folder), 40)
    cut_outputs(outputs(folder), 40)
    positions = positions_of(folder)
    assert positions.shape == (5, 2, 3, 3)
    expected = [[positions_at(step, bead) for bead in range(2)] for step in range(0, 50, 10)]
    assert_allclose(positions, expected, rtol=2e-8)  # ASE's angstrom against i-PI's
    properties = read_properties(outputs(folder), 40)
    assert_array_equal(properties.steps, np.arange(0, 45, 5))
    assert_allclose(properties.times_fs, 0.5 * properties.steps)
    assert_allclose(properties.temperature_K, 300.0 + properties.steps)
    assert_allclose(properties.potential, -2.0)


def test_positions_agree_with_the_parser_of_ipi(folder):
    for bead in range(2):
        path = folder / f"simulation.positions_{bead}.extxyz"
        frames = ipi.read_trajectory(str(path), format="ase")
        reference = np.stack([atoms.positions for atoms in frames])
        assert_allclose(positions_of(folder)[:, bead], reference, rtol=2e-8)


def test_reading_refuses_double_and_missing_steps(folder):
    path = folder / "simulation.positions_0.extxyz"
    good = path.read_text()
    for damaged in (good + frame(40, 0), good.replace(frame(20, 0), "")):
        path.write_text(damaged)
        with pytest.raises(RunError, match="once each"):
            positions_of(folder)
    path.write_text(good.replace(frame(20, 0), frame(20, 0).replace("H ", "\nH ", 1)))
    with pytest.raises(RunError, match="should begin with the number of atoms"):
        positions_of(folder)
    number = f"{positions_at(30, 0)[1, 1]:16.8f}"
    path.write_text(good.replace(number, number[:-4] + ".-.x"))
    with pytest.raises(RunError, match="damaged"):
        positions_of(folder)
    path.unlink()
    with pytest.raises(RunError, match="positions of 1 of 2 beads"):
        positions_of(folder)


def test_old_checkpoints_are_removed_three_stay(folder):
    for k in (9, 10, 11):
        (folder / f"simulation.checkpoint_{k}").write_text("")
    remove_old_checkpoints(folder)
    names = {path.name for path in folder.glob("*checkpoint*")}
    assert names == {f"simulation.checkpoint_{k}" for k in (9, 10, 11)}


def test_progress_reads_whole_lines_only(tmp_path):
    reader = ProgressReader(tmp_path, 7)
    assert reader.update() == 7
    with open(tmp_path / "simulation.out", "w", buffering=1) as out:
        out.write("# a header\n" + properties_line(10) + properties_line(20)[:40])
        out.flush()
        assert reader.update() == 10
        out.write(properties_line(20)[40:])
        out.flush()
        assert reader.update() == 20
        assert (reader.temperature_K, reader.hottest_step, reader.hottest_K) == (320.0, 20, 320.0)
        hot = properties_line(24).replace("3.24", "9.24")
        assert hot != properties_line(24)
        out.write(hot + properties_line(28))
        out.flush()
        assert reader.update() == 28  # cooled within one look
        assert (reader.temperature_K, reader.hottest_step, reader.hottest_K) == (328.0, 24, 924.0)
        out.write(properties_line(30, np.nan))
        out.flush()
        with pytest.raises(RunError, match="not finite at step 30"):
            reader.update()


def test_xml_is_what_ipi_understands():
    """Special characters in the driver's path, settings and masses arrive unchanged."""
    driver = IpiDriver("/a folder/R&D <new> 'x'/driver.py", {"model": "m", "device": "cpu"})
    settings = PimdRun(n_steps=70, n_beads=5, temperature_K=77.5, seed=3, fix_center_of_mass=False)
    atoms = molecule("H2O")
    atoms.set_masses([15.5, 2.014, 1.008])
    parsed = InputSimulation()
    parsed.parse(xml_parse_string(input_xml(atoms, settings, driver)).fields[0][1])
    fields = {name: value for name, value in parsed.extra}
    force_field, system = fields["ffdirect"], fields["system"]
    assert force_field.pes_path.fetch() == driver.pes_path
    assert force_field.parameters.fetch() == driver.parameters
    assert force_field.batch_size.fetch() == 5
    assert (force_field.pbc.fetch(), force_field.threaded.fetch()) == (False, False)
    assert parsed.total_steps.fetch() == 70
    assert system.motion.fixcom.fetch() is False
    assert_allclose(system.ensemble.temperature.fetch(), 77.5 * 3.1668152e-06)
    queue = dict(system.initialize.fetch().queue)
    assert queue["masses"].value.tolist() == [15.5, 2.014, 1.008]


@pytest.mark.parametrize(
    ("dynamics", "mode", "tau_fs", "pile_lambda"),
    [("pimd", "nvt", 100.0, 1.0), ("rpmd", "nve", None, None), ("trpmd", "nvt", 1e30, 0.5)],
)
def test_each_dynamics_in_the_words_of_ipi(dynamics, mode, tau_fs, pile_lambda):
    settings = PimdRun(n_steps=4000, dynamics=dynamics)
    parsed = InputSimulation()
    xml = input_xml(molecule("H2O"), settings, IpiDriver("pes.py", {}))
    parsed.parse(xml_parse_string(xml).fields[0][1])
    motion = dict(parsed.extra)["system"].motion.dynamics
    assert motion.mode.fetch() == mode
    if mode == "nvt":
        assert motion.thermostat.mode.fetch() == "pile_l"
        assert_allclose(motion.thermostat.tau.fetch(), tau_fs * 41.341373, rtol=1e-6)
        assert motion.thermostat.pile_lambda.fetch() == pile_lambda


def test_a_molecule_starts_without_rigid_motion():
    """Momentum and angular momentum of the whole ring polymer vanish; beads are at P times T."""
    atoms, n_beads = molecule("CH4"), 64
    positions = atoms.positions + np.random.default_rng(0).normal(0, 0.05, (n_beads, 5, 3))
    velocities = thermal_bead_velocities(atoms, positions, PimdRun(n_steps=1))
    momenta = atoms.get_masses()[:, None] * velocities
    assert np.abs(momenta.sum(axis=(0, 1))).max() < 1e-9
    assert np.abs(np.cross(positions, momenta).sum(axis=(0, 1))).max() < 1e-9
    temperature_K = (momenta * velocities).sum() / (n_beads * kB) / (3 * 5 * n_beads - 6)
    assert temperature_K == pytest.approx(300.0, rel=4 * np.sqrt(2 / (3 * 5 * n_beads)))
    free = PimdRun(n_steps=1, fix_center_of_mass=False)
    moving = atoms.get_masses()[:, None] * thermal_bead_velocities(atoms, positions, free)
    assert np.abs(moving.sum(axis=(0, 1))).min() > 0.1


def test_a_continued_run_has_the_length_and_driver_of_today():
    old = ET.fromstring(
        "<simulation><step>40</step><total_steps>60</total_steps>"
        "<ffdirect name='model'><pes_path>/gone</pes_path></ffdirect></simulation>"
    )
    xml = continued_xml(old, PimdRun(n_steps=90), IpiDriver("/here.py", {}))
    tree = ET.fromstring(xml)
    assert tree.findtext("total_steps") == "90"
    assert tree.findtext("step") == "40"
    assert [f.findtext("pes_path") for f in tree.findall("ffdirect")] == ["/here.py"]


def test_turned_to_the_frame_of_ipi(diamond):
    diamond.rotate(30, (1, 2, 3), rotate_cell=True)
    turned = to_ipi_frame(diamond)
    assert_array_equal(turned.cell.array, np.tril(turned.cell.array))
    distances = turned.get_all_distances(mic=True)
    assert_allclose(distances, diamond.get_all_distances(mic=True), atol=1e-9)
    assert geometry_xyz(turned).startswith("8\n# CELL(H): ")
    diamond.set_cell(diamond.cell[[1, 0, 2]])
    with pytest.raises(StructureError, match="left-handed"):
        to_ipi_frame(diamond)


def test_constraints_are_refused():
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 1]], constraint=FixAtoms([0]))
    with pytest.raises(StructureError, match="constraints"):
        to_ipi_frame(atoms)


@pytest.mark.parametrize("wrong", [
    {"n_steps": 0}, {"n_steps": 1.5}, {"n_steps": True}, {"n_beads": 0}, {"temperature_K": 0.0},
    {"timestep_fs": -0.5}, {"timestep_fs": float("nan")}, {"timestep_fs": "0.5"}, {"stride": 0},
    {"thermostat_time_fs": float("inf")}, {"seed": -1}, {"fix_center_of_mass": 1},
    {"dynamics": "rmpd"}, {"segment_ps": 0.0}, {"start_spacing_ps": -1.0}, {"record_forces": "no"},
    {"n_steps": 4001, "dynamics": "trpmd"},
])  # fmt: skip
def test_bad_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        PimdRun(**{"n_steps": 10, **wrong})


def test_another_run_is_refused_by_name(tmp_path):
    atoms = molecule("H2O")
    atoms.set_masses([15.5, 2.014, 1.008])
    write_record(tmp_path, atoms, SETTINGS, {"model (sha256)": "aa"})
    grown = replace(SETTINGS, n_steps=np.int64(80))
    check_same_run(tmp_path, atoms, grown, {"model (sha256)": "aa"})
    write_record(tmp_path, atoms, grown, {"model (sha256)": "aa"})
    stored_atoms, stored_settings, identity = read_record(tmp_path)
    assert (stored_settings, identity) == (grown, {"model (sha256)": "aa"})
    assert_array_equal(stored_atoms.positions, atoms.positions)
    assert_array_equal(stored_atoms.get_masses(), atoms.get_masses())
    other = replace(SETTINGS, n_steps=50, temperature_K=250.0)
    moved = atoms.copy()
    moved.positions[1, 1] += 0.01
    with pytest.raises(RunError) as refused:
        check_same_run(tmp_path, moved, other, {"model (sha256)": "bb"})
    for part in ("temperature_K was 300.0 and is now 250.0", "model (sha256) was 'aa'",
                 "the positions of the structure differ"):  # fmt: skip
        assert part in str(refused.value)
    assert "n_steps" not in str(refused.value)
    good = json.loads((tmp_path / "pimd.json").read_text())
    new = {"dynamics", "segment_ps", "start_spacing_ps", "record_forces"}
    old = {name: value for name, value in good["settings"].items() if name not in new}
    (tmp_path / "pimd.json").write_text(json.dumps(good | {"settings": old}))
    check_same_run(tmp_path, atoms, grown, {"model (sha256)": "aa"})
    for damaged in (
        "",
        "[1]",
        '{"settings": {}}',
        json.dumps(good | {"settings": good["settings"] | {"n_beads": -1}}),
        json.dumps(good | {"structure": good["structure"] | {"masses": [1.0]}}),
    ):
        (tmp_path / "pimd.json").write_text(damaged)
        with pytest.raises(RunError, match="damaged"):
            check_same_run(tmp_path, atoms, SETTINGS, {})


def test_a_trajectory_is_read_up_to_the_latest_checkpoint(folder):
    """Also while the run goes on: what comes after the checkpoint is left alone."""
    atoms = molecule("H2O")
    write_record(folder, atoms, SETTINGS, {})
    trajectory = read_pimd_trajectory(folder)
    assert isinstance(trajectory.positions, LazyFrames)  # in a file until they are asked for
    assert trajectory.positions.shape == (5, 2, 3, 3)
    assert_array_equal(trajectory.times_fs, [0.0, 5.0, 10.0, 15.0, 20.0])
    assert_array_equal(trajectory.masses, atoms.get_masses())
    for name in ("simulation.positions_0.extxyz", "simulation.positions_1.extxyz"):
        path = folder / name
        path.write_text(path.read_text() + frame(50, 0) + frame(60, 0)[:70])
    assert_array_equal(read_pimd_trajectory(folder).positions, trajectory.positions)
    for path in folder.glob("simulation.checkpoint_*"):
        path.unlink()
    with pytest.raises(RunError, match="has not reached its first checkpoint"):
        read_pimd_trajectory(folder)


def test_a_process_deaf_to_sigterm_is_killed(monkeypatch):
    monkeypatch.setattr(ipi_process, "GRACE_S", 0.3)
    deaf = "import signal as s, time; s.signal(15, s.SIG_IGN); print(1, flush=True); time.sleep(99)"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", deaf], stdout=subprocess.PIPE, start_new_session=True
    )
    with process:
        process.stdout.readline()
        ipi_process.stop(process)
    assert process.returncode == -9


def test_the_reason_is_found_in_the_log(tmp_path):
    log = tmp_path / "i-pi.log"
    old = "ValueError: of the run before\n"
    log.write_text(old + "Traceback:\nmlpotential.errors.ModelFileError: no model\nmore words\n")
    tail = ipi_process.log_tail(log, len(old))
    assert tail.splitlines()[0] == "ModelFileError: no model"
    assert tail.endswith("more words")
    assert "before" not in tail
    start = log.stat().st_size
    assert ipi_process.log_tail(log, start).startswith("it gave no reason")
    with log.open("a") as end:
        end.write("Traceback:\nOSError: [Errno 28] No space left on device\n")
        end.write("mlpotential: cannot write extrapolation.json: No space left on device\n")
    tail = ipi_process.log_tail(log, start)
    assert tail == f"the disk is full: make room, and the same command goes on. See {log}"


def test_the_program_of_ipi_is_found_without_a_path(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert shutil.which("i-pi") is None
    assert ipi_process.ipi_program().name == "i-pi"
