"""Files of torch.save, whole, damaged and hostile; torch itself writes them here."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mlpotential.errors import ModelFileError
from mlpotential.models.importers.described_module import DescribedModule
from mlpotential.models.importers.pickle_description import Made
from mlpotential.models.importers.refusal import Refusal
from mlpotential.models.importers.torch_file import StoredTensor, read_torch_file

CONTENT = {
    "float": torch.arange(6.0).reshape(2, 3) / 7.0,
    "double": torch.full((1, 2, 1), torch.pi, dtype=torch.float64),
    "whole": torch.tensor(2**40),
    "few": torch.tensor([1, -1], dtype=torch.int32),
    "transposed": torch.arange(6.0).reshape(2, 3).T[1:],
    "text": "energy",
}


def values(read: dict[str, Any]) -> dict[str, Any]:
    return {k: v.read() if isinstance(v, StoredTensor) else v for k, v in read.items()}


def same(read: dict[str, Any]) -> bool:
    found = values(read)
    return found.keys() == CONTENT.keys() and all(
        torch.equal(found[k], v) and found[k].dtype == v.dtype
        if isinstance(v, torch.Tensor)
        else found[k] == v
        for k, v in CONTENT.items()
    )


@pytest.fixture(params=[True, False], ids=["archive", "before-1.6"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.save(CONTENT, tmp_path / "c.pt", _use_new_zipfile_serialization=request.param)
    return tmp_path / "c.pt"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    torch.save(CONTENT, tmp_path / "c.pt")
    return tmp_path / "c.pt"


def rewrite(path: Path, compression: int = zipfile.ZIP_STORED, **members: bytes | None) -> None:
    """The archive with some members (their names without dots and folders) replaced or left out."""
    with zipfile.ZipFile(path) as old:
        content = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, data in content.items():
            key = name.partition("/")[2].replace("/", "_").replace(".", "_")
            replacement = members.pop(key, data)
            if replacement is not None:
                new.writestr(name, replacement)
        for key, extra in members.items():
            new.writestr(key, extra or b"")


def test_read(path: Path) -> None:
    assert same(read_torch_file(path))


@pytest.mark.parametrize("is_new", [True, False])
def test_modules_are_described(tmp_path: Path, is_new: bool) -> None:
    """Before torch 1.6 the source text of classes was stored as well: it is skipped."""
    model = nn.Sequential(nn.Linear(2, 3), nn.SiLU())
    torch.save(model, tmp_path / "m.pt", _use_new_zipfile_serialization=is_new)
    module = DescribedModule.of("", read_torch_file(tmp_path / "m.pt"))
    assert [m.class_name for m in module.parts()] == ["Linear", "SiLU"]
    assert torch.equal(module.part("0").tensor("weight"), model[0].weight.detach())
    assert module.part("0").setting("in_features") == 2


def test_hooks_are_refused() -> None:
    state = {"_modules": {}, "_forward_hooks": {0: "code"}}
    made = Made(factory=None, arguments=(), state=state)  # type: ignore[arg-type]
    with pytest.raises(Refusal, match="has a hook at 'outputs'"):
        DescribedModule.of("outputs", made)


class Bomb:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_bomb_does_not_go_off(tmp_path: Path, is_new: bool) -> None:
    crater, path = tmp_path / "crater", tmp_path / "bomb.pt"
    torch.save({"w": Bomb(f"touch {crater}")}, path, _use_new_zipfile_serialization=is_new)
    with pytest.raises(Refusal, match=r"refers to 'posix\.system', which is refused"):
        read_torch_file(path)
    assert not crater.exists()
    torch.load(path, weights_only=False)  # the bomb is a real one
    assert crater.exists()


def test_a_bomb_among_the_storages(tmp_path: Path) -> None:
    """`torch.storage._load_from_bytes` would unpickle once more."""
    inner = io.BytesIO()
    torch.save(Bomb("false"), inner)

    class Nested:
        def __reduce__(self) -> tuple[Any, ...]:
            return torch.storage._load_from_bytes, (inner.getvalue(),)

    torch.save(Nested(), tmp_path / "bomb.pt")
    with pytest.raises(Refusal, match="refers to 'torch.storage._load_from_bytes'"):
        read_torch_file(tmp_path / "bomb.pt")


def test_flipped_bytes_are_noticed_or_harmless(archive: Path) -> None:
    """Harmless: what nothing is read from (dates, padding, the local copies of names and sizes)."""
    numbers = torch.arange(12.0)
    torch.save({"w": numbers}, archive)
    content = archive.read_bytes()
    n_noticed = 0
    for place in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        archive.write_bytes(damaged)
        try:
            read = values(read_torch_file(archive))
        except Refusal:
            n_noticed += 1
        else:
            assert torch.equal(read["w"], numbers), f"byte {place}: other numbers without a word"
    assert n_noticed > (numbers.nbytes + 100) / 3  # all numbers and all of the pickle


def test_truncations_are_noticed(path: Path) -> None:
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(Refusal):
            values(read_torch_file(path))


def test_a_flipped_byte_says_what_to_do(archive: Path) -> None:
    content = archive.read_bytes()
    numbers = CONTENT["double"].numpy().tobytes()
    assert content.count(numbers) == 1
    archive.write_bytes(content.replace(numbers, numbers[::-1]))
    with pytest.raises(Refusal, match="is damaged: Bad CRC-32.*copy the file again"):
        values(read_torch_file(archive))


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"data_0": None}, "lacks 'data/0'"),
        ({"data_0": b"1234"}, "truncated: the numbers of its tensor '0' are incomplete"),
        ({"data_pkl": None}, "not one of torch.save"),
        ({"c/constants.pkl": b""}, "TorchScript"),
        ({"byteorder": b"big"}, "big-endian"),
        ({"data_pkl": b"\x80\x02}."}, None),
    ],
)
def test_other_archives(archive: Path, members: dict[str, bytes], problem: str | None) -> None:
    rewrite(archive, **members)
    if problem is None:
        assert read_torch_file(archive) == {}
    else:
        with pytest.raises(Refusal, match=problem):
            values(read_torch_file(archive))


def test_compressed_archive(archive: Path) -> None:
    """No archive unfolds to more than its own size."""
    rewrite(archive, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(Refusal, match="compressed"):
        read_torch_file(archive)


def storage(n_stored: bytes = b"K\x06", kind: bytes = b"FloatStorage") -> bytes:
    key = b"X\x01\x00\x00\x000"
    return (
        b"(X\x07\x00\x00\x00storagectorch\n"
        + kind
        + b"\n"
        + key
        + b"X\x03\x00\x00\x00cpu"
        + n_stored
        + b"tQ"
    )


def tensor(arguments: bytes, **kwargs: bytes) -> bytes:
    function = b"ctorch._utils\n_rebuild_tensor_v2\n"
    return (
        b"\x80\x02}X\x01\x00\x00\x00w" + function + b"(" + storage(**kwargs) + arguments + b"tRs."
    )


@pytest.mark.parametrize("is_new", [True, False])
def test_expanded_tensors(tmp_path: Path, is_new: bool) -> None:
    """Numbers that stand for many, as `Tensor.expand` makes them, up to a bound."""
    row = torch.arange(6.0)
    content = {
        "rows": row.expand(100, 6),
        "columns": row[:, None].expand(6, 5),
        "scalar": torch.ones(1).expand(64),
        "part": row[2:4].expand(3, 2),
    }
    torch.save(content, tmp_path / "m.pt", _use_new_zipfile_serialization=is_new)
    found = values(read_torch_file(tmp_path / "m.pt"))
    for name, expected in content.items():
        assert torch.equal(found[name], expected)
        assert found[name].is_contiguous()
    for bomb in (torch.ones(1).expand(1000, 1000), torch.ones(2**15).expand(2**12, 2**15)):
        torch.save({"w": bomb}, tmp_path / "bomb.pt", _use_new_zipfile_serialization=is_new)
        with pytest.raises(Refusal, match="beyond its numbers"):
            values(read_torch_file(tmp_path / "bomb.pt"))


SIZE = b"K\x02K\x03\x86K\x03K\x01\x86"  # (2, 3), (3, 1)


@pytest.mark.parametrize(
    ("pickled", "problem"),
    [
        (tensor(b"K\x00" + SIZE), None),
        (tensor(b"K\x01" + SIZE), "beyond its numbers"),
        (tensor(b"J\xff\xff\xff\xff" + SIZE), "arguments that it does not take"),
        (tensor(b"K\x00K\x64K\x64\x86K\x00K\x00\x86"), "beyond its numbers"),
        (tensor(b"K\x00K\x00\x85K\x01\x85"), "beyond its numbers"),
        (tensor(b"K\x00K\x01\x85J\xff\xff\xff\x7f\x85"), "arguments that it does not take"),
        (tensor(b"K\x00" + SIZE, n_stored=b"K\x07"), "incomplete"),
        (tensor(b"K\x00" + SIZE, n_stored=b"X\x01\x00\x00\x006"), "cannot be read"),
        (tensor(b"K\x00" + SIZE, kind=b"QUInt8Storage"), "refers to 'torch.QUInt8Storage'"),
        (tensor(b"K\x00" + SIZE, kind=b"Tensor"), "a kind that is not supported: 'torch.Tensor'"),
        (tensor(b"K\x00K\x01"), "arguments that it does not take"),
    ],
)
def test_hostile_tensors(archive: Path, pickled: bytes, problem: str | None) -> None:
    rewrite(archive, data_pkl=pickled)
    if problem is None:
        assert torch.equal(values(read_torch_file(archive))["w"], CONTENT["float"])
    else:
        with pytest.raises(Refusal, match=problem):
            values(read_torch_file(archive))


@pytest.mark.parametrize(
    "deep",
    [b")" + b"\x85" * 100_000, b"]" + b"]a" * 1000, b"\x8b\x00\x10\x00\x00" + b"\x7f" * 4096],
)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"}X\x01\x00\x00\x00w", b"s."),  # anywhere
        (b"}", b"Ns."),  # as a key
        (b"ccollections\nOrderedDict\n]", b"N\x86a\x85R."),  # likewise
        (b"(X\x07\x00\x00\x00storage", b"X\x01\x00\x00\x000NK\x01tQ."),
        (b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\n", b"NK\x01tQ."),
    ],
)
def test_values_of_any_depth_and_size(
    archive: Path, before: bytes, deep: bytes, after: bytes
) -> None:
    """Tuples, lists and numbers that would break hashing, printing or comparing them."""
    rewrite(archive, data_pkl=b"\x80\x02" + before + deep + after)
    with contextlib.suppress(Refusal):
        read_torch_file(archive)


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"", b"text", np.random.default_rng(0).bytes(3000), b"\x80\x02N."):
        path.write_bytes(content)
        with pytest.raises(Refusal, match="is no file of torch.save"):
            read_torch_file(path)
    with pytest.raises(ModelFileError, match="cannot read .*absent: No such file"):
        read_torch_file(tmp_path / "absent")
