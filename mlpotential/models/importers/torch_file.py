"""Files of `torch.save` read without torch's unpickler: nothing in them is executed.

Since torch 1.6 such a file is a zip archive of uncompressed members: `NAME/data.pkl` describes the
objects, `NAME/data/KEY` holds the numbers of each storage, with a CRC-32 that is verified. Before,
it was five pickles in a row (magic number, version, machine, objects, storage keys) followed by the
storages, without checksums. Both keep tensors as (storage, offset, sizes, strides); see
torch/serialization.py and torch/_utils.py. Departure: little-endian numbers, real and whole ones.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mlpotential.errors import ModelFileError
from mlpotential.models.importers.pickle_description import (
    Expected,
    Function,
    Name,
    Value,
    describe_pickle,
)
from mlpotential.models.importers.refusal import Refusal, shown

ZIP_START = b"PK\x03\x04"
OLD_MAGIC = 0x1950A86A20F9469CFC6C  # torch/serialization.py, MAGIC_NUMBER
OLD_VERSION = 1001  # ibid., PROTOCOL_VERSION
OLD_START = b"\x80\x02\x8a\x0a" + OLD_MAGIC.to_bytes(10, "little") + b"."

DTYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.BoolStorage": torch.bool,
}
PACKAGES = ("torch.nn", "schnetpack", "torch_geometric", "typing")
# What attributes of modules may mention besides: written down, hardly ever looked at.
MENTIONED = (
    *("functools.partial", "inspect._empty", "_operator.getitem"),
    *("torch.Size", "torch.Tensor", "torch.device", "torch.float32", "torch.float64"),
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in ("bool", "float", "int", "list", "long", "set", "str", "type")
    ),
)
MOST_DIMENSIONS = 8
MOST_REPEATS = 4096  # chosen: as many neurons may share a number, or rows
MOST_EXPANDED = 2**26  # numbers; chosen: half a gigabyte

Storages = Callable[[str], bytes]  # the numbers of a storage by its key


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file: which numbers, in which order.

    Attributes:
        storages: of the file.
        key: of the storage that holds the numbers.
        dtype: of the numbers.
        n_stored: how many the storage holds.
        offset: of the first number.
        shape, strides: as of a torch tensor.
    """

    storages: Storages
    key: str
    dtype: torch.dtype
    n_stored: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def read(self) -> Tensor:
        """A tensor of its own.

        Raises:
            Refusal: if the numbers are missing, fewer than described, or damaged.
        """
        content = self.storages(self.key)
        if len(content) != self.n_stored * self.dtype.itemsize:
            raise Refusal(f"is truncated: the numbers of its tensor {self.key!r} are incomplete")
        steps = [(n - 1) * s for n, s in zip(self.shape, self.strides, strict=True)]
        # Along strides of 0 (`Tensor.expand`) numbers are repeated, which a bomb would do, too.
        sizes = list(zip(self.shape, self.strides, strict=True))
        n_distinct = math.prod(n for n, stride in sizes if stride)
        n_repeats = math.prod(n for n, stride in sizes if not stride)
        fits = 0 < n_distinct <= self.n_stored and 0 < n_repeats <= MOST_REPEATS
        fits = fits and (n_repeats == 1 or n_distinct * n_repeats <= MOST_EXPANDED)
        if not fits or self.offset + sum(steps) >= self.n_stored:
            raise Refusal(f"is damaged: its tensor {self.key!r} reaches beyond its numbers")
        numbers = torch.frombuffer(bytearray(content), dtype=self.dtype)
        return numbers.as_strided(self.shape, self.strides, self.offset).clone()


