"""Which physical terms a model has beside its network. Free of torch.

- `zbl`: the screened repulsion of nuclei within the sum of covalent radii (`nn.zbl`), so that atoms
  never fall into each other where no data were;
- `d3`, `d4`: London dispersion for a density functional (`models.terms.dispersion`), of any range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlpotential.errors import ConfigError, nearest_name
from mlpotential.settings_checks import require

DISPERSION = ("d3", "d4")
KNOWN_TERMS = ("zbl", *DISPERSION)


@dataclass(frozen=True)
class TermSettings:
    """One term.

    Attributes:
        functional: of d3 and d4, which need it: the density functional that lacks dispersion, by
            the names of these programs, such as pbe.
    """

    functional: str | None = None


Terms = Mapping[str, TermSettings]


def check_terms(terms: Terms) -> None:
    """Whether they can be computed.

    Raises:
        ConfigError: for an unknown term, settings that do not belong to one, or two of one kind.
    """
    for name, term in terms.items():
        where, functional = f"terms.{name}", term.functional
        if name not in KNOWN_TERMS:
            hint = nearest_name(name, KNOWN_TERMS)
            raise ConfigError(f"unknown term {name!r}; known: {', '.join(KNOWN_TERMS)}.{hint}")
        is_given = isinstance(functional, str) and bool(functional)
        if name in DISPERSION:
            expected = "a density functional, such as pbe"
            require(is_given, f"{where}.functional", expected, functional)
        else:
            require(functional is None, f"{where}.functional", "left out", functional)
    if terms.keys() >= set(DISPERSION):
        raise ConfigError("terms: d3 and d4 are two forms of one energy: give one of them")
