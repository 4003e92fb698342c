"""What a run is, by name and value, so that only the same run is continued in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from md_runs.analysis.sampling.results import plain
from md_runs.trajectories.structure_file import fixed_atoms
from mlpotential.errors import RunError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SAME_STRUCTURE = 1e-4  # A, amu; chosen: a structure relaxed anew elsewhere is still the same


def settings_of(settings: DataclassInstance) -> dict[str, Any]:
    """The settings as JSON knows them, without n_steps, which may grow."""
    content: dict[str, Any] = plain(asdict(settings))
    del content["n_steps"]
    return content


def structure_of(atoms: Atoms) -> dict[str, np.ndarray]:
    """What a run begins with, as arrays: [n_atoms], [n_atoms, 3] (A), [3, 3] (A) and [3]."""
    return {
        "atomic numbers": atoms.get_atomic_numbers(),
        "masses": atoms.get_masses(),
        "periodic directions": atoms.get_pbc(),
        "cell vectors": np.array(atoms.cell),
        "positions": atoms.get_positions(),
        "fixed atoms": fixed_atoms(atoms),
    }


def refuse_another_run(folder: Path, there: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Compares the run in the folder with the one asked for; arrays and lists to a tolerance.

    Raises:
        RunError: naming all that differs.
    """
    differing = differences(there, now)
    if differing:
        raise RunError(
            f"{folder} holds another run: {'; '.join(differing)}. Choose another folder (in this "
            "one only the length can grow)"
        )


def differences(there: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two runs, in words; arrays and lists are compared to a tolerance."""
    return [
        f"the {name} of the structure differ"
        if isinstance(now.get(name), list | np.ndarray)
        else f"{name} was {there.get(name)!r} and is now {now.get(name)!r}"
        for name in sorted(there.keys() | now.keys())
        if not _agree(there.get(name), now.get(name))
    ]


def _agree(there: Any, now: Any) -> bool:
    if not isinstance(now, list | np.ndarray):
        return bool(there == now)
    a, b = np.asarray(there), np.asarray(now)
    return a.shape == b.shape and np.allclose(a, b, rtol=0.0, atol=SAME_STRUCTURE)
