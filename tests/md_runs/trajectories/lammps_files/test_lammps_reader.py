"""Runs of LAMMPS (tests/reference/lammps) in all its ways to dump them, and damaged ones."""

from __future__ import annotations

import gzip
import math
import re
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import iread

from md_runs.cli import main
from md_runs.reading import read_run
from md_runs.trajectories.trajectory import unwrapped
from mlpotential.errors import ConfigError, RunError
from mlpotential.units import ASE_TIME_PER_FS, WAVENUMBER_PER_INVERSE_FS

RUNS = Path(__file__).parents[3] / "reference" / "lammps"
SPRING, MASSES = 57.85, (12.011, 15.999)  # eV/A^2, amu; of make_lammps_reference.py
TIMESTEP_FS, INTERVAL_FS = 0.25, 2.0


@pytest.fixture
def copied(tmp_path):
    """Makes copies of runs that may be changed, and gives their folder."""

    def copy(name: str) -> Path:
        return Path(shutil.copytree(RUNS / name, tmp_path / name))

    return copy


def wavenumber_per_cm(timestep_fs: float) -> float:
    """Of the bond, as leap-frog steps have it: sin(w' h / 2) = w h / 2."""
    reduced = MASSES[0] * MASSES[1] / sum(MASSES)
    angular = math.sqrt(SPRING / reduced) * ASE_TIME_PER_FS  # 1/fs
    stepped = 2 / timestep_fs * math.asin(0.5 * timestep_fs * angular)
    return stepped / (2 * math.pi) * WAVENUMBER_PER_INVERSE_FS


def highest_peak_per_cm(values: np.ndarray, interval_fs: float) -> float:
    """Of a signal of one frequency, far better than the resolution."""
    padded = 64 * len(values)
    spectrum = np.abs(np.fft.rfft(values * np.hanning(len(values)), padded))
    wavenumbers = np.fft.rfftfreq(padded, interval_fs) * WAVENUMBER_PER_INVERSE_FS
    return float(wavenumbers[spectrum.argmax()])


@pytest.mark.parametrize("units", ["metal", "real"])
def test_a_bond_vibrates_with_its_wavenumber_in_all_units(units):
    """Velocities, forces, positions and times fit each other and the spring, and nothing warns."""
    run = read_run(RUNS / f"diatomic_{units}" / "co.dump.gz")
    assert run.atomic_numbers.tolist() == [6, 8, 6, 8]
    np.testing.assert_allclose(run.masses, [*MASSES, *MASSES])
    np.testing.assert_allclose(np.diff(run.times_fs), INTERVAL_FS)
    assert run.integration_timestep_fs == pytest.approx(TIMESTEP_FS)
    assert (run.dynamics, run.temperature_K, run.friction_per_fs) == ("NVE", None, None)
    velocities = run.velocities_angstrom_per_fs[:, 0]
    for first, axis in ((0, 0), (2, 1)):
        stretching = velocities[:, first + 1, axis] - velocities[:, first, axis]
        found = highest_peak_per_cm(stretching, INTERVAL_FS)
        assert found == pytest.approx(wavenumber_per_cm(TIMESTEP_FS), abs=0.5)
    # The first molecule begins across a face, whose image flags are 0: its bond is 1.18 A.
    positions = run.positions[:, 0]
    bonds = positions[:, 1] - positions[:, 0]
    np.testing.assert_allclose(
        run.forces[:, 0, 0, 0], SPRING * (bonds[:, 0] - 1.13), atol=1e-6 * SPRING
    )
    # -3.1 A/ps for 1 ps: it is followed across a face
    assert positions[-1, 0, 0] - positions[0, 0, 0] == pytest.approx(-3.1, abs=0.06)
    kinetic = 0.5 * np.einsum("i,tix,tix->t", run.masses, velocities, velocities)
    kinetic /= ASE_TIME_PER_FS**2
    if units == "metal":  # whose log has every frame
        total = kinetic + run.energies[:, 0]
        assert np.ptp(total) < 0.01 * np.ptp(kinetic)
        expected = 0.5 * SPRING * ((bonds[:, 0] - 1.13) ** 2)
        other = np.linalg.norm(positions[:, 3] - positions[:, 2], axis=1) - 1.13
        expected += 0.5 * SPRING * other**2
        np.testing.assert_allclose(run.energies[:, 0], expected, atol=1e-6)
    else:
        assert run.energies is None


