"""The command `mlpotential-driver`: a model as a client of i-PI, over a unix socket or TCP.

It finds out by itself whether i-PI sends one structure at a time, batches or shared memory
(`ipi_protocol`), and answers with what `ipi_driver` computes inside i-PI. Nothing here polls:
between two messages the process sleeps in the kernel, however long the server is silent.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from calculators.ipi_connection import (
    DEFAULT_PREFIX,
    Address,
    NoServerError,
    TcpAddress,
    UnixAddress,
    connect,
)
from mlpotential.command_line import add_arguments, exit_code, program_parser
from mlpotential.errors import ConfigError, InputError, RunError, StructureError
from mlpotential.inference.execution import DEFAULT_EXECUTION, Execution
from mlpotential.interruption import at_first_signal
from mlpotential.messages import told_in_lines

if TYPE_CHECKING:
    from calculators.ipi_driver import EvaluatorProtocol
    from calculators.ipi_protocol import Evaluate
    from calculators.ipi_units import Answer

RETURN_S = 1.0  # chosen: before looking for the next server where one has just gone
CHUNK = 2**18  # bytes received at once
MOST_CHUNKS = 64  # chosen: enough for what i-PI has sent, not for a stranger without end

EPILOG = """examples:
  mlpotential-driver --model m.safetensors --structure s.xyz --unix water
  mlpotential-driver --model m.safetensors --structure s.xyz --host node1 --port 31415 --wait 600
  mlpotential-driver --model m.safetensors --structure s.xyz --unix water --print-xml

Start as many as there are processors or machines to share the beads; one that died is replaced by
starting another. The structure file says which atoms there are, in i-PI's order, and whether the
cell that i-PI always sends counts (pbc); its positions are not used.

exit codes:
  0          the server said EXIT, or went away while nothing was owed to it
  2          bad input: options, files, or a structure that no energy can be computed for
  3          no server within --wait, or no permission
  4          the server does not speak i-PI's protocol
  5          the connection broke while a message or a result was on its way
  6          the model failed, or gave a number that is not finite
  129, 130, 143   stopped by SIGHUP, SIGINT, SIGTERM
"""


class ConnectionLostError(RunError):
    """The server went away in the middle of a message, or before it had the result."""


class _StoppedError(KeyboardInterrupt):
    """A signal; no `except Exception` on its way can lose it."""

    def __init__(self, signal_number: int) -> None:
        super().__init__()
        self.signal_number = signal_number


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the client; what ends it is told in one line on standard error."""
    options = build_parser().parse_args(arguments)
    if options.print_xml:
        return exit_code("mlpotential-driver", _print_xml, options)
    try:
        with at_first_signal(_stop), told_in_lines("mlpotential-driver"):
            _run(options)
    except _StoppedError as stop:
        _notify(f"stopped by {signal.Signals(stop.signal_number).name}")
        return 128 + stop.signal_number
    except InputError as error:
        _notify(str(error))
        return _exit_code(error)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The command line, without importing torch."""
    description = "A model as a client of i-PI: energies, forces, virials, atomic energies."
    parser = program_parser("mlpotential-driver", description, EPILOG)
    parser.add_argument(
        "--model",
        required=True,
        help="model file (.safetensors), or a quoted pattern of many, a committee",
    )
    parser.add_argument("--structure", required=True, help="the atoms, any format ASE reads")
    server = parser.add_argument_group("where i-PI is")
    server.add_argument("--unix", metavar="NAME", help="its <address>, for mode unix or shm")
    server.add_argument("--prefix", default=DEFAULT_PREFIX, help=f"of --unix ({DEFAULT_PREFIX})")
    server.add_argument("--host", help="its machine, for mode inet (localhost)")
    server.add_argument("--port", type=int, help="its <port>, for mode inet")
    server.add_argument(
        "--wait", type=float, default=10.0, metavar="SECONDS", help="until it is there; or inf (10)"
    )
    server.add_argument(
        "--reconnect",
        action="store_true",
        help="when it goes, serve the next one; the end is when none comes within --wait",
    )
    server.add_argument(
        "--print-xml",
        action="store_true",
        help="only print the block for its input: <ffsocket>, or <ffdirect> without an address",
    )
    add_arguments(parser, Execution)
    return parser


def _run(options: argparse.Namespace) -> None:
    """Serves one server, or with --reconnect one after the other."""
    address = _address(options)
    if not options.wait >= 0.0:
        raise ConfigError(f"--wait must be a time in seconds, not {options.wait}")
    from calculators.ipi_driver import make_evaluator

    evaluator = make_evaluator(options.model, options.structure, _execution(options))
    connection = connect(address, options.wait)
    while True:
        was_lost = False
        with _drained_at_the_end(connection):
            _notify(f"connected to {address}, {evaluator.n_atoms} atoms")
            try:
                _notify(f"{address} {serve(connection, evaluator)}")
                if evaluator.guard.report.n_outside:
                    _notify(str(evaluator.guard.report))
            except ConnectionLostError as error:
                if not options.reconnect:
                    raise
                _notify(str(error))
                was_lost = True
        if not options.reconnect:
            return
        time.sleep(RETURN_S)
        try:
            connection = connect(address, options.wait)
        except NoServerError as error:
            if was_lost:
                raise ConnectionLostError(str(error)) from error
            _notify(f"done: {error}")
            return


def serve(connection: socket.socket, evaluator: EvaluatorProtocol) -> str:
    """Answers one server until it says EXIT or goes away. Returns which of the two.

    Raises:
        ConnectionLostError: if it goes while a message or a result is on its way.
        ProtocolError: if it is no i-PI.
        StructureError: for a structure that no energy can be computed for.
        RunError: if the model fails.
    """
    from calculators.ipi_protocol import ClientProtocol, End, Evaluate

    protocol = ClientProtocol(evaluator.n_atoms, _open_segment)
    link = _Link(connection)
    while data := link.receive():
        protocol.feed(data)
        while (event := protocol.next_event()) is not None:
            if isinstance(event, End):
                return f"said EXIT after {protocol.n_evaluated} structures"
            if isinstance(event, Evaluate):
                protocol.answer(_evaluated(evaluator, event))
            else:
                link.send(event.data, event.is_result)
    pending = "a result" if link.result_is_lost else protocol.pending
    if pending:
        raise ConnectionLostError(
            f"the server went away after {protocol.n_evaluated} structures with {pending} on its "
            "way"
        )
    return f"closed the connection after {protocol.n_evaluated} structures"


class _Link:
    """A connection that remembers whether the last result can have been read.

    Sending fails in silence, for there may still be an EXIT to read.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._result_in_doubt = False
        self.result_is_lost = False

    def receive(self) -> bytes:
        """What has come, at least one byte; nothing at the end of the connection."""
        try:
            data = self._connection.recv(CHUNK)
        except ConnectionResetError:  # the server left something unread
            self.result_is_lost |= self._result_in_doubt
            return b""
        except OSError as error:  # keep-alive found the machine or the network gone
            raise ConnectionLostError(f"the server is out of reach: {error.strerror}") from error
        if data:
            self._result_in_doubt = False
        return data

    def send(self, data: bytes, is_result: bool) -> None:
        """All of it, unless the server has gone."""
        try:
            if is_result and self._has_ended():  # TCP would take the first bytes all the same
                raise BrokenPipeError
            self._connection.sendall(data)
        except OSError:
            self.result_is_lost |= is_result
        else:
            self._result_in_doubt |= is_result

    def _has_ended(self) -> bool:
        try:
            return not self._connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False


