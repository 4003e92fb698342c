"""What servers do to the command `mlpotential-driver`, and how it must end.

Each scenario has the number of its row in the list of socket faults that the client answers for:

    75 no server                          83 INIT of an impossible length
    76 a server that comes late           84 numbers that are no structure
    77 a socket file that was left        85 one byte at a time, both ways
    78 no permission                      86 a slow or silent server
    79 a stranger at the port             87 EXIT in any state
    80 a connection dropped anywhere      88 messages out of turn
    81 garbage                            89 batches and shared memory
    82 another number of atoms            90 SIGTERM, SIGINT, SIGHUP
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import ipi_wire as wire
import numpy as np
from fake_server import half, read_single, with_nan
from numpy.testing import assert_allclose

from calculators.ipi_driver import answer


@dataclass(frozen=True)
class System:
    """What a scenario plays with.

    Attributes:
        h: cell with vectors as columns, [3, 3] (bohr).
        positions: [n_atoms, 3] (bohr).
        evaluator: the model for it.
        files: options of the client.
    """

    h: np.ndarray
    positions: np.ndarray
    evaluator: object
    files: list

    @property
    def posdata(self):
        return wire.posdata(self.h, self.positions)

    def moved(self, k):
        return self.positions + 0.01 * np.random.default_rng(k).normal(size=self.positions.shape)

    def check(self, peer, positions=None):
        """Reads one result, which must be that of the model."""
        positions = self.positions if positions is None else positions
        expected = answer(self.evaluator, [self.h], [positions])[0]
        result = read_single(peer, len(positions))
        for ours, exact in zip(result[:3], expected[:3], strict=True):
            assert_allclose(ours, exact, rtol=1e-9, atol=1e-12)
        assert json.loads(result[3]).keys() == {"energy_eV", "atomic_energies_eV"}
        assert np.abs(result[1]).max() > 1e-3


@dataclass(frozen=True)
class Scenario:
    """One fault and the end demanded of the client.

    Attributes:
        row: of the list above.
        play: what the server does with a peer and a system; None where no one is served.
        code: exit code of the client.
        text: stands in the last line on standard error.
        listens: as `fake_server.FakeServer` has it.
        system: the simplest that shows it: springs, ethanol or diamond.
    """

    row: int
    play: Callable | None
    code: int
    text: str
    listens: str = "at once"
    system: str = "springs"


INIT = wire.init()
INIT_3 = wire.init("batch_size:3")


def serves_classic(peer, system):
    peer.begin()
    for k in range(2):
        peer.send(wire.posdata(system.h, system.moved(k)))
        assert peer.ask_status() == wire.HAVEDATA
        peer.send(wire.GETFORCE)
        system.check(peer, system.moved(k))
        assert peer.ask_status() == wire.READY
    peer.send(wire.EXIT)
    peer.wait_for_its_end()


def serves_consolidated(peer, system):
    peer.begin()
    for k in range(2):
        peer.send(wire.posdata(system.h, system.moved(k)), wire.GETFORCE)
        system.check(peer, system.moved(k))
        assert peer.ask_status() == wire.READY
    peer.send(wire.EXIT)
    peer.wait_for_its_end()


def serves_batches(peer, system):
    peer.begin(" a : 1 ,  batch_size:3")
    beads = [system.moved(k) for k in range(3)]
    peer.send(wire.posdata_batch([system.h] * 3, beads), wire.GETFORCE)
    energies, forces, virials, _ = wire.read_result(peer.read, 3, len(system.positions))
    for k, exact in enumerate(answer(system.evaluator, [system.h] * 3, beads)):
        for ours, expected in zip((energies[k], forces[k], virials[k]), exact[:3], strict=True):
            assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)
    assert len(set(energies)) == 3
    peer.send(wire.EXIT)


def serves_one_byte_at_a_time(peer, system):
    peer.send_bytewise(wire.STATUS + wire.init("") + wire.STATUS + system.posdata + wire.GETFORCE)
    assert peer.read(24) == wire.NEEDINIT + wire.READY
    wire.read_result(lambda n: b"".join(peer.read(1) for _ in range(n)), 1, len(system.positions))
    peer.send_bytewise(wire.EXIT)


def serves_with_pauses(peer, system):
    for piece in (wire.STATUS[:4], wire.STATUS[4:] + INIT[:14], INIT[14:]):
        time.sleep(0.02)
        peer.send(piece)
    assert peer.read(12) == wire.NEEDINIT
    for piece in (system.posdata[:90], system.posdata[90:], wire.GETFORCE):
        time.sleep(0.02)
        peer.send(piece)
    system.check(peer)
    for piece in (wire.EXIT[:7], wire.EXIT[7:]):
        time.sleep(0.02)
        peer.send(piece)
    peer.wait_for_its_end()


def in_bytes(messages, system):
    """Some are made of the system."""
    return [message if isinstance(message, bytes) else message(system) for message in messages]


def sends(*messages):
    """A server that says all of it at once and goes."""

    def script(peer, system):
        peer.send(*in_bytes(messages, system))

    return script


def sends_and_waits(*messages):
    """A server that says all of it at once and stays until the client goes."""

    def script(peer, system):
        peer.send(*in_bytes(messages, system))
        while peer.connection.recv(4096):
            pass

    return script


def refused(message):
    """A structure that no energy can be computed for."""
    return sends_and_waits(INIT, message)


def leaves(after=b"", ready=False):
    """A server that goes after a few bytes more."""

    def script(peer, system):
        if ready:
            peer.begin()
        peer.send(*in_bytes([after], system))

    return script


def signals(number, *messages):
    """A server in whose silence a signal reaches the client."""

    def script(peer, system):
        peer.begin()
        peer.send(*in_bytes(messages, system))
        os.kill(peer.client_pid, number)
        peer.wait_for_its_end()

    return script


def leaves_when_it_has_data(peer, system):
    peer.begin()
    peer.send(system.posdata)
    assert peer.ask_status() == wire.HAVEDATA


def never_stops(peer, system):
    peer.connection.settimeout(0.2)
    with contextlib.suppress(OSError):  # the client has gone, or takes no more
        while True:
            peer.send(b"0123456789abcdef" * 4096)


def leaves_inside_the_reply(peer, system):
    peer.begin()
    peer.send(system.posdata, wire.GETFORCE)
    peer.read(20)


def leaves_after_the_reply(peer, system):
    """As ASE's server does."""
    peer.begin()
    peer.send(system.posdata, wire.GETFORCE)
    system.check(peer)


