"""The structures that a model is asked about."""

from __future__ import annotations

import numpy as np

from mlpotential.data.read import read_structures
from mlpotential.data.reference_data import ReferenceData
from mlpotential.errors import StructureError
from mlpotential.settings_checks import check_count


def chosen_structures(
    path: str, length_unit: str | None, n_structures: int | None, seed: int
) -> ReferenceData:
    """Those of a file, or a random choice of them in the order of the file.

    Args:
        path, length_unit: as of `read_structures`.
        n_structures: how many; None, or as many as there are, for all.
        seed: of the choice.

    Raises:
        DataError: as `read_structures`.
    """
    data = read_structures(path, length_unit=length_unit)
    return data if n_structures is None else random_choice(data, n_structures, seed)


def random_choice(data: ReferenceData, n_structures: int, seed: int) -> ReferenceData:
    """So many structures in their order; all where there are no more."""
    check_count("n_structures", n_structures)
    if n_structures >= len(data):
        return data
    chosen = np.random.default_rng(seed).choice(len(data), n_structures, replace=False)
    return data.select(np.sort(chosen))


def require_molecules_only(data: ReferenceData, what: str) -> None:
    """Raises StructureError, which names it, for a periodic structure among them."""
    periodic = np.flatnonzero(data.arrays.is_periodic)
    if len(periodic):
        raise StructureError(
            f"{data.source}: {data.name_of(int(periodic[0]))} is periodic, and {what} are of "
            "molecules alone: remove it, or its cell"
        )
