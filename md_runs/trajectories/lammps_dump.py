"""Text dumps of LAMMPS: what they leave open, so that ASE's reader does not guess it.

A dump may name its atoms by numbers of types only, which are no atomic numbers, and tells its units
only if it was asked to (`dump_modify units yes`): `real` has velocities in A/fs, `metal` in A/ps.
Frames are told apart by their steps.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread

from mlpotential.errors import RunError

UNITS_OF_VELOCITY = {"A/fs": "real", "A/ps": "metal"}
FORMAT = "lammps-dump-text"


@dataclass(frozen=True)
class LammpsDump:
    """What a dump tells of itself.

    Attributes:
        path: the file.
        columns: of each atom, as in its first frame.
        units: LAMMPS' name; None where it does not tell.
        steps: of each frame, [n_frames].
    """

    path: Path
    columns: tuple[str, ...]
    units: str | None
    steps: np.ndarray

    def times_fs(self, interval_fs: float) -> np.ndarray:
        """Of each frame, the usual interval being known, [n_frames] (fs)."""
        usual = float(np.median(np.diff(self.steps))) if len(self.steps) > 1 else 1.0
        return (self.steps - self.steps[0]) / (usual or 1.0) * interval_fs


def read_dump_head(path: Path) -> LammpsDump | None:
    """Columns, units and steps; None for another format, or a file that cannot be read."""
    steps: list[int] = []
    columns: tuple[str, ...] = ()
    units = None
    try:
        with open(path, errors="replace") as handle:
            if not handle.readline().startswith("ITEM:"):
                return None
            handle.seek(0)
            for line in handle:
                if line.startswith("ITEM: TIMESTEP"):
                    steps.append(int(next(handle, "0")))
                elif line.startswith("ITEM: UNITS"):
                    units = next(handle, "").strip()
                elif line.startswith("ITEM: ATOMS") and not columns:
                    columns = tuple(line.split()[2:])
    except (OSError, ValueError):
        return None
    return LammpsDump(path, columns, units, np.array(steps))


def dump_frames(
    dump: LammpsDump, structure: Atoms | None, velocity_unit: str | None
) -> Iterator[Atoms]:
    """Frame after frame, with elements and velocities where they are known.

    Args:
        dump: of `read_dump_head`.
        structure: elements and masses, in the order of the atoms' ids; None where the dump has
            them.
        velocity_unit: as of `read_run`; None where the dump tells its units.

    Raises:
        RunError: elements that are not known, or units that are others than given.

    Warns:
        UserWarning: velocities whose unit is not known, and which are left out.
    """
    named = {"element", "mass"} & set(dump.columns)
    if not named and structure is None:
        raise RunError(
            f"{dump.path} tells types of its atoms, but no elements: give them by a structure "
            "(--structure, atoms in the order of their ids), or dump a column 'element'"
        )
    given = UNITS_OF_VELOCITY.get(velocity_unit or "")
    if velocity_unit is not None and (given is None or (dump.units or given) != given):
        raise RunError(
            f"velocities in {velocity_unit} do not fit {dump.path}: LAMMPS has them in A/fs (units "
            f"real) or A/ps (metal){f', the file says {dump.units}' if dump.units else ''}"
        )
    if dump.units not in (None, *UNITS_OF_VELOCITY.values()):
        raise RunError(f"{dump.path} is in units {dump.units}: write it in real or metal")
    units = dump.units or given
    has_more = {"vx", "fx"} & set(dump.columns)
    if units is None and has_more:
        warnings.warn(
            f"{dump.path} has the columns {' '.join(sorted(has_more))} ..., but does not tell its "
            "units: they are not used. Give --velocity-unit A/fs (units real) or A/ps (metal)",
            stacklevel=2,
        )
    for atoms in iread(dump.path, format=FORMAT, units=units or "metal"):
        velocities = atoms.get_velocities() if "vx" in dump.columns and units else None
        forces = None if atoms.calc is None or not units else atoms.calc.results.get("forces")
        atoms.calc = None  # ASE gives an energy of 0 beside forces
        if structure is not None and not named:
            _check_types(dump.path, atoms, structure)
            atoms.numbers = structure.numbers
            atoms.set_masses(structure.get_masses())
        atoms.arrays.pop("momenta", None)
        if velocities is not None:
            atoms.set_velocities(velocities)
        if forces is not None:
            atoms.info["forces"] = forces
        yield atoms


def _check_types(path: Path, atoms: Atoms, structure: Atoms) -> None:
    """Raises RunError unless each type is one element, in the same order."""
    if len(atoms) != len(structure):
        raise RunError(f"{path} has {len(atoms)} atoms, but the structure has {len(structure)}")
    pairs = set(zip(atoms.arrays["type"].tolist(), structure.symbols, strict=True))
    types = [kind for kind, _ in pairs]
    if len(set(types)) < len(types):
        twice = next(kind for kind in types if types.count(kind) > 1)
        elements = ", ".join(sorted(symbol for kind, symbol in pairs if kind == twice))
        raise RunError(
            f"atoms of type {twice} in {path} would be {elements} by the structure: its atoms must "
            "be in the order of their ids"
        )
