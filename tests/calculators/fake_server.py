"""A server that follows a script, faulty on purpose: one client, over a unix socket or TCP."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

import ipi_wire as wire
import numpy as np

from calculators.ipi_connection import TcpAddress, UnixAddress

PATIENCE_S = 60.0  # for a client process that is still importing torch
LATE_S = 0.2


class Peer:
    """The server's end of a connection.

    Attributes:
        connection: a socket.
        client_pid: the process of the client.
    """

    def __init__(self, connection, client_pid):
        self.connection, self.client_pid = connection, client_pid
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
        scripts: one for each connection; none where nobody can connect.
        listens: at once; late; never; no more, with a socket that was left; forbidden.
        client_pid: the process of the client; that of the test where it runs the client itself.
    """

    def __init__(self, kind, folder, *scripts, listens="at once", client_pid=None):
        self.folder = folder / "sockets"
        self.folder.mkdir()
        self.socket = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
        self.address = UnixAddress("here", f"{self.folder}/ipi_")
        if kind == "tcp":  # nobody else gets the port, though nobody listens yet
            self.socket.bind(("127.0.0.1", 0))
            self.address = TcpAddress(*self.socket.getsockname())
        elif listens != "never":
            self.socket.bind(str(self.address))
        self.kind, self.scripts, self.listens, self.error = kind, scripts, listens, None
        self.client_pid = os.getpid() if client_pid is None else client_pid
        self.thread = threading.Thread(target=self._run, daemon=True)

    @property
    def options(self):
        """How the client finds it."""
        if self.kind == "unix":
            return ["--prefix", self.address.prefix, "--unix", self.address.name]
        return ["--host", self.address.host, "--port", str(self.address.port)]

    def _run(self):
        try:
            if self.listens == "late":
                time.sleep(LATE_S)
                self.socket.listen(1)
            for script in self.scripts:
                connection, _ = self.socket.accept()
                with connection:
                    script(Peer(connection, self.client_pid))
        except BaseException as error:  # told to the test when it leaves the context
            self.error = error
        finally:
            self.socket.close()

    def __enter__(self):
        self.socket.settimeout(PATIENCE_S)
        if self.listens in ("at once", "no more"):
            self.socket.listen(1)
        if self.listens == "no more":
            self.socket.close()
        if self.listens == "forbidden":
            self.folder.chmod(0)
        if self.scripts:
            self.thread.start()
        return self

    def __exit__(self, *exception):
        self.folder.chmod(0o700)
        if self.scripts:
            self.thread.join(PATIENCE_S + 10.0)
        self.socket.close()
        if exception[0] is not None:
            return  # of the client, which explains what the server missed
        if self.error is not None:
            raise self.error
        assert not self.thread.is_alive(), "the server still waits for the client"


@contextlib.contextmanager
def without_the_rights_of_root():
    """This process is kept out by the modes of files, whoever runs it."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


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
