"""What classical runs share: atoms that can move, one step, one recorded frame."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ase import Atoms
from tqdm import tqdm

from md_runs.classical.thermostats import Integrator
from md_runs.thermal_velocities import (
    HOTTEST_K,
    explosion,
    kinetic_temperature_K,
    n_degrees_of_freedom,
)
from md_runs.trajectories.frames_file import (
    FIELDS,
    MEMBER_ENERGIES,
    SHAPES,
    FrameHeader,
    FrameRecorder,
    member_fields,
    with_calibration,
)
from md_runs.trajectories.structure_file import other_constraints
from mlpotential.errors import ExtrapolationError, RunError, StructureError
from mlpotential.units import ASE_TIME_PER_FS, EV_PER_ANGSTROM3_PER_PRESSURE_UNIT

OF_MOVING_CELL: dict[str, tuple[int, ...]] = {"cells": (3, 3), "pressure_GPa": ()}
LARGEST_FORCE = 1000.0  # eV/A; chosen: far above a thermal force (50 eV/A is an outlier already)
LARGEST_ENERGY_CHANGE = 1.0  # eV per atom and step; chosen: a thermal step makes some hundredths


def check_dynamic(atoms: Atoms, rotates: bool) -> None:
    """Raises StructureError for atoms that cannot move as Newton's equation says."""
    if atoms.calc is None:
        raise StructureError("the structure has no calculator: set atoms.calc")
    if names := other_constraints(atoms):
        raise StructureError(
            f"dynamics with constraints ({names}) is not supported: remove them, or fix whole "
            "atoms (FixAtoms)"
        )
    masses = atoms.get_masses()
    if not np.all(np.isfinite(masses) & (masses > 0.0)):
        atom = int(np.argmin(np.isfinite(masses) & (masses > 0.0)))
        raise StructureError(f"the mass of atom {atom} is {masses[atom]}: it must be positive")
    for name, array in (("position", atoms.positions), ("velocity", atoms.get_velocities())):
        if not np.isfinite(array).all():
            atom = int(np.argmin(np.isfinite(array).all(axis=1)))
            raise StructureError(f"the {name} of atom {atom} is not finite: {array[atom].tolist()}")
    if n_degrees_of_freedom(atoms, rotates) < 1:
        raise StructureError(
            "nothing can move but the whole structure: dynamics needs at least two atoms, or one "
            "beside fixed ones"
        )


def frame_header(
    atoms: Atoms, timestep_fs: float, stride: int, moves_cell: bool = False
) -> FrameHeader:
    """The header of a classical trajectory; dipoles and the like are in it if forces bring them.

    So are energies of the members of a committee.

    Where the cell moves every frame has its own, and the pressure.
    """
    per_atom = (1, len(atoms), 3)
    fields: dict[str, tuple[int, ...]] = {
        "positions": per_atom,
        "velocities_angstrom_per_fs": per_atom,
        "forces": per_atom,
        "energies": (1,),
        "temperature_K": (),
    }
    if moves_cell:
        fields |= OF_MOVING_CELL
    fields |= {FIELDS[name]: (1, *SHAPES[name]) for name in _come_with_forces(atoms)}
    fields |= member_fields(atoms.calc, n_beads=1)
    header = FrameHeader.of_run(atoms, timestep_fs, stride, fields, moves_cell)
    return with_calibration(header, atoms.calc)


def _come_with_forces(atoms: Atoms) -> list[str]:
    """Results that one evaluation gives beside forces, so that they cost nothing."""
    known = getattr(atoms.calc, "implemented_properties", ())
    wanted = [name for name in FIELDS if name in known]
    if wanted:
        atoms.get_forces(apply_constraint=False)
    return [name for name in wanted if name in _stored_results(atoms)]


def _stored_results(atoms: Atoms) -> dict[str, Any]:
    """Of the last evaluation; nothing where the calculator keeps none."""
    return getattr(atoms.calc, "results", {})


def moving_copy(
    atoms: Atoms, positions: np.ndarray, momenta: np.ndarray, cell: np.ndarray | None = None
) -> Atoms:
    """The structure elsewhere in phase space, with the same calculator.

    Args:
        atoms: with a calculator.
        positions: [n_atoms, 3] (A).
        momenta: [n_atoms, 3] (amu A / ASE time).
        cell: lattice vectors as rows, [3, 3] (A); None for those of the atoms.
    """
    moved = atoms.copy()
    moved.calc = atoms.calc
    if cell is not None:
        moved.cell = cell
    moved.positions = positions
    moved.set_momenta(momenta)
    return moved


