"""A reader of TensorFlow's V2 checkpoints ("tensor bundles") in plain Python and NumPy.

A bundle is an index `PREFIX.index` and one or more shards `PREFIX.data-SSSSS-of-NNNNN`. The index
is a table of sorted strings (LevelDB, doc/table_format.md): a footer points to the index block,
which points to the data blocks, whose entries map names to protocol-buffer messages; the empty name
holds the `BundleHeaderProto`, every other a `BundleEntryProto` (tensorflow/core/protobuf/
tensor_bundle.proto) with type, shape, place in a shard and checksum. Nothing is executed; blocks
and tensors are checked against their CRC-32C (RFC 3720, appendix B.4). Departure: no compressed
tables, no partitioned tensors, numbers only, little-endian.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mlpotential.errors import ModelFileError

TABLE_MAGIC = 0xDB4775248B80FB57  # leveldb/table/format.h
FOOTER_SIZE = 48
BLOCK_TRAILER_SIZE = 5  # one byte for the compression, four for the checksum
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}  # tensorflow/core/framework/types.proto

Message = dict[int, list[int | bytes]]


class _Damage(Exception):
    """What is wrong with the bytes; turned into a ModelFileError that names the file."""


def read_tensor_bundle(prefix: str | Path) -> dict[str, np.ndarray]:
    """All tensors of a bundle by name.

    Args:
        prefix: path of the files without `.index`.

    Raises:
        ModelFileError: if a file is missing, truncated, altered or of another kind, or holds
            something other than float32, float64, int32 or int64 tensors.
    """
    index_path = Path(f"{prefix}.index")
    shards: dict[Path, bytes] = {}
    try:
        entries = list(_table_entries(_read(index_path)))
        n_shards = _number_of_shards(entries)
    except _Damage as damage:
        raise ModelFileError(f"{index_path} is no usable TensorFlow V2 index: {damage}") from None
    tensors = {}
    for name, value in entries[1:]:
        try:
            entry = _parse_message(value)
            shard_path = Path(f"{prefix}.data-{_integer(entry, 3):05d}-of-{n_shards:05d}")
            if shard_path not in shards:
                shards[shard_path] = _read(shard_path)
            tensors[name.decode()] = _tensor(entry, shards[shard_path])
        except (_Damage, UnicodeDecodeError) as damage:
            raise ModelFileError(
                f"{index_path.with_suffix('')} cannot be used: tensor {name!r}: {damage}"
            ) from None
    return tensors


def masked_crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli, reflected), rotated and offset as LevelDB stores it (util/crc32c.h)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _crc_table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_CRC_TABLE = _crc_table()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from error


def _table_entries(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and values of a table in their order."""
    footer = content[-FOOTER_SIZE:]
    if len(footer) < FOOTER_SIZE or struct.unpack("<Q", footer[-8:])[0] != TABLE_MAGIC:
        raise _Damage("it does not end as one (truncated, or another kind of file?)")
    _, place = _varint(footer, 0)  # offset and size of the meta index, which bundles leave empty
    _, place = _varint(footer, place)
    for _, handle in _block_entries(_block(content, footer[place:])):
        yield from _block_entries(_block(content, handle))


def _block(content: bytes, handle: bytes) -> bytes:
    """The block that a handle (offset, size) points to, its checksum verified."""
    offset, place = _varint(handle, 0)
    size, _ = _varint(handle, place)
    stored = content[offset : offset + size + BLOCK_TRAILER_SIZE]
    if len(stored) < size + BLOCK_TRAILER_SIZE:
        raise _Damage("a block reaches beyond its end")
    if struct.unpack("<I", stored[-4:])[0] != masked_crc32c(stored[:-4]):
        raise _Damage("a block does not match its checksum; copy the file again from its source")
    if stored[size] != 0:
        raise _Damage("its blocks are compressed, which is not supported")
    return stored[:size]


def _block_entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Entries of a block; each key is stored as what differs from the one before it."""
    if len(block) < 4:
        raise _Damage("a block is too short")
    (n_restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (n_restarts + 1)
    place, key = 0, b""
    while place < end:
        n_shared, place = _varint(block, place)
        n_new, place = _varint(block, place)
        n_value, place = _varint(block, place)
        if n_shared > len(key) or place + n_new + n_value > end:
            raise _Damage("an entry reaches beyond its block")
        key = key[:n_shared] + block[place : place + n_new]
        place += n_new + n_value
        yield key, block[place - n_value : place]


def _number_of_shards(entries: list[tuple[bytes, bytes]]) -> int:
    """From the header, which is the first entry."""
    if not entries or entries[0][0] != b"":
        raise _Damage("it has no header")
    header = _parse_message(entries[0][1])
    if _integer(header, 2) != 0:
        raise _Damage("its numbers are big-endian, which is not supported")
    return _integer(header, 1)


def _tensor(entry: Message, shard: bytes) -> np.ndarray:
    """One tensor, cut from its shard and verified."""
    dtype = DTYPES.get(_integer(entry, 1))
    if dtype is None:
        raise _Damage(f"type number {_integer(entry, 1)} is not supported")
    if 7 in entry:
        raise _Damage("it is stored in slices, which is not supported")
    shape = _shape(entry)
    offset, size = _integer(entry, 4), _integer(entry, 5)
    if size != math.prod(shape) * np.dtype(dtype).itemsize:
        raise _Damage(f"{size} bytes do not make a shape of {shape}")
    stored = shard[offset : offset + size]
    if len(stored) < size:
        raise _Damage("it reaches beyond the end of the data; the file is truncated")
    if masked_crc32c(stored) != _integer(entry, 6):
        raise _Damage("it does not match its checksum; copy the file again from its source")
    try:
        return np.frombuffer(stored, dtype).reshape(shape).copy()
    except (ValueError, OverflowError):
        raise _Damage(f"no tensor has a shape of {shape}") from None


def _shape(entry: Message) -> tuple[int, ...]:
    """Of TensorShapeProto, a list of dimensions with their sizes."""
    dimensions: list[int | bytes] = []
    for shape in entry.get(2, []):
        dimensions += _parse_message(_bytes(shape)).get(2, [])
    return tuple(_integer(_parse_message(_bytes(dimension)), 1) for dimension in dimensions)


def _parse_message(data: bytes) -> Message:
    """A protocol-buffer message as lists of values by field number."""
    message: Message = {}
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        value: int | bytes
        if tag & 7 == 0:
            value, place = _varint(data, place)
        elif tag & 7 == 2:
            size, place = _varint(data, place)
            value, place = _cut(data, place, size)
        elif tag & 7 in (1, 5):
            size = 8 if tag & 7 == 1 else 4
            raw, place = _cut(data, place, size)
            value = int.from_bytes(raw, "little")
        else:
            raise _Damage("a message cannot be read")
        message.setdefault(tag >> 3, []).append(value)
    return message


def _cut(data: bytes, place: int, size: int) -> tuple[bytes, int]:
    if place + size > len(data):
        raise _Damage("a message is cut off")
    return data[place : place + size], place + size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    """A number in groups of seven bits, least significant first, and the place after it."""
    value = 0
    for shift in range(0, 64, 7):
        if place >= len(data):
            break
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise _Damage("a number is cut off")


def _integer(message: Message, field: int) -> int:
    """The last value of a field; protocol buffers omit zeros."""
    value = message.get(field, [0])[-1]
    if not isinstance(value, int):
        raise _Damage(f"field {field} should be a number")
    return value


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise _Damage("a message should stand where a number does")
    return value
