"""Embeddings of elements on two principal components, and how alike they are."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlpotential.interpretation.network.embeddings import ElementEmbeddings
from mlpotential.training.pictures import panels_beside

# Of main groups 1 to 8; chosen: neighbours in the table are told apart.
GROUP_COLORS = (
    "#D55E00", "#E69F00", "#B8A800", "#009E73", "#56B4E9", "#0072B2", "#CC79A7", "#7F3C8D",
)  # fmt: skip
OTHER = "0.7"


def plot_elements(
    embeddings: ElementEmbeddings, coordinates: np.ndarray, explained: np.ndarray, ax: Axes
) -> Axes:
    """Symbols where embeddings lie; a thin line leads from light to heavy in each main group.

    Args:
        embeddings: of elements.
        coordinates: on two components, [n_elements, 2].
        explained: parts of the variance, [2].
        ax: where to draw.
    """
    groups = embeddings.main_groups
    for group in range(1, 9):
        own = coordinates[groups == group]
        color = GROUP_COLORS[group - 1]
        if len(own):
            ax.plot(*own.T, color=color, linewidth=0.9, alpha=0.6, label=f"group {group}")
    for symbol, group, (x, y) in zip(embeddings.symbols, groups, coordinates, strict=True):
        color = GROUP_COLORS[group - 1] if group else OTHER
        ax.text(
            x, y, symbol, color="white", ha="center", va="center", fontsize=7,
            bbox={"boxstyle": "circle,pad=0.25", "facecolor": color, "edgecolor": "none"},
        )  # fmt: skip
    ax.margins(0.12)
    _label_components(ax, explained)
    ax.legend(frameon=False, fontsize="x-small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax


def _label_components(ax: Axes, explained: np.ndarray) -> None:
    """Axes of principal components, with what they hold of the variance."""
    first, second = (f"component {k} ({part:.0%} of the variance)" for k, part in
                     enumerate(explained, start=1))  # fmt: skip
    ax.set(xlabel=first, ylabel=second)
    ax.spines[["top", "right"]].set_visible(False)


def plot_similarities(embeddings: ElementEmbeddings, ax: Axes) -> Axes:
    """Cosines of all pairs, group by group, blue for opposite and red for equal directions."""
    order = np.lexsort((embeddings.atomic_numbers, embeddings.main_groups))
    names = [embeddings.symbols[k] for k in order]
    image = ax.imshow(
        embeddings.similarities[np.ix_(order, order)], cmap="RdBu_r", vmin=-1.0, vmax=1.0
    )
    ax.figure.colorbar(image, ax=ax, shrink=0.8).set_label("cosine similarity")
    size = 8 if len(names) <= 20 else 4
    ax.set_xticks(range(len(names)), names, fontsize=size)
    ax.set_yticks(range(len(names)), names, fontsize=size)
    return ax


def embeddings_figure(
    embeddings: ElementEmbeddings, coordinates: np.ndarray, explained: np.ndarray
) -> Figure:
    """Both panels; arguments as of `plot_elements`."""
    figure, (left, right) = panels_beside(2, 5.4, 4.2)
    plot_elements(embeddings, coordinates, explained, left)
    plot_similarities(embeddings, right)
    return figure
