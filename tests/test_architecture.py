"""The house rules that a program can check: layers, lazy imports, names, sizes."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

from md_runs.c20 import MODEL, STRUCTURE

ROOT = Path(__file__).parent.parent
PACKAGES = ("mlpotential", "calculators", "md_runs")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# A module imports from its own room and from rooms of lower numbers. Rooms of equal numbers do not
# know each other inside md_runs; inside mlpotential those of one number are one story.
LAYERS = {
    "mlpotential.units": 0,
    "mlpotential.errors": 0,
    "mlpotential.input_files": 0,
    "mlpotential.interruption": 0,
    "mlpotential.command_line": 0,
    "mlpotential.compiled": 0,
    "mlpotential.completion": 0,
    "mlpotential.lazy_names": 0,
    "mlpotential.messages": 0,
    "mlpotential.run_folder": 0,
    "mlpotential.settings_checks": 0,
    "mlpotential.properties": 1,
    "mlpotential.graph": 1,
    "mlpotential.neighbors": 1,
    "mlpotential.cell_list": 1,
    "mlpotential.verlet_list": 1,
    "mlpotential.data": 2,
    "mlpotential.nn": 2,
    "mlpotential.models": 3,
    "mlpotential.inference": 4,
    "mlpotential.training": 5,
    "mlpotential.interpretation": 5,
    "mlpotential.labelling": 5,
    "mlpotential.papers": 6,
    "mlpotential.testing": 6,
    "mlpotential.commands": 7,
    "mlpotential.doctor": 7,
    "mlpotential.cli": 7,
    "mlpotential.__main__": 7,
    "calculators": 8,
    "md_runs.analysis": 9,
    "md_runs.trajectories": 10,
    "md_runs.figures": 10,
    "md_runs.run_folders": 10,
    "md_runs.checkpoint_archive": 10,
    "md_runs.model_warnings": 10,
    "md_runs.force_provider": 11,
    "md_runs.thermal_velocities": 11,
    "md_runs.run_identity": 11,
    "md_runs.hessian": 11,
    "md_runs.relax": 11,
    "md_runs.molecular_modes": 12,
    "md_runs.classical": 12,
    "md_runs.pimd": 12,
    "md_runs.reading": 13,
    "md_runs.c20": 13,
    "md_runs.ethanol": 13,
    "md_runs.learning": 13,
    "md_runs.commands": 14,
    "md_runs.examples": 14,
    "md_runs.cli": 15,
}
FRONTS = ("mlpotential", "md_runs")  # their __init__ name rooms without entering them
MAX_FILES = 16  # of a folder, without its __init__
MAX_ROOT_FILES = 12  # of md_runs itself
MAX_ROOMS = 23  # seen from the root: the packages, and the files and folders of md_runs


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str | None:
    """The entry of LAYERS a module belongs to; None for the front of a package."""
    parts = module.split(".")
    for length in (2, 1):
        if (name := ".".join(parts[:length])) in LAYERS:
            return name
    assert module in FRONTS, f"{module} has no layer: add it to LAYERS"
    return None


@functools.cache
def imports_of(path: Path) -> set[str]:
    """Modules and packages of ours that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = names & MODULES.keys()
            found |= modules if modules == names else {node.module, *modules}
    return {name for name in found if name.split(".")[0] in PACKAGES}


MODULES = {module_name(path): path for path in SOURCES}


def upward_imports(module: str, imported_modules: set[str]) -> list[str]:
    """What a module imports from a room above its own, in words."""
    if (own := room(module)) is None:
        return []
    highest = LAYERS[own] if own.startswith("mlpotential.") else LAYERS[own] - 1
    return [
        f"{module} imports {imported}"
        for imported in imported_modules
        if (other := room(imported)) not in (None, own) and LAYERS[other] > highest
    ]


def test_imports_go_down():
    """One test for all files: as many tests as files would take seconds."""
    found = [
        line for name, path in MODULES.items() for line in upward_imports(name, imports_of(path))
    ]
    assert not found, "\n".join(found)


def test_no_module_is_in_a_circle():
    """Imports of functions and of type checkers count, too; fronts name what is inside them."""
    unresolved = {
        name: {other for other in imports_of(path) if other in MODULES and other not in FACES}
        for name, path in MODULES.items()
        if name not in FACES
    }
    while free := [name for name, others in unresolved.items() if not others & unresolved.keys()]:
        for name in free:
            del unresolved[name]
    assert not unresolved


FACES = {name for name, path in MODULES.items() if path.name == "__init__.py"}


def test_a_house_one_can_find_the_way_in():
    for folder in {path.parent for path in SOURCES}:
        files = [path for path in folder.glob("*.py") if not path.name.startswith("__")]
        assert len(files) <= (MAX_ROOT_FILES if folder.name == "md_runs" else MAX_FILES), folder
    of_md_runs = {name.split(".")[1] for name in MODULES if name.startswith("md_runs.")}
    assert len(of_md_runs) + len(PACKAGES) - 1 <= MAX_ROOMS


def test_backends_are_named_in_one_place():
    """Nobody but the registry, each other, and what takes the kernel to LAMMPS, knows them."""
    inference = ROOT / "mlpotential/inference"
    folders = ("schnet", "cuda")
    hosts = ROOT / "calculators/lammps"
    names = tuple(f"mlpotential.inference.{folder}" for folder in folders)
    for path in SOURCES:
        own = any(path.is_relative_to(inference / folder) for folder in folders)
        if not (own or path.is_relative_to(hosts) or path == inference / "prepared_model.py"):
            named = [m for m in imports_of(path) if m.startswith(names)]
            assert not named, f"{path} imports {named}"


