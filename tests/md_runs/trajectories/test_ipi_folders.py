"""Folders of i-PI that lack a bead, a quantity or most positions, or have a quantity twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from md_runs.commands.infrared_and_raman import infrared_report
from md_runs.commands.prepared_run import open_runs
from md_runs.commands.vdos import vdos_report
from md_runs.reading import read_run
from md_runs.trajectories.ipi_files.run_settings import converted
from mlpotential.errors import DataError, RunError
from mlpotential.units import WAVENUMBER_PER_INVERSE_FS

NOT_USED = "ignore:the cell in .* is not used"
pytestmark = pytest.mark.filterwarnings(NOT_USED)

N_FRAMES = 512
VELOCITIES = ("velocities_angstrom_per_fs",)
LINE_PER_CM = 2000.0
CO = ("C", "O")
MASSES = np.array([12.011, 15.999])
SPEED = converted(1.0, "length", "atomic_unit", "angstrom") / converted(
    1.0, "time", "atomic_unit", "femtosecond"
)


def input_xml(n_beads: int = 1, mode: str = "nve", kelvin: float = 300.0) -> str:
    return f"""<simulation><output prefix='sim'/><system><initialize nbeads='{n_beads}'/>
    <motion mode='dynamics'><dynamics mode='{mode}'><timestep units='femtosecond'>1</timestep>
    </dynamics></motion><ensemble><temperature units='kelvin'>{kelvin}</temperature></ensemble>
    </system></simulation>"""


def stretch(n_frames: int = N_FRAMES, amplitude: float = 0.05):
    """A CO that vibrates along x: positions (A) and velocities (A/fs), [n_frames, 2, 3]."""
    omega = 2 * np.pi * LINE_PER_CM / WAVENUMBER_PER_INVERSE_FS
    times = np.arange(n_frames)
    positions, velocities = np.zeros((2, n_frames, 2, 3))
    shares = np.array([-MASSES[1], MASSES[0]]) / MASSES.sum()
    positions[:, :, 0] = shares * (1.13 + amplitude * np.cos(omega * times))[:, None]
    velocities[:, :, 0] = -shares * amplitude * omega * np.sin(omega * times)[:, None]
    return positions, velocities


def write_xyz(path: Path, quantity: str, values, symbols=CO, bead: int = 0, stride: int = 1):
    frames = [
        f"{len(symbols)}\n# CELL(abcABC): 20 20 20 90 90 90 Step: {k * stride} Bead: {bead} "
        f"{quantity} cell{{angstrom}}\n"
        + "".join(
            f"{s} {x:.10f} {y:.10f} {z:.10f}\n" for s, (x, y, z) in zip(symbols, frame, strict=True)
        )
        for k, frame in enumerate(values)
    ]
    path.write_text("".join(frames))


def write_beads(folder: Path, word: str, quantity: str, values, stride: int = 1):
    """[n_beads, n_frames, 2, 3]."""
    for bead, one in enumerate(values):
        write_xyz(folder / f"sim.{word}_{bead}.xyz", quantity, one, bead=bead, stride=stride)


def write_dipoles(path: Path, values, stride: int = 1):
    path.write_text(
        "".join(
            f" #EXTRAS(dipole)# Step: {k * stride} Bead: 0\n{x:.10f} {y:.10f} {z:.10f}\n"
            for k, (x, y, z) in enumerate(values)
        )
    )


def peaks(report) -> list[float]:
    return [
        float(row[0].split("(")[0]) for t in report.tables if "peaks" in t.title for row in t.rows
    ]


@pytest.fixture
def four_beads(tmp_path):
    positions, _ = stretch(60)
    beads = positions + 0.02 * np.random.default_rng(0).normal(size=(4, *positions.shape))
    write_beads(tmp_path, "pos", "positions{angstrom}", beads)
    (tmp_path / "input.xml").write_text(input_xml(4, "nvt"))
    return tmp_path, beads


def test_a_quantity_under_two_names_is_read_once(four_beads):
    folder, beads = four_beads
    write_xyz(folder / "sim.slow_0.xyz", "positions{angstrom}", beads[0, ::10], stride=10)
    with pytest.warns(UserWarning, match=r"several names: sim\.pos_0\.xyz .*not sim\.slow_0\.xyz"):
        found = read_run(folder)
    assert (found.n_frames, found.n_beads) == (60, 4)
    np.testing.assert_allclose(found.positions, beads.swapaxes(0, 1), atol=1e-9)
    for bead in (1, 2, 3):  # as many beads: the one that has more frames counts
        one = beads[bead, ::10]
        write_xyz(folder / f"sim.slow_{bead}.xyz", "positions{angstrom}", one, bead=bead, stride=10)
    with pytest.warns(UserWarning, match="several names"):
        assert read_run(folder).n_frames == 60
    with pytest.warns(UserWarning, match=r"several names: sim\.slow_0\.xyz"):
        assert read_run(folder / "sim.slow_0.xyz").n_frames == 6


@pytest.mark.parametrize("n_named", [4, 8, None], ids=["input", "input of more", "no input"])
def test_a_missing_bead_is_named(four_beads, n_named):
    folder, _ = four_beads
    (folder / "sim.pos_2.xyz").unlink()
    if n_named is None:
        (folder / "input.xml").unlink()
    else:
        (folder / "input.xml").write_text(input_xml(n_named, "nvt"))
    with pytest.raises(RunError, match=r"of the beads 0, 1, 3, but .* bead 2.* is missing"):
        read_run(folder, 1.0)


def test_a_bead_that_is_another_is_refused(four_beads):
    folder, _ = four_beads
    (folder / "sim.pos_2.xyz").write_bytes((folder / "sim.pos_1.xyz").read_bytes())
    with pytest.raises(RunError, match=r"sim\.pos_2\.xyz holds bead 1, not that of its name"):
        read_run(folder)


def test_one_bead_is_used_and_said(four_beads):
    folder, beads = four_beads
    for bead in (1, 2, 3):
        (folder / f"sim.pos_{bead}.xyz").unlink()
    with pytest.warns(UserWarning, match="positions of one of 4 beads only"):
        found = read_run(folder)
    np.testing.assert_allclose(found.positions[:, 0], beads[0], atol=1e-9)
    with pytest.raises(RunError, match="one of 4 beads only, whose motion is not that of the atom"):
        read_run(folder, leading=VELOCITIES)


def test_spectra_take_the_centroid_where_beads_lack(tmp_path):
    """Bead 0 moves with the ring polymer, too: that is no line of the molecule."""
    positions, velocities = stretch()
    ring = 0.004 * np.sin(2 * np.pi * 1180 / WAVENUMBER_PER_INVERSE_FS * np.arange(N_FRAMES))
    of_bead = velocities + ring[:, None, None] * np.array([[1.0], [-1.0]])
    (tmp_path / "input.xml").write_text(input_xml(4))
    write_xyz(tmp_path / "sim.pos_0.xyz", "positions{angstrom}", positions)
    write_xyz(tmp_path / "sim.vel_0.xyz", "velocities{atomic_unit}", of_bead / SPEED)
    write_xyz(tmp_path / "sim.vc.xyz", "v_centroid{atomic_unit}", velocities / SPEED)
    found = vdos_report(open_runs([tmp_path], VELOCITIES))
    assert peaks(found) == pytest.approx([LINE_PER_CM], abs=3)
    assert "dynamics: RPMD" in str(found)
    assert "velocities against positions" not in str(found)
    assert "classical" not in str(found)
    (tmp_path / "input.xml").unlink()  # bead 0 alone may be one of many
    found = vdos_report(open_runs([tmp_path], VELOCITIES, frame_interval_fs=1.0))
    assert peaks(found) == pytest.approx([LINE_PER_CM], abs=3)
    assert "nothing tells how many beads there are" in str(found)
    assert "velocities against positions" not in str(found)


@pytest.fixture
def seldom(tmp_path):
    """Velocities and dipoles every 1 fs, positions every 16."""
    positions, velocities = stretch(amplitude=0.02)
    (tmp_path / "input.xml").write_text(input_xml(kelvin=150.0))
    write_xyz(tmp_path / "sim.pos_0.xyz", "positions{angstrom}", positions[::16], stride=16)
    write_xyz(tmp_path / "sim.vel_0.xyz", "velocities{atomic_unit}", velocities / SPEED)
    write_dipoles(tmp_path / "sim.dip_0", 0.3 * positions[:, 1])
    return tmp_path, positions, velocities


def test_positions_that_were_recorded_seldom_do_not_thin_out_the_rest(seldom):
    folder, positions, velocities = seldom
    with pytest.warns(UserWarning, match="recorded at 32 steps, other quantities at 512"):
        found = read_run(folder, leading=VELOCITIES)
    np.testing.assert_allclose(found.velocities_angstrom_per_fs[:, 0], velocities, atol=1e-8)
    # The trapezoidal rule lacks (w h)^2 / 12 of what it integrates.
    np.testing.assert_allclose(found.positions[:, 0], positions, atol=0.02 * 0.377**2 / 6)
    pieces = np.concatenate([found.positions[k : k + 7] for k in range(0, N_FRAMES, 7)])
    np.testing.assert_allclose(pieces, np.asarray(found.positions), atol=1e-12)
    assert peaks(vdos_report(open_runs([folder], VELOCITIES))) == pytest.approx(
        [LINE_PER_CM], abs=3
    )
    with pytest.warns(UserWarning, match="the 32 frames are used that all have"):
        assert read_run(folder).n_frames == 32


def test_beads_that_were_recorded_seldom_beside_their_centroid(tmp_path):
    """Positions of all beads every 16 fs, velocities of the centroid every 1 fs."""
    positions, velocities = stretch(amplitude=0.02)
    spread = 0.03 * np.random.default_rng(0).normal(size=(4, 1, 2, 3))
    write_beads(
        tmp_path, "pos", "positions{angstrom}", positions[::16] + spread - spread.mean(0), stride=16
    )
    write_xyz(tmp_path / "sim.vc.xyz", "v_centroid{atomic_unit}", velocities / SPEED)
    (tmp_path / "input.xml").write_text(input_xml(4))
    with pytest.warns(UserWarning, match="those between follow from the velocities"):
        found = read_run(tmp_path, leading=VELOCITIES)
    assert found.positions.shape == found.velocities_angstrom_per_fs.shape == (512, 1, 2, 3)
    np.testing.assert_allclose(found.positions[:, 0], positions, atol=0.02 * 0.377**2 / 6)
    with pytest.warns(UserWarning, match="has v_centroid not of all 4 beads: they are not used"):
        assert read_run(tmp_path).positions.shape == (32, 4, 2, 3)


def test_dipoles_are_used_as_often_as_they_were_recorded(seldom):
    """Whatever else there is: no velocities, velocities every 4 fs, nothing."""
    folder, _, velocities = seldom
    expected = peaks(infrared_report(open_runs([folder], ["dipoles"], temperature_K=150.0)))
    assert expected == pytest.approx([LINE_PER_CM], abs=5)
    write_xyz(
        folder / "sim.vel_0.xyz", "velocities{atomic_unit}", velocities[::4] / SPEED, stride=4
    )
    with pytest.warns(UserWarning, match="velocities are not used, which dipole are recorded more"):
        found = read_run(folder, leading=["dipoles"])
    assert (found.n_frames, found.velocities_angstrom_per_fs) == (N_FRAMES, None)
    (folder / "sim.vel_0.xyz").unlink()
    found = read_run(folder, leading=["dipoles"])
    assert (found.n_frames, found.has_positions) == (N_FRAMES, False)
    with pytest.raises(RunError, match="positions are recorded at 32 steps"):
        found.positions[:3]
    (folder / "sim.pos_0.xyz").unlink()
    (run,) = open_runs([folder], ["dipoles"], temperature_K=150.0)
    report = infrared_report([run])
    assert peaks(report) == pytest.approx(expected)
    assert "atoms not recorded" in str(report)
    with pytest.raises(DataError, match="does not tell its temperature: give --temperature-K"):
        infrared_report(open_runs([folder], ["dipoles"]))
    with pytest.raises(RunError, match="has no positions among its i-PI outputs"):
        open_runs([folder])


def test_the_last_frame_of_a_killed_run_is_left_out(seldom):
    folder, positions, _ = seldom
    write_dipoles(folder / "sim.dip_0", 0.3 * positions[:-1, 1])
    with pytest.warns(UserWarning, match="other quantities at 511"):
        found = read_run(folder, leading=VELOCITIES)
    assert found.dipoles.shape == (N_FRAMES - 1, 1, 3)


def test_nve_has_no_temperature_but_what_it_moves_with(tmp_path):
    """An input names one for the first velocities; half of it is left when atoms start at rest."""
    positions, velocities = stretch()
    write_xyz(tmp_path / "sim.pos_0.xyz", "positions{angstrom}", positions)
    write_xyz(tmp_path / "sim.vel_0.xyz", "velocities{atomic_unit}", velocities / SPEED)
    for mode, recorded in (("nve", None), ("nvt", 300.0)):
        (tmp_path / "input.xml").write_text(input_xml(1, mode))
        assert read_run(tmp_path).temperature_K == recorded
    (tmp_path / "input.xml").write_text(input_xml(4, "nve"))  # RPMD: that of the springs
    with pytest.warns(UserWarning, match="one of 4 beads"):
        assert read_run(tmp_path).temperature_K == 300.0


@pytest.mark.parametrize(("symbol", "mass"), [("D", 2.014102), ("T", 3.016049), ("H", 1.008)])
def test_isotopes_of_hydrogen(tmp_path, symbol, mass):
    write_xyz(tmp_path / "sim.pos_0.xyz", "positions{angstrom}", stretch(3)[0], ("O", symbol))
    found = read_run(tmp_path, 1.0)
    assert found.atomic_numbers.tolist() == [8, 1]
    np.testing.assert_allclose(found.masses, [15.999, mass], rtol=1e-6)


def test_a_unit_of_extras_that_are_not_there_is_refused(seldom):
    folder = seldom[0]
    with pytest.raises(RunError, match="has no extras 'polarizability' .*: it has dipole"):
        read_run(folder, extras_units={"polarizability": "atomic_unit"}, leading=["dipoles"])
