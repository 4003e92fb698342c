"""The reader of TensorFlow's checkpoints against a bundle written here, whole and damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlpotential.errors import ModelFileError
from mlpotential.models.importers.tensor_bundle import masked_crc32c, read_tensor_bundle

TENSORS = {
    "Dense/W": np.arange(6, dtype="<f4").reshape(2, 3) / 7.0,
    "Dense/b": np.array([-1.5, 2.0, 1e-30], "<f4"),
    "Dense_1/W": np.full((2, 1, 2), np.pi, "<f8"),
    "global_step": np.array(300, "<i8"),
    "numbers": np.array([6, -1], "<i4"),
}
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


def write_bundle(prefix: Path, n_shards: int = 1) -> None:
    """Tensors go to the shards in turn."""
    shards = [b""] * n_shards
    entries = [(b"", header(n_shards))]
    for k, (name, array) in enumerate(sorted(TENSORS.items())):
        shard = k % n_shards
        entries.append((name.encode(), entry(array, len(shards[shard]), shard)))
        shards[shard] += array.tobytes()
    Path(f"{prefix}.index").write_bytes(table(entries))
    for k, shard_content in enumerate(shards):
        Path(f"{prefix}.data-{k:05d}-of-{n_shards:05d}").write_bytes(shard_content)


def same(tensors: dict[str, np.ndarray]) -> bool:
    return tensors.keys() == TENSORS.keys() and all(
        tensors[name].dtype == array.dtype
        and tensors[name].shape == array.shape
        and tensors[name].tobytes() == array.tobytes()
        for name, array in TENSORS.items()
    )


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    path = tmp_path / "best_model"
    write_bundle(path)
    return path


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"123456789", 0xE3069283),  # the check value of every catalogue of CRCs
        (bytes(32), 0x8A9136AA),  # this and the next two: RFC 3720, appendix B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_crc32c(data: bytes, crc: int) -> None:
    unmasked = (masked_crc32c(data) - 0xA282EAD8) & 0xFFFFFFFF
    assert (unmasked << 15 | unmasked >> 17) & 0xFFFFFFFF == crc


@pytest.mark.parametrize("n_shards", [1, 2])
def test_read(tmp_path: Path, n_shards: int) -> None:
    write_bundle(tmp_path / "model.ckpt-300", n_shards)
    assert same(read_tensor_bundle(tmp_path / "model.ckpt-300"))


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_every_flipped_bit_is_noticed_or_harmless(prefix: Path, suffix: str) -> None:
    """Harmless: the padding of the footer and the empty meta index, which is never read."""
    path = Path(f"{prefix}{suffix}")
    content = path.read_bytes()
    n_harmless = 0
    for place in range(len(content)):
        for bit in range(8):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            try:
                assert same(read_tensor_bundle(prefix))
                n_harmless += 1
            except ModelFileError as error:
                assert str(prefix) in str(error)
                assert "\n" not in str(error)
    if suffix == ".index":
        unread = len(block([])) + 40
        assert n_harmless <= 8 * unread
    else:
        assert n_harmless == 0


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_every_truncation_is_noticed(prefix: Path, suffix: str) -> None:
    path = Path(f"{prefix}{suffix}")
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ModelFileError, match="truncated"):
            read_tensor_bundle(prefix)


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_missing_file(prefix: Path, suffix: str) -> None:
    path = Path(f"{prefix}{suffix}")
    path.unlink()
    with pytest.raises(ModelFileError, match=f"cannot read {path}: No such file"):
        read_tensor_bundle(prefix)


def index_of(*entries: tuple[bytes, bytes]) -> Callable[[], bytes]:
    return lambda: table([(b"", header()), *entries])


ARRAY = np.zeros(3, "<f4")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: b"", "does not end as one"),
        (lambda: b"\x80\x04 a pickle, say " * 9, "does not end as one"),
        (lambda: table([]), "has no header"),
        (lambda: table([(b"a", entry(ARRAY, 0))]), "has no header"),
        (lambda: table([(b"", header(endianness=1))]), "big-endian"),
        (lambda: table([(b"", header())], compression=1), "compressed"),
        (lambda: table([(b"", header()[:-1])]), "a message is cut off"),
        (lambda: table([(b"", b"\xff" * 11)]), "a number is cut off"),
        (lambda: table([(b"", b"\x0c")]), "a message cannot be read"),
        (lambda: table([(b"", message(1, b"text"))]), "should be a number"),
        (index_of((b"a", entry(ARRAY, 0, dtype=7))), "type number 7 is not supported"),
        (index_of((b"a", entry(ARRAY, 0) + message(7, b""))), "stored in slices"),
        (index_of((b"a", entry(ARRAY, 2**62))), "beyond the end of the data"),
        (index_of((b"a", entry(ARRAY, 0) + number(5, 8))), "do not make a shape"),
        (index_of((b"a", number(1, 1) + number(2, 3))), "a message should stand"),
        (index_of((b"a", entry(ARRAY, 0, shard=7))), "cannot read .*data-00007-of-00001"),
        (index_of((b"\xff\xfe", entry(ARRAY, 1))), "does not match its checksum"),
        (
            index_of((b"a", number(1, 1) + message(2, message(2, number(1, 2**40)) * 3))),
            "0 bytes do not make a shape",
        ),
        (
            index_of(
                (
                    b"a",
                    number(1, 1)
                    + message(2, message(2, number(1, 2**62)) + message(2, b""))
                    + varint(6 << 3 | 5)
                    + struct.pack("<I", masked_crc32c(b"")),
                )
            ),
            "no tensor has a shape",
        ),
    ],
)
def test_hostile_indices(prefix: Path, make: Callable[[], bytes], problem: str) -> None:
    """Written with valid checksums: what a checksum cannot notice."""
    Path(f"{prefix}.index").write_bytes(make())
    with pytest.raises(ModelFileError, match=problem):
        read_tensor_bundle(prefix)