def exits_while_it_computes(peer, system):
    peer.begin()
    peer.send(system.posdata, wire.GETFORCE, wire.EXIT)


def posdata(system):
    return system.posdata


def of_atoms(n_atoms):
    return lambda system: wire.posdata(system.h, system.positions, n_atoms)


def in_memory_of_nobody(n_atoms=None):
    names = ["ipi_shm_of_nobody"] * 6
    return lambda s: wire.posdata_in_memory(len(s.positions) if n_atoms is None else n_atoms, names)


def one_atom_more(system):
    return wire.posdata(system.h, np.append(system.positions, [[9.0, 9.0, 9.0]], axis=0))


def other_positions(change):
    return lambda system: wire.posdata(system.h, change(system.positions))


def together(positions):
    moved = positions.copy()
    moved[3] = moved[1]
    return moved


def other_cell(change):
    return lambda system: wire.posdata(change(system.h), system.positions)


def of_beads(change_positions=np.copy, n_atoms=None):
    """Three structures in one message."""

    def message(system):
        beads = np.stack([system.moved(k) for k in range(3)])
        return wire.posdata_batch([system.h] * 3, change_positions(beads), n_atoms)

    return message


def with_nan_in_the_second(beads):
    beads[1] = with_nan(beads[1])
    return beads


def together_through_the_cell(system):
    """Two atoms, one of them in the next cell."""
    moved = system.positions.copy()
    moved[3] = moved[1] + system.h[:, 2]
    return wire.posdata(system.h, moved)


def flattened(h):
    flat = h.copy()
    flat[:, 2] = 0.3 * h[:, 0] + 0.7 * h[:, 1]
    return flat


