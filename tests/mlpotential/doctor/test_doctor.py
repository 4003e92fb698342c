"""`mlpotential doctor`: its lines and exit codes, where all works and where things are missing."""

import configparser
import importlib.metadata
import shutil
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import mlpotential
from md_runs.c20 import MODEL
from md_runs.commands.doctor import checks
from mlpotential.cli import main
from mlpotential.doctor import command, extras, finding, installation
from mlpotential.doctor.finding import GROUP, Finding, examined
from mlpotential.doctor.model_files import check_model_file
from mlpotential.inference.schnet import kernel
from mlpotential.nn import convolution_library

ROOT = Path(mlpotential.__file__).parents[1]


def declared_checks():
    """Those that an installation of this source has, whatever is installed here."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    for line in settings["options.entry_points"][GROUP].strip().splitlines():
        name, _, value = line.partition(" = ")
        yield from EntryPoint(name, value, GROUP).load().items()


@pytest.fixture
def doctor(monkeypatch, capsys):
    """Calls the command; gives its exit code and its lines by name."""
    monkeypatch.setattr(command, "contributed_checks", declared_checks)

    def call(*arguments, **patched):
        code = main(["doctor", *map(str, arguments)])
        *lines, last = capsys.readouterr().out.splitlines()
        found = {}
        for line in lines:
            mark, rest = line[:7].strip(), line[7:]
            name, _, text = rest.partition(": ")
            found[name] = mark, text
        return code, found, last

    return call


@pytest.fixture
def quick(monkeypatch):
    """Without the checks that evaluate models, which one test has all of."""
    monkeypatch.setattr(command, "later_checks", lambda: iter(()))


def test_a_whole_installation(doctor):
    code, found, last = doctor("--model", MODEL)
    assert code == 0, found
    assert last == "everything that a run needs works"
    wanted = {
        "Python", "mlpotential", "dependencies", "processor", "torch", "threads", "kernels",
        "compiler", "ASE", "i-PI", "LAMMPS", "md-runs", "model C20", "model ethanol",
        "C20 evaluation", f"model file {MODEL}",
    }  # fmt: skip
    assert wanted <= found.keys()
    assert "3 stored structures" in found["model C20"][1]
    assert " ms for energy and forces" in found["C20 evaluation"][1]
    assert found["i-PI"][1].endswith("starts")


@pytest.mark.usefixtures("quick")
def test_a_machine_without_a_compiler(doctor, monkeypatch, tmp_path):
    """Runs work, but slowly: not an error."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(kernel, "library_path", lambda _: None)  # as where nothing was compiled
    monkeypatch.setattr(installation.compiled, "find_library", lambda *_: None)
    code, found, _ = doctor()
    assert code == 0, found
    assert found["kernels"][0] == found["training"][0] == "slow"
    assert "g++ or clang++" in found["kernels"][1]
    assert found["compiler"] == (
        "-",
        "no C++ compiler: the kernels above stay as they are; to compile them, install g++ or "
        "clang++, then the package again",
    )
    assert "not on PATH" in found["md-runs"][1]  # beside Python it is still there


