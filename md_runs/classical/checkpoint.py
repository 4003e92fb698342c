"""The checkpoint of a classical run: all that the next step depends on, to the last bit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from md_runs.checkpoint_archive import read_archive, write_archive

FORMAT_VERSION = 4  # 2: fixed atoms and the count of degrees of freedom; 3: any thermostat; 4: cell
WITHOUT_CELL = 3  # what is written where there is no cell of its own: older programs read it


@dataclass(frozen=True)
class ClassicalState:
    """A run after `step` steps.

    Attributes:
        step: steps done.
        n_frames: frames recorded.
        positions: [n_atoms, 3] (A).
        momenta: [n_atoms, 3] (amu A / ASE time).
        energy: potential energy at the positions (eV).
        thermostat: what it remembers, by name, as `thermostats.thermostat_state` tells.
        generator: state of the random number generator.
        settings: those of the run, by name, without n_steps.
        start: the structure and velocities the run began with, by name.
        n_degrees_of_freedom: those that the thermostat and the temperature count; None in files of
            version 1.
        cell: lattice vectors as rows, [3, 3] (A); None where they are those of the start.
    """

    step: int
    n_frames: int
    positions: np.ndarray
    momenta: np.ndarray
    energy: float
    thermostat: dict[str, Any]
    generator: dict[str, Any]
    settings: dict[str, Any]
    start: dict[str, np.ndarray]
    n_degrees_of_freedom: int | None
    cell: np.ndarray | None = None

    def write(self, path: Path) -> None:
        """Replaces the file in one step. Raises RunError if the disk is full; the old one stays."""
        apart = ("positions", "momenta", "cell", "settings", "start")
        numbers = {name: value for name, value in vars(self).items() if name not in apart}
        version = FORMAT_VERSION if self.cell is not None else WITHOUT_CELL
        content = {"settings": self.settings, "numbers": numbers}
        arrays = {f"start_{name}": array for name, array in self.start.items()}
        if self.cell is not None:
            arrays["cell"] = self.cell
        arrays |= {"positions": self.positions, "momenta": self.momenta}
        write_archive(path, version, content, **arrays)

    @classmethod
    def read(cls, path: Path) -> ClassicalState:
        """Raises RunError if the file is damaged, foreign or of a newer version."""
        content, arrays = read_archive(path, FORMAT_VERSION)
        positions, momenta = arrays.pop("positions"), arrays.pop("momenta")
        cell = arrays.pop("cell", None)
        start = {name.removeprefix("start_"): array for name, array in arrays.items()}
        numbers = {"n_degrees_of_freedom": None, **content["numbers"]}
        if content["format_version"] < 3:  # it knew the Bussi thermostat alone
            numbers["thermostat"] = {"transferred_energy": numbers.pop("transferred_energy")}
        start.setdefault("fixed atoms", np.zeros(len(positions), bool))  # version 1 knew none
        return cls(
            positions=positions,
            momenta=momenta,
            cell=cell,
            settings=content["settings"],
            start=start,
            **numbers,
        )
