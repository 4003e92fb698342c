"""NVRTC where it is installed, and the folder in which its work is kept."""

import logging
import re
import threading

import pytest
import torch

from mlpotential.errors import RunError
from mlpotential.inference.cuda import compiler
from mlpotential.inference.cuda.compiler import Compiled, find_compiler, kept_cubin
from mlpotential.inference.cuda.executor import Limits
from mlpotential.inference.cuda.plans import SIZES, WIDTHS, Plan, plan_for
from mlpotential.inference.cuda.systems.kernels import FOLDER as SYSTEMS
from mlpotential.inference.cuda.systems.neighbor_list import MACROS as LIST_MACROS
from mlpotential.inference.cuda.systems.plans import system_plan

# By compute capability: bytes of shared memory that a block can have, and blocks of a cluster.
DEVICES = {
    80: Limits(166_912, 1, 108),
    89: Limits(101_376, 1, 142),
    90: Limits(232_448, 8, 132),
    100: Limits(232_448, 8, 148),
    120: Limits(101_376, 8, 170),
}
C20 = plan_for(torch.float32, 128, 20, DEVICES[90])
CASES = [(torch.float32, 128, 20), (torch.float32, 256, 64), (torch.float64, 64, 24)]
CASES += [(torch.float32, 32, 8), (torch.float64, 128, 48), (torch.float32, 64, 32)]
needs_nvrtc = pytest.mark.skipif(
    find_compiler(None) is None, reason="there is no NVRTC: pip install -e '.[cuda-check]'"
)


TABLES = [(torch.float32, 201), (torch.float32, 401), (torch.float64, 1_601)]  # knots, as of 5 A


def compiled_without_spills(plan: Plan, architecture: int) -> None:
    assert_no_spills("molecule", plan.macros, architecture)


def assert_no_spills(source: str, macros, architecture: int) -> None:
    """In no function of a source."""
    log = find_compiler(None).compile(source, macros, architecture).log
    none = r"\b0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"
    assert len(re.findall(none, log)) == log.count("bytes stack frame") > 0, log


@needs_nvrtc
def test_the_kernel_compiles():
    compiled_without_spills(C20, 90)


@needs_nvrtc
@pytest.mark.slow
@pytest.mark.parametrize("architecture", DEVICES)
@pytest.mark.parametrize(("dtype", "n_features", "n_atoms"), CASES)
def test_the_kernel_compiles_for_all_devices(dtype, n_features, n_atoms, architecture):
    """Within the memory of a block, or it is not taken there."""
    limits = DEVICES[architecture]
    plan = plan_for(dtype, n_features, n_atoms, limits)
    if plan is None:
        pytest.skip("no plan fits, so such molecules are tabulated there")
    assert plan.shared_bytes <= limits.shared_bytes
    compiled_without_spills(plan, architecture)


@needs_nvrtc
@pytest.mark.slow
@pytest.mark.parametrize("architecture", DEVICES)
@pytest.mark.parametrize(("dtype", "n_knots"), TABLES)
@pytest.mark.parametrize("n_features", WIDTHS)
def test_kernels_of_systems_compile_for_all_devices(n_features, dtype, n_knots, architecture):
    """Of few and of many atoms, within the memory of a block."""
    limits = DEVICES[architecture]
    few, many = (system_plan(dtype, n_features, n_knots, n, limits) for n in (100, 10**5))
    assert few.tile < many.tile
    for plan in (few, many):
        assert max(plan.table_bytes, plan.dense_bytes, plan.sum_bytes) <= limits.shared_bytes
        assert_no_spills(f"{SYSTEMS}/dense", plan.dense_macros, architecture)
    assert_no_spills(f"{SYSTEMS}/edges", many.pair_macros, architecture)
    assert_no_spills(f"{SYSTEMS}/forces", many.plain_macros, architecture)


@needs_nvrtc
def test_lists_compile():
    assert_no_spills(f"{SYSTEMS}/cells", LIST_MACROS, 90)


@pytest.mark.parametrize(
    ("n_knots", "expected"),
    [(241, (92_544, 384, 264)), (401, (153_984, 768, 132)), (1_000, (0, 384, 264))],
)
def test_filters_in_shared_memory(n_knots, expected):
    """Of an H200: two blocks on a multiprocessor, a larger one by itself, or none at all."""
    plan = system_plan(torch.float32, 128, n_knots, 100_000, DEVICES[90])
    assert (plan.table_bytes, plan.pair_threads, plan.pair_blocks) == expected
    assert plan.rows == 64
    assert system_plan(torch.float32, 128, n_knots, 648, DEVICES[90]).rows == 16


@needs_nvrtc
def test_what_nvrtc_says_is_told():
    with pytest.raises(RunError, match=r"(?s)for sm_90, use backend='tabulated'.*M_FEATURES"):
        find_compiler(None).compile("molecule", {"M_REAL": "float"}, 90)


