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
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from md_runs.trajectories.trajectory import FRAME_FIELDS, Trajectory
from mlpotential.errors import RunError
from mlpotential.run_folder import write_atomically

if TYPE_CHECKING:
    from ase import Atoms

MAGIC = b"MDFRAMES"
# Since every frame may have a cell and atoms may be fixed; without these files are of version 1.
FORMAT_VERSION = 2
ALIGNMENT = 64  # bytes
LONGEST_HEADER = (
    1 << 28
)  # bytes; chosen: a million atoms fit, the length of a foreign file does not

OF_COMMITTEES = ("member_energy_scale", "calibration")
RUN_SETTINGS = ("dynamics", "temperature_K", "friction_per_fs")

Shape = tuple[int, ...]

MEMBER_ENERGIES = "member_energies"  # results and frames of committees alone

# Of results that may come beside forces: how frames call them, and the shape of one structure's.
FIELDS = {"dipole": "dipoles", "polarizability": "polarizabilities"}
SHAPES: dict[str, Shape] = {"dipole": (3,), "polarizability": (3, 3)}


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
        fields: name and shape of each recorded float64 quantity, in the order of the record; with
            "cells", [3, 3], every frame has a cell of its own, and `cell` is None.
        dynamics, temperature_K, friction_per_fs: as of `Trajectory`; None where they do not apply,
            or in a file of 0.1, which does not tell them.
        fixed: atoms that never move, in ascending order.
        member_energy_scale, calibration: as of `Trajectory`; runs do not differ by them.
    """

    atomic_numbers: tuple[int, ...]
    masses: tuple[float, ...]
    pbc: tuple[bool, bool, bool]
    cell: tuple[tuple[float, ...], ...] | None
    timestep_fs: float
    stride: int
    fields: Mapping[str, Shape]
    dynamics: str | None = None
    temperature_K: float | None = None
    friction_per_fs: float | None = None
    fixed: tuple[int, ...] = ()
    member_energy_scale: float | None = None
    calibration: str | None = None

    @property
    def record_type(self) -> np.dtype:
        """One frame: its fields one after the other, without padding."""
        return np.dtype([(name, "<f8", shape) for name, shape in self.fields.items()])

    def to_bytes(self) -> bytes:
        """Magic, length and padded JSON."""
        version = FORMAT_VERSION if "cells" in self.fields or self.fixed else 1
        content = {"format_version": version, **vars(self), "fields": dict(self.fields)}
        for name in (*RUN_SETTINGS, "fixed", *OF_COMMITTEES):
            if content[name] in (None, ()):
                del content[name]
        text = json.dumps(content).encode()
        length = -(-(len(text) + 16) // ALIGNMENT) * ALIGNMENT - 16
        return MAGIC + length.to_bytes(8, "little") + text.ljust(length)

    @classmethod
    def of_run(
        cls,
        atoms: Atoms,
        timestep_fs: float,
        stride: int,
        fields: Mapping[str, Shape],
        moves_cell: bool,
    ) -> FrameHeader:
        """Of a run in this process.

        Args:
            atoms: of the run.
            timestep_fs, stride, fields: as of the class.
            moves_cell: the cell of the atoms is not that of every frame.
        """
        from md_runs.trajectories.structure_file import fixed_atoms, periodic_directions

        has_one_cell = atoms.pbc.any() and not moves_cell
        return cls(
            atomic_numbers=tuple(int(z) for z in atoms.numbers),
            masses=tuple(float(m) for m in atoms.get_masses()),
            pbc=periodic_directions(atoms),
            cell=tuple(tuple(float(x) for x in r) for r in atoms.cell) if has_one_cell else None,
            timestep_fs=float(timestep_fs),
            stride=int(stride),
            fields=fields,
            fixed=tuple(int(i) for i in np.flatnonzero(fixed_atoms(atoms))),
        )

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
            **{name: content.get(name) for name in RUN_SETTINGS},
            fixed=tuple(int(i) for i in content.get("fixed", ())),
            **{name: content.get(name) for name in OF_COMMITTEES},
        )

    def differences(self, found: FrameHeader) -> list[str]:
        """What the header of a file has otherwise, but for what a file of 0.1 does not tell.

        Nor do files of earlier versions hold the energies of the members of a committee.
        """
        untold = (*OF_COMMITTEES, *(RUN_SETTINGS if found.dynamics is None else ()))
        fields = dict(self.fields)
        if MEMBER_ENERGIES not in found.fields:
            fields.pop(MEMBER_ENERGIES, None)
        own = vars(self) | {"fields": fields}
        return [name for name in own if name not in untold and getattr(found, name) != own[name]]


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
        if n_frames_to_keep == 0:
            content = header.to_bytes()
            write_atomically(path, content)
            begin = len(content)
        else:
            found, begin = self._checked(header)
            self._record = np.zeros((), found.record_type)
        self._file = open(path, "r+b", buffering=0)  # noqa: SIM115 - closed by close()
        end = begin + n_frames_to_keep * self._record.itemsize
        self._file.truncate(end)
        self._file.seek(end)

    def _checked(self, header: FrameHeader) -> tuple[FrameHeader, int]:
        """The header of the file to continue, and where its records begin (bytes)."""
        found, begin, n_frames = _inspect(self.path)
        if differing := header.differences(found):
            raise RunError(
                f"{self.path} belongs to another run (it differs in {', '.join(differing)}): "
                "choose another folder"
            )
        if n_frames < self.n_frames:
            raise RunError(
                f"{self.path} holds {n_frames} frames, but the checkpoint was written after "
                f"{self.n_frames}: the file was cut. Start again in another folder"
            )
        return found, begin

    def append(self, **values: np.ndarray | float) -> None:
        """Writes one frame: a value for every field of the header; others are left out.

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


