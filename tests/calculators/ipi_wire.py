"""The server's side of i-PI's protocol, written down a second time: messages and replies as bytes.

From i-PI 3.3.1, `ipi/interfaces/sockets.py`.
"""

from __future__ import annotations

import struct

import numpy as np

STATUS, GETFORCE, EXIT = (name.ljust(12).encode() for name in ("STATUS", "GETFORCE", "EXIT"))
NEEDINIT, READY, HAVEDATA = (n.ljust(12).encode() for n in ("NEEDINIT", "READY", "HAVEDATA"))
FORCEREADY = b"FORCEREADY  "


def int32(value):
    return struct.pack("<i", value)


def init(text=" ", length=None, replica=0):
    text = text if isinstance(text, bytes) else text.encode()
    return b"INIT        " + int32(replica) + int32(len(text) if length is None else length) + text


def cell_block(h):
    """h and its inverse, which nobody reads."""
    return np.array([h, np.full((3, 3), 7.0)], "<f8").tobytes()


def posdata(h, positions, n_atoms=None):
    """One structure: h [3, 3] with vectors as columns, positions [n_atoms, 3]."""
    n = int32(len(positions) if n_atoms is None else n_atoms)
    return b"POSDATA     " + cell_block(h) + n + np.asarray(positions, "<f8").tobytes()


def posdata_batch(cells, positions, n_atoms=None):
    """Many structures: cells [n, 3, 3], positions [n, n_atoms, 3]."""
    n = int32(len(positions[0]) if n_atoms is None else n_atoms)
    blocks = b"".join(cell_block(h) for h in cells)
    return b"POSDATA     " + n + blocks + np.asarray(positions, "<f8").tobytes()


def posdata_in_memory(n_atoms, names=()):
    texts = b"".join(int32(len(name)) + name.encode() for name in names)
    return b"POSDATA     " + int32(n_atoms) + texts


def read_result(read, n_structures, n_atoms):
    """FORCEREADY and all behind it.

    Args:
        read: gives the next so many bytes.

    Returns:
        energies [n], forces [n, n_atoms, 3], virials [n, 3, 3], extras: a list of texts.
    """
    assert read(12) == FORCEREADY
    energies = np.frombuffer(read(8 * n_structures), "<f8")
    assert read(4) == int32(n_atoms)
    forces = np.frombuffer(read(24 * n_structures * n_atoms), "<f8")
    virials = np.frombuffer(read(72 * n_structures), "<f8")
    extras = [read_extras(read) for _ in range(n_structures)]
    return energies, forces.reshape(-1, n_atoms, 3), virials.reshape(-1, 3, 3), extras


def read_extras(read):
    (length,) = struct.unpack("<i", read(4))
    return read(length).decode("ascii")