def test_the_layer_test_notices():
    """A file of a low layer that imports a high one is found."""
    assert upward_imports("mlpotential.graph", {"mlpotential.training.trainer"})
    assert upward_imports("md_runs.figures.spectra", {"md_runs.run_folders"})  # a room beside it
    assert not upward_imports("mlpotential.training.trainer", {"mlpotential.graph", "md_runs"})
    assert room("md_runs.analysis.structure.rdf") == "md_runs.analysis"
    with pytest.raises(AssertionError, match="has no layer"):
        room("mlpotential.utils")


# Executes each line of its input in a child of its own, which knows third-party packages alone,
# and answers with the modules that are there afterwards; with an empty line where it failed.
FRESH_PROCESSES = """
import os, sys
import ase.io, h5py, matplotlib.figure, numpy, scipy.signal
print(*sys.modules, flush=True)
for statement in sys.stdin:
    child = os.fork()
    if child == 0:
        exec(statement, {})
        print(*sys.modules, flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        print(flush=True)
"""


@pytest.fixture(scope="module")
def modules_after():
    """The names of all modules after a statement in a process where nothing of ours was."""
    command = [sys.executable, "-P", "-c", FRESH_PROCESSES]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as process:
        before = process.stdout.readline().split()
        assert not {name.split(".")[0] for name in before} & {"torch", *PACKAGES}

        def after(statement: str) -> list[str]:
            process.stdin.write(f"{statement}\n")
            process.stdin.flush()
            modules = process.stdout.readline().split()
            assert modules, f"failed: {statement}"
            return modules

        yield after


@pytest.mark.parametrize(
    "statement",
    [
        "import mlpotential",
        "import mlpotential.units",
        "import mlpotential.training.config_file, mlpotential.training.studies.commands",
        "import mlpotential.interpretation.commands, mlpotential.interpretation.fields.commands",
        "import mlpotential.interpretation.commands, mlpotential.interpretation.network.commands",
        "import mlpotential.interpretation.atoms.atoms_command",
        "import mlpotential.interpretation.atoms.map_command",
        "import calculators",
        "import calculators.ase_plugin",
        "import md_runs.analysis",
        "import md_runs.analysis.spectra.spectrum, md_runs.analysis.vibrations.normal_modes",
        "import md_runs.figures.spectra, md_runs.figures.distributions, md_runs.figures.modes",
        "import md_runs.trajectories.trajectory, md_runs.pimd.settings, md_runs.c20.settings",
        "import md_runs.trajectories.h5md_writer, md_runs.commands.export, md_runs.reading",
        "import md_runs.commands.modes, md_runs.commands.report, md_runs.commands.c20",
        "import md_runs.commands.interpretation.interpret",
        "import md_runs.commands.learn, md_runs.learning.settings",
        "import md_runs.commands.solids.phonons, md_runs.commands.doctor.checks",
        "import mlpotential.doctor.command, calculators.doctor_checks",
        "import mlpotential.cli as c; c.build_parser()",
        "import md_runs.cli as c; c.build_parser()",
    ],
)
def test_free_of_torch(statement, modules_after):
    assert "torch" not in modules_after(statement)


@pytest.mark.parametrize(
    "arguments",
    [
        ["relax", STRUCTURE, "--model", "absent", "--output", "o.xyz"],
        ["modes", STRUCTURE, "--model", "absent"],
        ["modes", "absent.xyz", "--model", MODEL],
        ["classical", STRUCTURE, "--model", "absent", "--folder", "f"],
        ["pimd", STRUCTURE, "--model", "absent", "--folder", "f", "--n-steps", "1"],
        ["pimd", "absent.xyz", "--model", MODEL, "--folder", "f", "--n-steps", "1"],
        ["phonons", STRUCTURE, "--model", "absent"],
        ["c20", "--model", "absent"],
        ["learn", "absent.xyz", "--calculator", "emt", "--folder", "f"],
        ["c20-data", "--model", "absent", "--folder", "f"],
    ],
)
def test_a_misspelt_file_does_not_cost_torch(arguments, modules_after):
    words = [str(word) for word in arguments]
    modules = modules_after(f"from md_runs.cli import main; assert main({words!r}) == 2")
    assert "torch" not in modules


def test_analysis_and_figures_leave_torch_and_pyplot_alone(modules_after):
    """So do the runs of i-PI; pyplot would choose a window system."""
    names = [name for name in MODULES if name.startswith("md_runs.analysis.")]
    assert "md_runs.analysis.spectra.spectrum" in names
    names += ["md_runs.figures.spectra", "md_runs.figures.path_integrals", "md_runs.pimd.run"]
    found = modules_after(f"import {', '.join(names)}")
    assert not {"torch", "matplotlib.pyplot"} & set(found)


def test_each_statement_is_judged_alone(modules_after):
    assert "mlpotential.units" in modules_after("import mlpotential.units")
    assert "mlpotential" not in modules_after("pass")


def test_names_and_sizes():
    for path in SOURCES:
        assert path.stem not in ("utils", "common", "helpers", "misc"), path
        assert path.read_text().count("\n") <= 450, (
            f"{path}: about 400 lines are the rule: split it"
        )


def test_public_names_resolve():
    import mlpotential

    for name in mlpotential.__all__:
        assert getattr(mlpotential, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Evaluater'"):
        _ = mlpotential.Evaluater
