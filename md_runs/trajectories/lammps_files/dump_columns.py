"""Columns of a dump of LAMMPS as quantities in our units, atoms in the order of their ids.

Positions are taken as far as they tell where atoms went: unwrapped ones, wrapped ones with image
flags, wrapped ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from md_runs.trajectories.frame_cache import Batch, warn_of_missing
from md_runs.trajectories.lammps_files.dump_frames import DumpFrame
from md_runs.trajectories.lammps_files.elements import AtomKinds
from md_runs.trajectories.lammps_files.units import UNITS, LammpsUnits
from mlpotential.errors import RunError

FRAMES_AT_ONCE = 256  # chosen: frames in memory
# Columns of positions, best first, and whether they are parts of the box vectors.
POSITIONS = {
    ("xu", "yu", "zu"): False,
    ("xsu", "ysu", "zsu"): True,
    ("x", "y", "z"): False,
    ("xs", "ys", "zs"): True,
}
UNWRAPPED = (("xu", "yu", "zu"), ("xsu", "ysu", "zsu"))
IMAGES = ("ix", "iy", "iz")
QUANTITIES = {
    "velocities_angstrom_per_fs": ("vx", "vy", "vz"),
    "forces": ("fx", "fy", "fz"),
    "charges": ("q",),
}


@dataclass(frozen=True)
class DumpColumns:
    """Which columns of a dump are what, and the factors to our units.

    Attributes:
        columns: of every frame, as written.
        positions: names of three columns.
        is_scaled: they are parts of the box vectors.
        has_images: image flags are to be added.
        names: of other quantities, with their columns.
        units: None where they are not known; lengths are A then, and nothing else is read.
    """

    columns: tuple[str, ...]
    positions: tuple[str, ...]
    is_scaled: bool
    has_images: bool
    names: dict[str, tuple[str, ...]]
    units: LammpsUnits | None

    @classmethod
    def of(cls, frame: DumpFrame, units: LammpsUnits | None) -> DumpColumns:
        """Of a first frame. Raises RunError where there are no positions.

        Warns:
            UserWarning: velocities and others that are left out.
        """
        there = set(frame.columns)
        positions = next((names for names in POSITIONS if there.issuperset(names)), None)
        if positions is None:
            raise RunError(
                f"{frame.path} has the columns {' '.join(frame.columns)}, and no positions: dump "
                "xu yu zu, or x y z"
            )
        if "id" not in there:
            warnings.warn(
                f"{frame.path} has no column 'id': atoms are taken in the order of their lines, "
                "which LAMMPS changes on its way (dump id, or dump_modify ID sort id)",
                stacklevel=3,
            )
        found = {name: some for name, some in QUANTITIES.items() if there.issuperset(some)}
        if units is None and found:
            unused = " ".join(one for some in found.values() for one in some)
            warnings.warn(
                f"{frame.path} has the columns {unused}, but does not tell its units: they are not "
                "used. Give --units (real, metal, ...), or the log of the run (--lammps-log)",
                stacklevel=3,
            )
        return cls(
            frame.columns,
            positions,
            POSITIONS[positions],
            positions not in UNWRAPPED and there.issuperset(IMAGES),
            found if units is not None else {},
            units,
        )

    def kinds(self, frame: DumpFrame) -> AtomKinds:
        """What a frame tells of its atoms."""
        order = self.order(frame)
        texts = frame.texts("element") if "element" in self.columns else None
        types = frame.numbers(["type"])[order, 0] if "type" in self.columns else None
        masses = frame.numbers(["mass"])[order, 0] if "mass" in self.columns else None
        factor = 1.0 if self.units is None else self.units.mass
        return AtomKinds(
            frame.path,
            None if types is None else types.astype(int),
            None if texts is None else [texts[k] for k in order],
            None if masses is None else masses * factor,
        )

    def order(self, frame: DumpFrame) -> np.ndarray:
        """Lines by ascending ids, [n_atoms]. Raises RunError for an id that is there twice."""
        if "id" not in self.columns:
            return np.arange(frame.n_atoms)
        ids = frame.numbers(["id"])[:, 0]
        if len(np.unique(ids)) < len(ids):
            raise frame.damaged("an id stands there twice")
        return np.argsort(ids)

    def read(self, frame: DumpFrame) -> tuple[Batch, np.ndarray]:
        """Everything of a frame in our units, and the ids and types of its atoms in their order."""
        wanted = [name for name in ("id", "type", *self.positions) if name in self.columns]
        wanted += [name for name in IMAGES if self.has_images]
        wanted += [name for some in self.names.values() for name in some]
        table = frame.numbers(wanted)
        place = {name: k for k, name in enumerate(wanted)}
        if "id" in place:
            table = table[np.argsort(table[:, place["id"]])]

        def taken(names: Sequence[str]) -> np.ndarray:
            return table[:, [place[name] for name in names]]

        positions = taken(self.positions)
        if self.is_scaled:
            positions = frame.origin + positions @ frame.cell
        if self.has_images:
            positions = positions + taken(IMAGES) @ frame.cell
        units = self.units or UNITS["metal"]  # lengths only: A, as of real
        factors = {
            "velocities_angstrom_per_fs": units.velocity_angstrom_per_fs,
            "forces": units.force,
            "charges": units.charge,
        }
        values: Batch = {
            "steps": np.array(float(frame.step)),
            "positions": positions[None] * units.length,
            "cells": frame.cell * units.length,
        }
        if frame.time is not None:
            values["times"] = np.array(frame.time)
        for name, some in self.names.items():
            numbers = taken(some) * factors[name]
            values[name] = numbers[None, :, 0] if name == "charges" else numbers[None]
        return values, taken([name for name in ("id", "type") if name in place])


def dump_batches(
    columns: DumpColumns, first: DumpFrame, frames: Iterator[DumpFrame]
) -> Iterator[Batch]:
    """Some frames at a time. Raises RunError for one with other atoms, columns or periodicity."""
    _, atoms = columns.read(first)
    held = ~np.array(first.pbc)  # vectors of directions that are not periodic, which follow atoms
    factor = 1.0 if columns.units is None else columns.units.length
    while some := list(islice(frames, FRAMES_AT_ONCE)):
        values = []
        for frame in some:
            _check_alike(frame, first)
            of_frame, its_atoms = columns.read(frame)
            if not np.array_equal(its_atoms, atoms):
                raise _other_atoms(frame, "other ids or types of atoms")
            of_frame["cells"][held] = first.cell[held] * factor
            values.append(of_frame)
        shared = set(values[0]).intersection(*values)
        for name in set().union(*values) - shared:
            warn_of_missing(first.path, name, some[0].number)
        yield {name: np.stack([frame[name] for frame in values]) for name in shared}


def _check_alike(frame: DumpFrame, first: DumpFrame) -> None:
    if frame.n_atoms != first.n_atoms:
        raise _other_atoms(frame, f"{frame.n_atoms} atoms, not {first.n_atoms}")
    if frame.columns != first.columns:
        raise _other_atoms(frame, f"the columns {' '.join(frame.columns)}")
    if frame.pbc != first.pbc:
        raise _other_atoms(frame, "other periodic directions")


def _other_atoms(frame: DumpFrame, what: str) -> RunError:
    return RunError(
        f"frame {frame.number} (step {frame.step}) of {frame.path} has {what} as frame 0: all "
        "frames must have the same atoms (dump a group of atoms that stays, or cut the file)"
    )
