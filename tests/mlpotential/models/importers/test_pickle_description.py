"""Pickles are described, never run: what is not expected in them ends the reading."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlpotential.models.importers.numpy_arguments import read_arguments
from mlpotential.models.importers.pickle_description import Expected, Made, Name, describe_pickle
from mlpotential.models.importers.refusal import Refusal

PLAIN = {
    "numbers": [0, -1, 255, 256, -(2**31), 2**31, 2**70, 0.1, float("inf"), True, False, None],
    "text": "Å",
    "bytes": b"\x00\xff" * 300,
    1: (),
    (2.5): ((1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    None: {"nested": [{}, []]},
}


def describe(content: bytes, expected: Expected = Expected()) -> Any:  # noqa: B008 - frozen
    return describe_pickle(io.BytesIO(content), expected)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_values(protocol: int) -> None:
    assert describe(pickle.dumps(PLAIN, protocol)) == PLAIN


def test_protocol_2_without_bytes() -> None:
    plain = {k: v for k, v in PLAIN.items() if k != "bytes"}
    assert describe(pickle.dumps(plain, 2)) == plain


def test_shared_values_stay_shared() -> None:
    shared = [1]
    first, second = describe(pickle.dumps([shared, shared]))
    assert first is second


class Thing:
    """Its objects are described, and its methods never called."""

    def __init__(self) -> None:
        self.size = 3

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise AssertionError("it was called")


@pytest.mark.parametrize("protocol", [2, 4])
def test_objects(protocol: int) -> None:
    made = describe(pickle.dumps(Thing(), protocol), Expected(packages=(__name__,)))
    assert isinstance(made, Made)
    assert made.factory == Name(__name__, "Thing")
    assert (made.arguments, made.state) == ((), {"size": 3})


def test_calls_of_the_reader() -> None:
    """A function runs only if the reader brings it; one that is None is only written down."""
    content = pickle.dumps([OrderedDict(a=1), functools.partial(print, 2)])
    functions = {"collections.OrderedDict": dict, "functools.partial": None, "builtins.print": None}
    ordered, partial = describe(content, Expected(functions))
    assert ordered == {"a": 1}
    assert (str(partial.factory), partial.arguments) == (
        "functools.partial",
        (Name("builtins", "print"),),
    )


class Bomb:
    """Runs a command when unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.function, self.arguments


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_bombs_do_not_go_off(tmp_path: Path, protocol: int) -> None:
    crater = tmp_path / "crater"
    touch = f"__import__('pathlib').Path({str(crater)!r}).touch()"
    for function, argument in ((os.system, f"touch {crater}"), (eval, touch)):
        content = pickle.dumps({"weights": Bomb(function, argument)}, protocol)
        with pytest.raises(
            Refusal, match=r"refers to '(posix\.system|.*\.eval)', which is refused"
        ):
            describe(content, Expected(packages=("torch.nn", "schnetpack")))
        assert not crater.exists()
    pickle.loads(content)  # the bomb is a real one
    assert crater.exists()


def test_functions_of_expected_packages_are_not_called() -> None:
    """`torch.nn` may be mentioned and its objects described, but a call needs more."""
    content = pickle.dumps(Bomb(np.load, "file"), 2)
    module = np.load.__module__
    with pytest.raises(Refusal, match=r"calls 'numpy.*load', which is refused"):
        describe(content, Expected(packages=(module,)))
    with pytest.raises(Refusal, match="makes a 'os.path', which is refused"):
        describe(b"\x80\x02cos\npath\n)\x81.", Expected({"os.path": None}))


def number(value: int) -> bytes:
    return struct.pack("<I", value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "exhausted"),
        (b"plain text", "no newline"),
        (b"\x80\x02}q\x00X" + number(2**31) + b"abc", "expected 2147483648 bytes"),
        (pickle.dumps(PLAIN)[:-1], "exhausted"),
        (pickle.dumps([1], 0), "instruction"),
        (b"\x80\x02.", "does not end with one value"),
        (b"\x80\x02NN.", "does not end with one value"),
        (b"\x80\x02(N.", "does not end with one value"),
        (b"\x80\x02a.", "more values than it made"),
        (b"\x80\x02Nu.", "no mark"),
        (b"\x80\x02h\x05.", "before it is made"),
        (b"\x80\x02Nr" + number(2**32 - 1) + b"j" + number(7) + b".", "before it is made"),
        (b"\x80\x02NNa.", "no list"),
        (b"\x80\x02}]Ns.", "keys that are not plain: list"),
        (b"\x80\x02NNNs.", "no dictionary"),
        (b"\x80\x02}(Nu.", "no dictionary"),
        (b"\x80\x02NNR.", "no name"),
        (b"\x80\x02NNb.", "has none: NoneType"),
        (b"\x80\x02NQ.", "outside its pickle"),
        (b"\x80\x02NP1\n.", "instruction"),
        (b"\x80\x04NN\x93.", "no text"),
        (b"\x80\x02\x82\x01.", "instruction EXT1"),
        (b"\x80\x02c__main__\nevil\x1b[2J\n.", r"'__main__.evil\\x1b\[2J'"),
        (b"\x80\x02c" + b"a" * 5000 + b"\nb\n.", r"a\.\.\.', which is refused"),
    ],
)
def test_damaged_and_hostile_pickles(content: bytes, problem: str) -> None:
    with pytest.raises(Refusal, match=problem) as caught:
        describe(content)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_every_truncation_is_noticed() -> None:
    content = pickle.dumps(PLAIN)
    for length in range(len(content)):
        with pytest.raises(Refusal):
            describe(content[:length])


def test_random_bytes_are_refused_or_plain() -> None:
    """Whatever comes: a refusal, or values; never another error."""
    random = np.random.default_rng(0)
    original = bytearray(pickle.dumps(PLAIN, 4))
    for _ in range(2000):
        content = bytearray(original)
        for place in random.integers(0, len(content), 3):
            content[place] = random.integers(256)
        with contextlib.suppress(Refusal):
            describe(bytes(content))


def test_arguments_of_a_training(tmp_path: Path) -> None:
    import argparse

    path = tmp_path / "args.npy"
    with open(path, "wb") as handle:
        np.save(handle, argparse.Namespace(cutoff=20.0, intensive=False))  # type: ignore[arg-type]
    assert read_arguments(path) == {"cutoff": 20.0, "intensive": False}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (np.zeros(3), "no pickle"),
        ([1, 2], "no arguments"),
        (Bomb(os.system, "touch crater"), "refers to 'posix.system'"),
    ],
)
def test_other_arrays(tmp_path: Path, value: Any, problem: str) -> None:
    path = tmp_path / "args.npy"
    array = value if isinstance(value, np.ndarray) else np.array(value, dtype=object)
    with open(path, "wb") as handle:
        np.save(handle, array)
    with pytest.raises(Refusal, match=problem):
        read_arguments(path)


def test_no_array(tmp_path: Path) -> None:
    (tmp_path / "args.npy").write_bytes(b"{}")
    with pytest.raises(Refusal, match="args.npy that cannot be read"):
        read_arguments(tmp_path / "args.npy")