def record_frame(
    recorder: FrameRecorder,
    atoms: Atoms,
    forces: np.ndarray,
    n_dof: int,
    step: int,
    largest_temperature_K: float = HOTTEST_K,
    pressure: float | None = None,
) -> tuple[float, float]:
    """Appends the frame; its kinetic temperature (K) and potential energy (eV).

    Args:
        recorder: of the run.
        atoms: after a step.
        forces: on them, [n_atoms, 3] (eV/A).
        n_dof: degrees of freedom that the temperature counts.
        step: number of the step, for messages.
        largest_temperature_K: beyond it the dynamics has exploded.
        pressure: of a run whose cell moves (eV/A^3).

    Raises:
        RunError: if the frame is hotter than allowed, or the disk is full.
    """
    temperature_K = checked_temperature_K(atoms, n_dof, step, largest_temperature_K)
    energy = float(atoms.get_potential_energy())
    if not math.isfinite(energy):
        raise explosion(step, f"the energy is {energy} eV")
    results = _stored_results(atoms)
    kept = FIELDS | {MEMBER_ENERGIES: MEMBER_ENERGIES}
    others = {field: results[name] for name, field in kept.items() if name in results}
    if pressure is not None:
        others["cells"] = atoms.cell.array
        others["pressure_GPa"] = pressure / EV_PER_ANGSTROM3_PER_PRESSURE_UNIT["GPa"]
    recorder.append(
        positions=atoms.positions,
        velocities_angstrom_per_fs=atoms.get_velocities() * ASE_TIME_PER_FS,
        forces=forces,
        energies=energy,
        temperature_K=temperature_K,
        **others,
    )
    return temperature_K, energy


def checked_temperature_K(
    atoms: Atoms, n_dof: int, step: int, largest_temperature_K: float
) -> float:
    """Of the kinetic energy. Raises RunError where it is higher than allowed."""
    temperature_K = kinetic_temperature_K(float(atoms.get_kinetic_energy()), n_dof)
    if not temperature_K < largest_temperature_K:
        raise explosion(step, f"the temperature is {temperature_K:.3g} K")
    return temperature_K


def advance(
    integrator: Integrator,
    forces: np.ndarray,
    step: int,
    n_dof: int,
    largest_temperature_K: float = HOTTEST_K,
) -> np.ndarray:
    """One step, from the forces before it to those after it, [n_atoms, 3] (eV/A).

    A thermostat may have cooled an explosion by the next frame, so each step is looked at.

    Args:
        integrator: of the moving atoms.
        forces: before the step, [n_atoms, 3] (eV/A).
        step: number of the step, for messages.
        n_dof: degrees of freedom that the temperature counts.
        largest_temperature_K: beyond it the dynamics has exploded.

    Raises:
        RunError: if the potential or its guard refuses the structure, a force is not finite or
            beyond any chemistry, the potential energy jumps, or the atoms are too hot.
    """
    atoms = integrator.atoms
    energy_before = _stored_results(atoms).get("energy")
    try:
        forces = integrator.step(forces)
    except ExtrapolationError as error:
        raise RunError(f"stopped at step {step}: {error}") from error
    except StructureError as error:
        raise explosion(step, str(error)) from error
    if not float(np.abs(forces).max()) < LARGEST_FORCE:
        atom = int(np.argmax(np.nan_to_num(np.abs(forces), nan=np.inf).max(axis=1)))
        raise explosion(step, f"the force on atom {atom} is {forces[atom].tolist()} eV/A")
    energy = _stored_results(atoms).get("energy")
    if energy_before is not None and energy is not None:
        change = abs(energy - energy_before) / len(atoms)
        if not change < LARGEST_ENERGY_CHANGE:
            raise explosion(step, f"the energy changed by {change:.3g} eV/atom in one step")
    checked_temperature_K(atoms, n_dof, step, largest_temperature_K)
    return forces


def progress_bar(n_steps: int, n_done: int, shown: bool) -> tqdm:
    """Steps done of all, silent where the output is not a terminal."""
    return tqdm(total=n_steps, initial=n_done, unit="step", disable=None if shown else True)
