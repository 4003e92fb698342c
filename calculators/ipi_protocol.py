"""The client's side of i-PI's socket protocol as a pure state machine: bytes in, events out.

It opens no socket, reads no clock and knows no model, so every split of the stream and every fault
can be tried without a network. Written after i-PI 3.3.1 (Kapil et al., J. Chem. Phys. 152, 124104
(2020)), `ipi/interfaces/sockets.py`:

    NEEDINIT --INIT--> READY --POSDATA, evaluation--> HAVEDATA --GETFORCE--> READY

A header is 12 bytes of upper-case ASCII, padded with spaces. Numbers are float64 and int32 of the
machine, in atomic units; i is an int32, n the number of structures (beads) in one message:

    STATUS    nothing                                                 <- the name of the state
    INIT      i replica, i length, text                               <- nothing
    POSDATA   9 h, 9 inverse of h, i n_atoms, 3 n_atoms positions     (one structure)
              i n_atoms, n (9 h, 9 inverse), n 3 n_atoms positions    (after INIT batch_size:n)
              i n_atoms, the first time 6 (i length, name)            (shared memory)
    GETFORCE  nothing          <- FORCEREADY, n energies, i n_atoms, n 3 n_atoms forces, n 9 virial,
                                  n (i length, extras); in shared memory all but the extras
    EXIT      nothing

Messages may come in any pieces and ahead of the answers (i-PI's consolidate_messages). A stranger
is recognised by its first byte that no header has; every length is checked before it is believed.
"""

from __future__ import annotations

import enum
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from calculators.ipi_units import Answer, check_n_atoms
from mlpotential.errors import RunError

HEADER_BYTES = 12
MESSAGES = ("STATUS", "INIT", "POSDATA", "GETFORCE", "EXIT")
HEADERS = tuple(name.encode().ljust(HEADER_BYTES) for name in MESSAGES)
SEGMENT_KINDS = ("pos", "h", "ih", "pot", "force", "vir")
SEGMENT_PREFIX = b"ipi_shm_"  # as the first number of a cell it would be 1e151 bohr

LONGEST_INIT = 2**20  # bytes; chosen: i-PI sends a few parameters
LONGEST_NAME = 255  # bytes, of a file
LARGEST_MESSAGE = 2**30  # bytes; chosen: 64 beads of 600,000 atoms


class ProtocolError(RunError):
    """The server said what i-PI's protocol does not allow."""


class State(enum.Enum):
    """What the client says when it is asked for its STATUS."""

    NEEDINIT = "NEEDINIT"
    READY = "READY"
    HAVEDATA = "HAVEDATA"


@dataclass(frozen=True)
class Send:
    """Bytes for the server.

    Attributes:
        data: all of them, to be sent in one go.
        is_result: whether they are the result of an evaluation.
    """

    data: bytes
    is_result: bool


@dataclass(frozen=True)
class Evaluate:
    """Structures to be evaluated; `ClientProtocol.answer` must be called before going on.

    Attributes:
        cells: i-PI's h of each structure, vectors as columns, [n_structures, 3, 3] (bohr).
        positions: [n_structures, n_atoms, 3] (bohr).
    """

    cells: np.ndarray
    positions: np.ndarray


@dataclass(frozen=True)
class End:
    """The server said EXIT."""


class _IncompleteError(Exception):
    """The message goes on in bytes that have not come yet."""


class _Reader:
    """Takes values off the front of a buffer and leaves the buffer as it is."""

    def __init__(self, buffer: bytearray) -> None:
        self._buffer = buffer
        self.n_taken = 0

    def peek(self, n_bytes: int) -> bytes:
        """At most so many bytes, without taking them."""
        return bytes(self._buffer[self.n_taken : self.n_taken + n_bytes])

    def take(self, n_bytes: int) -> bytes:
        if self.n_taken + n_bytes > len(self._buffer):
            raise _IncompleteError
        taken = self.peek(n_bytes)
        self.n_taken += n_bytes
        return taken

    def integer(self) -> int:
        return int(struct.unpack("=i", self.take(4))[0])

    def numbers(self, *shape: int) -> np.ndarray:
        n_bytes = 8 * int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self.take(n_bytes), np.float64).reshape(shape)

    def text(self, what: str, longest: int) -> bytes:
        """A length and so many bytes."""
        length = self.integer()
        if not 0 <= length <= longest:
            raise ProtocolError(f"{what} of {length} bytes: 0 to {longest} are possible")
        return self.take(length)


