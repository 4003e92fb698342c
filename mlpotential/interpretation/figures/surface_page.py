"""Fields on a surface as a page that turns in a browser, without a network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.data.colors import jmol_colors

from mlpotential.errors import ConfigError
from mlpotential.interpretation.fields.maps import SurfaceMap, bonds_of
from mlpotential.interpretation.figures.colors import color_limits, color_map
from mlpotential.run_folder import write_atomically

SCALES = {"RdBu": "RdBu", "viridis": "Viridis"}  # of plotly
BAR_SHARE = 0.1  # of the width of the page
LETTERS = {r"\Omega": "Ω", r"\varphi": "φ", r"\Delta": "Δ"}


def require_plotly() -> None:
    """Raises ConfigError where it is not installed."""
    try:
        import plotly  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "pages of surfaces need the package plotly: pip install mlpotential[surfaces], or "
            "leave the surface out with --surface none"
        ) from error


def save_surface_page(surface_maps: Sequence[SurfaceMap], path: Path) -> None:
    """Scenes side by side, in one file with all that shows it.

    Args:
        surface_maps: on one surface; each has one colour scale.
        path: of the page.

    Raises:
        ConfigError: where plotly is not installed.
        RunError: if the file cannot be written.
    """
    require_plotly()
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    titles = [title for surface_map in surface_maps for title in surface_map.titles]
    n = len(titles)
    figure = make_subplots(cols=n, specs=[[{"type": "scene"}] * n], subplot_titles=titles)
    column, axes = 0, {}
    for number, surface_map in enumerate(surface_maps):
        axis = f"coloraxis{number + 1 if number else ''}"
        axes[axis] = _color_axis(surface_map, number)
        for k, atoms in enumerate(surface_map.atoms):
            column += 1
            figure.add_trace(_mesh(surface_map, k, axis), row=1, col=column)
            for trace in _skeleton(atoms):
                figure.add_trace(go.Scatter3d(**trace), row=1, col=column)
    first = surface_maps[0]
    title = f"{label_as_html(first.quantity.label)} on the surface {first.surface.formula}"
    figure.update_layout(title=title, showlegend=False, **axes)
    hidden = {"visible": False}
    figure.update_scenes(aspectmode="data", xaxis=hidden, yaxis=hidden, zaxis=hidden)
    write_atomically(path, figure.to_html(include_plotlyjs=True, full_html=True))


def _color_axis(surface_map: SurfaceMap, number: int) -> dict[str, Any]:
    """The scale of a map, its bar beside those of the maps before it."""
    low, high = color_limits(surface_map.values, surface_map.quantity)
    return {
        "cmin": low,
        "cmax": high,
        "colorscale": SCALES[color_map(surface_map.quantity)],
        "colorbar": {
            "title": label_as_html(surface_map.quantity.label),
            "x": 1.02 + BAR_SHARE * number,
        },
    }


def label_as_html(label: str) -> str:
    """A label of matplotlib as HTML: plotly fetches what typesets TeX, and pages work offline."""
    for command, letter in LETTERS.items():
        label = label.replace(command, letter)
    return re.sub(r"_\{(.+?)\}", r"<sub>\1</sub>", label).replace("$", "")


def _mesh(surface_map: SurfaceMap, k: int, axis: str) -> Any:
    import plotly.graph_objects as go

    x, y, z = surface_map.surface.vertices.astype(np.float32).T
    i, j, m = surface_map.surface.faces.astype(np.int32).T
    values = surface_map.values[k].astype(np.float32)
    unit = surface_map.quantity.unit
    return go.Mesh3d(
        x=x, y=y, z=z, i=i, j=j, k=m, intensity=values, coloraxis=axis, opacity=0.85,
        hovertemplate="%{intensity:.4g} " + unit + "<extra></extra>",
    )  # fmt: skip


def _skeleton(atoms: Atoms) -> list[dict[str, Any]]:
    """Traces of bonds and of atoms."""
    ends = np.full((len(bonds_of(atoms)), 3, 3), np.nan)  # a gap behind each bond
    ends[:, :2] = atoms.positions[bonds_of(atoms)]
    colors = [f"rgb({r:.0f},{g:.0f},{b:.0f})" for r, g, b in 255.0 * jmol_colors[atoms.numbers]]
    names = [f"{chemical_symbols[z]} {k}" for k, z in enumerate(atoms.numbers)]
    bonds, points = (
        dict(zip("xyz", values.reshape(-1, 3).T, strict=True)) for values in (ends, atoms.positions)
    )
    line = {"color": "#444444", "width": 6}
    marker = {"size": 7, "color": colors, "line": {"color": "#222222", "width": 1}}
    return [
        bonds | {"mode": "lines", "line": line, "hoverinfo": "skip"},
        points | {"mode": "markers", "marker": marker, "text": names, "hoverinfo": "text"},
    ]
