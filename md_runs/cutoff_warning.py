"""A warning of models whose forces jump where atoms cross the cutoff."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlpotential.models.potential import ModelTraits


def warn_of_hard_cutoff(traits: ModelTraits | None, stacklevel: int = 3) -> None:
    """Warns unless the model is smooth at its cutoff, or its traits are unknown.

    Args:
        traits: of the model; None for a calculator that states none.
        stacklevel: who is named, as of `warnings.warn`; by default the caller's caller.
    """
    if traits is not None and not traits.smooth_at_cutoff:
        warnings.warn(
            "the model has a hard cutoff: its forces jump where atoms cross it, so that dynamics "
            "does not conserve the energy. Train a model with a cosine cutoff for dynamics",
            stacklevel=stacklevel,
        )
