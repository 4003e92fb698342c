"""Colours of fields, and what faces the viewer."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from mlpotential.interpretation.fields.maps import (
    Field,
    Quantity,
    bonds_of,
    map_in_plane,
    map_on_surface,
)
from mlpotential.interpretation.fields.planes import plane_of_words
from mlpotential.interpretation.fields.surfaces import surface_around
from mlpotential.interpretation.figures.colors import color_limits
from mlpotential.interpretation.figures.cut_picture import cut_figure, plot_cut
from mlpotential.interpretation.figures.surface_page import label_as_html, save_surface_page
from mlpotential.interpretation.figures.surface_picture import (
    plot_surface,
    surface_figure,
    view_of,
)

OMEGA = Quantity("local_chemical_potential", "Ω", "eV", False)
PHI = Quantity("electrostatic_potential", "φ", "V", True)


def test_limits_leave_extremes_out_and_zero_in_the_middle():
    values = np.concatenate([np.linspace(-1.0, 3.0, 10_000), [1e9, np.inf, np.nan]])
    low, high = color_limits(values, OMEGA)
    assert low == pytest.approx(-0.98, abs=0.01)
    assert high == pytest.approx(2.98, abs=0.01)
    low, high = color_limits(values, PHI)
    assert low == -high
    assert high == pytest.approx(2.98, abs=0.01)
    low, high = color_limits(np.full(5, 2.0), OMEGA)
    assert low < 2.0 < high


def test_the_near_side_is_seen():
    """Of a field that is the height along the view, only its upper half."""
    water = molecule("H2O")
    center, axes = view_of(water, 0.0)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1.0)
    field = Field("height", water, lambda points: (points - center) @ axes[2])
    shown = map_on_surface([field], surface_around(water.positions, spacing=0.2), OMEGA)
    ax = Figure().subplots()
    plot_surface(shown, 0, 0.0, (-1.0, 1.0), ax)
    (triangles,) = (c for c in ax.collections if isinstance(c, PolyCollection))
    n_faces = 4 * len(shown.surface.faces)
    assert len(triangles.get_paths()) == pytest.approx(0.5 * n_faces, rel=0.15)
    green, blue = triangles.get_facecolors()[:, 1:3].T
    assert (green > 0.8 * blue).mean() > 0.95  # of viridis, above its middle


def test_negative_contours_are_dashed_and_atoms_of_the_plane_full():
    atoms = Atoms("CHO", [[0.0, 0.0, 0.0], [1.0, 0.0, 0.8], [0.0, 1.5, 3.0]])
    grid = plane_of_words("normal=0,0,1", atoms, [0.0, 0.0, 0.0]).grid(
        np.array([[-2.0, 2.0]] * 2), 0.2
    )
    cut = map_in_plane([Field("x", atoms, lambda points: points[:, 0])], grid, OMEGA)
    np.testing.assert_allclose(cut.values[0].ravel(), grid.points[:, 0])
    ax = Figure().subplots()
    plot_cut(cut, 0, (-2.0, 2.0), ax)
    lines = ax.collections[1]
    dashes = [style[1] is not None for style in lines.get_linestyle()]
    assert dashes == [level < 0.0 for level in lines.levels]
    assert [str(line.get_markerfacecolor()) == "none" for line in ax.lines] == [False, True]


def test_bonds():
    assert len(bonds_of(molecule("C6H6"))) == 12
    assert len(bonds_of(molecule("CH4"))) == 4
    assert bonds_of(Atoms("H")).shape == (0, 2)


def test_maps_side_by_side_have_scales_of_their_own(tmp_path):
    """Infinities of fields, and what is no number in their difference, are left out."""
    water = molecule("H2O")
    shift = Quantity("electrostatic_potential", "Δφ", "V", True, True)
    plane = plane_of_words("normal=0,0,1", water, [0.0, 0.0, 0.0])
    grid = plane.grid(np.array([[-2.0, 2.0]] * 2), 0.5)
    large = Field("large", water, lambda points: np.where(points[:, 0] == 0.0, np.inf, 9.0))
    small = Field(
        "small", water, lambda points: np.where(points[:, 0] == 0.0, np.nan, points[:, 0])
    )
    maps = [map_in_plane([large, large], grid, PHI), map_in_plane([small], grid, shift)]
    figure = cut_figure(maps)
    figure.savefig(tmp_path / "cut.png")
    panels = [ax for ax in figure.axes if ax.get_title()]
    assert [ax.get_title() for ax in panels] == ["large", "large", "small"]
    bars = [ax for ax in figure.axes if ax.get_ylabel() in (PHI.label, shift.label)]
    assert bars[0].get_ylim()[1] == pytest.approx(9.0)
    assert bars[1].get_ylim()[1] == pytest.approx(2.0)
    surface = surface_around(water.positions, spacing=0.4)
    on_surface = [map_on_surface([large], surface, PHI), map_on_surface([small], surface, shift)]
    columns = [ax.get_title() for ax in surface_figure(on_surface).axes if ax.get_title()]
    assert columns == ["large", "small"]
    save_surface_page(on_surface, tmp_path / "surface.html")
    assert '"coloraxis2":{"cmin":' in (tmp_path / "surface.html").read_text().replace(" ", "")


def test_labels_of_pages_need_no_typesetting():
    assert label_as_html(r"$\Omega_{C}$ (eV)") == "Ω<sub>C</sub> (eV)"
    assert label_as_html(r"$\Delta\varphi$ (V)") == "Δφ (V)"