def member_fields(forces: Any, n_beads: int) -> dict[str, Shape]:
    """What frames hold of a committee; nothing of other forces.

    Args:
        forces: whatever gives them; a committee tells its `n_members`.
        n_beads: of a frame.
    """
    n_members = getattr(forces, "n_members", 1)
    return {MEMBER_ENERGIES: (n_beads, n_members)} if n_members > 1 else {}


def with_calibration(header: FrameHeader, forces: Any) -> FrameHeader:
    """With that of a committee, where it is calibrated."""
    calibration = getattr(forces, "calibration", None)
    if calibration is None:
        return header
    text = " ".join(str(calibration).split())
    return replace(header, member_energy_scale=calibration.energy.scale, calibration=text)


def read_header(path: Path) -> FrameHeader:
    """The header of a trajectory file.

    Raises:
        RunError: if the file is missing, foreign, damaged or of a newer version.
    """
    return _inspect(path)[0]


def count_records(path: Path) -> int:
    """How many complete frames there are. Raises RunError as `read_header`."""
    return _inspect(path)[2]


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


def read_trajectory(path: Path) -> Trajectory:
    """All complete frames of a file of `FrameRecorder`, mapped and not read.

    Raises:
        RunError: as `read_records`.
    """
    header, records = _map_records(path)
    recorded: dict[str, Any] = {
        name: records[name] for name in FRAME_FIELDS if name in header.fields
    }
    if header.cell is not None:
        recorded["cells"] = np.broadcast_to(np.array(header.cell), (len(records), 3, 3))
    fixed = np.isin(np.arange(len(header.masses)), header.fixed)
    return Trajectory(
        atomic_numbers=np.array(header.atomic_numbers),
        masses=np.array(header.masses),
        times_fs=np.arange(len(records)) * header.stride * header.timestep_fs,
        integration_timestep_fs=header.timestep_fs,
        pbc=header.pbc,
        dynamics=header.dynamics,
        temperature_K=header.temperature_K,
        friction_per_fs=header.friction_per_fs,
        member_energy_scale=header.member_energy_scale,
        calibration=header.calibration,
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
