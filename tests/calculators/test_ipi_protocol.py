"""The client's state machine, fed with the messages of `ipi_wire` in all pieces and orders."""

import json

import ipi_wire as wire
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from calculators.ipi_protocol import (
    HEADERS,
    SEGMENT_KINDS,
    ClientProtocol,
    End,
    Evaluate,
    ProtocolError,
    Send,
    State,
)
from mlpotential.errors import StructureError

N_ATOMS = 3
H = np.array([[9.0, 1.0, 2.0], [0.0, 8.0, 3.0], [0.0, 0.0, 7.0]])  # triclinic, vectors as columns
POSITIONS = np.random.default_rng(0).normal(size=(4, N_ATOMS, 3))


def no_memory(name):
    raise AssertionError(f"nobody spoke of shared memory, but {name} was opened")


def answers(cells, positions):
    """Something that shows where each number came from."""
    return [
        (float(p.sum()), 2.0 * p, h + h.T, json.dumps({"energy_eV": float(p[0, 0])}))
        for h, p in zip(cells, positions, strict=True)
    ]


class Client:
    """A machine that is answered at once; all it says and wants, in order."""

    def __init__(self, n_atoms=N_ATOMS, open_segment=no_memory):
        self.machine = ClientProtocol(n_atoms, open_segment)
        self.said, self.evaluated, self.ended = b"", [], False

    def feed(self, data):
        self.machine.feed(data)
        while not self.ended and (event := self.machine.next_event()) is not None:
            if isinstance(event, Send):
                assert event.is_result == event.data.startswith(wire.FORCEREADY)
                self.said += event.data
            elif isinstance(event, Evaluate):
                self.evaluated.append(event)
                self.machine.answer(answers(event.cells, event.positions))
            else:
                assert isinstance(event, End)
                self.ended = True
        return self

    def read(self, n_bytes):
        taken, self.said = self.said[:n_bytes], self.said[n_bytes:]
        assert len(taken) == n_bytes
        return taken


def check_result(client, positions, read_numbers=wire.read_result):
    energies, forces, virials, extras = read_numbers(client.read, len(positions), N_ATOMS)
    assert_array_equal(energies, positions.sum(axis=(1, 2)))
    assert_array_equal(forces, 2.0 * positions)
    assert_array_equal(virials, np.broadcast_to(H + H.T, (len(positions), 3, 3)))
    assert [json.loads(e)["energy_eV"] for e in extras] == positions[:, 0, 0].tolist()


CLASSIC = (
    wire.STATUS + wire.init() + wire.STATUS + wire.posdata(H, POSITIONS[0])
    + wire.STATUS + wire.GETFORCE + wire.STATUS + wire.EXIT
)  # fmt: skip


@pytest.mark.parametrize("piece", [1, 2, 5, 11, 12, 13, 100, len(CLASSIC)])
def test_the_classic_order_in_pieces(piece):
    client = Client()
    for start in range(0, len(CLASSIC), piece):
        assert not client.ended
        client.feed(CLASSIC[start : start + piece])
    assert client.ended
    assert_array_equal(client.evaluated[0].cells, H[None])
    assert_array_equal(client.evaluated[0].positions, POSITIONS[:1])
    for state in (wire.NEEDINIT, wire.READY, wire.HAVEDATA):
        assert client.read(12) == state
    check_result(client, POSITIONS[:1])
    assert client.said == wire.READY


def test_every_cut_into_two_pieces():
    whole = Client().feed(CLASSIC).said
    for cut in range(1, len(CLASSIC)):
        assert Client().feed(CLASSIC[:cut]).feed(CLASSIC[cut:]).said == whole


def test_consolidated_messages():
    """POSDATA and GETFORCE in one piece and no STATUS between, then the next step."""
    client = Client().feed(wire.init(""))
    for positions in POSITIONS:
        client.feed(wire.posdata(H, positions) + wire.GETFORCE)
        check_result(client, positions[None])
        client.feed(wire.STATUS)
        assert client.read(12) == wire.READY
    assert client.machine.n_evaluated == 4


