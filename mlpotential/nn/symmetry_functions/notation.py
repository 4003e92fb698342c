"""Symmetry functions as RuNNer and n2p2 write them, a line each. Free of torch.

J. Behler, M. Parrinello, Phys. Rev. Lett. 98, 146401 (2007), doi:10.1103/PhysRevLett.98.146401;
J. Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717 (its G2, G4 and G5 are the types
2, 3 and 9); M. Gastegger et al., J. Chem. Phys. 148, 241709 (2018), doi:10.1063/1.5019667 (12, 13);
M. P. Bircher, A. Singraber, C. Dellago, Mach. Learn.: Sci. Technol. 2, 035026 (2021),
doi:10.1088/2632-2153/abf817 (20 to 25, with compact support). With r of pairs i-j of all neighbours
and theta of triples j-i-k, each once,

    2   sum exp(-eta (r - rs)^2) fc(r)                                                        (1)
    3   2^(1-zeta) sum (1 + lambda cos theta)^zeta exp(-eta [(rij - rs)^2 + (rik - rs)^2
            + (rjk - rs)^2]) fc(rij) fc(rik) fc(rjk)                                          (2)
    9   as 3 without what depends on rjk                                                      (3)
    20  sum C(r; rl, rc)                                                                      (4)
    22  sum C(rij; rl, rc) C(rik; rl, rc) A(theta; left, right)                               (5)
    21  as 22, times C(rjk; rl, rc)                                                           (6)

and 12, 13, 23, 24, 25 are 2, 3, 20, 21, 22 of neighbours of all elements, each term multiplied by
the atomic numbers of its neighbours. `CENTRE` is an element and E, E1, E2 are those of neighbours:

    CENTRE 2 E eta rs rc                         CENTRE 12 eta rs rc
    CENTRE 3 E1 E2 eta lambda zeta rc [rs]       CENTRE 13 eta rs lambda zeta rc
    CENTRE 9 E1 E2 eta lambda zeta rc [rs]
    CENTRE 20 E rl rc SUBTYPE                    CENTRE 23 rl rc SUBTYPE
    CENTRE 21 E1 E2 rl rc left right SUBTYPE     CENTRE 24 rl rc left right SUBTYPE
    CENTRE 22 E1 E2 rl rc left right SUBTYPE     CENTRE 25 rl rc left right SUBTYPE

Lengths are in whatever unit goes with the text, angles in degrees.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlpotential.errors import ConfigError

KEYWORD = "symfunction_short"  # before a line in `input.nn`, and allowed here
# Arguments by type: E of a neighbour, S of a subtype, brackets may be left out.
ARGUMENTS = {
    2: "E eta rs rc",
    3: "E E eta lambda zeta rc [rs]",
    9: "E E eta lambda zeta rc [rs]",
    12: "eta rs rc",
    13: "eta rs lambda zeta rc",
    20: "E rl rc S",
    21: "E E rl rc left right S",
    22: "E E rl rc left right S",
    23: "rl rc S",
    24: "rl rc left right S",
    25: "rl rc left right S",
}
SUBTYPES = ("e", "p1", "p2", "p3", "p4", "p1a", "p2a", "p3a", "p4a")
COMPACT = range(20, 26)
NARROW = (3, 13, 21, 24)  # with rjk
MOST_FUNCTIONS = 10_000  # chosen: so that a hostile file ends in words, not in memory


@dataclass(frozen=True)
class SymmetryFunction:
    """One function of the surroundings of an atom; what its type has not is 0 or empty.

    Attributes:
        element: atomic number of the central atom.
        kind: type number.
        neighbors: atomic numbers of neighbours, ascending; none for functions of all elements.
        cutoff: rc, where it ends (length unit).
        eta: of the Gaussian (1 / length unit^2).
        shift: rs, its centre (length unit).
        sign: lambda, 1 or -1.
        zeta: exponent of the angular part.
        inner: rl, where a compact function begins (length unit).
        left, right: of the angular window (degrees).
        subtype: shape of compact functions.
    """

    element: int
    kind: int
    neighbors: tuple[int, ...]
    cutoff: float
    eta: float = 0.0
    shift: float = 0.0
    sign: float = 0.0
    zeta: float = 0.0
    inner: float = 0.0
    left: float = 0.0
    right: float = 0.0
    subtype: str = ""

    @property
    def is_compact(self) -> bool:
        """Whether it has its own end instead of a cutoff function."""
        return self.kind in COMPACT

    @property
    def is_radial(self) -> bool:
        """Whether it is a sum over pairs."""
        return self.kind in (2, 12, 20, 23)

    @property
    def is_narrow(self) -> bool:
        """Whether it depends on the distance of the two neighbours of a triple."""
        return self.kind in NARROW

    @property
    def order(self) -> tuple[object, ...]:
        """Place among others as in `scaling.data` and the networks of RuNNer and n2p2."""
        first = (self.element, self.kind)
        if self.is_compact:
            limits = (self.cutoff, self.inner, self.left, self.right)
            return (*first, self.subtype, self.neighbors, *limits)
        gaussian = (self.cutoff, self.eta, self.shift)
        return (*first, *gaussian, self.zeta, self.sign, self.neighbors)

    def __str__(self) -> str:
        from ase.data import chemical_symbols

        values = {"eta": self.eta, "rs": self.shift, "rc": self.cutoff, "lambda": self.sign}
        values |= {"zeta": self.zeta, "rl": self.inner, "left": self.left, "right": self.right}
        neighbors, words = list(self.neighbors), [chemical_symbols[self.element], str(self.kind)]
        for name in ARGUMENTS[self.kind].split():
            if name == "E":
                words.append(chemical_symbols[neighbors.pop(0)])
            elif name == "S":
                words.append(self.subtype)
            elif name != "[rs]":
                words.append(_shortest(values[name]))
            elif self.shift != 0.0:
                words.append(_shortest(self.shift))
        return " ".join(words)


def _shortest(value: float) -> str:
    """The shortest text that is read as the same number."""
    return repr(int(value)) if value == int(value) and abs(value) < 1e6 else repr(value)


def parse_symmetry_functions(text: str) -> tuple[SymmetryFunction, ...]:
    """Functions of a text, in the order of `SymmetryFunction.order`; `#` begins a comment.

    Raises:
        ConfigError: for a line that is none; if there are no functions, or too many.
    """
    lines = [words for line in text.splitlines() if (words := line.partition("#")[0].split())]
    if not 1 <= len(lines) <= MOST_FUNCTIONS:
        raise ConfigError(f"from 1 to {MOST_FUNCTIONS} symmetry functions, not {len(lines)}")
    functions = [_parsed(words) for words in lines]
    functions.sort(key=lambda function: function.order)
    centers = {function.element for function in functions}
    for function in functions:
        if not centers.issuperset(function.neighbors):
            raise ConfigError(f"{function}: a neighbour's element has no symmetry functions itself")
    return tuple(functions)


def format_symmetry_functions(functions: Iterable[SymmetryFunction]) -> str:
    """A line each; what `parse_symmetry_functions` reads as the same functions."""
    return "\n".join(map(str, functions))


def of_element(functions: Sequence[SymmetryFunction], element: int) -> tuple[SymmetryFunction, ...]:
    """Those about atoms of an element, in their order."""
    return tuple(function for function in functions if function.element == element)


def elements_of(functions: Iterable[SymmetryFunction]) -> tuple[int, ...]:
    """Atomic numbers of central atoms, ascending."""
    return tuple(sorted({function.element for function in functions}))


def _parsed(words: list[str]) -> SymmetryFunction:
    """A function. Raises ConfigError where a line is none."""
    line = " ".join(words)
    words = words[1:] if words[0] == KEYWORD else words
    kind = words[1] if len(words) > 1 else ""
    if not kind.isdecimal() or int(kind) not in ARGUMENTS:
        known = ", ".join(map(str, ARGUMENTS))
        raise ConfigError(f"{line!r} is no symmetry function: types are {known}")
    names, given = ARGUMENTS[int(kind)].split(), words[2:]
    n_optional = sum(name.startswith("[") for name in names)
    if not len(names) - n_optional <= len(given) <= len(names):
        raise ConfigError(
            f"{line!r} has {len(given)} arguments; expected: CENTRE {kind} {' '.join(names)}"
        )
    values: dict[str, float] = {}
    neighbors, subtype = [], ""
    for name, word in zip(names, given, strict=False):
        if name == "E":
            neighbors.append(_atomic_number(word, line))
        elif name == "S":
            subtype = word
        else:
            values[name.strip("[]")] = _number(word, line)
    function = SymmetryFunction(
        element=_atomic_number(words[0], line),
        kind=int(kind),
        neighbors=tuple(sorted(neighbors)),
        cutoff=values["rc"],
        eta=values.get("eta", 0.0),
        shift=values.get("rs", 0.0),
        sign=values.get("lambda", 0.0),
        zeta=values.get("zeta", 0.0),
        inner=values.get("rl", 0.0),
        left=values.get("left", 0.0),
        right=values.get("right", 0.0),
        subtype=subtype,
    )
    _check(function, line)
    return function


def _check(function: SymmetryFunction, line: str) -> None:
    """Raises ConfigError for arguments that make no smooth function."""
    has_angle = not function.is_radial
    fault = ""
    if not function.cutoff > max(function.inner, 0.0):
        fault = "rc must be positive, and beyond rl"
    elif function.eta < 0.0:
        fault = "eta must not be negative"
    elif function.is_compact and function.subtype not in SUBTYPES:
        fault = f"the subtype must be one of {', '.join(SUBTYPES)}"
    elif has_angle and function.is_compact:
        left, right = function.left, function.right
        mirrored = (left >= 0.0 or left + right == 0.0) and (
            right <= 180.0 or left + right == 360.0
        )
        if not (left < right and mirrored):
            fault = (
                "right must be beyond left, and a window that reaches beyond 0 or 180 degrees must "
                "be symmetric about it"
            )
    elif has_angle and (abs(function.sign) != 1.0 or function.zeta < 1.0):
        fault = "lambda must be 1 or -1, and zeta at least 1"
    if fault:
        raise ConfigError(f"{line!r}: {fault}")


def _atomic_number(symbol: str, line: str) -> int:
    from ase.data import chemical_symbols

    if symbol not in chemical_symbols[1:]:
        raise ConfigError(f"{line!r}: {symbol!r} is no element")
    return int(chemical_symbols.index(symbol))


def _number(word: str, line: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > 1e6:
        raise ConfigError(f"{line!r}: {word!r} is no number that can be used")
    return value
