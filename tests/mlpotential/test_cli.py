"""The installed command `mlpotential`, typed as a user would."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

import mlpotential
from mlpotential import __version__, commands
from mlpotential.cli import main
from mlpotential.command_line import Command
from mlpotential.inference.schnet import kernel

ROOT = Path(mlpotential.__file__).parents[1]
COMMAND = Path(sys.executable).with_name("mlpotential")


def call(*arguments, code=0):
    result = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=60)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout if code == 0 else result.stderr


def call_here(capsys, *arguments, code=0):
    """The same in this process, which has torch already."""
    assert main([str(a) for a in arguments]) == code
    output = capsys.readouterr()
    return output.out if code == 0 else output.err


def test_as_a_module():
    """In the form in which torchrun starts it."""
    command = [sys.executable, "-m", "mlpotential", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (0, f"mlpotential {__version__}\n")


def test_help_needs_no_torch():
    """So it answers in a tenth of a second."""
    program = (
        "import sys, mlpotential.cli as c; c.build_parser().format_help(); print(*sys.modules)"
    )
    modules = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    assert modules.returncode == 0
    assert "torch" not in modules.stdout.split()
    assert "examples" in call("--help")


@pytest.mark.parametrize("command", ["train", "evaluate", "info"])
def test_help_of_commands_has_examples(command):
    assert f"examples:\n  mlpotential {command}" in call(command, "--help")


def test_info_and_check(model_path):
    text = call("info", model_path, "--check")
    for word in ("SchNet", "H, C, O", "5.0 A", "C-H 0.010", "passed"):
        assert word in text


def test_info_of_the_installation(capsys):
    """What is installed from where, and whether models are evaluated by a kernel."""
    assert main(["info"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"mlpotential {__version__} in {ROOT}, Python {sys.version_info[0]}.")
    kernels = kernel.available_instruction_sets()
    assert second.startswith(f"compiled kernel: {kernels[-1] if kernels else 'none. '}")


def test_a_reader_that_leaves():
    """`mlpotential info MODEL | head -0` ends as other commands do, without a traceback."""
    program = (
        "import sys, mlpotential.cli as c, mlpotential.commands as m; "
        "m.INFO = m.Command.of(lambda model: print('SchNet') or 0); "
        "sys.exit(c.main(['info', 'MODEL']))"  # which needs no torch
    )
    command = [sys.executable, "-P", "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        error = process.stderr.read()
    assert (process.returncode, error) == (128 + signal.SIGPIPE, b"")


def test_info_on_the_backends(model_path, capsys):
    """The table's error and each backend's, in both dtypes; the reference in float64 is exact."""
    text = call_here(capsys, "info", model_path, "--backend")
    assert "compiled kernel: " in text
    assert len(re.findall(r"filter table for float\d\d: \d+ knots", text)) == 2
    rows = re.findall(r"(reference|tabulated|native) +(float\d\d) +([\d.e+-]+) +[\d.]+ ms", text)
    errors = {(backend, dtype): float(error) for backend, dtype, error in rows}
    assert errors.pop(("reference", "float64")) == 0.0
    assert {backend for backend, _ in errors} >= {"reference", "tabulated"}
    for (_, dtype), error in errors.items():
        assert 0.0 < error < (2e-5 if dtype == "float32" else 1e-7)


def test_add_domain(model_path, ethanol, tmp_path, capsys):
    """An old model gets the distances of the structures that it was trained on."""
    from mlpotential.models.model_file import load_model

    ethanol.calc = SinglePointCalculator(ethanol, energy=-1.0)
    write(tmp_path / "trained_on.extxyz", ethanol)
    units = ("--energy-unit", "eV", "--length-unit", "Angstrom")
    arguments = (model_path, tmp_path / "trained_on.extxyz", *units)
    assert "of 1 structures" in call_here(capsys, "add-domain", *arguments)
    shortest = load_model(model_path).record.shortest_distances
    assert shortest["C-O"] == pytest.approx(ethanol.get_distance(1, 2), rel=1e-5)


def test_evaluate(model_path, ethanol, tmp_path, capsys):
    from calculators import MLPotentialCalculator

    frames = []
    for seed in range(3):
        atoms = ethanol.copy()
        atoms.rattle(0.05, seed=seed)
        atoms.calc = MLPotentialCalculator(model_path, "cpu")
        atoms.get_forces()
        frames.append(atoms)
    write(tmp_path / "own.extxyz", frames)
    text = call_here(
        capsys,
        "evaluate",
        model_path,
        tmp_path / "own.extxyz",
        "--energy-unit",
        "eV",
        "--length-unit",
        "Angstrom",
        "--plot",
        tmp_path / "p.png",
        "--json",
        tmp_path / "e.json",
    )
    assert "forces on C" in text
    (errors,) = json.loads((tmp_path / "e.json").read_text()).values()
    assert errors["forces_mae"] < 1e-7  # its own labels, written with 8 decimals
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def no_torch(monkeypatch):
    """Neither torch nor what is made with it can be imported."""
    made_with_it = [name for name, m in sys.modules.items() if "torch" in vars(m)]
    for name in ["torch", *made_with_it]:
        monkeypatch.setitem(sys.modules, name, None)


UNITS = ["--energy-unit", "eV", "--length-unit", "Angstrom"]


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (["info", "absent.safetensors"], "absent.safetensors"),
        (["evaluate", "absent.safetensors", "here", *UNITS], "absent.safetensors"),
        (["evaluate", "here", "absent.xyz", *UNITS], "absent.xyz"),
        (["convert", "absent.pt", "out.safetensors"], "absent.pt"),
        (["convert", "here", "out.safetensors", "--energy-network", "gone"], "gone"),
        (["train", "absent.yaml"], "absent.yaml"),
        (["train", "train.yaml"], "absent.extxyz"),
        (["train", "train.yaml", "--data.path", "here", "--data.test_path", "gone"], "gone"),
    ],
)
def test_misspelt_files_are_told_before_torch_is_imported(
    no_torch, tmp_path, monkeypatch, capsys, arguments, path
):
    monkeypatch.chdir(tmp_path)
    Path("here").touch()
    Path("train.yaml").write_text(
        "data: {path: absent.extxyz, n_validation: 1, energy_unit: eV, length_unit: Angstrom}"
    )
    (line,) = call_here(capsys, *arguments, code=2).splitlines()
    assert line.startswith(f"mlpotential {arguments[0]}: cannot read ")
    assert line.endswith(f"{path}: No such file or directory")


def test_the_block_of_torch_is_tight(no_torch, tmp_path):
    """A command that goes on to its reader would be noticed."""
    (tmp_path / "here").touch()
    with pytest.raises(ImportError):
        main(["info", str(tmp_path / "here")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "m", "--chek"], "there is no option --chek. Did you mean --check?"),
        (["evaluate", "m", "--energy_unit", "eV"], "Did you mean --energy-unit?"),
        (["train", "x.yaml", "--comittee=3"], "Did you mean --committee?"),
        (["inof"], "there is no command 'inof'. Did you mean 'info'?"),
        ([], "required"),
    ],
)
def test_mistakes_in_typing_are_told(arguments, message):
    (line,) = call(*arguments, code=2).splitlines()
    assert message in line


def test_evaluate_refuses_unknown_units(model_path, tmp_path, ethanol, capsys):
    write(tmp_path / "d.xyz", ethanol)
    error = call_here(
        capsys,
        "evaluate",
        model_path,
        tmp_path / "d.xyz",
        "--energy-unit",
        "ev",
        "--length-unit",
        "Angstrom",
        code=2,
    )
    assert "Did you mean 'eV'" in error


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--plot", "no/such/folder/p.png"], "cannot write the plot no/such/folder/p.png: No such"),
        (["--plot", "p.picture"], "cannot write the plot p.picture: Format 'picture'"),
        (["--json", "model.safetensors/e.json"], "cannot write model.safetensors/e.json"),
        (["--batch-size", "0"], "batch size must be a whole number of at least 1"),
        (["--device", "gpu"], "device must be auto, cpu, cuda"),
        (["--forces-key", "F"], "no forces under the key 'F'"),
    ],
)
def test_evaluate_mistakes_are_one_line(
    model_path, tmp_path, ethanol, monkeypatch, capsys, option, message
):
    from ase.calculators.singlepoint import SinglePointCalculator

    monkeypatch.chdir(tmp_path)
    ethanol.calc = SinglePointCalculator(ethanol, energy=0.0, forces=ethanol.positions)
    write("d.xyz", ethanol, format="extxyz")
    units = ["--energy-unit", "eV", "--length-unit", "Angstrom"]
    error = call_here(capsys, "evaluate", model_path, "d.xyz", *units, *option, code=2)
    assert message in error.splitlines()[-1]


def test_evaluate_without_forces(model_path, tmp_path, ethanol, capsys):
    from ase.calculators.singlepoint import SinglePointCalculator

    ethanol.calc = SinglePointCalculator(ethanol, energy=-1.0)
    write(tmp_path / "d.xyz", ethanol, format="extxyz")
    arguments = ["evaluate", model_path, tmp_path / "d.xyz"]
    arguments += ["--energy-unit", "eV", "--length-unit", "Angstrom"]
    assert "no forces" in call_here(capsys, *arguments, code=2)
    text = call_here(capsys, *arguments, "--no-forces", "--plot", tmp_path / "p.png")
    assert "energy per atom" in text
    assert "  forces" not in text


def test_check_on_a_device_that_is_not_there(model_path, capsys):
    error = call_here(capsys, "info", model_path, "--check", "--device", "gpu", code=2)
    assert "device must be auto, cpu, cuda" in error.splitlines()[-1]
    assert "passed" in call_here(capsys, "info", model_path, "--check", "--device", "auto")


def test_interrupted_command(model_path, monkeypatch, capsys):
    def interrupt(model):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "INFO", Command.of(interrupt))
    assert call_here(capsys, "info", model_path, code=130) == "mlpotential info: interrupted\n"
