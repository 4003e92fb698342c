"""`scaling.data` and `weights.ZZZ.data` of RuNNer and n2p2.

A weights file has a number a line, or a number and where it belongs; for each layer first all
weights, number (input neuron, output neuron) with the latter running fastest, then the biases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from mlpotential.models.importers.refusal import Refusal, shown

SCALING_NAME = "scaling.data"
COLUMNS = ("lowest", "highest", "mean", "sigma")
MOST_BYTES = 200_000_000  # chosen: far beyond any of these files


def weights_name(element: int) -> str:
    """Of the file of an element."""
    return f"weights.{element:03d}.data"


def read_text(folder: Path, name: str) -> str:
    """A file of the folder. Raises Refusal where it is missing, cut off, or no text."""
    try:
        with (folder / name).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise Refusal(f"lacks {name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refusal(f"holds a {name} that is no text") from None
    if len(content) > MOST_BYTES:
        raise Refusal(f"holds a {name} of more than {MOST_BYTES} bytes")
    if not text.endswith("\n"):
        raise Refusal(f"holds a {name} whose last line does not end: it is truncated, or empty")
    return text


def read_scaling(text: str, counts: Sequence[int], with_sigma: bool) -> dict[str, np.ndarray]:
    """Columns of `scaling.data`, each [n_elements, most functions], 0, 1, 0, 1 where there is none.

    Args:
        text: of the file.
        counts: symmetry functions of each element, by atomic number.
        with_sigma: whether the last column is needed, which old files lack.

    Raises:
        Refusal: if it is not of these functions, or truncated.
    """
    columns = {
        name: np.full((len(counts), max(counts)), value)
        for name, value in zip(COLUMNS, (0.0, 1.0, 0.0, 1.0), strict=True)
    }
    rows = _rows(text)
    if rows and len(rows[-1]) == 2:  # RuNNer ends with least and largest energy
        rows.pop()
    expected = [(k, n) for k, count in enumerate(counts, 1) for n in range(1, count + 1)]
    if len(rows) != len(expected):
        raise Refusal(
            f"has {len(rows)} symmetry functions in {SCALING_NAME}, but {len(expected)} in "
            "input.nn: it is truncated, or of another potential"
        )
    for row, (element, number) in zip(rows, expected, strict=True):
        values = _numbers(row, SCALING_NAME)
        if row[:2] != [str(element), str(number)] or len(row) not in (5, 6):
            raise Refusal(
                f"has a line in {SCALING_NAME} that is not of function {number} of element "
                f"{element}: {shown(' '.join(row))}"
            )
        if len(row) == 5 and with_sigma:
            raise Refusal(f"is scaled by sigma, which {SCALING_NAME} has not")
        for name, value in zip(COLUMNS, values[2:], strict=False):
            columns[name][element - 1, number - 1] = value
    return columns


def read_weights(text: str, name: str, sizes: Sequence[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weights [n_out, n_in] and biases [n_out] of each layer.

    Args:
        text: of the file.
        name: of the file, for messages.
        sizes: neurons of all layers, inputs and output included.

    Raises:
        Refusal: if it holds another number of them, or something else.
    """
    rows = _rows(text)
    n_needed = sum((n + 1) * m for n, m in pairwise(sizes))
    if len(rows) != n_needed:
        raise Refusal(
            f"has {len(rows)} weights and biases in {name}, but a network of "
            f"{'-'.join(map(str, sizes))} neurons needs {n_needed}: it is truncated, or of another "
            "potential"
        )
    values = np.array([_numbers(row[:1], name)[0] for row in rows])
    layers, start = [], 0
    for n_in, n_out in pairwise(sizes):
        end = start + n_in * n_out
        layers.append((values[start:end].reshape(n_in, n_out).T, values[end : end + n_out]))
        start = end + n_out
    return layers


def scaling_text(columns: Mapping[str, np.ndarray], counts: Sequence[int]) -> str:
    """`scaling.data`, every digit kept."""
    lines = ["# e_index sf_index sf_min sf_max sf_mean sf_sigma"]
    for k, count in enumerate(counts):
        for n in range(count):
            values = " ".join(f"{columns[name][k, n]:24.16E}" for name in COLUMNS)
            lines.append(f"{k + 1:10d} {n + 1:10d} {values}")
    return "\n".join(lines) + "\n"


def weights_text(layers: Sequence[tuple[np.ndarray, np.ndarray]]) -> str:
    """A weights file, every digit kept."""
    lines = ["# connection t index l_s n_s l_e n_e"]
    number = 0
    for k, (weights, biases) in enumerate(layers):
        for (start, end), value in np.ndenumerate(weights.T):
            number += 1
            place = f"a {number:9d} {k:5d} {start + 1:5d} {k + 1:5d} {end + 1:5d}"
            lines.append(f"{value:24.16E} {place}")
        for end, value in enumerate(biases):
            number += 1
            lines.append(f"{value:24.16E} b {number:9d} {k + 1:5d} {end + 1:5d}")
    return "\n".join(lines) + "\n"


def _rows(text: str) -> list[list[str]]:
    """Words of each line that is no comment."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [words for words in lines if words]


def _numbers(words: Sequence[str], name: str) -> list[float]:
    """Finite ones. Raises Refusal where a word is none."""
    values = []
    for word in words:
        try:
            values.append(float(word))
        except ValueError:
            raise Refusal(f"has something in {name} that is no number: {shown(word)}") from None
        if not np.isfinite(values[-1]):
            raise Refusal(f"has numbers in {name} that are not finite: {shown(word)}")
    return values
