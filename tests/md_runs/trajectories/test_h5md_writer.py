"""H5MD files: what goes in comes out, the structure is that of the specification."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from md_runs.trajectories import h5md_writer as h5md
from md_runs.trajectories.h5md_reader import read_h5md
from md_runs.trajectories.h5md_writer import write_h5md
from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import RunError


def trajectory(n_frames=7, n_beads=3, n_atoms=4, cell=True):
    generator = np.random.default_rng(1)
    shape = (n_frames, n_beads, n_atoms, 3)
    return Trajectory(
        atomic_numbers=np.array([6, 1, 1, 8][:n_atoms]),
        masses=np.array([12.011, 1.008, 2.014, 15.999][:n_atoms]),
        times_fs=np.sort(generator.uniform(0.0, 50.0, n_frames)),
        positions=generator.normal(size=shape),
        velocities_angstrom_per_fs=generator.normal(size=shape),
        forces=generator.normal(size=shape),
        energies=generator.normal(size=shape[:2]),
        dipoles=generator.normal(size=(*shape[:2], 3)),
        polarizabilities=generator.normal(size=(*shape[:2], 3, 3)),
        charges=generator.normal(size=shape[:3]),
        temperature_K=300.0,
        dynamics="RPMD",
        friction_per_fs=None,
        integration_timestep_fs=0.25,
        cells=generator.normal(size=(n_frames, 3, 3)) if cell else None,
        pbc=(True, False, True) if cell else (False, False, False),
    )


def assert_same(a: Trajectory, b: Trajectory) -> None:
    for field in fields(Trajectory):
        left, right = getattr(a, field.name), getattr(b, field.name)
        assert (left is None) == (right is None), field.name
        if left is not None:
            np.testing.assert_array_equal(left, right, err_msg=field.name)


@pytest.mark.parametrize("chunk_bytes", [h5md.CHUNK_BYTES, 200, 1])
@pytest.mark.parametrize("kind", ["ring polymer in a cell", "molecule", "positions only"])
def test_round_trip_is_exact(kind, chunk_bytes, tmp_path, monkeypatch):
    """Also where a chunk holds two frames (of seven) or less than one."""
    monkeypatch.setattr(h5md, "CHUNK_BYTES", chunk_bytes)
    written = trajectory()
    if kind == "molecule":
        written = trajectory(n_beads=1, cell=False)
    elif kind == "positions only":
        written = replace(written, velocities_angstrom_per_fs=None, forces=None, energies=None)
    write_h5md(written, tmp_path / "run.h5")
    assert_same(read_h5md(tmp_path / "run.h5"), written)
    assert [path.name for path in tmp_path.iterdir()] == ["run.h5"]


def test_structure_is_that_of_the_specification(tmp_path):
    """H5MD 1.1 and its module "units" 1.0, read with h5py alone."""
    written = trajectory()
    write_h5md(written, tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5") as file:
        root = file["h5md"]
        assert root.attrs["version"].tolist() == [1, 1]
        assert root["modules/units"].attrs["version"].tolist() == [1, 0]
        for group, name in (("author", "name"), ("creator", "name"), ("creator", "version")):
            kind = root[group].attrs.get_id(name).get_type()
            assert isinstance(kind, h5py.h5t.TypeStringID)
            assert not kind.is_variable_str()
        assert sorted(file["particles"]) == ["bead_0", "bead_1", "bead_2"]
        for k in range(3):
            bead, observables = file[f"particles/bead_{k}"], file[f"observables/bead_{k}"]
            box = bead["box"]
            assert box.attrs["dimension"] == 3
            assert box.attrs["boundary"].tolist() == [b"periodic", b"none", b"periodic"]
            assert bead["species"].dtype.kind == "i"
            assert bead["mass"].attrs["unit"] == "u"
            for element, unit, values in (
                (bead["position"], "Angstrom", written.positions[:, k]),
                (bead["velocity"], "Angstrom fs-1", written.velocities_angstrom_per_fs[:, k]),
                (bead["force"], "eV Angstrom-1", written.forces[:, k]),
                (bead["charge"], "e", written.charges[:, k]),
                (observables["potential_energy"], "eV", written.energies[:, k]),
                (observables["dipole"], "e Angstrom", written.dipoles[:, k]),
                (observables["polarizability"], "Angstrom3", written.polarizabilities[:, k]),
                (box["edges"], "Angstrom", written.cells),
            ):
                assert set(element) == {"step", "time", "value"}
                assert element["value"].attrs["unit"] == unit
                assert element["time"].attrs["unit"] == "fs"
                np.testing.assert_array_equal(element["value"], values)
                np.testing.assert_array_equal(element["time"], written.times_fs)
                np.testing.assert_array_equal(element["step"], np.arange(7))
                assert element["step"] == bead["position/step"]  # one object: hard-linked
                assert element["time"] == bead["position/time"]


def test_a_molecule_has_no_edges(tmp_path):
    write_h5md(trajectory(n_beads=1, cell=False), tmp_path / "run.h5")
    with h5py.File(tmp_path / "run.h5") as file:
        box = file["particles/bead_0/box"]
        assert box.attrs["boundary"].tolist() == [b"none"] * 3
        assert not list(box)


def damage(path, change):
    write_h5md(trajectory(), path)
    with h5py.File(path, "r+") as file:
        change(file)


def rename_beads(file):
    file.move("particles/bead_1", "particles/solvent")


def other_unit(file):
    file["particles/bead_0/position/value"].attrs["unit"] = "furlong"


def unit_of_something_else(file):
    file["particles/bead_0/force/value"].attrs["unit"] = "u nm ps-1"


def without_unit(file):
    del file["particles/bead_2/force/value"].attrs["unit"]


def without_species(file):
    del file["particles/bead_0/species"]


def species_of_a_force_field(file):
    file["h5md/creator"].attrs["name"] = np.bytes_("another program")
    file["particles/bead_0/species"][...] = [1, 2, 2, 3]


def without_times(file):
    del file["particles/bead_0/position/time"]


def other_times(file):
    del file["particles/bead_2/force/time"]
    file["particles/bead_2/force/time"] = np.arange(7.0)


def without_version(file):
    del file["h5md"].attrs["version"]


def newer(file):
    file["h5md"].attrs["version"] = (2, 0)


def without_particles(file):
    del file["particles"]


def short_bead(file):
    del file["particles/bead_1/position/value"]
    file["particles/bead_1/position/value"] = np.zeros((3, 4, 3))
    file["particles/bead_1/position/value"].attrs["unit"] = "Angstrom"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename_beads, "particles .*'solvent'"),
        (other_unit, "'furlong', which is none of Angstrom, nm"),
        (unit_of_something_else, "'u nm ps-1' is no unit of force"),
        (without_unit, "bead_2/force/value without a unit"),
        (without_species, "tells no species: give the structure"),
        (species_of_a_force_field, "otherwise than the elements: give the structure"),
        (without_times, "tells no times: give frame_interval_fs"),
        (other_times, "gives /particles/bead_2/force/value at other times"),
        (without_version, "no H5MD file"),
        (newer, "H5MD version"),
        (without_particles, "no H5MD trajectory.*particles"),
        (short_bead, "3, 4, 3.*recorded less often, or cut"),
    ],
)
def test_foreign_and_damaged_files_are_refused_in_one_line(change, message, tmp_path):
    path = tmp_path / "run.h5"
    damage(path, change)
    with pytest.raises(RunError, match=message) as refused:
        read_h5md(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"text" * 1000, None])
def test_what_is_not_hdf5_is_refused(content, tmp_path):
    path = tmp_path / "run.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match="cannot read .*run.h5"):
        read_h5md(path)


def test_a_cut_file_is_refused(tmp_path):
    path = tmp_path / "run.h5"
    write_h5md(trajectory(n_frames=200), path)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(RunError, match="cannot read"):
        read_h5md(path)


FULL_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_h5md_writer import trajectory
from md_runs.trajectories.h5md_writer import write_h5md
from mlpotential.errors import RunError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_h5md(trajectory(n_frames=2000), Path(sys.argv[1]))
except RunError as error:
    sys.exit(str(error))
"""


def test_a_full_disk_keeps_the_old_file(tmp_path):
    path = tmp_path / "run.h5"
    write_h5md(trajectory(), path)
    old = path.read_bytes()
    result = subprocess.run(
        [sys.executable, "-P", "-c", FULL_DISK, path, Path(__file__).parent],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr.strip() == f"cannot write {path}: File too large"
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["run.h5"]
