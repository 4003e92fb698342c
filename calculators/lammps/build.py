"""Compiles the plugin for the LAMMPS that is there."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from calculators.lammps.installation import Headers
from calculators.lammps.places import PLUGIN
from mlpotential.compiled import library_names
from mlpotential.errors import ConfigError, RunError
from mlpotential.inference.schnet import kernel

SOURCES = Path(__file__).parent / "plugin"
FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-fno-math-errno")


def compiler() -> list[str]:
    """The C++ compiler: CXX of the environment, g++ or clang++.

    Raises:
        ConfigError: if there is none.
    """
    if chosen := os.environ.get("CXX"):
        words = shlex.split(chosen)
        if shutil.which(words[0]) is None:
            raise ConfigError(f"CXX names {words[0]}, which is not there: install it, or unset CXX")
        return words
    for name in ("g++", "clang++"):
        if shutil.which(name) is not None:
            return [name]
    raise ConfigError("there is no C++ compiler: install g++ or clang++, or name one by CXX")


def compile_command(headers: Headers, output: Path) -> list[str]:
    """What builds the plugin.

    MPI and LAMMPS are not linked: whoever loads the plugin has them.

    Args:
        headers: to compile against.
        output: file to write.

    Raises:
        ConfigError: without a compiler.
        RunError: without a kernel that the plugin could open.
    """
    portable = kernel.library_path("portable")
    if portable is None:
        raise RunError(f"the plugin needs the compiled kernel. {kernel.why_there_is_none()}")
    name = next(n for n in library_names(kernel.STEM, "portable") if n == portable.name)
    suffix = name.removeprefix(f"_{kernel.STEM}_portable")
    definitions = {
        "MLPOTENTIAL_LAMMPS": str(headers.version),
        "MLPOTENTIAL_LAMMPS_DATE": f'"{headers.date}"',
        "MLPOTENTIAL_KERNELS": f'"{portable.parent.resolve()}"',
        "MLPOTENTIAL_SUFFIX": f'"{suffix}"',
    }
    return [
        *compiler(),
        *FLAGS,
        *(f"-D{name}={value}" for name, value in definitions.items()),
        *(f"-I{folder}" for folder in (kernel.HEADER.parent, headers.lammps, headers.mpi)),
        *map(str, sorted(SOURCES.glob("*.cpp"))),
        *("-o", str(output), "-ldl", "-pthread"),
    ]


def build(headers: Headers, folder: Path) -> Path:
    """Builds the plugin; LAMMPS processes that use an older one keep it.

    Args:
        headers: to compile against.
        folder: made if need be.

    Returns:
        The path of the plugin.

    Raises:
        ConfigError, RunError: as `compile_command`; if the folder cannot be written, or the
            compiler refuses.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            built = Path(scratch) / PLUGIN
            command = compile_command(headers, built)
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode != 0:
                raise RunError(
                    f"the compiler could not build the plugin against {headers.lammps}:\n"
                    f"{shlex.join(command)}\n{result.stderr.strip()}"
                )
            return built.replace(folder / PLUGIN)
    except OSError as error:
        raise RunError(
            f"cannot write the plugin to {folder}: {error.strerror}. Name another folder by "
            "--folder, and tell it to LAMMPS by LAMMPS_PLUGIN_PATH"
        ) from error
