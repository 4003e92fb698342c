"""NumPy archives (`.npz`), opened in a way that cannot run code.

Of an array the header is read first and its shape checked, so that nothing is decompressed that is
not wanted. Python objects inside an archive are never loaded.
"""

from __future__ import annotations

import contextlib
import math
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile

from mlpotential.errors import DataError

_LONGEST_HEADER = 10_000  # bytes, NumPy's own limit
_LARGE = 2**26  # bytes, chosen: what fits anywhere
_MOST_COMPRESSED = 200  # chosen: deflate makes 1000 of zeros, and less than 10 of measured numbers
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    ValueError,
    KeyError,
    NotImplementedError,  # a compression nobody uses
    RuntimeError,  # an encrypted member
    MemoryError,  # a header that announces more than fits
)


@contextlib.contextmanager
def open_archive(path: Path) -> Iterator[NpzFile]:
    """Opens an archive in a way that cannot run code.

    Raises:
        DataError: if it is damaged or something else.
    """
    with path.open("rb") as handle:
        if handle.read(2) != b"PK":  # every zip file begins so; NumPy would take it for a pickle
            raise DataError(f"{path} is not a NumPy archive of named arrays (.npz)")
        handle.seek(0)
        try:
            archive: NpzFile = np.load(handle, allow_pickle=False)
        except _DAMAGE as error:
            raise DataError(f"{path} is damaged or not a NumPy archive: {error}") from error
        with archive:
            twice = [key for key, n in Counter(archive.files).items() if n > 1]
            if twice:
                raise DataError(f"{path} holds {twice[0]!r} twice: keep the right one")
            yield archive


def array_header(archive: NpzFile, key: str, place: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array, without its numbers.

    Raises:
        DataError: if it is damaged, holds Python objects, or one number again and again.
    """
    assert archive.zip is not None  # it is open
    member = f"{key}.npy" if f"{key}.npy" in archive.zip.namelist() else key
    with _damage_of(key, place), archive.zip.open(member) as stream:
        if stream.read(6) != b"\x93NUMPY":
            raise DataError(f"{place}: {key!r} is not a NumPy array")
        major, minor = stream.read(2)
        readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
        shape, _, dtype = readers[major, minor](stream)
    if dtype.hasobject:
        raise DataError(
            f"{place}: {key!r} holds Python objects, which could run code and are not loaded; "
            "save it again as an array of numbers"
        )
    n_bytes = math.prod(shape) * dtype.itemsize
    info = archive.zip.getinfo(member)
    if not 0 <= info.file_size - n_bytes < _LONGEST_HEADER:
        raise DataError(
            f"{place}: the array {key!r} is damaged: shape {shape} needs {n_bytes} bytes, the file "
            f"has {info.file_size}"
        )
    if n_bytes > _LARGE and n_bytes > _MOST_COMPRESSED * info.compress_size:
        raise DataError(
            f"{place}: {key!r} has shape {shape}, but {info.compress_size} bytes of content: that "
            "is one number again and again"
        )
    return shape, dtype


def read_array(archive: NpzFile, key: str, place: str) -> np.ndarray:
    """One array of an archive, in the byte order of this machine.

    Raises:
        DataError: if it is damaged or holds Python objects.
    """
    _, dtype = array_header(archive, key, place)
    with _damage_of(key, place):
        array: np.ndarray = archive[key]
    return array.astype(dtype.newbyteorder("="), copy=False)


@contextlib.contextmanager
def _damage_of(key: str, place: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except _DAMAGE as error:
        raise DataError(f"{place}: the array {key!r} is damaged: {error}") from error
