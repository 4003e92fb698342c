"""`mlpotential lammps build` and `export`: what they say, what they refuse; a false LAMMPS here."""

import shutil
import stat
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from calculators.lammps import build as builder
from calculators.lammps import installation, places
from calculators.lammps.commands import build, export
from mlpotential.command_line import exit_code
from mlpotential.errors import ConfigError, RunError
from mlpotential.inference.schnet import kernel


@pytest.fixture
def headers(tmp_path):
    """Folders with a pair.h, whose version.h says 22 Jul 2025, and an mpi.h."""
    lammps, mpi = tmp_path / "lammps/src", tmp_path / "mpi"
    lammps.mkdir(parents=True)
    mpi.mkdir()
    (lammps / "pair.h").touch()
    (lammps / "version.h").write_text('#define LAMMPS_VERSION "22 Jul 2025"\n')
    (mpi / "mpi.h").touch()
    return lammps, mpi


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    """One that writes its words into the output; with an exit code that can be set."""
    path = tmp_path / "bin/c++"
    path.parent.mkdir()

    def make(code: int = 0) -> Path:
        path.write_text(
            f"#!{sys.executable}\nimport sys\nw = sys.argv\n"
            "print('pair.cpp: no', file=sys.stderr)\n"
            f"open(w[w.index('-o') + 1], 'w').write('\\n'.join(w)); sys.exit({code})\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("CXX", str(path))
        return path

    return make


@pytest.fixture
def kernels(tmp_path, monkeypatch):
    """A compiled kernel that is not there."""
    path = tmp_path / f"kernels/_schnet_portable{EXTENSION_SUFFIXES[0]}"
    monkeypatch.setattr(kernel, "library_path", lambda name: path)
    return path


def no_packages(monkeypatch):
    def files(name):
        raise installation.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(installation.importlib.metadata, "files", files)


def test_build(headers, compiler, kernels, tmp_path, capsys):
    compiler()
    lammps, mpi = headers
    folder = tmp_path / "plugins"
    assert build(lammps_include=lammps, mpi_include=mpi, folder=folder) == 0
    words = (folder / places.PLUGIN).read_text().splitlines()
    assert "-DMLPOTENTIAL_LAMMPS=20250722" in words
    assert '-DMLPOTENTIAL_LAMMPS_DATE="22 Jul 2025"' in words
    assert f'-DMLPOTENTIAL_KERNELS="{kernels.parent}"' in words
    assert f'-DMLPOTENTIAL_SUFFIX="{EXTENSION_SUFFIXES[0]}"' in words
    assert {f"-I{lammps}", f"-I{mpi}", f"-I{kernel.HEADER.parent}"} <= set(words)
    assert str(builder.SOURCES / "pair_mlpotential.cpp") in words
    said = capsys.readouterr().out
    assert f"built for LAMMPS 20250722: {folder / places.PLUGIN}" in said
    assert f"export LAMMPS_PLUGIN_PATH={folder}" in said
    assert list(folder.iterdir()) == [folder / places.PLUGIN]  # nothing else is left


def test_a_compiler_that_fails_leaves_the_old_plugin(headers, compiler, kernels, tmp_path):
    compiler(1)
    (tmp_path / places.PLUGIN).write_text("old")
    with pytest.raises(RunError, match=r"(?s)could not build the plugin.*-shared.*pair\.cpp: no"):
        builder.build(installation.find_headers(*headers), tmp_path)
    assert (tmp_path / places.PLUGIN).read_text() == "old"


def test_without_a_compiler(headers, kernels, tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found = installation.find_headers(*headers)
    with pytest.raises(ConfigError, match=r"no C\+\+ compiler: install g\+\+ or clang\+\+"):
        builder.build(found, tmp_path)
    monkeypatch.setenv("CXX", "/absent/c++ -O3")
    with pytest.raises(ConfigError, match=r"CXX names /absent/c\+\+, which is not there"):
        builder.build(found, tmp_path)


def test_without_a_kernel(headers, compiler, tmp_path, monkeypatch):
    compiler()
    monkeypatch.setattr(kernel, "library_path", lambda name: None)
    with pytest.raises(RunError, match="the plugin needs the compiled kernel"):
        builder.build(installation.find_headers(*headers), tmp_path)


def test_a_folder_that_cannot_be_written(headers, compiler, kernels, tmp_path):
    compiler()
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot write the plugin to .*/file/x: .*--folder"):
        builder.build(installation.find_headers(*headers), tmp_path / "file/x")


def test_without_lammps_or_mpi(headers, monkeypatch):
    no_packages(monkeypatch)
    lammps, mpi = headers
    with pytest.raises(ConfigError, match=r"there is no LAMMPS .*mlpotential\[lammps\].*--lammps-"):
        installation.find_headers(None, mpi)
    with pytest.raises(ConfigError, match=r"there is no MPI .*--mpi-include"):
        installation.find_headers(lammps, None)


def test_folders_without_headers(headers, tmp_path):
    lammps, mpi = headers
    with pytest.raises(ConfigError, match=r"--lammps-include .*/mpi has no pair\.h"):
        installation.find_headers(mpi, mpi)
    with pytest.raises(ConfigError, match=r"--mpi-include .*/src has no mpi\.h"):
        installation.find_headers(lammps, lammps)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("version.h", '#define LAMMPS_VERSION "22 Jul 2025"'),
        ("../../__init__.py", "__version__ = 20250722"),
        ("../../lib/cmake/LAMMPS/LAMMPSConfigVersion.cmake", 'set(PACKAGE_VERSION "2025.7.22.4")'),
        ("../../lib64/cmake/LAMMPS/LAMMPSConfigVersion.cmake", 'set(PACKAGE_VERSION "20250722")'),
    ],
)
def test_versions_of_all_kinds_of_installations(place, text, tmp_path):
    folder = tmp_path / "include/lammps"
    folder.mkdir(parents=True)
    path = (folder / place).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert installation.version_of(folder) == 20250722


