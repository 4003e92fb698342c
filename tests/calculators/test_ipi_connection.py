"""Looking for a server: late, dead, forbidden, and a free port that meets itself."""

import os
import socket
import threading
import time

import pytest
from fake_server import without_the_rights_of_root

from calculators import ipi_connection
from calculators.ipi_connection import (
    NoServerError,
    TcpAddress,
    UnixAddress,
    connect,
    is_connected_to_itself,
)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(params=["unix", "tcp"])
def address(request, tmp_path):
    """Nobody listens there."""
    if request.param == "unix":
        return UnixAddress("here", f"{tmp_path}/ipi_")
    return TcpAddress("127.0.0.1", free_port())


def listen(address):
    server = socket.socket(socket.AF_UNIX if isinstance(address, UnixAddress) else socket.AF_INET)
    is_unix = isinstance(address, UnixAddress)
    server.bind(str(address) if is_unix else (address.host, address.port))
    server.listen(1)
    return server


def seconds_until_no_server(address, wait_s, message):
    begin = time.monotonic()
    with pytest.raises(NoServerError, match=message):
        connect(address, wait_s)
    return time.monotonic() - begin


def test_no_server_within_the_deadline(address):
    message = rf"no server at {address} within 0.25 s \(.*\): start i-PI"
    assert 0.1 < seconds_until_no_server(address, 0.25, message) < 10.0
    assert seconds_until_no_server(address, 0.0, "within 0 s") < 5.0


@pytest.mark.parametrize("wait_s", [10.0, float("inf")])
def test_a_late_server_is_waited_for(address, wait_s):
    servers = []
    timer = threading.Timer(0.3, lambda: servers.append(listen(address)))
    timer.start()
    begin, cpu_begin = time.monotonic(), time.thread_time()
    with connect(address, wait_s) as connection:
        assert time.monotonic() - begin > 0.25
        assert time.thread_time() - cpu_begin < 0.05
        assert connection.gettimeout() is None
        if isinstance(address, TcpAddress):
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    timer.join()
    servers[0].close()


def test_a_stale_socket_file(tmp_path):
    address = UnixAddress("here", f"{tmp_path}/ipi_")
    listen(address).close()
    assert os.path.exists(str(address))
    assert seconds_until_no_server(address, 0.2, r"\(Connection refused\)") < 1.0


def test_no_permission_is_final_at_once(tmp_path):
    folder = tmp_path / "private"
    folder.mkdir()
    address = UnixAddress("here", f"{folder}/ipi_")
    with listen(address):
        folder.chmod(0)
        try:
            with without_the_rights_of_root():
                took = seconds_until_no_server(address, 60.0, "cannot connect .* Permission denied")
        finally:
            folder.chmod(0o700)
    assert took < 1.0


@pytest.mark.parametrize(
    ("code", "message"),
    [(socket.EAI_NONAME, "cannot connect to"), (socket.EAI_AGAIN, "no server at")],
)
def test_names_that_nobody_knows(code, message, monkeypatch):
    """An unknown machine is final; a name service that does not answer now is asked again."""
    n_asked = []

    def getaddrinfo(*arguments, **options):
        n_asked.append(1)
        raise socket.gaierror(code, "as the system says it")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    message += r" node7:31415.*as the system says it"
    assert seconds_until_no_server(TcpAddress("node7", 31415), 0.25, message) < 1.0
    assert (len(n_asked) > 1) == (code == socket.EAI_AGAIN)


def test_a_full_queue_is_waited_for(tmp_path):
    """i-PI accepts only between steps; a unix socket then refuses with EAGAIN."""
    address = UnixAddress("here", f"{tmp_path}/ipi_")
    with listen(address), connect(address, 1.0), connect(address, 1.0):
        assert seconds_until_no_server(address, 0.3, "no server") < 1.5


def test_a_connection_that_met_itself(monkeypatch):
    """Linux connects a socket to itself where it is given the free port that it looks for."""
    with socket.socket() as alone:
        alone.bind(("127.0.0.1", 0))
        alone.connect(alone.getsockname())
        assert is_connected_to_itself(alone)
    address = TcpAddress("127.0.0.1", free_port())
    with listen(address):
        with connect(address, 1.0) as connection:
            assert not is_connected_to_itself(connection)
        monkeypatch.setattr(ipi_connection, "is_connected_to_itself", lambda connection: True)
        assert seconds_until_no_server(address, 0.2, "no server") < 1.0
