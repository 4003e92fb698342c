"""Random splits: disjoint, reproducible for ever, and never sharing structures."""

from __future__ import annotations

import numpy as np
import pytest

from mlpotential.data.reference_data import ReferenceData
from mlpotential.data.splits import check_no_overlap, random_split
from mlpotential.errors import DataError
from mlpotential.graph import AtomGraph


def test_sets_are_disjoint_and_complete() -> None:
    split = random_split(100, 60, 15, seed=1)
    assert [len(split.train), len(split.validation), len(split.test)] == [60, 15, 25]
    assert sorted(split.train + split.validation + split.test) == list(range(100))
    assert len(random_split(100, 60, 15, 5, seed=1).test) == 5
    assert random_split(100, 60, 15, 0, seed=1).test == ()


def test_the_same_seed_gives_the_same_split_for_ever() -> None:
    """The numbers follow from PCG64's raw stream, which NumPy guarantees not to change."""
    split = random_split(10, 5, 2, seed=2018)
    assert split == random_split(10, 5, 2, seed=2018)
    assert split != random_split(10, 5, 2, seed=2019)
    assert split.train + split.validation + split.test == (4, 1, 5, 8, 0, 7, 9, 2, 6, 3)


def test_a_smaller_training_set_is_a_prefix() -> None:
    assert random_split(50, 10, 5, seed=7).train == random_split(50, 20, 5, seed=7).train[:10]


def test_every_frame_is_equally_likely_to_be_trained_on() -> None:
    counts = np.zeros(10)
    for seed in range(2000):
        counts[list(random_split(10, 5, 0, seed=seed).train)] += 1
    # Binomial(2000, 1/2): standard deviation 22.4.
    assert np.abs(counts - 1000).max() < 4 * 22.4


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((8, 2, 1), r"8 for train \+ 2 for validation \+ 1 for test is more than the 10 frames"),
        ((11, 0), "11 for train .* is more than the 10 frames there are"),
        ((0, 1), "size of the train set must not be 0"),
        ((5, -1), "size of the validation set must not be -1"),
        ((5, 1, -2), "size of the test set must not be -2"),
    ],
)
def test_impossible_sizes(sizes: tuple[int, ...], message: str) -> None:
    """Fault 45: a split larger than the set."""
    with pytest.raises(DataError, match=message):
        random_split(10, *sizes, seed=0)


def water(shift: float = 0.0, cell: float | None = None) -> AtomGraph:
    positions = np.array([[0.0, 0.0, 0.0], [0.96, 0.0, 0.0], [-0.24, 0.93, shift]])
    if cell is None:
        return AtomGraph.from_arrays([8, 1, 1], positions)
    return AtomGraph.from_arrays([8, 1, 1], positions, cell * np.eye(3), True)


def test_shared_structures_are_refused() -> None:
    """Fault 42. Also when one file has fewer digits than the other."""
    train = ReferenceData((water(0.1), water(0.2), water(0.3)), "train.xyz")
    for twin in (0.2, 0.2 + 1e-9, 0.2 - 1e-9):
        test = ReferenceData((water(0.4), water(twin)), "test.xyz")
        message = (
            r"1 of 2 held-out structures are also in the training set; the first is frame 1 of "
            r"test.xyz, which is frame 1 of train.xyz"
        )
        with pytest.raises(DataError, match=message):
            check_no_overlap(train, test)


def test_different_structures_pass() -> None:
    train = ReferenceData((water(0.1), water(0.2, cell=8.0)), "train")
    heavier = AtomGraph.from_arrays([16, 1, 1], water(0.1).positions.numpy())
    for other in (water(0.1 + 1e-4), water(0.2), water(0.2, cell=8.1), heavier):
        check_no_overlap(train, ReferenceData((other,), "test"))
