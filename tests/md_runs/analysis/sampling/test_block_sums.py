"""Sums in blocks: arrays and streams agree, errors are those of blocks, bad input is refused."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose

from md_runs.analysis.sampling import block_sums
from md_runs.analysis.sampling.block_sums import sum_blocks, with_cells
from md_runs.analysis.sampling.uncertainty import block_average
from mlpotential.errors import ConfigError, DataError


def positions(n_frames: int = 97) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n_frames, 2, 3, 3))


def frame_means(chunk: np.ndarray) -> dict:
    """The mean coordinate of each frame, summed, and their number."""
    means = chunk.mean(axis=(1, 2, 3))
    return {"frames": len(chunk), "mean": means.sum(), "places": np.arange(1, len(chunk) + 1)}


def mean_of(source, n_blocks: int = 10):
    blocks = sum_blocks(frame_means, {"positions": source}, n_blocks, lambda shape: 18)
    return blocks, blocks.estimates(lambda sums: {"mean": sums["mean"] / sums["frames"]})["mean"]


def test_a_mean_has_the_error_of_its_blocks() -> None:
    frames = positions(100)
    blocks, found = mean_of(frames)
    expected = block_average(frames.mean(axis=(1, 2, 3)), 10)
    assert (blocks.n_blocks, blocks.n_frames, blocks.frame_shape) == (10, 100, (2, 3, 3))
    rounding = 1e-13 * np.abs(frames).max()
    assert found.value == pytest.approx(expected.value, abs=rounding)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=0.08)


@pytest.mark.parametrize("chunk_length", [1, 7, 40, 1000])
@pytest.mark.parametrize("n_frames", [20, 21, 97, 640])
def test_a_stream_gives_the_sums_of_the_array(chunk_length: int, n_frames: int) -> None:
    frames = positions(n_frames)
    chunks = (frames[k : k + chunk_length] for k in range(0, n_frames, chunk_length))
    blocks, found = mean_of(chunks)
    assert 10 <= blocks.n_blocks <= 20
    assert blocks.n_frames == n_frames
    lengths = blocks.sums["frames"]
    assert lengths.sum() == n_frames
    assert (lengths[:-1] == lengths[0]).all()
    assert lengths[-1] <= lengths[0]
    assert lengths[0] == 2 ** round(np.log2(lengths[0]))
    edges = np.concatenate([[0], np.cumsum(lengths)])
    means = frames.mean(axis=(1, 2, 3))
    sums = [means[a:b].sum() for a, b in itertools.pairwise(edges)]
    rounding = 1e-13 * np.abs(frames).max()
    assert_allclose(blocks.sums["mean"], sums, rtol=0, atol=lengths[0] * rounding)
    assert found.value == pytest.approx(means.mean(), abs=rounding)


def test_pieces_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = mean_of(positions())
    monkeypatch.setattr(block_sums, "VALUES_PER_PIECE", 5 * 18)
    blocks, pieces = mean_of(positions())
    assert pieces.value == pytest.approx(whole.value, abs=1e-13 * np.abs(positions()).max())
    assert pieces.standard_error == pytest.approx(whole.standard_error, rel=1e-12)
    assert blocks.sums["places"].shape == (10, 5)  # grew to the longest piece
    assert np.array_equal(np.unique(blocks.sums["places"][:, -1]), [5, 10])  # blocks of 9 and 10


def test_one_block_has_no_error_bar() -> None:
    _, found = mean_of(positions(1), n_blocks=1)
    assert np.isnan(found.standard_error)


def test_several_sources_come_together() -> None:
    frames, cells = positions(30), np.random.default_rng(1).normal(size=(30, 3, 3))

    def measure(chunk: np.ndarray, cell: np.ndarray) -> dict:
        return {"product": np.einsum("fbax,fxx->", chunk, cell)}

    sources, constant = with_cells(frames, cells)
    assert constant is None
    arrays = sum_blocks(measure, sources, 3, lambda shape: 1)
    streams, _ = with_cells(iter([frames[:11], frames[11:]]), iter([cells[:11], cells[11:]]))
    stream = sum_blocks(measure, streams, 3, lambda shape: 1)
    expected = np.einsum("fbax,fxx->", frames, cells)
    assert arrays.sums["product"].sum() == pytest.approx(expected)
    assert stream.sums["product"].sum() == pytest.approx(expected)
    alone, constant = with_cells(frames, np.eye(3))
    assert list(alone) == ["positions"]
    assert np.array_equal(constant, np.eye(3))


def test_what_cannot_be_summed_is_refused() -> None:
    frames = positions(8)
    with pytest.raises(DataError, match="8 frames cannot be divided into 10 blocks"):
        mean_of(frames)
    with pytest.raises(DataError, match="8 frames cannot be divided into 10 blocks"):
        mean_of(iter([frames]))
    with pytest.raises(ConfigError, match="n_blocks must be at least 1"):
        mean_of(frames, 0)
    with pytest.raises(DataError, match=r"\[n_frames, n_beads, n_atoms, 3\]"):
        mean_of(frames[:, 0])
    with pytest.raises(DataError, match=r"\[n_frames, n_beads, n_atoms, 3\]"):
        mean_of(iter([frames[:, 0]]))
    broken = frames.copy()
    broken[5, 0, 1] = np.inf
    with pytest.raises(DataError, match="frame 5 are not finite"):
        mean_of(iter([broken[:4], broken[4:]]), 2)
    with pytest.raises(DataError, match="shape"):
        mean_of(iter([frames, frames[:, :, :2]]), 2)
    with pytest.raises(DataError):
        mean_of(iter([]), 2)
    with pytest.raises(ConfigError, match="as arrays, or all as iterables"):
        sum_blocks(frame_means, {"positions": frames, "cells": [frames]}, 2, lambda shape: 1)
    with pytest.raises(DataError):
        sum_blocks(lambda a, b: {}, {"positions": frames, "forces": frames[:4]}, 2, lambda shape: 1)
    with pytest.raises(DataError):
        sum_blocks(
            lambda a, b: {}, {"positions": [frames] * 2, "forces": [frames]}, 2, lambda shape: 1
        )
