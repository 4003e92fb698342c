"""Colours of fields: one scale for all panels of a picture, so that these can be compared."""

from __future__ import annotations

import numpy as np

from mlpotential.interpretation.fields.maps import Quantity

OUTSIDE = 0.5  # percent; chosen: extremes near nuclei do not take the colours of everything else
ATOM_EDGE = "#222222"


def color_limits(values: np.ndarray, quantity: Quantity, outside: float = OUTSIDE) -> tuple:
    """Lowest and highest value of a scale; symmetric about zero where that means something."""
    low, high = np.percentile(values[np.isfinite(values)], [outside, 100.0 - outside])
    if quantity.has_sign:
        high = max(abs(low), abs(high))
        low = -high
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # a constant field
        low, high = low - 1e-6, high + 1e-6
    return float(low), float(high)


def color_map(quantity: Quantity) -> str:
    """Name of the scale of matplotlib: red is negative where the sign means something."""
    return "RdBu" if quantity.has_sign else "viridis"
