"""Builds of the compiled kernel: under sanitizers, and where there is no compiler."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "mlpotential/inference/schnet/csrc"
CELL_LIST = ROOT / "mlpotential/cell_list/csrc"
FILES = ("setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
PACKAGES = ("mlpotential", "calculators", "md_runs")
STEMS = re.compile("_schnet_|_cell_list_")
SANITIZERS = '"-fsanitize=address,undefined,float-cast-overflow"'

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="these are no sources to build"),
]


def run(command, folder: Path, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def succeed(command, folder: Path, **environment: str) -> str:
    result = run(command, folder, **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def copied_sources(folder: Path) -> Path:
    """The package as it comes, without anything compiled."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    return folder


def library_of_compiler(name: str) -> str:
    path = succeed(["g++", f"-print-file-name={name}"], ROOT).strip()
    if not Path(path).is_absolute():
        pytest.skip(f"g++ comes without {name}")
    return path


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    """The package with kernels that end the process at the first fault, and how to run it."""
    preloaded = library_of_compiler("libasan.so")
    folder = copied_sources(tmp_path_factory.mktemp("sanitized"))
    setup = (folder / "setup.py").read_text()
    flags = f'"-pthread", {SANITIZERS}, "-fno-sanitize-recover=all", "-g"'
    assert '"-O3"' in setup
    assert '"-pthread"' in setup
    (folder / "setup.py").write_text(setup.replace('"-O3"', '"-O1"').replace('"-pthread"', flags))
    succeed([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], folder)
    environment = {
        "PYTHONPATH": str(folder),
        "LD_PRELOAD": preloaded,
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself frees little at its end
        "OMP_NUM_THREADS": "1",
    }
    return folder, environment


RUN_TESTS = """
import re, sys, pytest
status = pytest.main(["-q", "-p", "no:cacheprovider", "-x", *sys.argv[1:]])
maps = open("/proc/self/maps").read()
print("loaded:", *sorted(set(re.findall(r"/\\S*_(?:schnet|cell_list)_\\S*", maps))))
sys.exit(status)
"""


@needs_compiler
def test_memory_and_undefined_behaviour(sanitized):
    """The tests of the kernel's numbers, by kernels that check each access to memory."""
    folder, environment = sanitized
    tests = ROOT / "tests/mlpotential/inference"
    names = ("test_native.py", "test_replicas.py", "test_guard.py", "test_halo.py")
    files = [ROOT / "tests/mlpotential/cell_list", *(tests / name for name in names)]
    # all but those that limit and measure the memory of a process, the slow ones too
    chosen = "-k", "not manners and not flat", "-m", "slow or not slow"
    command = [sys.executable, "-P", "-c", RUN_TESTS, *files, *chosen]
    output = succeed(command, folder, **environment)
    assert " passed" in output
    libraries = output.split("loaded:")[1].split()
    assert {"_schnet_", "_cell_list_"} <= {m[0] for m in map(STEMS.search, libraries) if m}
    for path in libraries:
        assert path.startswith(str(folder)), "this is not the kernel under test"
        assert b"__asan_report_load" in Path(path).read_bytes()


OVERRUN = """
import numpy as np, sys
sys.path.insert(0, sys.argv[1])
from random_models import molecule, random_schnet
from mlpotential.inference.schnet.filter_table import tabulate_filters
from mlpotential.inference.schnet.native import NativeSchNet
from mlpotential.inference.pair_graph import PairGraph
from mlpotential.neighbors import connect
model, structure = random_schnet(), molecule(60)
graph = PairGraph.from_graph(connect(structure, 5.0))
graph.row_start[-1] += int(sys.argv[2])  # pairs that are not there
kernel = NativeSchNet(model, tabulate_filters(model, 1e-3))
kernel.evaluate(graph, structure.positions.numpy(), ("forces",))
"""


@needs_compiler
def test_races_of_the_cell_list(tmp_path):
    """Several threads find the same pairs as one, under a thread sanitizer."""
    library_of_compiler("libtsan.so")
    program = tmp_path / "cell_list_threads"
    succeed(
        [
            *("g++", "-std=c++17", "-O1", "-g", "-fsanitize=thread", "-pthread"),
            *("-I", CELL_LIST, Path(__file__).with_name("cell_list_threads.cpp")),
            *(CELL_LIST / "cell_list.cpp", "-o", program),
        ],
        tmp_path,
    )
    assert "pairs" in succeed([program], tmp_path)


@needs_compiler
def test_an_overrun_is_noticed(sanitized):
    """One pair too many in the list: the sanitizer is at work."""
    folder, environment = sanitized
    program = [sys.executable, "-P", "-c", OVERRUN, ROOT / "tests/mlpotential/inference"]
    succeed([*program, 0], folder, **environment)
    result = run([*program, 1], folder, **environment)
    assert result.returncode != 0
    assert "heap-buffer-overflow" in result.stderr


