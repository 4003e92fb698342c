"""Files of CP2K, LAMMPS and others: what they do not tell is asked for, never guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from md_runs.reading import read_run
from md_runs.trajectories.structure_file import read_structure
from mlpotential.errors import ConfigError, RunError
from mlpotential.units import (
    ANGSTROM_PER_BOHR,
    E_ANGSTROM_PER_DEBYE,
    EV_PER_HARTREE,
)

WATER = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, 0.0]])
SYMBOLS = ("O", "H", "H")


def xyz(comment: str, rows, symbols=SYMBOLS) -> str:
    lines = (
        f"{s} {' '.join(f'{x:.8f}' for x in row)}\n" for s, row in zip(symbols, rows, strict=True)
    )
    return f"{len(symbols)}\n{comment}\n{''.join(lines)}"


def write_cp2k(path: Path, values, steps) -> Path:
    """As CP2K does: step, time (fs), energy (Hartree)."""
    frames = (
        xyz(f" i = {step:8d}, time = {0.5 * step:12.3f}, E = {-17.2 + 0.001 * step:20.10f}", rows)
        for step, rows in zip(steps, values, strict=True)
    )
    path.write_text("".join(frames))
    return path


def water_frames(n_frames: int):
    return WATER + 0.01 * np.random.default_rng(0).normal(size=(n_frames, 3, 3))


def test_cp2k_tells_times_and_energies(tmp_path):
    values = water_frames(8)
    found = read_run(write_cp2k(tmp_path / "water-pos-1.xyz", values, range(0, 16, 2)))
    np.testing.assert_allclose(found.times_fs, np.arange(8.0))
    np.testing.assert_allclose(found.positions[:, 0], values, atol=1e-8)
    expected = (-17.2 + 0.002 * np.arange(8)) * EV_PER_HARTREE
    np.testing.assert_allclose(found.energies[:, 0], expected, rtol=1e-9)


@pytest.mark.parametrize("interval_fs", [None, 1.0])
def test_steps_that_a_restart_of_cp2k_repeated_are_left_out(tmp_path, interval_fs):
    values = water_frames(12)
    steps = [0, 2, 4, 6, 8, 4, 6, 8, 10, 12, 14, 16]
    path = write_cp2k(tmp_path / "water-pos-1.xyz", values, steps)
    with pytest.warns(UserWarning, match="3 frames were recorded again after a restart"):
        found = read_run(path, interval_fs)
    np.testing.assert_allclose(found.times_fs, np.arange(9.0))
    np.testing.assert_allclose(found.positions[:, 0], values[[0, 1, *range(5, 12)]], atol=1e-8)


def test_an_interval_still_replaces_times_that_are_wrong(tmp_path):
    path = write_cp2k(tmp_path / "water-pos-1.xyz", water_frames(5), [0] * 5)
    np.testing.assert_allclose(read_run(path, 2.0).times_fs, 2.0 * np.arange(5))


@pytest.mark.parametrize("word", ["vel", "frc"])
def test_velocities_and_forces_of_cp2k_are_no_positions(tmp_path, word):
    path = write_cp2k(tmp_path / f"water-{word}-1.xyz", 1e-4 * water_frames(5), range(5))
    with pytest.raises(RunError, match=f"{word}.*holds (velocities|forces) of CP2K"):
        read_run(path, 1.0)
    renamed = path.rename(tmp_path / "trajectory.xyz")
    with pytest.raises(RunError, match=r"trajectory\.xyz.* these are no positions in A"):
        read_run(renamed, 1.0)


@pytest.mark.parametrize("element", ["O", "Ar"])
def test_what_is_too_small_is_no_molecule(tmp_path, element):
    """Velocities of 300 K in A/fs, too; lengths in nm are only asked about."""
    velocities = 0.005 * np.random.default_rng(1).normal(size=(3, 3))
    path = tmp_path / "run.xyz"
    path.write_text(xyz("", velocities, (element,) * 3))
    with pytest.raises(RunError, match="these are no positions in A"):
        read_run(path, 1.0)
    path.write_text(xyz("", 0.1 * WATER))
    with pytest.warns(UserWarning, match="are lengths in the unit that the file declares"):
        read_run(path, 1.0)


def dump(columns: str, rows, units: str = "", steps=(0,)) -> str:
    head = f"ITEM: UNITS\n{units}\n" if units else ""
    body = "".join(" ".join(map(str, row)) + "\n" for row in rows)
    return head + "".join(
        f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(rows)}\nITEM: BOX BOUNDS pp pp pp\n"
        f"0 10\n0 10\n0 10\nITEM: ATOMS {columns}\n{body}"
        for step in steps
    )


def rows_of(kinds, *more):
    return [
        (k + 1, kind, *(5 + WATER[k]), *(column[k] for column in more))
        for k, kind in enumerate(kinds)
    ]


def test_types_of_lammps_are_no_elements(tmp_path):
    path = tmp_path / "water.lammpstrj"
    path.write_text(dump("id type x y z", rows_of((1, 2, 2))[::-1], steps=range(0, 50, 10)))
    with pytest.raises(RunError, match="types of its atoms, but no elements.*--structure"):
        read_run(path, 1.0)
    heavy = Atoms("OHH", positions=5 + WATER, cell=[10, 10, 10], pbc=True)
    heavy.set_masses([15.999, 2.014, 2.014])
    found = read_run(path, 1.0, structure=heavy)
    assert found.atomic_numbers.tolist() == [8, 1, 1]
    assert found.masses.tolist() == [15.999, 2.014, 2.014]
    np.testing.assert_allclose(found.positions[0, 0], 5 + WATER)
    with pytest.raises(RunError, match="type 2 .*would be H, O.*order of their ids"):
        read_run(path, 1.0, structure=Atoms("HHO", cell=[10, 10, 10], pbc=True))
    with pytest.raises(RunError, match="has 3 atoms, but the structure has 2"):
        read_run(path, 1.0, structure=Atoms("OH"))
    path.write_text(dump("id element x y z", rows_of(SYMBOLS)))
    assert read_run(path, 1.0).atomic_numbers.tolist() == [8, 1, 1]


def test_units_of_lammps_are_told_or_asked_for(tmp_path):
    """0.02 is 0.02 A/fs of `real`, 2e-5 A/fs of `metal`; without either there are no velocities."""
    path = tmp_path / "water.lammpstrj"
    columns, rows = "id element x y z vx fx", rows_of(SYMBOLS, [0.02] * 3, [1.0] * 3)
    columns = columns.replace("vx", "vx vy vz").replace("fx", "fx fy fz")
    rows = [(*row[:5], row[5], 0, 0, row[6], 0, 0) for row in rows]
    path.write_text(dump(columns, rows))
    with pytest.warns(UserWarning, match="columns vx vy vz fx fy fz, .*Give --units .real, metal"):
        found = read_run(path, 1.0)
    assert (found.velocities_angstrom_per_fs, found.forces, found.energies) == (None, None, None)
    for unit, speed, force in (("A/fs", 0.02, 0.0433641), ("A/ps", 2e-5, 1.0)):
        found = read_run(path, 1.0, velocity_unit=unit)
        np.testing.assert_allclose(found.velocities_angstrom_per_fs[0, 0, :, 0], speed, rtol=1e-5)
        np.testing.assert_allclose(found.forces[0, 0, :, 0], force, rtol=1e-5)
        assert found.energies is None  # ASE's reader gives one of 0
    for name, speed in (("real", 0.02), ("metal", 2e-5)):
        path.write_text(dump(columns, rows, name))
        found = read_run(path, 1.0)
        np.testing.assert_allclose(found.velocities_angstrom_per_fs[0, 0, :, 0], speed, rtol=1e-5)
    with pytest.raises(
        RunError, match="do not fit each other: metal by the dump, real by --velocity-unit"
    ):
        read_run(path, 1.0, velocity_unit="A/fs")
    path.write_text(dump(columns, rows, "lj"))
    with pytest.raises(RunError, match="is in units lj, which have no lengths in A: write"):
        read_run(path, 1.0)


def test_steps_that_lammps_appended_again_are_left_out(tmp_path):
    path = tmp_path / "water.lammpstrj"
    path.write_text(dump("id element x y z", rows_of(SYMBOLS), steps=[0, 10, 20, 10, 20, 30, 40]))
    with pytest.warns(UserWarning, match="2 frames were recorded again"):
        assert read_run(path, 5.0).times_fs.tolist() == [0, 5, 10, 15, 20]


@pytest.mark.parametrize("name", ["vel", "velo", "velocities"])
def test_a_column_of_velocities_has_a_unit_that_must_be_given(tmp_path, name):
    path = tmp_path / "run.extxyz"
    velocities = np.arange(9.0).reshape(3, 3) * 1e-3
    comment = f"Properties=species:S:1:pos:R:3:{name}:R:3 time_fs=0"
    path.write_text(xyz(comment, np.hstack([WATER, velocities])))
    with pytest.warns(UserWarning, match=f"column '{name}', whose unit it does not tell"):
        assert read_run(path).velocities_angstrom_per_fs is None
    factors = {
        "A/fs": 1.0,
        "A/ps": 1e-3,
        "nm/ps": 1e-2,
        "bohr/au": ANGSTROM_PER_BOHR / 0.02418884326586,
        "ASE": 0.0982269479,  # sqrt(eV/amu), from CODATA
    }
    for unit, factor in factors.items():
        found = read_run(path, velocity_unit=unit).velocities_angstrom_per_fs
        np.testing.assert_allclose(found[0, 0], factor * velocities, rtol=1e-6)
    path.write_text(xyz("time_fs=0", WATER))
    with pytest.raises(RunError, match="has no velocities that could be in A/fs"):
        read_run(path, velocity_unit="A/fs")


def test_units_of_dipoles(tmp_path):
    """Files of ASE have e A, or what is said; others know it themselves."""
    path = tmp_path / "run.extxyz"
    path.write_text(xyz('time_fs=0 dipole="1 2 3"', WATER))
    plain, debye = read_run(path), read_run(path, extras_units={"dipole": "debye"})
    np.testing.assert_allclose(plain.dipoles[0, 0], [1, 2, 3])
    np.testing.assert_allclose(
        debye.dipoles[0, 0], E_ANGSTROM_PER_DEBYE * np.arange(1, 4), rtol=1e-6
    )
    with pytest.raises(RunError, match="has no 'polarizability'"):
        read_run(path, extras_units={"polarizability": "atomic_unit"})
    with pytest.raises(RunError, match="'furlong', no unit of i-PI"):
        read_run(path, extras_units={"dipole": "furlong"})


@pytest.mark.parametrize("suffix", ["xyz", "extxyz"])
def test_deuterium_and_columns_of_masses_count(tmp_path, suffix):
    path = tmp_path / f"run.{suffix}"
    path.write_text(xyz("heavy water", WATER, ("O", "D", "T")))
    for masses in (read_run(path, 1.0).masses, read_structure(path).get_masses()):
        np.testing.assert_allclose(masses, [15.999, 2.014102, 3.016049], rtol=1e-6)
    assert read_structure(path).get_chemical_symbols() == ["O", "H", "H"]
    for column in ("mass", "masses"):
        rows = np.hstack([WATER, [[17.999], [2.014], [1.008]]])
        path.write_text(xyz(f"Properties=species:S:1:pos:R:3:{column}:R:1", rows))
        for masses in (read_run(path, 1.0).masses, read_structure(path).get_masses()):
            np.testing.assert_allclose(masses, [17.999, 2.014, 1.008])


@pytest.mark.parametrize("key", ["lattice", "cell", "Cell_vectors", "box"])
def test_a_cell_under_another_name_is_not_passed_over(tmp_path, key):
    path = tmp_path / "run.xyz"
    path.write_text(xyz(f'time_fs=0 {key}="9 0 0 0 9 0 0 0 9"', WATER))
    with pytest.raises(RunError, match=f"has {key}=, which looks like a cell.*Lattice="):
        read_run(path)
    with pytest.warns(UserWarning, match=f"not used are {key}="):
        found = read_run(path, structure=Atoms("OHH", cell=[9, 9, 9], pbc=True))
    assert found.pbc == (True, True, True)


def test_what_looks_as_if_it_counted_is_named(tmp_path):
    path = tmp_path / "run.xyz"
    path.write_text(xyz("time_fs=0 units=bohr dipole_moment=3 config_type=md energy=1", WATER))
    with pytest.warns(UserWarning, match=r"not used are units=, dipole_moment=$"):
        read_run(path)
    for comment, named in (
        ("time_fs=0 supercell=2x2x2 cell_id=7", "supercell=, cell_id="),  # no cells
        (
            "Properties=species:S:1:pos:R:3:initial_charges:R:1 time_fs=0",
            "the column initial_charg",
        ),
    ):
        rows = np.hstack([WATER, np.ones((3, 1))]) if "Properties" in comment else WATER
        path.write_text(xyz(comment, rows))
        with pytest.warns(UserWarning, match=f"not used are {named}"):
            read_run(path)


def test_numbers_and_keys_that_could_mean_two_things_are_refused(tmp_path):
    path = tmp_path / "run.xyz"
    for comment, message in (
        ("time_fs=0 energy=1 energy=2", "energy= stands 2 times in a comment"),
        ("time_fs=0 energy=1_4", "energy of a frame from 0 on .* is damaged"),
    ):
        path.write_text(xyz(comment, WATER))
        with pytest.raises(RunError, match=message):
            read_run(path)
    path.write_text(xyz("time_fs=0", WATER).replace("0.96", "0.9_6"))
    with pytest.raises(RunError, match="frame 0 of .* is damaged"):
        read_run(path)


def test_a_format_can_be_named(tmp_path):
    path = tmp_path / "positions"
    write(path, Atoms("OHH", WATER), format="xyz")
    assert read_run(path, 1.0, format="xyz").n_atoms == 3
    with pytest.raises(ConfigError, match="no format 'extzyx': did you mean extxyz"):
        read_run(path, 1.0, format="extzyx")
    (tmp_path / "run.xtc").write_bytes(b"\0\0\7\xcb")
    with pytest.raises(RunError, match=r"MDAnalysis may read it: read_run\(MDAnalysis"):
        read_run(tmp_path / "run.xtc", 1.0)
