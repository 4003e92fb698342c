"""The comment line of extended XYZ: `key=value` pairs, read as ASE reads them, but strictly.

A key that stands twice with different values, numbers that only Python takes for numbers (`1_4`)
and JSON of a depth that nobody writes are refused. `Lattice`, `Properties` and `pbc` are known in
any letter case, as GPUMD writes them.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

_CLOSING = {"'": "'", '"': '"', "{": "}", "[": "]"}
_SPELLINGS = {"lattice": "Lattice", "properties": "Properties", "pbc": "pbc"}
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf(inity)?)", re.I
)
_TRUTH = {"T": True, "F": False} | {
    spelling: value
    for value in (True, False)
    for spelling in (f"{value}", f"{value}".lower(), f"{value}".upper())
}


def is_number(text: str) -> bool:
    """Whether a word is a decimal number, or one that is not finite, in plain digits."""
    return _NUMBER.fullmatch(text) is not None


def parse_comment(comment: str) -> dict[str, Any]:
    """The values by their keys; a key without a value is True.

    Numbers, truth values and rows of them are converted, `_JSON ...` is decoded; `Lattice` becomes
    [3, 3] with vectors as rows.

    Raises:
        ValueError: saying what is wrong.
    """
    texts: dict[str, str] = {}
    for key, text in _split(comment):
        key = _SPELLINGS.get(key.lower(), key)
        if texts.setdefault(key, text) != text:
            raise ValueError(f"{key!r} stands twice, with {texts[key][:60]!r} and {text[:60]!r}")
    values = {key: _value(text) for key, text in texts.items() if key != "Properties"}
    if "Properties" in texts:
        values["Properties"] = texts["Properties"]
    if "Lattice" in values:
        lattice = values["Lattice"]
        if not isinstance(lattice, np.ndarray) or lattice.shape != (9,):
            raise ValueError(f"Lattice should be nine numbers, not {texts['Lattice'][:60]!r}")
        values["Lattice"] = lattice.reshape(3, 3).astype(np.float64)
    return values


def _split(comment: str) -> list[tuple[str, str]]:
    """Keys and values without their quotes; a backslash takes the next character as it is."""
    pairs: list[list[str]] = [[""]]  # each a key and, behind the first `=`, a value
    closing: str | None = None
    escaped = waiting = False  # waiting: for a value, which may stand apart from its `=`
    for char in comment.strip():
        if not escaped and closing is None and char.isspace():
            if not waiting and pairs[-1] != [""]:
                pairs.append([""])
        elif not escaped and closing is None and char == "=":
            if pairs[-1] == [""] and len(pairs) > 1:
                pairs.pop()
            waiting = len(pairs[-1]) == 1
            pairs[-1].append("")
        else:
            waiting = False
            if escaped:
                pairs[-1][-1] += char
                escaped = False
            elif char == "\\":
                escaped = True
            elif closing is None and char in _CLOSING:
                closing = _CLOSING[char]
            elif char == closing:
                closing = None
            else:
                pairs[-1][-1] += char
    return [(key, "=".join(parts) if parts else "T") for key, *parts in pairs if key or parts]


def _value(text: str) -> Any:
    words = re.findall(r"[^\s,]+", text)
    if text.startswith("_JSON "):
        return _decoded(text.removeprefix("_JSON "))
    if words and all(map(_INTEGER.fullmatch, words)) and max(map(len, words)) < 18:
        numbers = np.array(words, np.int64)
    elif words and all(map(is_number, words)):
        numbers = np.array(words, np.float64)
    elif words and all(word in _TRUTH for word in words):
        return [_TRUTH[word] for word in words] if len(words) > 1 else _TRUTH[words[0]]
    else:
        return text
    return numbers if len(numbers) > 1 else numbers[0]


def _decoded(text: str) -> Any:
    try:
        decoded = json.loads(text)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    try:
        array = np.asarray(decoded)
    except ValueError:  # rows of different lengths
        return decoded
    return array if array.dtype.kind in "ifb" else decoded
