"""Lines of symmetry functions, and the rules that propose them."""

import math

import pytest

from mlpotential.errors import ConfigError
from mlpotential.models.behler_parrinello_config import BehlerParrinelloConfig
from mlpotential.nn.symmetry_functions.notation import (
    SymmetryFunction,
    elements_of,
    format_symmetry_functions,
    of_element,
    parse_symmetry_functions,
)
from mlpotential.nn.symmetry_functions.rules import grid, proposed_functions

TEXT = """
# of carbon and hydrogen
symfunction_short C 2 H 0.1 0.0 8.0   # radial
H 2 C 0.3333333333333333 1e-3 6.5
C 9 H C 0.01 -1.0 3.5 8
C 3 C H 0.01 1 4 7.5 1.2
C 13 0.05 1.4 -1 2 7
H 12 0.02 1.9 6
H 23 -6 6 p1a
H 25 0 5 49.1 169.1 e
"""


def test_each_digit_is_kept():
    functions = parse_symmetry_functions(TEXT)
    text = format_symmetry_functions(functions)
    assert parse_symmetry_functions(text) == functions
    assert parse_symmetry_functions("\n".join(reversed(text.splitlines()))) == functions
    assert text.splitlines() == [
        "H 2 C 0.3333333333333333 0.001 6.5",
        "H 12 0.02 1.9 6",
        "H 23 -6 6 p1a",
        "H 25 0 5 49.1 169.1 e",
        "C 2 H 0.1 0 8",
        "C 3 H C 0.01 1 4 7.5 1.2",
        "C 9 H C 0.01 -1 3.5 8",
        "C 13 0.05 1.4 -1 2 7",
    ]
    assert elements_of(functions) == (1, 6)
    assert len(of_element(functions, 6)) == 4


def test_kinds():
    by_kind = {f.kind: f for f in parse_symmetry_functions(TEXT)}
    assert [k for k, f in by_kind.items() if f.is_radial] == [2, 12, 23]
    assert [k for k, f in by_kind.items() if f.is_narrow] == [3, 13]
    assert [k for k, f in by_kind.items() if f.is_compact] == [23, 25]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "from 1 to 10000 symmetry functions, not 0"),
        ("H", "'H' is no symmetry function: types are 2, 3"),
        ("H 1 H 5", "types are 2, 3"),
        ("H 2 H 0.1 0", "has 3 arguments; expected: CENTRE 2 E eta rs rc"),
        ("H 2 h 0.1 0 5", "'h' is no element"),
        ("H 2 H x 0 5", "'x' is no number that can be used"),
        ("H 2 H inf 0 5", "'inf' is no number"),
        ("H 2 H 0.1 0 -5", "rc must be positive"),
        ("H 2 H -0.1 0 5", "eta must not be negative"),
        ("H 20 H 5 5 p1", "rc must be positive, and beyond rl"),
        ("H 9 H H 0.1 1 0.5 5", "zeta at least 1"),
        ("H 22 H H 0 5 -10 90 p1", "must be symmetric about it"),
        ("H 22 H H 0 5 90 20 p1", "right must be beyond left"),
        ("H 23 0 5 p9", "subtype must be one of"),
        ("H 2 C 0.1 0 5", "a neighbour's element has no symmetry functions itself"),
    ],
)
def test_what_is_no_function(line, message):
    with pytest.raises(ConfigError, match=message):
        parse_symmetry_functions(line)


def test_a_hostile_text_ends_in_words():
    with pytest.raises(ConfigError, match="from 1 to 10000 symmetry functions, not 20000"):
        parse_symmetry_functions("H 2 H 1 0 5\n" * 20_000)


def test_wacsf_does_not_grow_with_elements():
    for elements in ((6,), (1, 6, 8), tuple(range(1, 93))):
        functions = proposed_functions("wacsf", elements, 6.0, 22, 5)
        assert all(len(of_element(functions, z)) == 32 for z in elements)
        assert elements_of(functions) == elements


def test_acsf_has_functions_of_each_pair_of_neighbours():
    functions = of_element(proposed_functions("acsf", (1, 6, 8), 6.0, 12, 3), 6)
    assert {f.neighbors for f in functions if f.is_radial} == {(1,), (6,), (8,)}
    pairs = {(1, 1), (1, 6), (1, 8), (6, 6), (6, 8), (8, 8)}
    assert {f.neighbors for f in functions if not f.is_radial} == pairs
    assert len(functions) == 12 * 3 + 6 * 6


def test_radial_grid_of_the_paper():
    """Shifted functions overlap at half the height e^(-1/8); centred ones are e^(-1/2) at r_k."""
    functions = proposed_functions("wacsf", (6,), 6.0, 22, 5)
    shifted = [f for f in functions if f.kind == 12]
    shifts = [f.shift for f in shifted]
    assert (shifts[0], shifts[-1]) == (0.5, 5.5)
    middle = 0.5 * (shifts[1] - shifts[0])
    assert math.exp(-shifted[0].eta * middle**2) == pytest.approx(math.exp(-0.125), rel=1e-5)
    etas = sorted({f.eta for f in functions if f.kind == 13}, reverse=True)
    for r, eta in zip(grid(6.0, 5), etas, strict=True):
        assert math.exp(-eta * r**2) == pytest.approx(math.exp(-0.5), rel=1e-5)
    assert grid(6.0, 1) == [3.0]


def test_settings_are_completed_once():
    config = BehlerParrinelloConfig(symmetry_functions="wacsf", cutoff=5.0, n_radial=4, n_angular=1)
    completed = config.for_elements((1, 8))
    assert len(completed.functions) == 2 * (4 + 2)
    assert max(f.cutoff for f in completed.functions) == 5.0
    assert completed.for_elements((6,)) is completed
    assert config.for_elements((8, 1)) == completed
    with pytest.raises(ConfigError, match="depend on the elements"):
        _ = config.functions
    many = tuple(range(1, 31))
    with pytest.raises(ConfigError, match="acsf makes 94500 functions for 30 elements.*use wacsf"):
        BehlerParrinelloConfig().for_elements(many)


def test_function_is_shown_as_it_is_written():
    function = SymmetryFunction(8, 2, (1,), 6.0, eta=0.5, shift=1.25)
    assert str(function) == "O 2 H 0.5 1.25 6"