SCENARIOS = {
    "no server": Scenario(75, None, 3, "within 0.3 s", "never"),
    "late": Scenario(76, lambda p, s: p.begin(), 0, "closed the connection after 0", "late"),
    "socket file left": Scenario(77, None, 3, "Connection refused", "no more"),
    "no permission": Scenario(78, None, 3, "Permission denied", "forbidden"),
    "stranger": Scenario(
        79, sends_and_waits(b"HTTP/1.1 400 Bad Request\r\n\r\n"), 4, "b'HTTP/1.1 400' came"
    ),
    "drop on connect": Scenario(80, leaves(), 0, "closed the connection after 0 structures"),
    "drop in NEEDINIT": Scenario(80, lambda p, s: p.ask_status(), 0, "closed the connection"),
    "drop in header": Scenario(80, leaves(b"STATU"), 5, "the rest of a message on its way"),
    "drop in INIT": Scenario(80, leaves(INIT[:17]), 5, "the rest of a message on its way"),
    "drop in READY": Scenario(80, leaves(ready=True), 0, "closed the connection"),
    "drop in POSDATA": Scenario(
        80, leaves(lambda s: half(s.posdata), ready=True), 5, "the rest of a message on its way"
    ),
    "drop in HAVEDATA": Scenario(80, leaves_when_it_has_data, 5, "a result on its way"),
    "drop after GETFORCE": Scenario(
        80, sends(INIT, posdata, wire.GETFORCE), 5, "a result on its way"
    ),
    "drop in reply": Scenario(80, leaves_inside_the_reply, 5, "a result on its way"),
    "drop after reply": Scenario(80, leaves_after_the_reply, 0, "closed the connection after 1"),
    "garbage header": Scenario(81, sends_and_waits(b"GARBAGE     "), 4, "b'GARBAGE     ' came"),
    "4 KiB garbage": Scenario(81, sends_and_waits(b"\xf0\x9f" * 2048), 4, "is it i-PI"),
    "endless garbage": Scenario(81, never_stops, 4, "is it i-PI"),
    "natoms 2^31-1": Scenario(82, sends_and_waits(INIT, of_atoms(2**31 - 1)), 2, "sent 2147483647"),
    "natoms 5e7": Scenario(82, sends_and_waits(INIT, of_atoms(50_000_000)), 2, "sent 50000000"),
    "natoms -1": Scenario(82, sends_and_waits(INIT, of_atoms(-1)), 2, "sent -1 atoms"),
    "natoms 0": Scenario(82, sends_and_waits(INIT, of_atoms(0)), 2, "sent 0 atoms, but the"),
    "natoms N+1": Scenario(82, sends_and_waits(INIT, one_atom_more), 2, "must list the same atoms"),
    "natoms changed": Scenario(
        82, sends_and_waits(INIT, posdata, wire.GETFORCE, one_atom_more), 2, "list the same atoms"
    ),
    "natoms of beads": Scenario(
        82, sends_and_waits(INIT_3, of_beads(n_atoms=5_000_000)), 2, "sent 5000000 atoms"
    ),
    "natoms in memory": Scenario(
        82, sends_and_waits(INIT, in_memory_of_nobody(2**30)), 2, "sent 1073741824 atoms"
    ),
    "INIT 2^31-1": Scenario(83, sends_and_waits(wire.init(length=2**31 - 1)), 4, "of 2147483647"),
    "INIT -5": Scenario(83, sends_and_waits(wire.init(length=-5)), 4, "of -5 bytes"),
    "INIT 0": Scenario(
        83, sends_and_waits(wire.init(""), posdata, wire.GETFORCE, wire.EXIT), 0, "said EXIT"
    ),
    "INIT 64 KiB": Scenario(
        83, sends_and_waits(wire.init("x" * 65536), wire.STATUS, wire.EXIT), 0, "said EXIT"
    ),
    "INIT not UTF-8": Scenario(
        83, sends_and_waits(wire.init(b"a\xff"), posdata, wire.GETFORCE, wire.EXIT), 0, "said EXIT"
    ),
    "position nan": Scenario(
        84, refused(other_positions(with_nan)), 2, "position of atom 2", system="ethanol"
    ),
    "position inf": Scenario(
        84, refused(other_positions(lambda r: with_nan(r, -np.inf))), 2, "of atom 2 is",
        system="ethanol",
    ),
    "position of a bead nan": Scenario(
        84, sends_and_waits(INIT_3, of_beads(with_nan_in_the_second)), 2, "position of atom 2",
        system="ethanol",
    ),
    "one place": Scenario(
        84, refused(other_positions(together)), 2, "atoms 1 and 3 are in one", system="ethanol"
    ),
    "one place through the cell": Scenario(
        84, refused(together_through_the_cell), 2, "atoms 1 and 3 are in one", system="diamond"
    ),
    "cell nan": Scenario(
        84, refused(other_cell(with_nan)), 2, "the cell must be", system="diamond"
    ),
    "cell inf": Scenario(
        84, refused(other_cell(lambda h: with_nan(h, np.inf))), 2, "cell must be", system="diamond"
    ),
    "cell 0": Scenario(84, refused(other_cell(np.zeros_like)), 2, "no cell", system="diamond"),
    "cell flat": Scenario(84, refused(other_cell(flattened)), 2, "is singular", system="diamond"),
    "cell tiny": Scenario(
        84, refused(other_cell(lambda h: 0.01 * h)), 2, "A high along", system="diamond"
    ),
    "bytewise": Scenario(85, serves_one_byte_at_a_time, 0, "said EXIT after 1 structures"),
    "slow": Scenario(86, serves_with_pauses, 0, "said EXIT after 1 structures"),
    "EXIT in NEEDINIT": Scenario(87, sends_and_waits(wire.EXIT), 0, "said EXIT after 0"),
    "EXIT in READY": Scenario(87, sends_and_waits(INIT, wire.EXIT), 0, "said EXIT after 0"),
    "EXIT in HAVEDATA": Scenario(
        87, sends_and_waits(INIT, posdata, wire.EXIT), 0, "said EXIT after 1"
    ),
    "EXIT and gone": Scenario(87, sends(wire.STATUS, INIT, wire.STATUS, wire.EXIT), 0, "said EXIT"),
    "EXIT while computing": Scenario(87, exits_while_it_computes, 0, "said EXIT after 1"),
    "EXIT and more": Scenario(87, sends_and_waits(INIT, wire.EXIT, posdata), 0, "said EXIT"),
    "POSDATA twice": Scenario(88, sends_and_waits(INIT, posdata, posdata), 4, "POSDATA came while"),
    "POSDATA without INIT": Scenario(88, sends_and_waits(posdata), 4, "POSDATA came while"),
    "INIT twice": Scenario(88, sends_and_waits(INIT, INIT), 4, "INIT came while"),
    "GETFORCE without POSDATA": Scenario(
        88, sends_and_waits(INIT, wire.GETFORCE), 4, "GETFORCE came while"
    ),
    "classic": Scenario(89, serves_classic, 0, "said EXIT after 2 structures"),
    "consolidated": Scenario(89, serves_consolidated, 0, "said EXIT after 2 structures"),
    "batches": Scenario(89, serves_batches, 0, "said EXIT after 3 structures"),
    "batch 0": Scenario(89, sends_and_waits(wire.init("batch_size:0")), 4, "batch_size:0"),
    "batch huge": Scenario(89, sends_and_waits(wire.init("batch_size:99999999")), 4, "99999999"),
    "memory of nobody": Scenario(
        89, refused(in_memory_of_nobody()), 4, "cannot use the shared memory ipi_shm_of_nobody"
    ),
    "SIGTERM": Scenario(90, signals(signal.SIGTERM), 143, "stopped by SIGTERM"),
    "SIGHUP": Scenario(90, signals(signal.SIGHUP), 129, "stopped by SIGHUP"),
    "SIGINT": Scenario(90, signals(signal.SIGINT), 130, "stopped by SIGINT"),
    "SIGTERM in a message": Scenario(
        90, signals(signal.SIGTERM, lambda s: half(s.posdata)), 143, "stopped by SIGTERM"
    ),
    "SIGINT with a result": Scenario(90, signals(signal.SIGINT, posdata), 130, "stopped by SIGINT"),
}  # fmt: skip
