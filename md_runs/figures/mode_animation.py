"""Modes in motion: multi-frame extended XYZ, and a page that a browser shows without a network."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.data.colors import jmol_colors

from md_runs.analysis.vibrations.normal_modes import ModeSet, cartesian_displacements
from md_runs.analysis.vibrations.rigid_body import centered
from md_runs.figures.html_page import html_page
from md_runs.figures.mode_page import BODY, HEADER, PROGRAM, STYLE
from mlpotential.errors import ConfigError, DataError
from mlpotential.run_folder import write_atomically
from mlpotential.settings_checks import check_count, check_number

BOND_LENGTH = 1.2  # chosen: of the sum of the covalent radii; longer is no bond
ATOM_SIZE = 0.45  # chosen: of the covalent radius, so that bonds show


def mode_frames(
    modes: ModeSet, mode_index: int, n_frames: int = 24, amplitude: float = 0.3
) -> np.ndarray:
    """One period of a mode, from rest, [n_frames, n_atoms, 3] (A).

    Args:
        modes: of the molecule.
        mode_index: from 0.
        n_frames: of the period.
        amplitude: of the atom that moves most (A).

    Raises:
        ConfigError: a mode that is not there, no frames, or an amplitude that is not positive.
    """
    check_count("n_frames", n_frames)
    check_number("amplitude", amplitude)
    n_modes = len(modes.wavenumbers_per_cm)
    if not 0 <= mode_index < n_modes:
        raise ConfigError(f"mode_index must be 0 to {n_modes - 1}, not {mode_index}")
    phases = 2 * np.pi * np.arange(n_frames) / n_frames
    motion = amplitude * _largest_is_one(modes)[mode_index]
    return modes.positions + np.sin(phases)[:, None, None] * motion


def write_mode_xyz(
    path: Path,
    modes: ModeSet,
    atomic_numbers: np.ndarray,
    mode_index: int,
    n_frames: int = 24,
    amplitude: float = 0.3,
) -> None:
    """Writes one period of a mode as extended XYZ, for any viewer.

    Each frame carries `mode` (counted from 1), `wavenumber_per_cm` and `phase` (of 1).

    Raises:
        ConfigError: as `mode_frames`.
        DataError: atomic numbers that do not fit the modes.
        RunError: if the file cannot be written.
    """
    from ase.io import write

    numbers = _checked_numbers(atomic_numbers, modes)
    frames = []
    for k, positions in enumerate(mode_frames(modes, mode_index, n_frames, amplitude)):
        info = {
            "mode": mode_index + 1,
            "wavenumber_per_cm": float(modes.wavenumbers_per_cm[mode_index]),
            "phase": k / n_frames,
        }
        frames.append(Atoms(numbers, positions, info=info))
    text = io.StringIO()
    write(text, frames, format="extxyz")
    write_atomically(path, text.getvalue())


def write_mode_page(
    path: Path,
    modes: ModeSet,
    atomic_numbers: np.ndarray,
    title: str = "Normal modes",
    columns: Mapping[str, Sequence[str] | np.ndarray] | None = None,
) -> None:
    """Writes a page that shows every mode: a list to choose from, and the molecule to turn.

    Args:
        path: of the HTML file, which needs no other file and no network.
        modes: of the molecule.
        atomic_numbers: [n_atoms].
        title: heading; any text.
        columns: further columns of the list, heading and what each mode has there, [n_modes]:
            symmetry labels, intensities.

    Raises:
        DataError: atomic numbers or columns that do not fit the modes.
        RunError: if the file cannot be written.
    """
    from matplotlib.colors import to_hex

    numbers = _checked_numbers(atomic_numbers, modes)
    columns = columns or {}
    n_modes = len(modes.wavenumbers_per_cm)
    for heading, column in columns.items():
        if len(column) != n_modes:
            raise DataError(f"column {heading!r} has {len(column)} entries for {n_modes} modes")
    r, motions = centered(modes.positions, modes.masses), _largest_is_one(modes)
    molecule = {
        "colors": [to_hex(jmol_colors[number]) for number in numbers],
        "radii": [float(ATOM_SIZE * covalent_radii[number]) for number in numbers],
        "positions": r.round(4).tolist(),
        "bonds": _bonds(r, numbers),
        "headings": ["mode", "1/cm", *columns],
        "modes": [
            {"cells": [str(k + 1), _wavenumber(w), *(_text(c[k]) for c in columns.values())]}
            | {"displacements": motions[k].round(4).tolist()}
            for k, w in enumerate(modes.wavenumbers_per_cm)
        ],
    }
    body = BODY.format(molecule=_inside_a_script(molecule), program=PROGRAM)
    write_atomically(path, html_page(title, STYLE, body, HEADER))


def _largest_is_one(modes: ModeSet) -> np.ndarray:
    """Cartesian motions in which the atom that moves most moves by 1, [n_modes, n_atoms, 3]."""
    motions = cartesian_displacements(modes)
    largest = np.linalg.norm(motions, axis=2).max(axis=1)
    scaled: np.ndarray = motions / largest[:, None, None]
    return scaled


def _bonds(r: np.ndarray, numbers: np.ndarray) -> list[list[int]]:
    """Pairs of atoms as near as the sum of their covalent radii."""
    radii = covalent_radii[numbers]
    distances = np.linalg.norm(r[:, None] - r, axis=-1)
    near = distances < BOND_LENGTH * (radii[:, None] + radii)
    pairs: list[list[int]] = np.argwhere(np.triu(near, k=1)).tolist()
    return pairs


def _wavenumber(wavenumber_per_cm: float) -> str:
    """Imaginary ones as chemists write them."""
    return f"{abs(wavenumber_per_cm):.1f}" + ("i" if wavenumber_per_cm < 0 else "")


def _text(entry: str | float) -> str:
    return entry if isinstance(entry, str) else f"{entry:.4g}"


def _inside_a_script(content: object) -> str:
    """JSON that cannot end the element it stands in, whatever its texts hold."""
    text = json.dumps(content, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _checked_numbers(atomic_numbers: np.ndarray, modes: ModeSet) -> np.ndarray:
    """Raises DataError unless there is an element for each atom of the modes."""
    numbers = np.asarray(atomic_numbers)
    if numbers.shape != modes.masses.shape:
        raise DataError(
            f"modes of {len(modes.masses)} atoms need as many atomic numbers, not shape "
            f"{numbers.shape}"
        )
    if not (np.issubdtype(numbers.dtype, np.integer) and ((numbers > 0) & (numbers < 110)).all()):
        raise DataError("atomic numbers must be those of elements, 1 to 109")
    return numbers