@pytest.mark.parametrize("architecture", DEVICES)
def test_published_networks_have_a_plan_everywhere(architecture):
    """F = 128 in float32, up to 20 atoms at least."""
    for size in SIZES[:3]:
        assert plan_for(torch.float32, 128, size, DEVICES[architecture]) is not None


def test_plans_of_an_h200():
    """All but the largest in float64."""
    lacking = [
        (dtype, width, size)
        for dtype in (torch.float32, torch.float64)
        for width in WIDTHS
        for size in SIZES
        if plan_for(dtype, width, size, DEVICES[90]) is None
    ]
    assert lacking == [(torch.float64, 256, 48), (torch.float64, 256, 64)]
    assert (C20.cluster, C20.threads, C20.buffers, C20.chunk) == (8, 256, 2, 0)


class Counting:
    """In place of NVRTC."""

    version, architectures = (13, 0), (90,)

    def __init__(self):
        self.calls = []

    def compile(self, kernel, macros, architecture):
        self.calls.append((kernel, dict(macros), architecture))
        return Compiled(f"{self.calls[-1]}".encode() * 1000, "")


@pytest.fixture
def counting(tmp_path, monkeypatch):
    monkeypatch.setenv(compiler.VARIABLE, str(tmp_path / "cache"))
    return Counting()


def kept_files(tmp_path):
    return sorted((tmp_path / "cache" / compiler.FOLDER).iterdir())


def test_kernels_are_kept(counting, tmp_path):
    first = kept_cubin(counting, "molecule", {"M_A": 1}, 90)
    assert kept_cubin(counting, "molecule", {"M_A": 1}, 90) == first
    assert len(counting.calls) == 1
    assert len(kept_files(tmp_path)) == 1


@pytest.mark.parametrize("what", ["macros", "architecture", "version", "source", "headers"])
def test_whatever_a_kernel_depends_on_gives_another(what, counting, monkeypatch):
    first = kept_cubin(counting, "molecule", {"M_A": 1}, 90)
    macros, architecture = {"M_A": 1}, 90
    if what == "macros":
        macros = {"M_A": 2}
    elif what == "architecture":
        architecture = 100
    elif what == "version":
        counting.version = (13, 1)
    elif what == "source":
        monkeypatch.setattr(compiler, "source_of", lambda kernel: "other")
    else:
        monkeypatch.setattr(compiler, "headers", lambda: {"device.h": "other"})
    kept_cubin(counting, "molecule", macros, architecture)
    assert len(counting.calls) == 2
    assert kept_cubin(counting, "molecule", macros, architecture) is not None
    assert first


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b"x" + b[1:]])
def test_a_damaged_file_is_made_anew(damage, counting, tmp_path):
    first = kept_cubin(counting, "molecule", {}, 90)
    (path,) = kept_files(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    again = kept_cubin(counting, "molecule", {}, 90)
    assert len(counting.calls) == 2
    assert again[-50:] == first[-50:]
    assert kept_cubin(counting, "molecule", {}, 90) == again


def test_a_folder_that_cannot_be_written_is_named_once(counting, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv(compiler.VARIABLE, str(tmp_path / "file"))
    caplog.set_level(logging.WARNING, "mlpotential")
    for _ in range(2):
        assert kept_cubin(counting, "molecule", {}, 90)
    (message,) = caplog.messages
    assert "cannot be kept in" in message
    assert compiler.VARIABLE in message
    assert len(counting.calls) == 2


def test_many_write_at_once_and_all_read_whole_files(counting, tmp_path):
    """A reader finds nothing, or all."""
    path, wrong = tmp_path / "cubin", []
    content = b"0123456789" * 20_000

    def work():
        for _ in range(20):
            compiler._write(path, content)
            if compiler._read(path) != content:
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert [entry.name for entry in tmp_path.iterdir()] == ["cubin"]


def test_libraries_are_found_where_packages_put_them(tmp_path, monkeypatch):
    """Those of torch's version of CUDA first; helpers are none."""
    for name in (
        "nvidia/cu13/lib/libnvrtc.so.13",
        "nvidia/cu13/lib/libnvrtc-builtins.so.13.0",
        "nvidia/cu13/lib/libnvrtc.alt.so.13",
        "nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(compiler.sys, "path", ["", str(tmp_path)])
    found = [str(path.relative_to(tmp_path)) for path in compiler.libraries()]
    assert found == ["nvidia/cu13/lib/libnvrtc.so.13", "nvidia/cuda_nvrtc/lib/libnvrtc.so.12"]
    find_compiler.cache_clear()
    assert find_compiler("12.8") is None  # these files are no libraries
    find_compiler.cache_clear()
