"""Writes TensorFlow V2 checkpoints: just enough to test their reader."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from mlpotential.models.importers.tensor_bundle import masked_crc32c

DTYPE_NUMBERS = {"<f4": 1, "<f8": 2, "<i4": 3, "<i8": 9}


def varint(value: int) -> bytes:
    low, value = value & 0x7F, value >> 7
    return bytes([low]) if value == 0 else bytes([low | 0x80]) + varint(value)


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def message(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def header(n_shards: int = 1, endianness: int = 0) -> bytes:
    big = number(2, endianness) if endianness else b""
    return number(1, n_shards) + big + message(3, number(1, 1))


def entry(array: np.ndarray, offset: int, shard: int = 0, dtype: int | None = None) -> bytes:
    shape = b"".join(message(2, number(1, size)) for size in array.shape)
    return (
        number(1, DTYPE_NUMBERS[array.dtype.str] if dtype is None else dtype)
        + message(2, shape)
        + number(3, shard)
        + number(4, offset)
        + number(5, array.nbytes)
        + varint(6 << 3 | 5)
        + struct.pack("<I", masked_crc32c(array.tobytes()))
    )


def block(entries: list[tuple[bytes, bytes]], compression: int = 0) -> bytes:
    """Keys share what they have in common with the one before; one restart point."""
    content, last = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(last)) and key[shared] == last[shared]:
            shared += 1
        content += varint(shared) + varint(len(key) - shared) + varint(len(value))
        content += key[shared:] + value
        last = key
    content += struct.pack("<II", 0, 1) + bytes([compression])
    return content + struct.pack("<I", masked_crc32c(content))


def table(entries: list[tuple[bytes, bytes]], per_block: int = 3, compression: int = 0) -> bytes:
    content, handles = b"", []

    def append(made: bytes) -> bytes:
        nonlocal content
        handle = varint(len(content)) + varint(len(made) - 5)
        content += made
        return handle

    for start in range(0, len(entries), per_block):
        part = entries[start : start + per_block]
        handles.append((part[-1][0], append(block(part, compression))))
    footer = append(block([])) + append(block(handles))
    return content + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def write_bundle(prefix: Path, tensors: dict[str, np.ndarray], n_shards: int = 1) -> None:
    """Tensors go to the shards in turn."""
    shards = [b""] * n_shards
    entries = [(b"", header(n_shards))]
    for k, (name, array) in enumerate(sorted(tensors.items())):
        shard = k % n_shards
        entries.append((name.encode(), entry(array, len(shards[shard]), shard)))
        shards[shard] += array.tobytes()
    Path(f"{prefix}.index").write_bytes(table(entries))
    for k, content in enumerate(shards):
        Path(f"{prefix}.data-{k:05d}-of-{n_shards:05d}").write_bytes(content)
