"""Trajectory files that survive kill -9: a header, then records of one fixed size, appended.

Layout of a `.frames` file: 8 bytes of magic, 8 bytes of header length (little endian), the header
(JSON, padded with spaces so that records begin at a multiple of 64 bytes), then one record a frame.
A record is the header's fields one after the other, little endian. Nothing counts the frames: their
number is the file's size over the record's, so a run that dies leaves at worst one partial record,
which a reader drops and a resumed run cuts off.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from md_runs.trajectories.trajectory import FRAME_FIELDS, Trajectory
from mlpotential.errors import RunError
from mlpotential.run_folder import write_atomically

MAGIC = b"MDFRAMES"
FORMAT_VERSION = 2  # since fixed atoms are in the header; without them files are of version 1
ALIGNMENT = 64  # bytes
LONGEST_HEADER = (
    1 << 28
)  # bytes; chosen: a million atoms fit, the length of a foreign file does not

Shape = tuple[int, ...]


@dataclass(frozen=True)
class FrameHeader:
    """What all frames of a file share.

    Attributes:
        atomic_numbers: one per atom.
        masses: one per atom (amu).
        pbc: periodic directions.
        cell: lattice vectors as rows (A); None for a molecule.
        timestep_fs: integration step.
        stride: steps between frames; frame k is step k * stride.
        fields: name and shape of each recorded float64 quantity, in the order of the record.
        fixed: atoms that never move, in ascending order.
    """

    atomic_numbers: tuple[int, ...]
    masses: tuple[float, ...]
    pbc: tuple[bool, bool, bool]
    cell: tuple[tuple[float, ...], ...] | None
    timestep_fs: float
    stride: int
    fields: Mapping[str, Shape]
    fixed: tuple[int, ...] = ()

    @property
    def record_type(self) -> np.dtype:
        """One frame: its fields one after the other, without padding."""
        return np.dtype([(name, "<f8", shape) for name, shape in self.fields.items()])

    def to_bytes(self) -> bytes:
        """Magic, length and padded JSON."""
        version = FORMAT_VERSION if self.fixed else 1
        content = {"format_version": version, **vars(self), "fields": dict(self.fields)}
        if not self.fixed:
            del content["fixed"]
        text = json.dumps(content).encode()
        length = -(-(len(text) + 16) // ALIGNMENT) * ALIGNMENT - 16
        return MAGIC + length.to_bytes(8, "little") + text.ljust(length)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> FrameHeader:
        """The inverse of the JSON in `to_bytes`; KeyError, TypeError or ValueError if malformed."""
        cell = content["cell"]
        return cls(
            atomic_numbers=tuple(int(z) for z in content["atomic_numbers"]),
            masses=tuple(float(m) for m in content["masses"]),
            pbc=(bool(content["pbc"][0]), bool(content["pbc"][1]), bool(content["pbc"][2])),
            cell=None if cell is None else tuple(tuple(float(x) for x in row) for row in cell),
            timestep_fs=float(content["timestep_fs"]),
            stride=int(content["stride"]),
            fields={name: tuple(map(int, shape)) for name, shape in content["fields"].items()},
            fixed=tuple(int(i) for i in content.get("fixed", ())),
        )


class FrameRecorder:
    """Appends frames to a file; every frame is handed to the system at once, unbuffered."""

    def __init__(self, path: Path, header: FrameHeader, n_frames_to_keep: int = 0) -> None:
        """Creates the file, or continues one after its first `n_frames_to_keep` frames.

        Raises:
            RunError: if the file to continue is missing, foreign, damaged, too short or of another
                run, or the disk is full.
        """
        self.path, self.n_frames = path, n_frames_to_keep
        self._record = np.zeros((), header.record_type)
        content = header.to_bytes()
        if n_frames_to_keep == 0:
            write_atomically(path, content)
        else:
            self._check_continues(header)
        self._file = open(path, "r+b", buffering=0)  # noqa: SIM115 - closed by close()
        end = len(content) + n_frames_to_keep * self._record.itemsize
        self._file.truncate(end)
        self._file.seek(end)

    def _check_continues(self, header: FrameHeader) -> None:
        found, _, n_frames = _inspect(self.path)
        differing = [name for name in vars(header) if getattr(found, name) != getattr(header, name)]
        if differing:
            raise RunError(
                f"{self.path} belongs to another run (it differs in {', '.join(differing)}): "
                "choose another folder"
            )
        if n_frames < self.n_frames:
            raise RunError(
                f"{self.path} holds {n_frames} frames, but the checkpoint was written after "
                f"{self.n_frames}: the file was cut. Start again in another folder"
            )

    def append(self, **values: np.ndarray | float) -> None:
        """Writes one frame: a value for every field of the header.

        Raises:
            RunError: if the disk is full; the frames before stay.
        """
        assert self._record.dtype.names is not None
        for name in self._record.dtype.names:
            self._record[name] = values[name]
        data = self._record.tobytes()
        try:
            n_written = self._file.write(data)
            if n_written != len(data):  # the disk filled up inside the record: ask for the reason
                self._file.write(data[n_written:])
        except OSError as error:
            raise RunError(
                f"cannot write frame {self.n_frames} of {self.path}: {error.strerror}. The "
                f"{self.n_frames} frames before it are kept"
            ) from error
        self.n_frames += 1

    def flush(self) -> None:
        """Waits until the frames are on the disk.

        Raises:
            RunError: if the disk is full.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Closes the file; what was appended is in it."""
        self._file.close()

    def __enter__(self) -> FrameRecorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def read_header(path: Path) -> FrameHeader:
    """The header of a trajectory file.

    Raises:
        RunError: if the file is missing, foreign, damaged or of a newer version.
    """
    return _inspect(path)[0]


def read_records(path: Path) -> np.ndarray:
    """All complete frames, [n_frames], mapped and not read: `read_records(path)["positions"]`.

    Raises:
        RunError: as `read_header`, or if there is no complete frame.
    """
    return _map_records(path)[1]


def _map_records(path: Path) -> tuple[FrameHeader, np.ndarray]:
    header, offset, n_frames = _inspect(path)
    surplus = path.stat().st_size - offset - n_frames * header.record_type.itemsize
    if n_frames == 0:
        raise RunError(f"{path} holds no complete frame yet")
    if surplus > 0:
        warnings.warn(
            f"{path} ends inside a frame ({surplus} of {header.record_type.itemsize} bytes): "
            f"the {n_frames} complete frames are used",
            stacklevel=3,
        )
    return header, np.memmap(path, header.record_type, mode="r", offset=offset, shape=(n_frames,))


def read_trajectory(
    path: Path, start: int = 0, stop: int | None = None, stride: int = 1
) -> Trajectory:
    """Frames start, start + stride, ... before stop, as views of the mapped file.

    Args:
        path: a file written by `FrameRecorder`.
        start: first frame.
        stop: the frame after the last one; None for all.
        stride: frames from one to the next, at least 1.

    Raises:
        RunError: as `read_records`, or if no frame is left by the selection.
    """
    header, records = _map_records(path)
    if start < 0 or stride < 1 or not len(range(len(records))[start:stop:stride]):
        raise RunError(
            f"frames {start} to {stop} by {stride} select nothing of the {len(records)} in {path}"
        )
    frames = np.arange(len(records))[start:stop:stride]
    chosen = records[start:stop:stride]
    recorded: dict[str, Any] = {
        name: chosen[name] for name in FRAME_FIELDS if name in header.fields and name != "positions"
    }
    cells = None
    if header.cell is not None:
        cells = np.broadcast_to(np.array(header.cell), (len(chosen), 3, 3))
    fixed = np.isin(np.arange(len(header.masses)), header.fixed)
    return Trajectory(
        atomic_numbers=np.array(header.atomic_numbers),
        masses=np.array(header.masses),
        times_fs=frames * header.stride * header.timestep_fs,
        integration_timestep_fs=header.timestep_fs,
        positions=chosen["positions"],
        cells=cells,
        pbc=header.pbc,
        fixed=fixed if fixed.any() else None,
        **recorded,
    )


def _inspect(path: Path) -> tuple[FrameHeader, int, int]:
    """Header, offset of the first record (bytes) and number of complete records."""
    try:
        with open(path, "rb") as handle:
            magic, length = handle.read(8), int.from_bytes(handle.read(8), "little")
            text = handle.read(length) if length <= LONGEST_HEADER else b""
            size = os.fstat(handle.fileno()).st_size
    except OSError as error:
        raise RunError(f"cannot read the trajectory {path}: {error.strerror}") from error
    if magic != MAGIC:
        raise RunError(
            f"{path} is not a trajectory of this program: it does not begin with MDFRAMES"
        )
    try:
        content = json.loads(text)
        version = int(content["format_version"])
        if version > FORMAT_VERSION:
            raise RunError(
                f"{path} has format version {version}; this program reads up to {FORMAT_VERSION}: "
                "install a newer one"
            )
        header = FrameHeader.from_json(content)
        n_frames = (size - 16 - length) // header.record_type.itemsize
    except RunError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise RunError(f"the header of {path} is damaged: {error!r}") from error
    return header, 16 + length, n_frames
