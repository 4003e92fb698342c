"""How many predictions are how wrong, on logarithmic axes.

K. T. Schuett, H. E. Sauceda, P.-J. Kindermans, A. Tkatchenko and K.-R. Mueller, J. Chem. Phys. 148,
241722 (2018), doi:10.1063/1.5019779, Figs. 9 and 10: a mean hides that few structures have errors
of ten times the median.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from mlpotential.errors import DataError
from mlpotential.training.evaluation.evaluate import Evaluation
from mlpotential.training.evaluation.pictures import quantity_of, unit_of
from mlpotential.training.pictures import panels_beside, save_picture

BINS_PER_DECADE = 10  # chosen
SMALLEST_SHOWN = 1e-6  # of the largest error; chosen: smaller ones are counted in the legend


@dataclass(frozen=True)
class AbsoluteErrors:
    """Of one label.

    Attributes:
        values: one for each number of the label, [n_numbers].
        quantity: what they are of.
        unit: theirs.
    """

    values: np.ndarray
    quantity: str
    unit: str

    @property
    def mean(self) -> float:
        """Mean absolute error."""
        return float(self.values.mean())

    def percentile(self, percent: float) -> float:
        """The error that this part of all errors does not exceed."""
        return float(np.percentile(self.values, percent))


def absolute_errors(
    evaluation: Evaluation, label: str, per_atom: bool | None = None
) -> AbsoluteErrors:
    """Of the numbers of a label: a scalar of each structure, components of vectors and tensors.

    Args:
        evaluation: with them.
        label: of them.
        per_atom: whether energies are divided by the number of atoms; None for total ones where no
            structure has a cell, and per atom otherwise, as in the paper.

    Raises:
        DataError: if the label was not compared in any structure, or a prediction is not finite.
    """
    if label not in evaluation.values or not evaluation.values[label].size:
        raise DataError(f"there are no errors of {label}: it was not compared in any structure")
    reference, predicted = evaluation.values[label]
    values, unit = np.abs(predicted - reference), unit_of(evaluation, label)
    if n_wrong := int((~np.isfinite(values)).sum()):
        raise DataError(f"{n_wrong} of {len(values)} predictions of {label} are not finite")
    if label != "energy":
        return AbsoluteErrors(values, quantity_of(label), unit)
    if evaluation.has_cells if per_atom is None else per_atom:
        return AbsoluteErrors(values, "energy per atom", f"{unit}/atom")
    return AbsoluteErrors(values * evaluation.n_atoms, "total energy", unit)


def plot_error_histogram(errors: AbsoluteErrors, ax: Axes) -> Axes:
    """Counts over absolute errors, both logarithmic, with mean, median and 95th percentile.

    Args:
        errors: of a label (`absolute_errors`).
        ax: where to draw.
    """
    largest = float(errors.values.max())
    ax.set_title(f"{errors.quantity}, {len(errors.values)} values", fontsize="medium")
    ax.set_xlabel(f"absolute error ({errors.unit})")
    ax.set_ylabel("count")
    ax.spines[["top", "right"]].set_visible(False)
    if largest == 0.0:
        ax.text(0.5, 0.5, "all errors are 0", transform=ax.transAxes, ha="center")
        return ax
    shown = errors.values[errors.values >= SMALLEST_SHOWN * largest]
    edges = _edges(float(shown.min()), largest)
    ax.hist(shown, edges.tolist(), color="#56B4E9", edgecolor="white", linewidth=0.3)
    if n_smaller := len(errors.values) - len(shown):
        ax.plot([], [], " ", label=f"not shown: {n_smaller} below {SMALLEST_SHOWN * largest:.1g}")
    lines = {
        "MAE": (errors.mean, "#D55E00", "-"),
        "median": (errors.percentile(50), "#0072B2", "--"),
        "95th percentile": (errors.percentile(95), "#000000", ":"),
    }
    for name, (value, color, style) in lines.items():
        label = f"{name} {value:.3g} {errors.unit}"
        ax.axvline(max(value, edges[0]), color=color, linestyle=style, linewidth=1.3, label=label)
    ax.set(xscale="log", yscale="log")
    ax.set_ylim(bottom=0.7)  # a single one is seen
    ax.legend(frameon=False, fontsize="small", loc="lower center", bbox_to_anchor=(0.5, 1.08))
    return ax


def _edges(low: float, high: float) -> np.ndarray:
    """Of bins, equal on a logarithmic axis, from one error to another."""
    if low == high:
        return high * np.array([0.9, 1.1])
    edges = np.geomspace(low, high, 1 + int(np.ceil(np.log10(high / low) * BINS_PER_DECADE)))
    edges[[0, -1]] = low, high  # whatever was rounded
    return edges


def save_error_histograms(evaluation: Evaluation, path: str | Path) -> None:
    """Of all labels that were compared, side by side.

    Raises:
        DataError: if none was, in any structure.
        RunError: if the file cannot be written, or its ending names no kind of picture.
    """
    labels = [name for name, values in evaluation.values.items() if values.size]
    if not labels:
        raise DataError("there are no errors to draw: all labels have the weight 0")
    figure, panels = panels_beside(len(labels), 4.2, 4.4)
    for label, panel in zip(labels, panels, strict=True):
        plot_error_histogram(absolute_errors(evaluation, label), panel)
    save_picture(figure, path)
