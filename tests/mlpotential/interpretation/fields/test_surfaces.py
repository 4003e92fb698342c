"""Surfaces lie where they are said to, close, and enclose their molecule."""

import sys

import numpy as np
import pytest
from ase.build import molecule

from mlpotential.errors import ConfigError, StructureError
from mlpotential.interpretation.fields.surfaces import checked_level, level_function, surface_around

METHANE, BENZENE = molecule("CH4").positions, molecule("C6H6").positions


@pytest.mark.parametrize(
    ("positions", "kind", "level"),
    [
        (METHANE, "inverse-squares", 3.7),
        (METHANE, "inverse-squares", 60.0),
        (METHANE, "distances", 8.0),
        (BENZENE, "inverse-squares", 3.7),
        (BENZENE, "distances", 26.0),
        (np.zeros((1, 3)), "inverse-squares", 3.7),
        (np.zeros((1, 3)), "distances", 3.7),
    ],
)
def test_surfaces_lie_on_their_level(positions, kind, level):
    spacing = 0.1 if level > 50.0 else 0.2
    surface = surface_around(positions, kind, level, spacing=spacing)
    values, _ = level_function(surface.vertices, positions, kind)
    np.testing.assert_allclose(values, level, rtol=1e-9)
    assert 100 < len(surface.vertices) < 30_000


def test_an_atom_has_a_sphere():
    """Of radius level^-1/2, closed, whose triangles look outwards."""
    center = np.array([[1.0, -2.0, 3.0]])
    surface = surface_around(center, level=0.25, spacing=0.1)
    from_center = surface.vertices - center
    np.testing.assert_allclose(np.linalg.norm(from_center, axis=1), 2.0, rtol=1e-10)
    a, b, c = np.moveaxis(from_center[surface.faces], 1, 0)
    volumes = np.einsum("fi,fi->f", a, np.cross(b, c)) / 6.0
    assert volumes.sum() == pytest.approx(4.0 / 3.0 * np.pi * 8.0, rel=5e-3)
    edges = np.sort(surface.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()  # no holes


def test_the_default_is_the_published_surface():
    """0.6 A beyond a hydrogen of methane, half an Angstrom above the middle of benzene."""
    surface = surface_around(METHANE)
    assert surface.formula == "Σ|r−rᵢ|⁻² = 3.7 Å⁻²"
    distances = np.linalg.norm(surface.vertices[:, None] - METHANE, axis=-1)
    assert distances[:, 1:].min() == pytest.approx(0.6, abs=0.05)
    flat = surface_around(BENZENE).vertices
    middle = flat[np.linalg.norm(flat[:, :2], axis=1) < 0.15]
    assert np.abs(middle[:, 2]).mean() == pytest.approx(0.5, abs=0.1)


def test_gradients_of_the_level_functions():
    points = METHANE[:1] + np.random.default_rng(0).normal(size=(10, 3))
    for kind in ("inverse-squares", "distances"):
        _, gradients = level_function(points, METHANE, kind)
        for k, h in enumerate(1e-5 * np.eye(3)):
            higher, lower = (level_function(points + d, METHANE, kind)[0] for d in (h, -h))
            np.testing.assert_allclose(gradients[:, k], (higher - lower) / 2e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("positions", "smallest"),
    [(METHANE, 4.35), (BENZENE, 23.2), (np.array([[0, 0, 0], [0, 0, 1.2]]), 1.2)],
)
def test_too_small_a_level_of_distances_names_the_smallest(positions, smallest):
    """Which was found by hand: methane's is at its carbon, benzene's in its middle."""
    with pytest.raises(ConfigError, match=r"add up to at least [\d.]+ A anywhere") as told:
        checked_level("distances", 0.9 * smallest, positions)
    found = float(str(told.value).split("at least ")[1].split()[0])
    assert found == pytest.approx(smallest, abs=0.1)
    assert checked_level("distances", found * 1.001, positions) == found * 1.001
    with pytest.raises(ConfigError, match="none was given"):
        checked_level("distances", None, positions)


def test_levels_are_checked():
    assert checked_level("inverse-squares", None, METHANE) == 3.7
    for level in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ConfigError, match="--level must be a number above 0"):
            checked_level("inverse-squares", level, METHANE)
    with pytest.raises(ConfigError, match="must be one of inverse-squares, distances"):
        checked_level("distance", None, METHANE)
    with pytest.raises(StructureError, match="smaller than the spacing"):
        surface_around(METHANE + 0.05, level=1e4, spacing=0.4)
    with pytest.raises(ConfigError, match="raise --spacing"):
        surface_around(METHANE, spacing=0.005)


def test_without_scikit_image_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.measure", None)
    with pytest.raises(ConfigError, match=r"pip install mlpotential\[surfaces\]"):
        surface_around(METHANE)