@pytest.mark.usefixtures("quick")
def test_without_ipi(doctor, monkeypatch, tmp_path):
    """A bare folder of commands, and an i-PI that was installed without its own."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr("importlib.metadata.files", lambda _: [])
    code, found, last = doctor()
    assert code == 1
    assert found["i-PI"] == (
        "BROKEN",
        "the program i-pi is missing: install it with pip install 'ipi>=3.3.1'",
    )
    assert found["md-runs"][0] == "BROKEN"  # which lies beside it
    assert last.endswith("broken: see the lines with BROKEN")


def test_without_the_package_ipi(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    found = checks.check_ipi()
    assert found == Finding("i-PI is not installed: pip install 'ipi>=3.3.1'", "broken")


@pytest.mark.usefixtures("quick")
def test_an_ipi_that_does_not_start(doctor, monkeypatch, tmp_path):
    program = tmp_path / "i-pi"
    program.write_text("import a_module_that_nobody_has\n")
    monkeypatch.setattr("md_runs.pimd.ipi_process.ipi_program", lambda: program)
    code, found, _ = doctor()
    assert code == 1
    assert found["i-PI"][0] == "BROKEN"
    assert "No module named 'a_module_that_nobody_has'" in found["i-PI"][1]
    assert "pip install --force-reinstall" in found["i-PI"][1]


@pytest.mark.usefixtures("quick")
def test_broken_model_files(doctor, tmp_path):
    damaged, absent = tmp_path / "damaged.safetensors", tmp_path / "absent.safetensors"
    content = bytearray(MODEL.read_bytes())
    content[-100] ^= 1
    damaged.write_bytes(content)
    for path, words in ((damaged, "damaged"), (absent, "No such file")):
        code, found, _ = doctor("--model", path)
        assert code == 1
        mark, text = found[f"model file {path}"]
        assert (mark, words in text) == ("BROKEN", True), text


def test_a_kernel_that_is_wrong_is_noticed(monkeypatch):
    """One that gives other forces than the network."""
    from mlpotential.inference.schnet.native import NativeSchNet

    right = NativeSchNet.evaluate

    def wrong(self, *arguments):
        prediction, outliers = right(self, *arguments)
        prediction.forces[0] += 0.01
        return prediction, outliers

    monkeypatch.setattr(NativeSchNet, "evaluate", wrong)
    found = check_model_file(MODEL)
    assert found.health == "broken"
    assert "evaluated wrongly by the native kernel" in found.text


def test_a_model_that_gives_other_values(monkeypatch):
    monkeypatch.setattr("mlpotential.models.model_file.GOLDEN_TOLERANCE", _Nothing())
    found = check_model_file(MODEL)
    assert found.health == "broken"
    assert "does not give its stored values here" in found.text


class _Nothing(dict):
    def __missing__(self, dtype):
        return 0.0


def test_a_failing_check_hides_no_other():
    def fails() -> Finding:
        raise OSError("libtorch.so: cannot open shared object file")

    found = examined(fails)
    assert found.health == "broken"
    assert found.text.startswith("OSError: libtorch.so: cannot open shared object file (install")


def test_a_package_whose_checks_cannot_be_loaded(monkeypatch):
    points = [EntryPoint("strange", "a_module_that_nobody_has:CHECKS", GROUP)]
    monkeypatch.setattr(finding, "entry_points", lambda group: points)
    ((name, check),) = finding.contributed_checks()
    assert name == "strange"
    assert check().health == "broken"
    assert "a_module_that_nobody_has" in check().text


def test_dependencies_that_are_old_or_missing(monkeypatch):
    stated = ["numpy>=99", "a-package-that-nobody-has", 'tblite; extra == "reference"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: stated)
    found = extras.check_dependencies()
    assert found.health == "broken"
    assert "not >=99, a-package-that-nobody-has is missing" in found.text
    assert "tblite" not in found.text


def test_every_extra_says_what_it_gives():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    declared = set(settings["options.extras_require"]) - set(extras.OF_DEVELOPERS)
    assert declared == extras.GIVES.keys()


def test_without_torch(monkeypatch):
    """The line says so, and others come all the same."""
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert examined(installation.check_torch).health == "broken"
    assert examined(installation.check_python).health == "good"


def test_compilers_are_looked_for_on_the_path(monkeypatch, tmp_path):
    compiler = tmp_path / "clang++"
    compiler.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert installation.check_compiler().text.startswith(str(compiler))
    assert shutil.which("g++") is None
    assert convolution_library.STEM == "convolution"  # the file that check_convolution looks for


def test_every_extra_for_users_says_what_it_gives():
    stated = importlib.metadata.metadata("mlpotential").get_all("Provides-Extra")
    assert set(stated) - set(extras.OF_DEVELOPERS) == set(extras.GIVES)
