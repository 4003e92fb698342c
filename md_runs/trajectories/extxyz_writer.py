"""A `Trajectory` as extended XYZ, which ASE and others read."""

from __future__ import annotations

import os
from pathlib import Path

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import write

from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import RunError
from mlpotential.units import ASE_TIME_PER_FS

TIME_KEY = "time_fs"  # of each frame, in its comment
# Of ASE's calculators: field of `Trajectory`.
RESULTS = {"energy": "energies", "forces": "forces", "dipole": "dipoles", "charges": "charges"}


def write_extended_xyz(trajectory: Trajectory, path: Path) -> list[Path]:
    """Writes each bead to a file of its own, with all that was recorded and `time_fs`.

    Args:
        trajectory: one frame is read at a time.
        path: of the only bead; where there are more, bead k is written to `NAME_bead_k.SUFFIX`.

    Returns:
        The files written, in the order of the beads. `read_ase_output` reads each.

    Raises:
        RunError: if a file cannot be written; an old one stays.
    """
    paths = [path]
    if trajectory.n_beads > 1:
        beads = range(trajectory.n_beads)
        paths = [path.with_name(f"{path.stem}_bead_{k}{path.suffix}") for k in beads]
    for bead_index, bead_path in enumerate(paths):
        partial = bead_path.with_name(bead_path.name + ".partial")
        try:
            with open(partial, "w") as handle:
                for frame in range(trajectory.n_frames):
                    write(handle, _frame_of(trajectory, frame, bead_index), format="extxyz")
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(partial, bead_path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise RunError(f"cannot write {bead_path}: {error.strerror}") from error
    return paths


def _frame_of(trajectory: Trajectory, frame: int, bead_index: int) -> Atoms:
    cells, velocities = trajectory.cells, trajectory.velocities_angstrom_per_fs
    atoms = Atoms(
        trajectory.atomic_numbers,
        positions=trajectory.positions[frame, bead_index],
        masses=trajectory.masses,
        cell=None if cells is None else cells[frame],
        pbc=trajectory.pbc,
        info={TIME_KEY: float(trajectory.times_fs[frame])},
    )
    if velocities is not None:
        atoms.set_velocities(velocities[frame, bead_index] / ASE_TIME_PER_FS)
    if trajectory.fixed is not None:
        atoms.set_constraint(FixAtoms(mask=trajectory.fixed))
    fields = {key: getattr(trajectory, field) for key, field in RESULTS.items()}
    results = {
        key: values[frame, bead_index] for key, values in fields.items() if values is not None
    }
    if "energy" in results:
        results["energy"] = float(results["energy"])
    if trajectory.polarizabilities is not None:
        atoms.info["polarizability"] = trajectory.polarizabilities[frame, bead_index]
    if results:
        atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms
