"""Which cells can move under pressure, and when they have become too small."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError

from md_runs.analysis.structure.periodic_images import plane_spacings
from md_runs.trajectories.structure_file import fixed_atoms
from mlpotential.errors import StructureError


def check_compressible(atoms: Atoms) -> None:
    """Raises StructureError for atoms whose cell cannot move, or without a stress."""
    if not (atoms.pbc.all() and atoms.cell.rank == 3):
        raise StructureError(
            "constant pressure needs a structure that is periodic in all three directions: leave "
            "the pressure out, or give the structure a cell"
        )
    if fixed_atoms(atoms).any():
        raise StructureError(
            "fixed atoms cannot follow a cell that moves: release them, or leave the pressure out"
        )
    try:
        atoms.get_stress()
    except (PropertyNotImplementedError, NotImplementedError) as error:
        raise StructureError(
            "constant pressure needs the stress, which the calculator of the structure does not "
            f"give ({error}): choose another model, or leave the pressure out"
        ) from error
    check_wider_than_cutoff(atoms)


def check_wider_than_cutoff(atoms: Atoms) -> None:
    """Raises StructureError where an atom would interact with its own image."""
    narrowest, cutoff = _narrowest(atoms), _cutoff(atoms)
    if narrowest < cutoff:
        raise StructureError(
            f"the faces of the cell are {narrowest:.3g} A apart, less than the cutoff of the model "
            f"({cutoff:g} A), so that atoms would see their own images: take a larger supercell"
        )


def least_volume(atoms: Atoms) -> float:
    """To which a cell that keeps its shape can shrink until it has the cutoff (A^3)."""
    return float(atoms.get_volume() * (_cutoff(atoms) / _narrowest(atoms)) ** 3)


def _narrowest(atoms: Atoms) -> float:
    return float(plane_spacings(np.asarray(atoms.cell), (True, True, True)).min())


def _cutoff(atoms: Atoms) -> float:
    """Of the calculator, where it tells it (A)."""
    return float(getattr(atoms.calc, "cutoff", None) or 0.0)
