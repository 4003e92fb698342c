"""The reader of TensorFlow's checkpoints against a bundle written here, whole and damaged."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bundle_writer import block, entry, header, message, number, table, varint, write_bundle

from mlpotential.errors import ModelFileError
from mlpotential.models.importers.tensor_bundle import masked_crc32c, read_tensor_bundle

TENSORS = {
    "Dense/W": np.arange(6, dtype="<f4").reshape(2, 3) / 7.0,
    "Dense/b": np.array([-1.5, 2.0, 1e-30], "<f4"),
    "Dense_1/W": np.full((2, 1, 2), np.pi, "<f8"),
    "global_step": np.array(300, "<i8"),
    "numbers": np.array([6, -1], "<i4"),
}


def same(tensors: dict[str, np.ndarray]) -> bool:
    return tensors.keys() == TENSORS.keys() and all(
        tensors[name].dtype == array.dtype
        and tensors[name].shape == array.shape
        and tensors[name].tobytes() == array.tobytes()
        for name, array in TENSORS.items()
    )


def refusal(prefix: Path) -> str | None:
    """What the reader says; None if it gives what was written."""
    try:
        tensors = read_tensor_bundle(prefix)
    except ModelFileError as error:
        return str(error)
    assert same(tensors), "it gave other numbers without a word"
    return None


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    path = tmp_path / "best_model"
    write_bundle(path, TENSORS)
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
    write_bundle(tmp_path / "model.ckpt-300", TENSORS, n_shards)
    assert same(read_tensor_bundle(tmp_path / "model.ckpt-300"))


@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_a_flipped_bit_is_noticed_or_harmless(prefix: Path, suffix: str) -> None:
    """One in every byte. Harmless: the footer's padding and the empty meta index, never read."""
    path = Path(f"{prefix}{suffix}")
    content = path.read_bytes()
    n_harmless = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        told = refusal(prefix)
        n_harmless += told is None
        assert told is None or (str(prefix) in told and "\n" not in told)
    assert n_harmless <= (len(block([])) + 40 if suffix == ".index" else 0)


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