def read_torch_file(path: str | Path) -> Value:
    """What a file of `torch.save` describes; tensors as `StoredTensor`, objects as `Made`.

    Args:
        path: of the file.

    Raises:
        ModelFileError: if it cannot be read or is of another kind.
        Refusal: if it is damaged, or refers to anything that is not expected.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}") from error
    if content.startswith(ZIP_START):
        return _read_archive(content)
    if content.startswith(OLD_START):
        return _read_old(content)
    raise Refusal("is no file of torch.save (truncated, or of another kind?)")


def _read_archive(content: bytes) -> Value:
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, struct.error, ValueError, OSError, RuntimeError) as error:
        raise Refusal(f"is a damaged archive: {error} (truncated?)") from None
    names = archive.namelist()
    folders = [name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(folders) != 1:
        raise Refusal("is an archive, but not one of torch.save")
    (folder,) = folders
    if f"{folder}/constants.pkl" in names:
        raise Refusal(
            "is a TorchScript program, which is refused: give the model that it was made of"
        )
    if f"{folder}/byteorder" in names and _member(archive, f"{folder}/byteorder") != b"little":
        raise Refusal("holds big-endian numbers, which are not supported")
    expected = _expected(lambda key: _member(archive, f"{folder}/data/{key}"))
    return describe_pickle(io.BytesIO(_member(archive, f"{folder}/data.pkl")), expected)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member of an archive, its checksum verified by `zipfile`."""
    try:
        if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
            raise Refusal("is a compressed archive, which torch.save does not write")
        return archive.read(name)
    except KeyError:
        raise Refusal(f"lacks {name.partition('/')[2]!r}") from None
    except (zipfile.BadZipFile, EOFError, ValueError, OSError, RuntimeError) as error:
        raise Refusal(f"is damaged: {error}; copy the file again from its source") from None


def _read_old(content: bytes) -> Value:
    """The format before torch 1.6."""
    stream = io.BytesIO(content)
    plain = Expected()
    magic, version, machine = (describe_pickle(stream, plain) for _ in range(3))
    if (magic, version) != (OLD_MAGIC, OLD_VERSION) or not isinstance(machine, dict):
        raise Refusal("is of a format of torch.save that is not supported")
    if machine.get("little_endian") is not True:
        raise Refusal("holds big-endian numbers, which are not supported")
    storages: dict[str, bytes] = {}
    item_sizes: dict[str, int] = {}
    root = describe_pickle(stream, _expected(lambda key: storages.get(key, b""), item_sizes))
    keys = describe_pickle(stream, plain)
    for key in keys if isinstance(keys, list) else []:
        n_items = int.from_bytes(stream.read(8), "little")
        if not isinstance(key, str) or key not in item_sizes or n_items > len(content):
            raise Refusal("is damaged, or truncated")
        storages[key] = stream.read(n_items * item_sizes[key])
    return root


def _expected(storages: Storages, item_sizes: dict[str, int] | None = None) -> Expected:
    """What files of torch.save refer to; `item_sizes` collects the size of a number by storage."""

    def stored(kind: str, storage_type: Value, *rest: Value) -> Value:
        if kind == "module":  # class, file and source text of a class, before torch 1.6
            return storage_type
        key, _, n_stored, *view = rest
        if kind != "storage" or not isinstance(key, str) or any(v is not None for v in view):
            raise ValueError
        if not isinstance(storage_type, Name):
            raise ValueError
        if str(storage_type) not in DTYPES:
            kind = shown(str(storage_type))
            raise Refusal(f"holds numbers of a kind that is not supported: {kind}")
        dtype = DTYPES[str(storage_type)]
        if item_sizes is not None:
            item_sizes[key] = dtype.itemsize
        return StoredTensor(storages, key, dtype, _count(n_stored), 0, (), ())

    functions: dict[str, Function | None] = dict.fromkeys(MENTIONED)
    functions |= dict.fromkeys(DTYPES)
    functions |= {
        "collections.OrderedDict": lambda: {},  # filled afterwards
        "torch._utils._rebuild_tensor": _rebuild_tensor,
        "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
        "torch._utils._rebuild_parameter": lambda data, *_: data,
    }
    return Expected(functions, PACKAGES, stored)


def _rebuild_tensor(
    storage: Value, offset: Value, shape: Value, strides: Value, *_: Value
) -> Value:
    """The tensor that torch's function of this name makes."""
    if not isinstance(storage, StoredTensor) or len(shape) != len(strides):
        raise ValueError
    if len(shape) > MOST_DIMENSIONS or any(s > storage.n_stored for s in strides):
        raise ValueError
    return StoredTensor(
        storage.storages,
        storage.key,
        storage.dtype,
        storage.n_stored,
        _count(offset),
        tuple(_count(n) for n in shape),
        tuple(_count(n) for n in strides),
    )


def _count(value: Value) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError
    return value
