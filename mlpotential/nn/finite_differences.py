"""Derivatives by differences, where there are no others or to check those that there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def five_point(function: Callable[[Any], Any], direction: Any, step: float) -> Any:
    """f'(0) along a direction, an array or tensor of any shape, to fourth order in the step."""
    near = function(step * direction) - function(-step * direction)
    far = function(2 * step * direction) - function(-2 * step * direction)
    return (8.0 * near - far) / (12.0 * step)
