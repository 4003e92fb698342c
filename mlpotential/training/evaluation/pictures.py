"""What pictures of an evaluation have in common: words for quantities, and how they are saved."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from mlpotential.errors import RunError
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


def save_picture(figure: Figure, path: str | Path) -> None:
    """Raises RunError if the file cannot be written, or its ending names no kind of picture."""
    try:
        figure.savefig(path, dpi=200)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"cannot write the plot {path}: {reason}") from error
