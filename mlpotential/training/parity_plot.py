"""Predicted against reference values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlpotential.errors import RunError
from mlpotential.training.evaluate import Evaluation


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
    """Energies per atom and, where present, components of forces and dipoles, side by side.

    Raises:
        RunError: if the file cannot be written, or its ending names no kind of picture.
    """
    errors = evaluation.errors
    n_panels = 1 + sum(x is not None for x in (evaluation.forces, evaluation.dipoles))
    figure = Figure(figsize=(4.2 * n_panels, 4.0), layout="constrained")
    panels = figure.subplots(1, n_panels, squeeze=False)[0]
    assert errors.energy_per_atom_mae is not None
    energies = evaluation.energies - evaluation.energies[0].mean()
    plot_parity(energies, "energy - mean", "eV/atom", errors.energy_per_atom_mae, panels[0])
    if evaluation.forces is not None:
        assert errors.forces_mae is not None
        plot_parity(evaluation.forces, "force component", "eV/Å", errors.forces_mae, panels[1])
    if evaluation.dipoles is not None:
        assert errors.dipole_mae is not None
        plot_parity(evaluation.dipoles, "dipole component", "e Å", errors.dipole_mae, panels[-1])
    try:
        figure.savefig(path, dpi=200)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"cannot write the plot {path}: {reason}") from error
