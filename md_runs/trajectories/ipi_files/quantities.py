"""The quantities that i-PI writes, in the units of `Trajectory`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from md_runs.trajectories.frame_arrays import (
    FrameArray,
    beads_together,
    changed_frames,
    chosen_frames,
)
from md_runs.trajectories.ipi_files.run_settings import converted
from md_runs.trajectories.ipi_files.series import Series
from md_runs.trajectories.trajectory import last_records
from mlpotential.errors import RunError

# i-PI's name: field of `Trajectory`, family of units.
OF_BEADS = {
    "positions": ("positions", "length"),
    "velocities": ("velocities_angstrom_per_fs", "velocity"),
    "momenta": ("velocities_angstrom_per_fs", "momentum"),
    "forces": ("forces", "force"),
}
OF_CENTROID = {
    "x_centroid": ("positions", "length"),
    "v_centroid": ("velocities_angstrom_per_fs", "velocity"),
    "p_centroid": ("velocities_angstrom_per_fs", "momentum"),
    "f_centroid": ("forces", "force"),
}
OF_EXTRAS = {
    "dipole": ("dipoles", "electric-dipole"),
    "polarizability": ("polarizabilities", ""),
    "charges": ("charges", ""),
}
QUANTITIES = OF_BEADS | OF_CENTROID | OF_EXTRAS


def kept_frames(series: Series) -> np.ndarray:
    """Numbers of the frames that no restart repeated."""
    return last_records(series.steps.astype(np.float64))


def frames_at(series: Series, steps: np.ndarray) -> np.ndarray:
    """Numbers of the frames with these steps, which the series has; [n_steps]."""
    kept = kept_frames(series)
    return kept[np.searchsorted(series.steps[kept], steps)]


def beads_of_series(
    name: str,
    some: Sequence[Series],
    steps: np.ndarray,
    masses: np.ndarray,
    extras_units: dict[str, str] | None = None,
) -> dict[str, FrameArray]:
    """One quantity of all beads in the units of `Trajectory`, by its field there; nothing is read.

    Args:
        name: of the quantity, one of `QUANTITIES`.
        some: of each bead, in any order.
        steps: whose frames are taken; every series has them.
        masses: [n_atoms] (amu).
        extras_units: i-PI's units of extras by name; None for atomic units.

    Raises:
        RunError: beads whose frames differ in shape, or a unit that i-PI does not know.
    """
    field = QUANTITIES[name][0]
    unit = (extras_units or {}).get(name, "") if name in OF_EXTRAS else some[0].unit
    factor = factor_of_quantity(name, unit, some[0].path, masses)
    beads = []
    for series in sorted(some, key=lambda s: s.bead):
        values = chosen_frames(series.values, frames_at(series, steps))  # [n_steps, ...]
        shape = (3, 3) if field == "polarizabilities" else values.shape[1:]
        beads.append(_scaled(values, factor, shape))
    if len({bead.shape for bead in beads}) > 1:
        raise RunError(f"{some[0].path} and the files of other beads have frames of other shapes")
    return {field: beads_together(beads)}  # [n_steps, n_beads, ...]


def cells_of_series(series: Series, steps: np.ndarray) -> np.ndarray:
    """Lattice vectors of some frames as rows, [n_frames, 3, 3] (A)."""
    assert series.cells is not None
    unit = series.cell_unit or "angstrom"  # extended XYZ names none: ASE's
    to_angstrom = converted(1.0, "length", unit, "angstrom")
    return np.asarray(series.cells)[frames_at(series, steps)] * to_angstrom


def _scaled(values: FrameArray, factor: np.ndarray, shape: tuple[int, ...]) -> FrameArray:
    return changed_frames(values, lambda frames: frames.reshape(-1, *shape) * factor, shape)


def factor_of_quantity(
    name: str, unit: str, path: Path, masses: np.ndarray | None = None
) -> np.ndarray:
    """What values in a unit of i-PI are multiplied with to be in the units of `Trajectory`.

    Args:
        name: of the quantity, one of `QUANTITIES`.
        unit: i-PI's name; empty for the atomic one.
        path: that has it, for messages.
        masses: [n_atoms] (amu), of momenta only.

    Raises:
        RunError: a unit that i-PI does not know.
    """
    from ipi.utils.units import unit_to_internal, unit_to_user

    family = QUANTITIES[name][1]
    internal = 1.0
    if family:
        try:
            internal = unit_to_internal(family, unit, 1.0)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{path} has {name} in {unit!r}, no unit of i-PI") from error
    bohr = unit_to_user("length", "angstrom", 1.0)
    velocity = bohr / unit_to_user("time", "femtosecond", 1.0)
    own: dict[str, Any] = {
        "length": bohr,
        "velocity": velocity,
        "momentum": 0.0
        if masses is None
        else velocity / (unit_to_internal("mass", "dalton", 1.0) * masses[:, None]),
        "force": unit_to_user("energy", "electronvolt", 1.0) / bohr,
        "electric-dipole": bohr,
        "": bohr**3 if name == "polarizability" else 1.0,
    }
    return np.asarray(own[family] * internal)