@needs_compiler
def test_races_of_threads(tmp_path):
    """The kernel without Python under a thread sanitizer, which notices a race made on purpose."""
    library_of_compiler("libtsan.so")
    program = tmp_path / "kernel_threads"
    succeed(
        [
            *("g++", "-std=c++17", "-O1", "-g", "-fsanitize=thread", "-pthread"),
            *("-I", SOURCES, Path(__file__).with_name("kernel_threads.cpp")),
            *(SOURCES / "schnet.cpp", "-o", program),
        ],
        tmp_path,
    )
    assert "threads 90" in succeed([program], tmp_path)
    result = run([program, "race"], tmp_path)
    assert result.returncode != 0
    assert "data race" in result.stderr


EVALUATE = """
import logging, numpy as np, torch
from mlpotential.inference.schnet import native
from mlpotential.inference.evaluator import Evaluator
from mlpotential.models.schnet_config import SchNetConfig
from mlpotential.models.schnet import SchNet
logging.basicConfig(format="%(message)s")
evaluator = Evaluator(SchNet(SchNetConfig(n_features=8, n_interactions=1)), [1, 1], device="cpu")
forces = evaluator.evaluate(np.array([[[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]])).forces
print(native.__file__, evaluator.backend, np.isfinite(forces).all(), forces.any())
"""


def test_installation_without_a_compiler(tmp_path):
    """It succeeds, and the evaluator says what is missing and goes on without."""
    folder, site = copied_sources(tmp_path / "copy"), tmp_path / "site"
    nothing = str(tmp_path / "no-compiler")
    succeed(
        [
            *(sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation"),
            *("--no-index", "--quiet", "--target", site, "."),
        ],
        folder,
        CC=nothing,
        CXX=nothing,
    )
    assert not list(site.rglob("_schnet_*"))
    result = run([sys.executable, "-P", "-c", EVALUATE], tmp_path, PYTHONPATH=str(site))
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [
        str(site / "mlpotential/inference/schnet/native.py"), "tabulated", "True", "True"
    ]  # fmt: skip
    assert result.stderr.count("there is no compiled kernel") == 1


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """All files of the repository, by their paths."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no clone of the repository")
    return set(succeed(["git", "-c", "safe.directory=*", "ls-files"], ROOT).splitlines())


@pytest.fixture(scope="module")
def source_distribution(tracked, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clone")
    for name in tracked:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    succeed([sys.executable, "setup.py", "-q", "sdist"], folder)
    (archive,) = (folder / "dist").iterdir()
    return archive


def test_source_distribution_has_all_files(source_distribution, tracked):
    with tarfile.open(source_distribution) as opened:
        files = [member.name for member in opened.getmembers() if member.isfile()]
    names = {name.partition("/")[2] for name in files}
    assert tracked - names == {".gitignore"}
    assert all(".egg-info/" in name or name == "PKG-INFO" for name in names - tracked)


@needs_compiler
def test_wheel_of_the_source_distribution(source_distribution, tracked, tmp_path):
    """It has all of the packages but sources and pictures, and its kernels work where it lies."""
    pip, alone = (sys.executable, "-m", "pip"), ("--no-deps", "--no-index", "--quiet")
    build = (*pip, "wheel", "--no-build-isolation", *alone, "-w", tmp_path)
    succeed([*build, source_distribution], tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    libraries = {name for name in names if name.endswith(".so")}
    of_packages = {name for name in tracked if name.split("/")[0] in PACKAGES}
    left_out = {name for name in of_packages if "/csrc/" in name or name.endswith(".png")}
    left_out -= {"mlpotential/inference/schnet/csrc/schnet.h"}  # which LAMMPS' plugin includes
    informed = {name for name in names if ".dist-info/" in name}
    assert names - libraries - informed == of_packages - left_out
    assert any(name.endswith("/licenses/LICENSE") for name in informed)
    assert {Path(name).name.split(".")[0] for name in libraries} >= {
        "_schnet_portable", "_convolution_portable", "_cell_list_portable"
    }  # fmt: skip
    assert max(zipfile.ZipFile(wheel).getinfo(name).file_size for name in libraries) < 1e6, (
        "these have debug symbols"
    )
    site = tmp_path / "site"
    succeed([*pip, "install", *alone, "--target", site, wheel], tmp_path)
    output = succeed([sys.executable, "-P", "-c", EVALUATE], tmp_path, PYTHONPATH=str(site))
    assert output.split() == [
        str(site / "mlpotential/inference/schnet/native.py"), "native", "True", "True"
    ]  # fmt: skip
