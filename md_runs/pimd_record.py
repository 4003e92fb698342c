"""What a path-integral run in a folder is, so that only the same run is continued there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from md_runs.pimd_settings import PimdRun
from mlpotential.errors import RunError
from mlpotential.run_folder import write_atomically

RECORD_NAME = "pimd.json"
SAME_POSITION = 1e-6  # A; chosen: a relaxation repeated elsewhere may differ in the last digits


def make_record(atoms: Atoms, settings: PimdRun, identity: Mapping[str, str]) -> dict[str, Any]:
    """Settings, what identifies the forces, and where the run starts."""
    return {
        "settings": asdict(settings),
        "forces": dict(identity),
        "structure": {
            "atomic numbers": atoms.numbers.tolist(),
            "masses": atoms.get_masses().tolist(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.array.tolist(),
            "pbc": atoms.pbc.tolist(),
        },
    }


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Raises RunError if the folder cannot be written."""
    write_atomically(folder / RECORD_NAME, json.dumps(record, indent=1) + "\n")


def check_same_run(folder: Path, record: dict[str, Any]) -> None:
    """Raises RunError naming all that differs from the run in the folder, but for more steps."""
    try:
        old = json.loads((folder / RECORD_NAME).read_text())
        differences = _differences(old, record)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{folder / RECORD_NAME} is damaged: choose another folder") from error
    if differences:
        raise RunError(
            f"{folder} holds another run: {'; '.join(differences)}. Choose another folder, or "
            "delete this one"
        )


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    differences = []
    before = {**old["settings"], **old["forces"]}
    for name, value in {**new["settings"], **new["forces"]}.items():
        has_grown = name == "n_steps" and value > before[name]
        if before[name] != value and not has_grown:
            hint = " (it can only grow)" if name == "n_steps" else ""
            differences.append(f"{name} is {before[name]} there and {value} now{hint}")
    for name, value in new["structure"].items():
        there, now = np.asarray(old["structure"][name]), np.asarray(value)
        if there.shape != now.shape or not np.allclose(there, now, rtol=0.0, atol=SAME_POSITION):
            differences.append(f"the structure has another {name}")
    return differences