@contextlib.contextmanager
def _drained_at_the_end(connection: socket.socket) -> Iterator[None]:
    """Closes it with nothing unread, so that i-PI gives the work to another client.

    Bytes left unread would reset the connection, which ends the thread in which i-PI 3.3.1 looks
    after all its clients: it would wait for ever.
    """
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # nothing more is there, or the server is gone already
            connection.shutdown(socket.SHUT_RDWR)
            for _ in range(MOST_CHUNKS):
                connection.recv(CHUNK, socket.MSG_DONTWAIT)
        connection.close()


def _evaluated(evaluator: EvaluatorProtocol, event: Evaluate) -> list[Answer]:
    from calculators.ipi_driver import answer

    try:
        return answer(evaluator, event.cells, event.positions)
    except StructureError as error:
        raise StructureError(f"refused what the server sent: {error}") from error
    except (RuntimeError, MemoryError) as error:  # of torch: no memory left, a device gone
        raise RunError(f"the model failed: {error}") from error


def _open_segment(name: str) -> memoryview:
    """A segment of i-PI's shared memory, held as long as the view of it.

    Not `multiprocessing.shared_memory`: before Python 3.13 it deletes i-PI's segment when this
    process ends.
    """
    import _posixshmem

    from calculators.ipi_protocol import ProtocolError

    try:
        descriptor = _posixshmem.shm_open(f"/{name}", os.O_RDWR, mode=0o600)
        try:
            return memoryview(mmap.mmap(descriptor, 0))
        finally:
            os.close(descriptor)
    except (OSError, ValueError) as error:
        raise ProtocolError(
            f"cannot use the shared memory {name} ({error}): is i-PI on this machine?"
        ) from error


def _address(options: argparse.Namespace) -> Address:
    """Raises ConfigError unless there is exactly one address, and a possible one."""
    if options.unix is not None and (options.port is not None or options.host is not None):
        raise ConfigError(
            "where is i-PI? At one place only: give --unix NAME, for this machine, or --port PORT "
            "with or without --host, for the network, not both"
        )
    if options.unix is None and options.port is None:
        raise ConfigError("where is i-PI? Give --unix NAME, or --port PORT with or without --host")
    if options.unix is None:
        return TcpAddress(options.host or "localhost", options.port)
    return UnixAddress(options.unix, options.prefix)


def _execution(options: argparse.Namespace) -> Execution:
    return Execution(options.device, options.dtype, options.backend, options.threads, options.guard)


def _print_xml(options: argparse.Namespace) -> int:
    print(_xml(options))
    return 0


def _xml(options: argparse.Namespace) -> str:
    """With absolute paths: i-PI may be started in another folder."""
    from calculators import ipi_xml
    from calculators.ipi_driver import driver_path

    if (options.unix, options.host, options.port) != (None, None, None):
        return ipi_xml.ffsocket(_address(options))
    files = {"model": options.model, "structure": options.structure}
    parameters = {name: str(Path(path).resolve()) for name, path in files.items()}
    defaults = asdict(DEFAULT_EXECUTION)
    for name, value in asdict(_execution(options)).items():
        if value != defaults[name]:
            parameters[name] = str(value)
    return ipi_xml.ffdirect_text(driver_path(), parameters)


def _stop(signal_number: int) -> None:
    """Ends whatever the client waits for."""
    raise _StoppedError(signal_number)


def _exit_code(error: InputError) -> int:
    """As `EPILOG` lists them."""
    from calculators.ipi_protocol import ProtocolError

    codes = {NoServerError: 3, ProtocolError: 4, ConnectionLostError: 5, RunError: 6}
    return next((code for kind, code in codes.items() if isinstance(error, kind)), 2)


def _notify(text: str) -> None:
    """One line on standard error."""
    with contextlib.suppress(OSError):  # the terminal has closed
        print(f"mlpotential-driver: {' '.join(text.splitlines())}", file=sys.stderr, flush=True)