@pytest.mark.parametrize(
    "text", ["  batch_size:4", " a : 1 , b : x , , batch_size:4", "batch_size : 4 ,a:1"]
)
def test_batches(text):
    client = Client().feed(wire.init(text))
    stream = wire.posdata_batch([H] * 4, POSITIONS) + wire.GETFORCE
    for start in range(0, len(stream), 50):
        client.feed(stream[start : start + 50])
    assert_array_equal(client.evaluated[0].cells, np.broadcast_to(H, (4, 3, 3)))
    assert_array_equal(client.evaluated[0].positions, POSITIONS)
    check_result(client, POSITIONS)


@pytest.mark.parametrize("text", ["", " ", "\0", " a : 1 , b : 2 , ", "batch_size:1", "x" * 65536])
def test_other_initialisations_leave_single_structures(text):
    client = Client().feed(wire.init(text) + wire.posdata(H, POSITIONS[0]) + wire.GETFORCE)
    check_result(client, POSITIONS[:1])


class Memory:
    """Segments as i-PI would make them."""

    def __init__(self, n_structures):
        shapes = {"pos": (N_ATOMS, 3), "force": (N_ATOMS, 3), "pot": ()}
        self.arrays = {k: np.zeros((n_structures, *shapes.get(k, (3, 3)))) for k in SEGMENT_KINDS}
        self.names = [f"ipi_shm_{kind}" for kind in SEGMENT_KINDS]

    def open(self, name):
        return memoryview(self.arrays[name.removeprefix("ipi_shm_")]).cast("B")

    def read_result(self, read, n_structures, n_atoms):
        assert read(12) == wire.FORCEREADY
        extras = [wire.read_extras(read) for _ in range(n_structures)]
        return self.arrays["pot"], self.arrays["force"], self.arrays["vir"], extras


@pytest.mark.parametrize("n", [1, 2])
def test_shared_memory(n):
    memory = Memory(n)
    client = Client(open_segment=memory.open).feed(wire.init(f"batch_size:{n}" if n > 1 else " "))
    names = memory.names
    for step in range(2):
        memory.arrays["h"][:], memory.arrays["pos"][:] = H, POSITIONS[step : step + n]
        stream = wire.posdata_in_memory(N_ATOMS, names) + wire.GETFORCE
        for start in range(0, len(stream), 7):
            client.feed(stream[start : start + 7])
        assert_array_equal(client.evaluated[step].positions, POSITIONS[step : step + n])
        check_result(client, POSITIONS[step : step + n], memory.read_result)
        assert client.said == b""
        names = []  # sent only once
    memory.arrays["pos"][:] = 0.0
    assert_array_equal(client.evaluated[1].positions, POSITIONS[1 : 1 + n])  # copies


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.names.__setitem__(2, "ipi_shm_../x"), "must be called"),
        (lambda m: m.names.__setitem__(5, "other"), "must be called"),
        (lambda m: m.names.__setitem__(1, "x" * 256), "name of shared memory of 256 bytes"),
        (lambda m: m.arrays.__setitem__("force", np.zeros(8)), "ipi_shm_force has 64 bytes"),
    ],
)
def test_shared_memory_is_not_believed(change, message):
    memory = Memory(1)
    change(memory)
    client = Client(open_segment=memory.open).feed(wire.init())
    with pytest.raises(ProtocolError, match=message):
        client.feed(wire.posdata_in_memory(N_ATOMS, memory.names))
    with pytest.raises(StructureError, match="sent 4 atoms"):
        Client(open_segment=memory.open).feed(wire.init() + wire.posdata_in_memory(4, memory.names))


@pytest.mark.parametrize("before", [b"", wire.init(), wire.init() + wire.posdata(H, POSITIONS[0])])
def test_exit_in_any_state(before):
    client = Client().feed(before)
    for byte in wire.EXIT:
        assert not client.ended
        client.feed(bytes([byte]))
    assert client.ended


def test_the_state_and_the_debt():
    client = Client()
    steps = [
        (b"", State.NEEDINIT, ""),
        (wire.STATUS[:5], State.NEEDINIT, "the rest of a message"),
        (wire.STATUS[5:], State.NEEDINIT, ""),
        (wire.init()[:18], State.NEEDINIT, "the rest of a message"),
        (wire.init()[18:], State.READY, ""),
        (wire.posdata(H, POSITIONS[0])[:-1], State.READY, "the rest of a message"),
        (wire.posdata(H, POSITIONS[0])[-1:], State.HAVEDATA, "a result"),
        (wire.GETFORCE[:3], State.HAVEDATA, "a result"),
        (wire.GETFORCE[3:], State.READY, ""),
    ]
    for data, state, pending in steps:
        client.feed(data)
        assert (client.machine.state, client.machine.pending) == (state, pending)


