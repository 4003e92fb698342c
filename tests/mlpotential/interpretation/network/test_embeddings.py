"""Groups of the periodic table, order along a line, nearest elements."""

import numpy as np
import pytest
from ase.data import atomic_numbers
from numpy.testing import assert_allclose

from mlpotential.errors import ConfigError
from mlpotential.interpretation.network.embeddings import (
    ElementEmbeddings,
    embeddings_of,
    main_group,
    orders_in_groups,
)
from mlpotential.testing import tiny_schnet

TABLE = {
    1: "H Li Na K Rb Cs Fr",
    2: "Be Mg Ca Sr Ba Ra",
    3: "B Al Ga In Tl Nh",
    4: "C Si Ge Sn Pb Fl",
    5: "N P As Sb Bi Mc",
    6: "O S Se Te Po Lv",
    7: "F Cl Br I At Ts",
    8: "He Ne Ar Kr Xe Rn Og",
}


def test_main_groups():
    expected = {atomic_numbers[s]: group for group, row in TABLE.items() for s in row.split()}
    assert {z: main_group(z) for z in range(1, 119)} == {z: expected.get(z) for z in range(1, 119)}


def test_order_in_a_group_has_no_sign(rng):
    alkali = np.array([1, 3, 11, 19, 37])
    direction = rng.normal(size=4)
    along = np.arange(5.0)[:, None] * direction + rng.normal(scale=1e-3, size=(5, 4))
    for coordinates in (along, -along):
        (order,) = orders_in_groups(alkali, coordinates)
        assert order.is_in_order
        assert order.tau == pytest.approx(1.0)
    swapped = along[[0, 2, 1, 3, 4]]
    (order,) = orders_in_groups(alkali, swapped)
    assert order.along_line == ("H", "Na", "Li", "K", "Rb")
    assert order.tau == pytest.approx(0.8)  # one of ten pairs is discordant
    assert not order.is_in_order
    assert orders_in_groups(np.array([1, 3, 6]), along[:3]) == []  # two of a group say nothing


def test_nearest_and_similarity():
    found = ElementEmbeddings(np.array([1, 6, 8]), np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 9.0]]))
    assert found.nearest(1) == [["C"], ["H"], ["H"]]
    assert found.nearest(9)[2] == ["H", "C"]
    assert_allclose(found.similarities, [[1, 1, 0], [1, 1, 0], [0, 0, 1]], atol=1e-15)
    assert_allclose(found.distances[0], [0.0, 1.0, np.sqrt(82.0)])


def test_similarity_in_groups():
    vectors = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 2.0]])
    found = ElementEmbeddings(np.array([3, 11, 26, 27]), vectors)  # Fe and Co are of no group
    within, others = found.similarity_in_groups
    assert within == pytest.approx(0.5**0.5)
    assert others == pytest.approx((0.0 + 0.0 + 2 * 0.5**0.5 + 1.0) / 5)
    assert np.isnan(ElementEmbeddings(np.array([3, 4]), vectors[:2]).similarity_in_groups[0])


def test_other_elements_are_left_out():
    found = ElementEmbeddings(np.array([3, 11, 26]), np.eye(3))
    assert found.main_groups.tolist() == [1, 1, 0]
    assert found.of_main_groups().symbols == ["Li", "Na"]
    with pytest.raises(ConfigError, match="trained on Na, Fe: there are less than two"):
        ElementEmbeddings(np.array([11, 26]), np.eye(2)).of_main_groups()


def test_only_elements_of_the_training(behler_parrinello, dtnn):
    model = tiny_schnet()
    found = embeddings_of(model)
    assert found.symbols == ["H", "C", "O"]
    weights = model.embedding.weight.detach().numpy()
    assert_allclose(found.vectors, weights[[1, 6, 8]])
    assert embeddings_of(dtnn).vectors.shape == (3, 8)
    model.elements = (6,)
    with pytest.raises(ConfigError, match="trained on C alone"):
        embeddings_of(model)
    with pytest.raises(ConfigError, match="BehlerParrinello has no embeddings"):
        embeddings_of(behler_parrinello)
