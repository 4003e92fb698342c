"""Functions of one number: activations, and fits of a bond."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlpotential.interpretation.network.activations import ActivationCurves
from mlpotential.interpretation.network.distance_basis import BasisFit
from mlpotential.training.pictures import COLORS, panels_beside

ORDERS = ("value", "first", "second")
TITLES = ("activation", "first derivative", "second derivative")


def activations_figure(curves: Sequence[ActivationCurves]) -> Figure:
    """A panel for the value and for each derivative, a line for each activation."""
    figure, panels = panels_beside(3, 3.2, 2.8)
    for ax, order, title in zip(panels, ORDERS, TITLES, strict=True):
        for k, curve in enumerate(curves):
            style = "-" if k == 0 else "--"
            ax.plot(curve.x, getattr(curve, order), style, color=COLORS[k], label=curve.name)
        ax.set_title(title, fontsize="small")
        ax.set_xlabel("x")
        ax.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False, fontsize="small")
    return figure


def plot_fit(fit: BasisFit, ax: Axes) -> Axes:
    """The curve and both regressions."""
    of_distance, of_gaussians = fit.errors
    ax.plot(fit.distances, fit.energies, color="0.6", linewidth=4.0, label="H$_2$ (Morse)")
    for values, name, error, color in (
        (fit.of_distance, "linear in r", of_distance, COLORS[1]),
        (fit.of_gaussians, f"linear in {fit.n_gaussians} Gaussians", of_gaussians, COLORS[0]),
    ):
        label = f"{name}, RMSE {1e3 * error:.2g} meV"
        ax.plot(fit.distances, values, color=color, linewidth=1.2, label=label)
    ax.set(xlabel="distance H–H (Å)", ylabel="energy (eV)")
    ax.legend(frameon=False, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    return ax