READY_CLIENT = wire.init()
BUSY_CLIENT = wire.init() + wire.posdata(H, POSITIONS[0])


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"HTTP/1.1 400 Bad Request", "HTTP/1.1 400"),
        (b"h", "is it i-PI"),
        (b"status      ", "is it i-PI"),
        (b"STATUS\0\0\0\0\0\0", "is it i-PI"),
        (b"\xff" * 4096, "is it i-PI"),
        (b"READY       ", "is it i-PI"),
        (wire.posdata(H, POSITIONS[0])[:12], "POSDATA came while the client was NEEDINIT"),
        (wire.GETFORCE, "GETFORCE came while the client was NEEDINIT"),
        (READY_CLIENT + wire.GETFORCE, "GETFORCE came while the client was READY"),
        (READY_CLIENT + wire.init(), "INIT came while the client was READY"),
        (BUSY_CLIENT + b"POSDATA     ", "POSDATA came while the client was HAVEDATA"),
        (wire.init(length=2**31 - 1), "INIT string of 2147483647 bytes"),
        (wire.init(length=-5), "INIT string of -5 bytes"),
        (wire.init("batch_size:0"), "batch_size:0"),
        (wire.init("batch_size:-1"), "batch_size:-1"),
        (wire.init("batch_size:2000000000"), "batch_size:2000000000"),
        (wire.init("batch_size:many"), "must be a whole number"),
        (wire.init("batch_size:"), "must be a whole number"),
        (wire.init("batch_size:1_0"), "must be a whole number"),
        (wire.init("batch_size:" + "9" * 5000), "must be a whole number, not '9{40}'"),
    ],
)
def test_refuses_what_ipi_does_not_say(stream, message):
    with pytest.raises(ProtocolError, match=message) as refusal:
        Client().feed(stream)
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize(
    ("text", "batch_size"),
    [
        (b"\xff\xfe", 1),
        (b"caf\xe9:1, batch_size:3", 3),  # Latin-1
        ("Größe:1 ,batch_size: 2 ".encode(), 2),
        (b"\xf0\x9f,batch_size:+4", 4),
    ],
)
def test_only_the_batch_size_of_an_init_matters(text, batch_size):
    client = Client().feed(wire.init(text))
    assert client.machine.state is State.READY
    assert client.machine.batch_size == batch_size


@pytest.mark.parametrize("n_atoms", [2**31 - 1, 50_000_000, -1, 0, 2, 4])
@pytest.mark.parametrize("batched", [False, True])
def test_refuses_other_numbers_of_atoms_before_their_positions_come(n_atoms, batched):
    client = Client().feed(wire.init("batch_size:2" if batched else ""))
    stream = (
        wire.posdata_batch([H], POSITIONS[:1], n_atoms)[:16]
        if batched
        else wire.posdata(H, [], n_atoms)
    )
    client.feed(stream[:-1])
    with pytest.raises(StructureError, match=f"i-PI sent {n_atoms} atoms, but the structure file"):
        client.feed(stream[-1:])


def test_a_number_of_atoms_that_changes():
    client = Client().feed(BUSY_CLIENT + wire.GETFORCE)
    with pytest.raises(StructureError, match="sent 2 atoms"):
        client.feed(wire.posdata(H, POSITIONS[0][:2]))


def test_random_bytes_never_do_anything_but_refuse():
    """Headers with random payloads behind them: an error, or a machine that waits for more."""
    rng = np.random.default_rng(1)
    for _ in range(300):
        client, stream = Client(), b""
        for _ in range(4):
            stream += HEADERS[rng.integers(len(HEADERS))]
            stream += rng.bytes(rng.integers(0, 40))
        try:
            client.feed(stream)
        except (ProtocolError, StructureError):
            continue
        assert client.ended or client.machine.pending == "the rest of a message"


def test_answers_must_fit():
    machine = ClientProtocol(N_ATOMS, no_memory)
    machine.feed(BUSY_CLIENT)
    event = machine.next_event()
    with pytest.raises(ValueError, match="2 answers to 1 structures"):
        machine.answer(answers(event.cells, event.positions) * 2)
