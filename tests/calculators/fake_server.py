"""A server that follows a script, faulty on purpose: one client, over a unix socket or TCP."""

from __future__ import annotations

import os
import socket
import threading

import ipi_wire as wire
import numpy as np

from calculators.ipi_connection import TcpAddress, UnixAddress

PATIENCE_S = 20.0  # for a client process that is still importing torch


class Peer:
    """The server's end of a connection."""

    def __init__(self, connection):
        self.connection = connection
        connection.settimeout(PATIENCE_S)

    def send(self, *messages):
        """All in one piece."""
        self.connection.sendall(b"".join(messages))

    def send_bytewise(self, data):
        for k in range(len(data)):
            self.connection.sendall(data[k : k + 1])

    def read(self, n_bytes):
        taken = b""
        while len(taken) < n_bytes:
            piece = self.connection.recv(n_bytes - len(taken))
            assert piece, f"the client left after {taken!r}"
            taken += piece
        return taken

    def ask_status(self):
        self.send(wire.STATUS)
        return self.read(12)

    def begin(self, text=" "):
        """Up to a client that is ready."""
        assert self.ask_status() == wire.NEEDINIT
        self.send(wire.init(text))
        assert self.ask_status() == wire.READY

    def wait_for_its_end(self):
        """The client closes, having said nothing more and left nothing unread."""
        assert self.connection.recv(1) == b""


class FakeServer:
    """Runs `script(peer)` in a thread for each connection in turn, then listens no more.

    Args:
        kind: unix or tcp.
        folder: for the socket.
        scripts: one for each connection.
    """

    def __init__(self, kind, folder, *scripts):
        self.path = str(folder / "ipi_here")
        self.socket = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
        self.socket.bind(self.path if kind == "unix" else ("127.0.0.1", 0))
        self.address = UnixAddress("here", self.path.removesuffix("here"))
        if kind == "tcp":
            self.address = TcpAddress(*self.socket.getsockname())
        self.kind, self.scripts, self.error = kind, scripts, None
        self.thread = threading.Thread(target=self._run, daemon=True)

    @property
    def options(self):
        """How the client finds it."""
        if self.kind == "unix":
            return ["--prefix", self.address.prefix, "--unix", self.address.name]
        return ["--host", self.address.host, "--port", str(self.address.port)]

    def _run(self):
        try:
            for script in self.scripts:
                connection, _ = self.socket.accept()
                with connection:
                    script(Peer(connection))
        except BaseException as error:  # told to the test when it leaves the context
            self.error = error
        finally:
            self.socket.close()

    def __enter__(self):
        self.socket.settimeout(PATIENCE_S)
        self.socket.listen(1)
        self.thread.start()
        return self

    def __exit__(self, *exception):
        self.thread.join(PATIENCE_S + 10.0)
        if self.kind == "unix":
            os.unlink(self.path)
        if exception[0] is not None:
            return  # of the client, which explains what the server missed
        if self.error is not None:
            raise self.error
        assert not self.thread.is_alive(), "the server still waits for the client"


def read_single(peer, n_atoms):
    energies, forces, virials, extras = wire.read_result(peer.read, 1, n_atoms)
    return energies[0], forces[0], virials[0], extras[0]


def half(data):
    return data[: len(data) // 2]


def with_nan(values, value=np.nan):
    """A copy with one number replaced."""
    changed = np.array(values)
    changed[2, 1] = value
    return changed
