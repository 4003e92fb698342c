"""The most stable rings of a set, each in its molecule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from mlpotential.interpretation.figures.molecules import plot_molecule
from mlpotential.interpretation.projection import FlatMolecule

MOST_BESIDE = 5


def rings_figure(
    rows: Sequence[tuple[str, Sequence[tuple[FlatMolecule, np.ndarray, str]]]],
) -> Figure:
    """Molecules seen along the normals of their rings, whose atoms have a wide rim.

    Args:
        rows: of each group of models its name and, ranked, the molecule, the atoms of the ring and
            a caption.
    """
    n_beside = min(MOST_BESIDE, max(len(row) for _, row in rows))
    n_lines = [-(-len(row) // n_beside) for _, row in rows]
    figure = Figure(figsize=(2.1 * n_beside, 2.1 * sum(n_lines)), layout="constrained")
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=n_lines)[:, 0]
    for part, (name, row), n in zip(parts, rows, n_lines, strict=True):
        part.suptitle(name, fontsize="small")
        panels = part.subplots(n, n_beside, squeeze=False).reshape(-1)
        for panel in panels:
            panel.set_axis_off()
        for panel, (molecule, atoms, caption) in zip(panels, row, strict=False):
            plot_molecule(molecule, panel, highlighted=atoms)
            panel.set_title(caption, fontsize=6)
    return figure
