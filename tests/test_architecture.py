"""The house rules that a program can check: layers, lazy imports, names, sizes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("mlpotential", "calculators", "md_runs")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

# A module imports only from rooms of its own number or a lower one.
LAYERS = {
    "mlpotential.units": 0,
    "mlpotential.errors": 0,
    "mlpotential.interruption": 0,
    "mlpotential.run_folder": 0,
    "mlpotential.graph": 1,
    "mlpotential.neighbors": 1,
    "mlpotential.verlet_list": 1,
    "mlpotential.data": 2,
    "mlpotential.nn": 2,
    "mlpotential.models": 3,
    "mlpotential.inference": 4,
    "mlpotential.training": 5,
    "mlpotential.testing": 6,
    "mlpotential.cli": 7,
    "calculators": 8,
    "md_runs": 9,
}
LAZY_FRONT = "mlpotential"  # its __init__ names all rooms without entering them


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str | None:
    """The entry of LAYERS a module belongs to; None for the front of mlpotential."""
    parts = module.split(".")
    for length in (2, 1):
        if (name := ".".join(parts[:length])) in LAYERS:
            return name
    assert module == LAZY_FRONT, f"{module} has no layer: add it to LAYERS"
    return None


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module)
    return {name for name in found if name.split(".")[0] in PACKAGES}


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_go_down(path):
    own = room(module_name(path))
    if own is None:
        return
    for imported in imports_of(path):
        other = room(imported)
        if other is not None and other != own:
            assert LAYERS[other] <= LAYERS[own], f"{own} imports {imported}"


def test_the_layer_test_notices():
    """A file of a low layer that imports a high one is found."""
    assert LAYERS[room("mlpotential.training.trainer")] > LAYERS[room("mlpotential.graph")]
    assert room("md_runs.analysis.rdf") == "md_runs"
    with pytest.raises(AssertionError, match="has no layer"):
        room("mlpotential.utils")


# Executes each line of its input in a child of its own, which knows third-party packages alone,
# and answers with the modules that are there afterwards; with an empty line where it failed.
FRESH_PROCESSES = """
import os, sys
import ase.io, h5py, matplotlib.pyplot, numpy, scipy.signal
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
        "import mlpotential.training.config_file",
        "import calculators",
        "import calculators.ase_plugin",
        "import md_runs.analysis",
        "import md_runs.analysis.spectra, md_runs.analysis.normal_modes, md_runs.plots",
        "import md_runs.trajectory, md_runs.pimd_settings, md_runs.c20.settings",
        "import md_runs.h5md, md_runs.export, md_runs.reading",
        "import md_runs.analysis_commands.asked_for, md_runs.analysis_commands.report",
        "import mlpotential.cli as c; c.build_parser()",
        "import md_runs.cli as c; c.build_parser()",
    ],
)
def test_free_of_torch(statement, modules_after):
    assert "torch" not in modules_after(statement)


def test_each_statement_is_judged_alone(modules_after):
    assert "mlpotential.units" in modules_after("import mlpotential.units")
    assert "mlpotential" not in modules_after("pass")


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_names_and_sizes(path):
    assert path.stem not in ("utils", "common", "helpers", "misc")
    assert path.read_text().count("\n") <= 450, "about 400 lines are the rule: split it"


def test_public_names_resolve():
    import mlpotential

    for name in mlpotential.__all__:
        assert getattr(mlpotential, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Evaluater'"):
        _ = mlpotential.Evaluater