def quietly(path: Path, **options):
    """The run, without what its reader warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_run(path, **options)


def test_all_styles_hold_the_same_motion():
    """Scaled, unscaled, unwrapped and flagged positions in an oblique box; atoms in any order."""
    folder = RUNS / "triclinic"
    reference = read_run(folder / "unwrapped.dump")
    assert sorted(set(reference.atomic_numbers.tolist())) == [18, 36]
    np.testing.assert_allclose(reference.cells[0], [[12, 0, 0], [3, 11, 0], [-2, 1.5, 10]])
    assert (reference.dynamics, reference.temperature_K) == ("Nose-Hoover", 3000.0)
    heavy = reference.atomic_numbers == 36
    assert set(reference.masses[heavy].tolist()) == {83.798}
    for charges in reference.charges[:, 0]:
        np.testing.assert_allclose(charges, np.where(heavy, 0.25, 0.0))
    for name in ("images.dump", "scaled.dump", "scaled_unwrapped.dump.gz"):
        run = read_run(folder / name)
        assert run.atomic_numbers.tolist() == reference.atomic_numbers.tolist(), name
        np.testing.assert_allclose(run.positions[:], reference.positions[:], atol=2e-4)
        np.testing.assert_allclose(run.times_fs, 80.0 * np.arange(13))
    wrapped = read_run(folder / "atom.dump")
    assert np.abs(wrapped.positions[:] - reference.positions[:]).max() > 5
    np.testing.assert_allclose(
        unwrapped(wrapped).positions[:] - wrapped.positions[0],
        reference.positions[:] - reference.positions[0],
        atol=2e-3,  # xs have five digits
    )
    assert read_run(folder / "images.dump").velocities_angstrom_per_fs.shape == (13, 1, 16, 3)


def test_ase_reads_the_same_positions():
    """Another reader, of columns that it knows."""
    run = read_run(RUNS / "triclinic" / "atom.dump")
    frames = iread(RUNS / "triclinic" / "atom.dump", format="lammps-dump-text")
    theirs = np.array([atoms.positions for atoms in frames])
    np.testing.assert_allclose(run.positions[:, 0], theirs, atol=1e-6)


@pytest.mark.parametrize("name", ["sorted.xyz", "types.xyz"])
def test_style_xyz(copied, name):
    """It has wrapped positions alone; its log tells the rest."""
    folder = copied("triclinic")
    wrapped = read_run(folder / "atom.dump")
    run = read_run(folder / name)
    assert run.cells is None
    assert run.velocities_angstrom_per_fs is None
    assert run.atomic_numbers.tolist() == wrapped.atomic_numbers.tolist()
    np.testing.assert_allclose(run.times_fs, wrapped.times_fs)
    np.testing.assert_allclose(run.positions[0], wrapped.positions[0], atol=2e-3)
    compressed = folder / f"{name}.gz"
    compressed.write_bytes(gzip.compress((folder / name).read_bytes()))
    again = quietly(compressed, lammps_log=folder / "log.lammps")
    np.testing.assert_array_equal(again.positions[:], run.positions[:])
    (folder / "log.lammps").unlink()
    with pytest.raises(RunError, match="steps, but no times" if "sorted" in name else "elements"):
        read_run(folder / name)


def test_style_extxyz():
    """It is read as any extended XYZ; what it does not tell is asked for."""
    reference = read_run(RUNS / "triclinic" / "images.dump")
    path = RUNS / "triclinic" / "extended.extxyz"
    with pytest.warns(UserWarning, match="not used are .*Time"):
        run = read_run(path, 80.0, velocity_unit="A/ps")
    np.testing.assert_allclose(run.times_fs, reference.times_fs)
    np.testing.assert_allclose(run.cells[:], reference.cells[:], rtol=1e-5)
    np.testing.assert_allclose(
        run.velocities_angstrom_per_fs[:], reference.velocities_angstrom_per_fs[:], rtol=1e-4
    )


def test_boxes_that_are_turned():
    """Vectors with an origin are the same box as bounds with tilts, but for a rotation."""
    general = read_run(RUNS / "general" / "general.dump")
    restricted = read_run(RUNS / "general" / "restricted.dump")
    assert general.pbc == restricted.pbc == (True, True, False)
    np.testing.assert_allclose(general.cells[0], [[8, 2, 0], [-2, 8, 1], [1, 0, 8]], atol=1e-12)
    for run in (general, restricted):
        assert set(run.atomic_numbers.tolist()) == {18}
    metric = [run.cells[0] @ run.cells[0].T for run in (general, restricted)]
    np.testing.assert_allclose(metric[0], metric[1], atol=1e-9)
    inverse = np.linalg.inv(general.cells[0])
    parts = general.positions[:, 0] @ inverse - restricted.positions[:, 0] @ np.linalg.inv(
        restricted.cells[0]
    )
    np.testing.assert_allclose(parts - np.rint(parts), 0, atol=1e-5)


def test_units_and_times_of_a_dump_without_a_log(copied):
    """They are told by the dump itself, or by options, or asked for."""
    folder = copied("triclinic")
    whole = read_run(folder / "images.dump")
    (folder / "log.lammps").unlink()
    alone = read_run(folder / "images.dump")  # dump_modify units yes time yes
    np.testing.assert_allclose(alone.times_fs, whole.times_fs)
    np.testing.assert_array_equal(
        alone.velocities_angstrom_per_fs[:], whole.velocities_angstrom_per_fs[:]
    )
    assert (alone.dynamics, alone.temperature_K, alone.energies) == (None, None, None)
    with pytest.raises(RunError, match="units .* do not fit .*metal by the dump, real by --units"):
        read_run(folder / "images.dump", units="real")
    with pytest.raises(RunError, match="no elements: give them .--elements"):
        read_run(folder / "scaled.dump", 80.0)
    with pytest.raises(RunError, match="atoms of type 2, but --elements names 1"):
        read_run(folder / "scaled.dump", 80.0, elements=["Ar"])
    told = read_run(folder / "scaled.dump", 80.0, elements=["Ar", "Kr"], units="metal")
    assert told.atomic_numbers.tolist() == whole.atomic_numbers.tolist()
    with pytest.raises(RunError, match="tells steps, but no times .*--lammps-log"):
        read_run(folder / "scaled.dump", elements=["Ar", "Kr"], units="metal")
    with pytest.raises(ConfigError, match="Did you mean 'metal'"):
        read_run(folder / "scaled.dump", units="metall")
    (folder / "images.dump").write_text(
        (folder / "images.dump").read_text().replace("UNITS\nmetal", "UNITS\nlj")
    )
    with pytest.raises(RunError, match="in units lj, which have no lengths"):
        read_run(folder / "images.dump")


def test_a_log_of_another_run_is_not_used(copied):
    folder = copied("triclinic")
    (folder / "images.dump").rename(folder / "other.dump")
    with pytest.warns(UserWarning, match="does not write other.dump and is not used"):
        found = read_run(folder / "other.dump")
    assert found.temperature_K is None
    assert read_run(folder / "other.dump", lammps_log=folder / "log.lammps").temperature_K == 3000


def test_options_of_lammps_are_for_lammps(tmp_path):
    path = tmp_path / "run.xyz"
    path.write_text("1\ntime_fs=0\nO 0 0 0\n")
    with pytest.raises(ConfigError, match="no dump of LAMMPS: leave out --units, --elements"):
        read_run(path, units="real", elements=["O"])


def test_names_of_elements_that_masses_contradict(copied):
    """LAMMPS calls all atoms C where nobody told it their elements."""
    folder = copied("triclinic")
    text = (folder / "images.dump").read_text()
    (folder / "images.dump").write_text(text.replace(" Ar ", " C ").replace(" Kr ", " C "))
    with (
        pytest.warns(UserWarning, match="called C, but have the mass of Ar"),
        pytest.warns(UserWarning, match="called C, but have the mass of Kr"),
        pytest.warns(UserWarning, match="shortest distance"),  # far too long for carbon
    ):
        found = read_run(folder / "images.dump")
    assert set(found.atomic_numbers.tolist()) == {6}
    right = read_run(folder / "images.dump", elements=["Ar", "Kr"])
    assert set(right.atomic_numbers.tolist()) == {18, 36}


def frames_of(path: Path) -> list[str]:
    """Texts of frames."""
    return ["ITEM: TIMESTEP" + part for part in path.read_text().split("ITEM: TIMESTEP")[1:]]


def test_cut_frames_are_left_out(copied):
    """The last one wherever it is cut, and those before which a restarted run appended."""
    folder = copied("triclinic")
    path = folder / "scaled.dump"
    whole, frames = read_run(path), frames_of(path)
    heads = [frames[-1].index(word) for word in ("NUMBER", "BOX", "ATOMS")]
    for end in (len(frames[-1]) - 1, len(frames[-1]) - 30, *heads, *(h - 6 for h in heads), 20):
        path.write_text("".join(frames[:-1]) + frames[-1][:end])
        with pytest.warns(UserWarning, match="the last frame of .* is cut: the 12 frames"):
            found = read_run(path)
        np.testing.assert_array_equal(found.positions[:], whole.positions[:12])
    for end in (len(frames[5]) - 3, len(frames[5]) - 30, *heads, *(h - 6 for h in heads)):
        path.write_text("".join(frames[:5]) + frames[5][:end] + "".join(frames[3:]))
        with (
            pytest.warns(UserWarning, match="2 frames were recorded again"),
            pytest.warns(UserWarning, match="that is killed, are left out: 1"),
        ):
            found = read_run(path)
        np.testing.assert_array_equal(found.positions[:], whole.positions[:])
        np.testing.assert_array_equal(found.times_fs, whole.times_fs)
        np.testing.assert_array_equal(found.energies[:], whole.energies[:])


def test_a_compressed_dump_that_is_cut(copied):
    folder = copied("triclinic")
    path = folder / "scaled_unwrapped.dump.gz"
    whole, data = read_run(path), path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.warns(UserWarning, match="the last frame of .* is cut"):
        found = read_run(path)
    assert 0 < found.n_frames < 13
    np.testing.assert_array_equal(found.positions[:], whole.positions[: found.n_frames])
    path.write_bytes(data[:1000] + b"\0" * 20 + data[1020:])
    with pytest.raises(RunError, match=r"scaled_unwrapped.dump.gz"):
        quietly(path)


def changed(frame: str, old: str, new: str) -> str:
    assert old in frame
    return frame.replace(old, new, 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ATOMS\n16", "ATOMS\n15", "frame 2 .step 80. .* 15 atoms, not 16"),
        ("id type xs ys zs", "id type x y z", "the columns id type x y z"),
        ("\n3 1 ", "\n17 1 ", "other ids or types"),
        ("\n3 1 ", "\n3 2 ", "other ids or types"),
        ("pp pp pp", "pp pp ff", "other periodic directions"),
        ("\n3 1 ", "\n3 one ", "frame 2 .step 80. .*damaged"),
        ("ITEM: BOX", "ITEM: BAG", "unknown item 'BAG BOUNDS'"),
        ("ATOMS\n16", "ATOMS\nmany", "damaged: invalid literal"),
    ],
)
def test_frames_that_do_not_fit_are_named(copied, old, new, message):
    path = copied("triclinic") / "scaled.dump"
    frames = frames_of(path)
    path.write_text("".join([*frames[:2], changed(frames[2], old, new), *frames[3:]]))
    with pytest.raises(RunError, match=message):
        quietly(path)


def test_columns_that_are_missing(copied):
    path = copied("triclinic") / "scaled.dump"
    text = path.read_text()
    path.write_text(text.replace("id type xs ys zs", "id type xs ys a"))
    with pytest.raises(RunError, match="and no positions: dump xu yu zu, or x y z"):
        read_run(path)
    path.write_text(text.replace("id type xs", "mol type xs"))
    with pytest.warns(UserWarning, match="no column 'id'"), pytest.raises(RunError, match="types"):
        read_run(path)
    path.write_text("ITEM: TIMESTEP\n0\n")
    with (
        pytest.warns(UserWarning, match="is cut"),
        pytest.raises(RunError, match="holds no complete frame"),
    ):
        read_run(path)


def test_a_run_that_went_on_from_a_step_set_back(copied):
    """Appended with its steps from 0 on: what comes later counts."""
    path = copied("triclinic") / "scaled.dump"
    whole, frames = read_run(path), frames_of(path)
    path.write_text("".join([*frames[:5], *frames]))
    with pytest.warns(UserWarning, match="5 frames were recorded again"):
        found = read_run(path)
    np.testing.assert_array_equal(found.positions[:], whole.positions[:])


def test_single_points_that_all_have_step_zero(copied):
    """No steps of one run: with an interval all frames are used."""
    path = copied("triclinic") / "scaled.dump"
    frames = [f"ITEM: TIMESTEP\n0\n{frame.split(chr(10), 2)[2]}" for frame in frames_of(path)]
    path.write_text("".join(frames))
    assert quietly(path, frame_interval_fs=10.0).times_fs.tolist() == [10.0 * k for k in range(13)]


def test_a_structure_gives_elements_and_masses(copied):
    folder = copied("triclinic")
    reference = read_run(folder / "scaled.dump")
    structure = Atoms(reference.atomic_numbers, reference.positions[0, 0])
    structure.set_masses(reference.masses + 1)
    structure.set_cell(reference.cells[0])
    structure.pbc = True
    found = read_run(folder / "scaled.dump", structure=structure)
    np.testing.assert_array_equal(found.masses, reference.masses + 1)
    structure.numbers = structure.numbers[::-1]
    with pytest.raises(RunError, match="would be .* by the structure"):
        read_run(folder / "scaled.dump", structure=structure)


def test_stiff_bonds_are_named(copied):
    folder = copied("triclinic")
    log = folder / "log.lammps"
    log.write_text(log.read_text().replace("timestep 0.002", "fix 2 all shake 1e-4 20 0 b 1"))
    with pytest.warns(UserWarning, match="constraints of .*log.lammps are not counted .shake."):
        assert read_run(folder / "atom.dump").dynamics == "Nose-Hoover"


def test_commands_take_the_options(copied, capsys):
    """A spectrum of a dump whose log is elsewhere, and one that nothing but options explains."""
    folder = copied("diatomic_real")
    (folder / "log.lammps").rename(folder / "log.other")
    dump, output = folder / "co.dump.gz", folder / "found"
    options = ["--max-per-cm", "3000", "--output", str(output)]
    for told in (
        ["--lammps-log", str(folder / "log.other")],
        [
            "--units",
            "real",
            "--elements",
            "C",
            "O",
            "--frame-interval-fs",
            "2",
            "--dynamics",
            "NVE",
        ],
    ):
        assert main(["vdos", str(dump), *told, *options]) == 0
        rows = re.findall(r"^  (1[45]\d\d\.?\d*)  ", capsys.readouterr().out, re.MULTILINE)
        assert float(rows[0]) == pytest.approx(wavenumber_per_cm(TIMESTEP_FS), abs=2.0)
    assert main(["export", str(dump), str(folder / "run.h5"), "--units", "real"]) == 2
    assert "no elements" in capsys.readouterr().err