class ClientProtocol:
    """One connection.

    Feed it what was received, then take events until there is none:

        protocol.feed(data)
        while (event := protocol.next_event()) is not None: ...

    Args:
        n_atoms: of every structure.
        open_segment: gives a segment of shared memory by its name, writable.

    Attributes:
        state: what the client is ready for.
        batch_size: structures in one POSDATA; 1 unless the server's INIT says more.
        n_evaluated: structures evaluated so far.
    """

    def __init__(self, n_atoms: int, open_segment: Callable[[str], memoryview]) -> None:
        self.n_atoms = n_atoms
        self.state = State.NEEDINIT
        self.batch_size = 1
        self.n_evaluated = 0
        self._open_segment = open_segment
        self._segments: dict[str, memoryview] = {}
        self._buffer = bytearray()
        self._answers: list[Answer] = []

    @property
    def pending(self) -> str:
        """What is on its way, so that the server should not leave: in words; empty for nothing."""
        if self.state is State.HAVEDATA:
            return "a result"
        return "the rest of a message" if self._buffer else ""

    def feed(self, data: bytes) -> None:
        """Bytes from the server, cut anywhere."""
        self._buffer += data

    def answer(self, answers: Sequence[Answer]) -> None:
        """The results of the last `Evaluate`, one for each structure."""
        if len(answers) != self.batch_size:
            raise ValueError(f"{len(answers)} answers to {self.batch_size} structures")
        self._answers = list(answers)
        self.n_evaluated += len(answers)
        self.state = State.HAVEDATA

    def next_event(self) -> Send | Evaluate | End | None:
        """What is to be done now; None if more bytes are needed.

        Raises:
            ProtocolError: for bytes that i-PI does not send, or not now.
            StructureError: for another number of atoms.
        """
        while True:
            reader = _Reader(self._buffer)
            try:
                event = self._react(reader)
            except _IncompleteError:
                return None
            del self._buffer[: reader.n_taken]
            if event is not None:
                return event

    def _react(self, reader: _Reader) -> Send | Evaluate | End | None:
        """Reads one whole message. Nothing may change before its last byte is there."""
        message = _header(reader)
        if message == "EXIT":
            return End()
        if message == "STATUS":
            return Send(self.state.value.encode().ljust(HEADER_BYTES), is_result=False)
        expected = {"INIT": State.NEEDINIT, "POSDATA": State.READY, "GETFORCE": State.HAVEDATA}
        if self.state is not expected[message]:
            raise ProtocolError(
                f"{message} came while the client was {self.state.value}; it is for a client "
                f"that is {expected[message].value}"
            )
        if message == "INIT":
            self._initialize(reader)
            return None
        if message == "POSDATA":
            return self._structures(reader)
        result = self._result()
        self.state, self._answers = State.READY, []
        return Send(result, is_result=True)

    def _initialize(self, reader: _Reader) -> None:
        """Reads replica and parameters; only batch_size matters, whatever encoding others have."""
        reader.integer()
        parameters = reader.text("an INIT string", LONGEST_INIT).decode(errors="replace")
        size = _batch_size(parameters)
        if size < 1 or self._n_bytes(size) > LARGEST_MESSAGE:
            raise ProtocolError(
                f"batch_size:{size} in the INIT string: at least 1 is needed, and one message "
                f"may have {LARGEST_MESSAGE} bytes"
            )
        self.batch_size, self.state = size, State.READY

    def _n_bytes(self, n_structures: int) -> int:
        return 8 * n_structures * (18 + 3 * self.n_atoms)

    def _structures(self, reader: _Reader) -> Evaluate:
        """Reads POSDATA in whichever of its three forms it comes."""
        n = self.batch_size
        if self._segments or reader.peek(16)[8:] == SEGMENT_PREFIX:
            return self._structures_in_memory(reader)
        if n == 1:
            cells = reader.numbers(1, 2, 3, 3)
            check_n_atoms(reader.integer(), self.n_atoms)
        else:
            check_n_atoms(reader.integer(), self.n_atoms)
            cells = reader.numbers(n, 2, 3, 3)
        return Evaluate(cells[:, 0], reader.numbers(n, self.n_atoms, 3))

    def _structures_in_memory(self, reader: _Reader) -> Evaluate:
        """Reads the number of atoms and, the first time, where everything else is."""
        check_n_atoms(reader.integer(), self.n_atoms)
        if not self._segments:
            names = [reader.text("a name of shared memory", LONGEST_NAME) for _ in SEGMENT_KINDS]
            for kind, name in zip(SEGMENT_KINDS, names, strict=True):
                shape = self._segment_shape(kind)
                self._segments[kind] = self._checked_segment(_ascii(name), shape)
        return Evaluate(self._view("h").copy(), self._view("pos").copy())

    def _segment_shape(self, kind: str) -> tuple[int, ...]:
        per_atom, per_structure = (self.n_atoms, 3), () if kind == "pot" else (3, 3)
        return self.batch_size, *(per_atom if kind in ("pos", "force") else per_structure)

    def _checked_segment(self, name: str, shape: tuple[int, ...]) -> memoryview:
        if not name.startswith(SEGMENT_PREFIX.decode()) or "/" in name:
            raise ProtocolError(f"shared memory must be called {SEGMENT_PREFIX!r}..., not {name!r}")
        segment = self._open_segment(name)
        if len(segment) < 8 * np.prod(shape, dtype=np.int64):
            raise ProtocolError(
                f"the shared memory {name} has {len(segment)} bytes, too few for {shape} numbers"
            )
        return segment

    def _view(self, kind: str) -> np.ndarray:
        """The numbers in a segment; not to be kept, or the segment cannot be closed."""
        shape = self._segment_shape(kind)
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self._segments[kind], np.float64, count).reshape(shape)

    def _result(self) -> bytes:
        """FORCEREADY and what follows it, all in one piece."""
        energies, forces, virials, extras = zip(*self._answers, strict=True)
        numbers = {"pot": np.array(energies), "force": np.stack(forces), "vir": np.stack(virials)}
        texts = b"".join(struct.pack("=i", len(text)) + text.encode("ascii") for text in extras)
        header = b"FORCEREADY".ljust(HEADER_BYTES)
        if self._segments:
            for kind, values in numbers.items():
                self._view(kind)[:] = values
            return header + texts
        n_atoms = struct.pack("=i", self.n_atoms)
        energy, force, virial = (values.astype(np.float64).tobytes() for values in numbers.values())
        return header + energy + n_atoms + force + virial + texts


def _ascii(name: bytes) -> str:
    """Raises ProtocolError for a name that is anything else."""
    try:
        return name.decode("ascii")
    except UnicodeDecodeError as error:
        raise ProtocolError(f"the name of shared memory {name[:40]!r} is not ASCII") from error


def _header(reader: _Reader) -> str:
    """Raises ProtocolError as soon as the bytes can be no header any more."""
    seen = reader.peek(HEADER_BYTES)
    if not any(header.startswith(seen) for header in HEADERS):
        raise ProtocolError(
            f"{seen!r} came where i-PI sends one of {', '.join(MESSAGES)}: "
            "is it i-PI that listens there?"
        )
    return reader.take(HEADER_BYTES).decode().rstrip()


def _batch_size(parameters: str) -> int:
    """From `" key : value , batch_size:8"`; 1 where it is not named."""
    size = 1
    for parameter in parameters.split(","):
        name, _, value = parameter.partition(":")
        if name.strip() == "batch_size":
            if not re.fullmatch(r" *[+-]?[0-9]{1,18} *", value):
                raise ProtocolError(f"batch_size must be a whole number, not {value[:40]!r}")
            size = int(value)
    return size
