"""Reproducible random splits into training, validation and test set."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlpotential.errors import DataError

if TYPE_CHECKING:
    from mlpotential.data.reference_data import ReferenceData


@dataclass(frozen=True)
class Split:
    """Indices of the frames of each set, in random order (a shorter set is a prefix)."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]

    def as_lists(self) -> dict[str, list[int]]:
        """Plain lists, for a model file."""
        return {name: list(indices) for name, indices in asdict(self).items()}


def random_split(
    n_frames: int, n_train: int, n_validation: int, n_test: int | None = None, *, seed: int
) -> Split:
    """Draws disjoint sets.

    The frames are sorted by 64-bit numbers from NumPy's PCG64(seed), whose raw stream never changes
    between versions (that of `Generator.permutation` may).

    Args:
        n_frames: size of the whole set.
        n_train: size of the training set, at least 1.
        n_validation: size of the validation set.
        n_test: size of the test set; None for all that is left.
        seed: whole number, not negative.

    Raises:
        DataError: if a size is negative or the sets are larger than the whole.
    """
    sizes = {"train": n_train, "validation": n_validation, "test": n_test or 0}
    for name, size in sizes.items():
        if size < (1 if name == "train" else 0):
            raise DataError(f"the size of the {name} set must not be {size}")
    if sum(sizes.values()) > n_frames:
        wanted = " + ".join(f"{size} for {name}" for name, size in sizes.items())
        raise DataError(f"{wanted} is more than the {n_frames} frames there are")
    keys = np.random.PCG64(seed).random_raw(n_frames)
    order = np.argsort(keys, kind="stable").tolist()
    first_test = n_train + n_validation
    end = n_frames if n_test is None else first_test + n_test
    return Split(
        tuple(order[:n_train]), tuple(order[n_train:first_test]), tuple(order[first_test:end])
    )


def check_no_overlap(train: ReferenceData, *held_out: ReferenceData) -> None:
    """Refuses validation or test sets that share structures with the training set.

    What is the same is said in `data.same_structures`: moved, turned, or by other images, too.

    Raises:
        DataError: naming the first such pair of frames.
    """
    for data, first in zip(held_out, _first_in_training(train, *held_out), strict=True):
        shared = np.flatnonzero(first >= 0)
        if len(shared):
            k = int(shared[0])
            raise DataError(
                f"{len(shared)} of {len(data)} held-out structures are also in the training set; "
                f"the first is {data.name_of(k)} of {data.source}, which is "
                f"{train.name_of(int(first[k]))} of {train.source}: remove the duplicates, "
                "or leave them out of the held-out sets with data.drop_repeats: true"
            )


def without_repeats(train: ReferenceData, *held_out: ReferenceData) -> list[ReferenceData]:
    """The held-out sets without structures that are also in the training set."""
    found = _first_in_training(train, *held_out)
    return [
        data.select(np.flatnonzero(first < 0)) if (first >= 0).any() else data
        for data, first in zip(held_out, found, strict=True)
    ]


def _first_in_training(train: ReferenceData, *held_out: ReferenceData) -> list[np.ndarray]:
    """For each held-out structure the first of `train` that is the same, -1 where none is."""
    from mlpotential.data.same_structures import first_occurrences  # torch comes with it
    from mlpotential.data.structure_arrays import StructureArrays

    first = first_occurrences(StructureArrays.joined([d.arrays for d in (train, *held_out)]))
    ends = np.cumsum([len(data) for data in (train, *held_out)])
    of_each = np.split(first, ends[:-1])[1:]
    return [np.where(found < len(train), found, -1) for found in of_each]
