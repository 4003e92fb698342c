"""The checkpoint of a classical run: all that the next step depends on, to the last bit.

The file is a SHA-256 digest (32 bytes) followed by a NumPy archive of the arrays and one JSON text.
Reading it never runs code.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mlpotential.errors import RunError
from mlpotential.run_folder import write_atomically

FORMAT_VERSION = 3  # 2: fixed atoms and the count of degrees of freedom; 3: any thermostat
DIGEST_SIZE = 32  # bytes of SHA-256


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

    def write(self, path: Path) -> None:
        """Replaces the file in one step. Raises RunError if the disk is full; the old one stays."""
        apart = ("positions", "momenta", "settings", "start")
        numbers = {name: value for name, value in vars(self).items() if name not in apart}
        text = json.dumps(
            {"format_version": FORMAT_VERSION, "settings": self.settings, "numbers": numbers}
        )
        arrays: dict[str, Any] = {f"start_{name}": array for name, array in self.start.items()}
        buffer = io.BytesIO()
        np.savez(
            buffer, text=np.array(text), positions=self.positions, momenta=self.momenta, **arrays
        )
        content = buffer.getvalue()
        write_atomically(path, hashlib.sha256(content).digest() + content)

    @classmethod
    def read(cls, path: Path) -> ClassicalState:
        """Raises RunError if the file is damaged, foreign or of a newer version."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RunError(f"cannot read the checkpoint {path}: {error.strerror}") from error
        digest, packed = data[:DIGEST_SIZE], data[DIGEST_SIZE:]
        if hashlib.sha256(packed).digest() != digest:
            raise RunError(
                f"the checkpoint {path} is damaged or was written by something else: start again "
                "in another folder"
            )
        with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        content = json.loads(str(arrays.pop("text")))
        if content["format_version"] > FORMAT_VERSION:
            raise RunError(
                f"{path} has format version {content['format_version']}; this program reads up to "
                f"{FORMAT_VERSION}: install a newer one"
            )
        positions, momenta = arrays.pop("positions"), arrays.pop("momenta")
        start = {name.removeprefix("start_"): array for name, array in arrays.items()}
        numbers = {"n_degrees_of_freedom": None, **content["numbers"]}
        if content["format_version"] < 3:  # it knew the Bussi thermostat alone
            numbers["thermostat"] = {"transferred_energy": numbers.pop("transferred_energy")}
        start.setdefault("fixed atoms", np.zeros(len(positions), bool))  # version 1 knew none
        return cls(
            positions=positions,
            momenta=momenta,
            settings=content["settings"],
            start=start,
            **numbers,
        )
