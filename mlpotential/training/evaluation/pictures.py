"""What pictures of an evaluation have in common in words."""

from __future__ import annotations

from mlpotential.properties import label_row
from mlpotential.training.evaluation.evaluate import Evaluation


def quantity_of(label: str) -> str:
    """What one number of a label is: `gap`, `force component`."""
    row = label_row(label)
    is_vector = row.per == "atom" or row.shape
    return f"{label.removesuffix('s')} component" if is_vector else label


def unit_of(evaluation: Evaluation, label: str) -> str:
    """The unit of a label as people write it."""
    return evaluation.units[label].replace("A", "Å")
