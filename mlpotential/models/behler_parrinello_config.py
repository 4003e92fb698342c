"""The settings of high-dimensional neural network potentials of Behler and Parrinello.

Free of torch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Literal, Self, get_args

from mlpotential.errors import ConfigError
from mlpotential.models.config import PotentialConfig
from mlpotential.nn.symmetry_functions.notation import (
    MOST_FUNCTIONS,
    SymmetryFunction,
    format_symmetry_functions,
    parse_symmetry_functions,
)
from mlpotential.nn.symmetry_functions.rules import (
    FIRST,
    LAST,
    N_ANGULAR,
    N_RADIAL,
    RULES,
    proposed_functions,
)
from mlpotential.settings_checks import check_choice, check_number, require
from mlpotential.units import ANGSTROM_PER_LENGTH_UNIT

USUAL_CUTOFF = 6.0  # A; chosen: as far as most published potentials of this kind
MOST_LAYERS, MOST_NODES = 20, 10_000  # chosen: far beyond any use
MOST_RADIAL, MOST_ANGULAR = 200, 50
ACTIVATION_LETTERS = "ltspgcSeh"
LONGEST_CUTOFF = 1000.0  # A

LengthUnit = Literal["Angstrom", "Bohr", "nm"]
Scaling = Literal["none", "scale", "center", "scalecenter", "sigma"]

parsed = lru_cache(maxsize=64)(parse_symmetry_functions)


@dataclass(frozen=True)
class BehlerParrinelloConfig(PotentialConfig):
    """Settings of symmetry functions, their scaling and the networks of the elements.

    Attributes:
        symmetry_functions: `acsf` or `wacsf`, rules that propose functions for the elements of the
            training data (a set for each element and pair among the neighbours, or one set weighted
            by atomic number, which does not grow with the number of elements), or the functions
            themselves, a line each as in `symfunction_short` of RuNNer and n2p2.
        cutoff: of all functions that a rule proposes (A); None for 6. Functions of your own have
            theirs in their lines.
        n_radial: distances of the radial grid of a rule; None for 12 (acsf) or 22 (wacsf).
        n_angular: distances of its angular grid, with two functions each; None for 3 or 5.
        length_unit: of functions of your own; a rule's are in Angstrom.
        cutoff_type: 0 hard, 1 cosine, 2 tanh^3, 3 the same beginning with 1, 4 exponential, 5 to 8
            polynomials with 1 to 4 smooth derivatives, as n2p2 numbers them. Functions 20 to 25
            have their own ends.
        inner_cutoff: share of the cutoff up to which types 1 and 4 to 8 are 1 (alpha of n2p2).
        scaling: of each function over the training data before it enters a network: none; scale
            (least and largest value become scale_min and scale_max); center (less the mean);
            scalecenter; sigma (less the mean, by the standard deviation).
        scale_min, scale_max: what scaling leads to.
        hidden_layers: neurons of the hidden layers of each element's network, such as `25 25`.
        activations: of the hidden layers and the output, letters of RuNNer and n2p2: l linear,
            t tanh, s logistic, S 1 - logistic, p softplus, g Gaussian, c cosine, e exp(-x), h x^2.
        normalize_nodes: divide what enters a neuron by the number of its inputs.

    Raises:
        ConfigError: for a value out of range, or settings that contradict each other.
    """

    architecture: ClassVar[str] = "BehlerParrinello"
    largest: ClassVar[dict[str, int]] = {
        "n_radial": MOST_RADIAL,
        "n_angular": MOST_ANGULAR,
    }

    symmetry_functions: str = "acsf"
    cutoff: float | None = None
    n_radial: int | None = None
    n_angular: int | None = None
    length_unit: LengthUnit = "Angstrom"
    cutoff_type: int = 1
    inner_cutoff: float = 0.0
    scaling: Scaling = "sigma"
    scale_min: float = 0.0
    scale_max: float = 1.0
    hidden_layers: str | int = "25 25"
    activations: str = "t t l"
    normalize_nodes: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("model.length_unit", self.length_unit, get_args(LengthUnit))
        check_choice("model.scaling", self.scaling, get_args(Scaling))
        kind, is_flag = self.cutoff_type, isinstance(self.cutoff_type, bool)
        known = isinstance(kind, int) and not is_flag and 0 <= kind <= 8
        require(known, "model.cutoff_type", "from 0 to 8", kind)
        check_number("model.inner_cutoff", self.inner_cutoff, zero_allowed=True)
        require(self.inner_cutoff < 1.0, "model.inner_cutoff", "less than 1", self.inner_cutoff)
        check_number("model.scale_max - model.scale_min", self.scale_max - self.scale_min)
        flag = self.normalize_nodes
        require(isinstance(flag, bool), "model.normalize_nodes", "true or false", flag)
        self._check_networks()
        if self.is_rule:
            self._check_rule()
        else:
            self._check_functions()

    def _check_networks(self) -> None:
        words = str(self.hidden_layers).split()
        good = all(word.isdecimal() and 1 <= int(word) <= MOST_NODES for word in words)
        require(
            good and len(words) <= MOST_LAYERS,
            "model.hidden_layers",
            f"up to {MOST_LAYERS} numbers of neurons, from 1 to {MOST_NODES}, such as '25 25'",
            self.hidden_layers,
        )
        letters = self.activations.split()
        require(
            len(letters) == len(words) + 1 and all(x in [*ACTIVATION_LETTERS] for x in letters),
            "model.activations",
            f"one letter for each of {len(words)} hidden layers and the output, of "
            f"{', '.join(ACTIVATION_LETTERS)}",
            self.activations,
        )

    def _check_rule(self) -> None:
        unit = self.length_unit
        require(unit == "Angstrom", "model.length_unit", f"Angstrom with {self.rule}", unit)
        if self.cutoff is not None:
            check_number("model.cutoff", self.cutoff)
            least = FIRST + LAST
            good = least < self.cutoff <= LONGEST_CUTOFF
            require(good, "model.cutoff", f"from {least} to {LONGEST_CUTOFF} A", self.cutoff)
        if self.n_radial is not None:
            require(self.n_radial >= 2, "model.n_radial", "at least 2", self.n_radial)

    def _check_functions(self) -> None:
        try:
            functions = parsed(self.symmetry_functions)
        except ConfigError as error:
            hint = f" (or a rule: {', '.join(RULES)})" if len(self.symmetry_functions) < 20 else ""
            raise ConfigError(f"model.symmetry_functions: {error}{hint}") from error
        for name in ("cutoff", "n_radial", "n_angular"):
            expected = f"left out unless model.symmetry_functions is {' or '.join(RULES)}"
            value = getattr(self, name)
            require(value is None, f"model.{name}", expected, value)
        longest = max(f.cutoff for f in functions) * ANGSTROM_PER_LENGTH_UNIT[self.length_unit]
        expected = f"to end within {LONGEST_CUTOFF} A"
        require(longest <= LONGEST_CUTOFF, "model.symmetry_functions", expected, longest)

    @property
    def rule(self) -> str:
        """What `symmetry_functions` says without space around it."""
        return self.symmetry_functions.strip()

    @property
    def is_rule(self) -> bool:
        """Whether the functions are still to be proposed."""
        return self.rule in RULES

    @property
    def functions(self) -> tuple[SymmetryFunction, ...]:
        """In the order of the inputs of the networks, lengths in `length_unit`.

        Raises:
            ConfigError: where there are none yet.
        """
        if self.is_rule:
            raise ConfigError(
                f"the symmetry functions of model.symmetry_functions: {self.rule} depend on the "
                "elements: complete the settings with `for_elements`"
            )
        return parsed(self.symmetry_functions)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Of the hidden layers."""
        return tuple(map(int, str(self.hidden_layers).split()))

    def for_elements(self, elements: tuple[int, ...]) -> Self:
        """With the functions that the rule proposes for these elements.

        Raises:
            ConfigError: if these are too many.
        """
        if not self.is_rule:
            return self
        functions = proposed_functions(
            self.rule,
            elements,
            self.cutoff or USUAL_CUTOFF,
            self.n_radial or N_RADIAL[self.rule],
            self.n_angular or N_ANGULAR[self.rule],
        )
        if len(functions) > MOST_FUNCTIONS:
            raise ConfigError(
                f"model.symmetry_functions: {self.rule} makes {len(functions)} functions for "
                f"{len(elements)} elements, more than {MOST_FUNCTIONS}: use wacsf"
            )
        return replace(
            self,
            symmetry_functions=format_symmetry_functions(functions),
            cutoff=None,
            n_radial=None,
            n_angular=None,
        )
