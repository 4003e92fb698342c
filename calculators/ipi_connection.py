"""Where i-PI listens, and how to get there: a unix socket or TCP, with patience.

A server that is not there yet, or a socket file left by one that died, is tried again until a
deadline; what waiting does not mend (no permission, no such machine) is final at once.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from dataclasses import dataclass

from mlpotential.errors import ConfigError, RunError

DEFAULT_PREFIX = "/tmp/ipi_"  # that of i-PI and of ASE
LONGEST_SOCKET_PATH = 107  # bytes, of sockaddr_un on Linux
RETRY_S = 0.1  # chosen: between two looks for a server
LONGEST_ATTEMPT_S = 60.0  # chosen: then a fresh one, for a machine that came back meanwhile
KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 6}  # chosen: see TcpAddress
UNREACHABLE = (
    errno.EHOSTUNREACH,
    errno.ENETUNREACH,
    errno.EHOSTDOWN,
    errno.ENETDOWN,
    errno.ENOTCONN,  # gone again at once
)


class NoServerError(RunError):
    """Nobody listens at the address, or this user may not connect."""


@dataclass(frozen=True)
class UnixAddress:
    """A unix socket, also the way to shared memory.

    Attributes:
        name: the <address> in i-PI's input.
        prefix: of all its sockets.

    Raises:
        ConfigError: if the path is too long for a socket.
    """

    name: str
    prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        n_bytes = len(os.fsencode(str(self)))
        if n_bytes > LONGEST_SOCKET_PATH:
            raise ConfigError(
                f"the path of a unix socket has at most {LONGEST_SOCKET_PATH} bytes, but {self} "
                f"has {n_bytes}: use a shorter --prefix, here and in i-PI (-S)"
            )

    def __str__(self) -> str:
        return self.prefix + self.name

    def open(self, timeout_s: float) -> socket.socket:
        """Connects, blocking for at most so long. Raises OSError."""
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout_s)
        try:
            connection.connect(str(self))
        except OSError:
            connection.close()
            raise
        return connection


@dataclass(frozen=True)
class TcpAddress:
    """A port of a machine; after two minutes without an answer the machine is taken for dead.

    A server may be silent for as long as it likes: its machine answers for it.

    Raises:
        ConfigError: if there can be no such port or name.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ConfigError(f"--port must be 1 to 65535, not {self.port}")
        try:
            self.host.encode("idna")
        except UnicodeError as error:
            raise ConfigError(f"{self.host!r} is no name of a machine: {error}") from error

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def open(self, timeout_s: float) -> socket.socket:
        """Connects, blocking for at most so long. Raises OSError."""
        connection = socket.create_connection((self.host, self.port), timeout_s)
        if is_connected_to_itself(connection):
            connection.close()
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEP_ALIVE.items():
            if hasattr(socket, option):  # macOS has other names
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        return connection


Address = UnixAddress | TcpAddress


def connect(address: Address, wait_s: float) -> socket.socket:
    """Connects, trying again while there may yet be a server.

    Args:
        address: of the server.
        wait_s: how long to try (s), also infinite.

    Returns:
        A blocking socket without time-out.

    Raises:
        NoServerError: after `wait_s`, or at once for what waiting does not mend.
    """
    deadline = time.monotonic() + wait_s
    while True:
        remaining = max(deadline - time.monotonic(), RETRY_S)
        try:
            connection = address.open(min(remaining, LONGEST_ATTEMPT_S))
            connection.settimeout(None)
            return connection
        except OSError as error:
            reason = error.strerror or str(error)
            if not _may_pass(error):
                raise NoServerError(f"cannot connect to {address}: {reason}") from error
            if time.monotonic() + RETRY_S > deadline:
                raise NoServerError(
                    f"no server at {address} within {wait_s:g} s ({reason}): start i-PI with this "
                    "address, or --wait longer"
                ) from error
        time.sleep(RETRY_S)


def is_connected_to_itself(connection: socket.socket) -> bool:
    """Whether a free port among those the system hands out was given to this very connection."""
    return connection.getsockname() == connection.getpeername()


def _may_pass(error: OSError) -> bool:
    """Whether a server that starts later, or a network that comes back, would mend it."""
    if isinstance(error, socket.gaierror):
        return error.errno == socket.EAI_AGAIN
    passing = (FileNotFoundError, ConnectionError, TimeoutError, BlockingIOError)
    return isinstance(error, passing) or error.errno in UNREACHABLE
