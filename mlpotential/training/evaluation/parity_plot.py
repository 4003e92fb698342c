"""Predicted against reference values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from mlpotential.errors import DataError
from mlpotential.training.evaluation.evaluate import Evaluation
from mlpotential.training.evaluation.pictures import quantity_of, unit_of
from mlpotential.training.pictures import panels_beside, save_picture


def plot_parity(values: np.ndarray, label: str, unit: str, mae: float, ax: Axes) -> Axes:
    """Reference on the x axis, prediction on the y axis.

    Args:
        values: reference and predicted, [2, n_values].
        label: name of the quantity.
        unit: for the axes.
        mae: mean absolute error, shown in thousandths of the unit.
        ax: where to draw.
    """
    low, high = float(values.min()), float(values.max())
    margin = 0.03 * (high - low or 1.0)
    limits = (low - margin, high + margin)
    ax.plot(limits, limits, color="0.7", linewidth=1.0, zorder=1)
    ax.scatter(values[0], values[1], s=3, linewidths=0, alpha=0.4, color="#0072B2", rasterized=True)
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    ax.set_xlabel(f"reference {label} ({unit})")
    ax.set_ylabel(f"predicted {label} ({unit})")
    ax.text(0.05, 0.95, f"MAE {1e3 * mae:.3g} m{unit}", transform=ax.transAxes, va="top")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def save_parity_plot(evaluation: Evaluation, path: str | Path) -> None:
    """Energies per atom and components of the other labels that were compared, side by side.

    Raises:
        DataError: if none was, in any structure.
        RunError: if the file cannot be written, or its ending names no kind of picture.
    """
    compared = {name: values for name, values in evaluation.values.items() if values.size}
    if not compared:
        raise DataError("there is nothing to draw: all labels have the weight 0")
    figure, panels = panels_beside(len(compared), 4.2, 4.0)
    for (name, values), panel in zip(compared.items(), panels, strict=True):
        unit = unit_of(evaluation, name)
        if name == "energy":
            mae = evaluation.errors.energy_per_atom_mae
            values, quantity, unit = values - values[0].mean(), "energy - mean", f"{unit}/atom"
        else:
            mae, _ = evaluation.errors.pair(name)
            quantity = quantity_of(name)
        assert mae is not None
        plot_parity(values, quantity, unit, mae, panel)
    save_picture(figure, path)
