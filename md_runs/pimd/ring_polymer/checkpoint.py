"""The checkpoint of a ring polymer: all that the next step depends on, to the last bit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from md_runs.checkpoint_archive import read_archive, write_archive
from md_runs.pimd.ring_polymer.integrator import ModeState

FORMAT_VERSION = 1


@dataclass(frozen=True)
class RingPolymerCheckpoint:
    """A run after `step` steps.

    Attributes:
        step: steps done.
        n_frames: frames recorded.
        n_records: energies recorded.
        state: of the ring polymer (A sqrt(amu), eV; heat in eV).
    """

    step: int
    n_frames: int
    n_records: int
    state: ModeState

    def write(self, path: Path) -> None:
        """Replaces the file in one step. Raises RunError if the disk is full; the old one stays."""
        counts = {"step": self.step, "n_frames": self.n_frames, "n_records": self.n_records}
        arrays = {name: array for name, array in vars(self.state).items() if array is not None}
        write_archive(path, FORMAT_VERSION, {"numbers": counts}, **arrays)

    @classmethod
    def read(cls, path: Path) -> RingPolymerCheckpoint:
        """Raises RunError if the file is damaged, foreign or of a newer version."""
        content, arrays = read_archive(path, FORMAT_VERSION)
        heat = float(arrays.pop("heat"))
        state = ModeState(**{name: array for name, array in arrays.items()}, heat=heat)
        return cls(**content["numbers"], state=state)
