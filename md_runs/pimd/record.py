"""What a path-integral run in a folder is: settings, forces and structure, as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from md_runs.analysis.sampling.results import plain
from md_runs.force_provider import IpiDriver
from md_runs.pimd.settings import PimdRun
from md_runs.run_folders import RECORD_NAME, STRUCTURE_NAME
from md_runs.run_identity import refuse_another_run, settings_of, structure_of
from mlpotential.errors import ConfigError, RunError
from mlpotential.run_folder import write_atomically

RECORDED = "recorded"  # of an extra, among what identifies the forces
OWN_INPUT = "input of i-PI (sha256)"  # as well, of a run by a file of the user's own


def write_record(
    folder: Path, atoms: Atoms, settings: PimdRun, identity: Mapping[str, str]
) -> None:
    """Writes what the run is; `identity` is that of the forces.

    Raises:
        RunError: if the folder cannot be written.
    """
    content = {
        "settings": plain(asdict(settings)),
        "forces": dict(identity),
        "structure": plain(structure_of(atoms)),
    }
    write_atomically(folder / RECORD_NAME, json.dumps(content, indent=1) + "\n")


def write_start(folder: Path, atoms: Atoms, files: Mapping[str, bytes]) -> None:
    """Writes the structure and what the forces need into a new folder.

    Raises:
        RunError: if the folder cannot be written.
    """
    for name, content in files.items():
        write_atomically(folder / name, content)
    structure = io.StringIO()
    ase.io.write(structure, atoms, format="extxyz")
    write_atomically(folder / STRUCTURE_NAME, structure.getvalue())


def identity_of(driver: IpiDriver) -> dict[str, str]:
    """What must not change from one part of a run to the next, but for settings and structure."""
    return dict(driver.identity) | dict.fromkeys(driver.extras, RECORDED)


def refuse_longer(folder: Path, step: int, settings: PimdRun) -> None:
    """Raises RunError if the run in the folder, at `step`, is longer than was asked for."""
    if step > settings.n_steps:
        raise RunError(
            f"{folder} already holds {step} steps, more than n_steps = {settings.n_steps}: n_steps "
            "can only be raised"
        )


def check_same_run(
    folder: Path, atoms: Atoms, settings: PimdRun, identity: Mapping[str, str]
) -> None:
    """Raises RunError naming all that differs from the run in the folder, but for n_steps."""
    there_atoms, there_settings, there_identity = read_record(folder)
    refuse_another_run(
        folder,
        settings_of(there_settings) | there_identity | structure_of(there_atoms),
        settings_of(settings) | dict(identity) | structure_of(atoms),
    )


def read_record(folder: Path) -> tuple[Atoms, PimdRun, dict[str, Any]]:
    """Where the run starts, its settings, and what identifies its forces.

    Raises:
        RunError: if the record cannot be read or is damaged.
    """
    path = folder / RECORD_NAME
    try:
        content = json.loads(path.read_text())
        structure = {name: np.array(value) for name, value in content["structure"].items()}
        atoms = Atoms(
            structure["atomic numbers"],
            positions=structure["positions"],
            masses=structure["masses"],
            cell=structure["cell vectors"],
            pbc=structure["periodic directions"],
        )
        return atoms, PimdRun(**content["settings"]), dict(content["forces"])
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except (ConfigError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: choose another folder") from error


def recorded_extras(identity: Mapping[str, str]) -> tuple[str, ...]:
    """What the outputs of a run hold of every bead beside positions, such as `dipole`."""
    return tuple(name for name, value in identity.items() if value == RECORDED)