def test_versions_that_are_unknown_or_too_old(tmp_path):
    with pytest.raises(ConfigError, match=r"which version of LAMMPS .*version\.h"):
        installation.version_of(tmp_path)
    (tmp_path / "version.h").write_text('#define LAMMPS_VERSION "29 Sep 2021"')
    with pytest.raises(ConfigError, match="of version 20210929, too old: 23 Jun 2022"):
        installation.version_of(tmp_path)


def test_where_the_plugin_goes(tmp_path, monkeypatch):
    """Beside the package, or, where that cannot be written and has none, to the user."""
    monkeypatch.setattr(places, "__file__", str(tmp_path / "places.py"))
    assert places.folder_for_lammps() == str(tmp_path / "built")
    monkeypatch.setattr(places.os, "access", lambda path, mode: False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    folder = places.plugin_folder()
    assert folder.parent == tmp_path / "data/mlpotential/lammps"
    monkeypatch.setattr(places, "__file__", str(tmp_path / "other/places.py"))
    assert places.plugin_folder() != folder
    (tmp_path / "other/built").mkdir(parents=True)
    (tmp_path / "other/built" / places.PLUGIN).touch()
    assert places.plugin_folder() == tmp_path / "other/built"


def test_export(model_path, tmp_path, capsys):
    output = tmp_path / "model.mlpk"
    assert export(str(model_path), output, dtype="float64") == 0
    said = capsys.readouterr().out
    assert "float64, cutoff 5 A" in said
    assert f"pair_style mlpotential {output}\n  pair_coeff * * H C O\n" in said


def test_mistakes_of_an_export(model_path, tmp_path, capsys):
    assert exit_code("lammps export", export, "absent", tmp_path / "o.mlpk") == 2
    assert exit_code("lammps export", export, str(model_path), tmp_path / "no/o.mlpk") == 2
    assert exit_code("lammps export", export, str(__file__), tmp_path / "o.mlpk") == 2
    first, second, third = capsys.readouterr().err.splitlines()
    assert "cannot read the model file absent" in first
    assert "the folder" in second
    assert "test_commands.py" in third
