"""The files of a run folder by their names, and which runs a folder holds."""

from __future__ import annotations

import re
from pathlib import Path

from mlpotential.errors import RunError

TRAJECTORY_NAME, CHECKPOINT_NAME = "trajectory.frames", "classical.checkpoint"  # classical
RECORD_NAME = "pimd.json"  # path integral: what the run is
STRUCTURE_NAME = "structure.extxyz"  # path integral: elements and periodicity, for the driver
SOURCE_NAME = "pimd"  # the run in whose frames ring-polymer segments start
SEGMENT_NAME = "segment_{}"  # RPMD and TRPMD: folders; NVE: files, with the suffix of frames
FRAMES_SUFFIX = ".frames"
RUN_SUFFIXES = (FRAMES_SUFFIX, ".h5", ".h5md")
_SEGMENT = re.compile(r"segment_(\d+)(\.frames)?")


def is_single_run(folder: Path) -> bool:
    """Whether a classical or a path-integral run of this program is in the folder."""
    return any((folder / name).exists() for name in (TRAJECTORY_NAME, RECORD_NAME))


def is_run(folder: Path) -> bool:
    """Whether the folder is a run by itself, or holds segments."""
    return is_single_run(folder) or bool(segment_paths(folder))


def segment_paths(folder: Path) -> list[Path]:
    """The segments for spectra that a folder holds, in order; none if it is another run."""
    if not folder.is_dir():
        return []
    found = [(match, path) for path in folder.iterdir() if (match := _SEGMENT.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda pair: int(pair[0][1]))]


def run_paths(folder: Path) -> list[Path]:
    """The runs in a folder: itself, or what lies in it.

    Raises:
        RunError: if there is no such folder.
    """
    if not folder.is_dir():
        raise RunError(f"there is no folder {folder}")
    if is_run(folder):
        own = [p for p in [folder / SOURCE_NAME] if segment_paths(folder) and is_run(p)]
        return [folder, *own]
    children = sorted(folder.iterdir())
    found = [path for path in children if path.is_dir() and is_run(path)]
    return found + [p for p in children if p.is_file() and p.suffix in RUN_SUFFIXES]


def file_name(name: str) -> str:
    """A name without what shells and file systems dislike."""
    return re.sub(r"[^\w.+-]+", "_", name)
