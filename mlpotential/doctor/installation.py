"""Checks of what this package brings and needs: Python, processor, torch, kernels, models."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import mlpotential
from mlpotential import __version__, compiled
from mlpotential.doctor.extras import PACKAGE, check_dependencies, extra_checks
from mlpotential.doctor.finding import Check, Finding, check_of_program

COMPILERS = ("g++", "clang++", "c++")
FEATURES = ("avx2", "fma", "avx512f", "avx512dq", "asimd", "sve")  # as Linux spells them


def installation_checks() -> Iterator[tuple[str, Check]]:
    """Those of the package itself, by name, in the order in which they are told."""
    yield "Python", check_python
    yield "mlpotential", check_package
    yield "commands", partial(check_of_program, "mlpotential")
    yield "dependencies", check_dependencies
    yield "processor", check_processor
    yield "torch", check_torch
    yield "threads", check_threads
    yield "kernels", check_kernels
    yield "CUDA kernels", check_cuda
    yield "training", check_convolution
    yield "neighbour lists", check_cell_list
    yield "compiler", check_compiler


def later_checks() -> Iterator[tuple[str, Check]]:
    """Shipped models of this package, and the extras."""
    from mlpotential.doctor.model_files import check_model_file
    from mlpotential.papers.shipped_models import FOLDER

    for path in sorted(FOLDER.glob("*.safetensors")):
        yield f"model {path.stem}", partial(check_model_file, path)
    yield from extra_checks()


def check_python() -> Finding:
    """Version and place."""
    return Finding(f"{platform.python_version()}, {sys.executable}, {platform.platform()}")


def check_package() -> Finding:
    """Version and place, and whether what is installed is what Python takes."""
    place = Path(mlpotential.__file__).parents[1]
    text = f"{__version__} in {place}"
    installed = importlib.metadata.version(PACKAGE)
    if installed != __version__:
        return Finding(
            f"{text}, but {installed} was installed: start Python in another folder, or install "
            f"the package again (pip install {place})",
            "broken",
        )
    return Finding(text)


def check_processor() -> Finding:
    """Its name, what it can and how many cores there are for this process."""
    name, flags = platform.processor() or platform.machine(), set[str]()
    table = Path("/proc/cpuinfo")
    for line in table.read_text().splitlines() if table.is_file() else ():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "model name":
            name = value
        elif key in ("flags", "Features"):
            flags.update(value.split())
    found = [feature for feature in FEATURES if feature in flags]
    return Finding(
        f"{name}, {platform.machine()}, {', '.join(found) or 'no features known'}, "
        f"{_usable_cores()} of {os.cpu_count()} cores"
    )


def _usable_cores() -> int:
    """Of this process, which a scheduler may have bound."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_torch() -> Finding:
    """Version, and what it can compute on."""
    import torch

    text = f"{torch.__version__}, "
    if torch.cuda.is_available():
        devices = (torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count()))
        return Finding(f"{text}CUDA {torch.version.cuda} on {', '.join(devices)}")
    if torch.version.cuda is not None:
        return Finding(f"{text}built for CUDA {torch.version.cuda}, but no device can be used: CPU")
    return Finding(f"{text}CPU only")


def check_threads() -> Finding:
    """How many torch takes, and who says so; models are evaluated by `threads`, 1 by itself."""
    import torch

    stated = [f"{name}={os.environ[name]}" for name in THREADS if name in os.environ]
    said = f" ({', '.join(stated)})" if stated else ""
    return Finding(
        f"torch {torch.get_num_threads()}{said}, evaluation 1 unless --threads says more"
    )


THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def check_kernels() -> Finding:
    """The compiled kernels for CPUs, and the one that would be used."""
    import torch

    from mlpotential.inference.prepared_model import BACKENDS
    from mlpotential.testing import tiny_schnet

    native = next(backend for backend in BACKENDS if backend.name == "native")
    text = "; ".join(native.installation())
    obstacle = native.obstacle(tiny_schnet(), torch.device("cpu"))
    return Finding(text, "good" if obstacle is None else "slow")


def check_cuda() -> Finding:
    """The kernels for CUDA devices, where there are devices."""
    import torch

    from mlpotential.inference.prepared_model import BACKENDS
    from mlpotential.testing import tiny_schnet

    backend = next(backend for backend in BACKENDS if backend.name == "cuda")
    if not torch.cuda.is_available():
        return Finding("no CUDA device", "absent")
    obstacle = backend.obstacle(tiny_schnet(), torch.device("cuda"))
    return Finding("; ".join(backend.installation()), "good" if obstacle is None else "slow")


def check_convolution() -> Finding:
    """The compiled sums over pairs, which steps of training use."""
    from mlpotential.nn import convolution_library

    folder = Path(convolution_library.__file__).parent
    if compiled.find_library(folder, convolution_library.STEM, "portable") is None:
        return Finding(
            "no compiled convolution: steps of training take up to twice as long. Install g++ or "
            "clang++, then the package again",
            "slow",
        )
    used = convolution_library.library()
    assert used is not None  # the portable one is there
    return Finding(f"compiled convolution {Path(used._name).name}")


def check_cell_list() -> Finding:
    """Compiled neighbour lists, which evaluations of many atoms use."""
    from mlpotential.cell_list import library

    used = library.library()
    if used is None:
        return Finding(
            f"{library.NONE_HERE}. Install g++ or clang++, then the package again", "slow"
        )
    return Finding(f"compiled cell list {Path(used._name).name}")


def check_compiler() -> Finding:
    """Needed once, when the package is installed."""
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else []
    for name in (*wanted, *COMPILERS):
        if (path := shutil.which(name)) is not None:
            return Finding(f"{path}, used when the package is installed")
    return Finding(
        "no C++ compiler: the kernels above stay as they are; to compile them, install g++ or "
        "clang++, then the package again",
        "absent",
    )
