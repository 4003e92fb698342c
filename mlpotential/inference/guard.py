"""Monitors a run for structures outside the data that its model was trained on.

It warns once, naming atoms, and counts on, so that the end of a run can tell how often; or it
stops at the first one. What it cannot know, because the model file says nothing of it, it says.
"""

from __future__ import annotations

import json
import logging
import threading
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, reduce
from pathlib import Path
from typing import Any, get_args

import numpy as np
from ase.data import chemical_symbols

from mlpotential.errors import ConfigError, ExtrapolationError, ExtrapolationWarning, RunError
from mlpotential.inference.execution import GuardMode
from mlpotential.inference.training_domain import (
    DISTANCE_TOLERANCE,
    MAX_FEATURE_DEVIATION,
    UNKNOWN_DOMAIN,
    Outliers,
    TrainingDomain,
    is_alone,
)
from mlpotential.run_folder import write_atomically

_log = logging.getLogger("mlpotential")

KINDS = ("distances", "features", "neighborhoods")
ADVICE = "Energies and forces are extrapolated here."


@dataclass(frozen=True)
class NearPair:
    """Two atoms nearer than any of their elements in training.

    Attributes:
        atoms: numbers within the structure, from 0.
        symbols: their elements.
        distance, shortest: now, and the least in training (A).
        graph: number of the structure, from 0; None where it is the only one.
    """

    atoms: tuple[int, int]
    symbols: tuple[str, str]
    distance: float
    shortest: float
    graph: int | None = None

    @property
    def excess(self) -> float:
        """How much too near (A)."""
        return self.shortest - self.distance

    def __str__(self) -> str:
        (i, j), (a, b) = self.atoms, self.symbols
        atoms = f"atoms {i} ({a}) and {j} ({b})" if i != j else f"atom {i} ({a}) and an image of it"
        return (
            f"{atoms}{_of_structure(self.graph)} are {self.distance:.3f} A apart, "
            f"{self.excess:.3f} A less than any {a}-{b} ({self.shortest:.3f} A)"
        )


@dataclass(frozen=True)
class UnusualAtom:
    """An atom whose features lie beyond the range of its element in training.

    Attributes:
        atom: number within the structure, from 0.
        symbol: its element.
        excess: of the feature that is farthest beyond, in widths of its range.
        graph: number of the structure, from 0; None where it is the only one.
        feature: that feature; None where it has no name.
    """

    atom: int
    symbol: str
    excess: float
    graph: int | None = None
    feature: str | None = None

    def __str__(self) -> str:
        if self.feature is not None:
            return (
                f"{self.feature} of atom {self.atom} ({self.symbol}){_of_structure(self.graph)} "
                f"lies beyond that of any {self.symbol} by {self.excess:.2f} of its range"
            )
        return (
            f"features of atom {self.atom} ({self.symbol}){_of_structure(self.graph)} lie beyond "
            f"those of any {self.symbol} by {self.excess:.2f} of their range"
        )


@dataclass(frozen=True)
class LoneAtom:
    """An atom farther from its neighbours, or with fewer, than any of its element in training.

    Attributes:
        atom: number within the structure, from 0.
        symbol: its element.
        nearest: distance of its nearest neighbour (A); None where it has none.
        largest: that distance in training, at most (A).
        coordination, least: how many neighbours it has, and how many were the fewest in training.
        graph: number of the structure, from 0; None where it is the only one.
    """

    atom: int
    symbol: str
    nearest: float | None
    largest: float
    coordination: int
    least: int
    graph: int | None = None

    @property
    def excess(self) -> float:
        """Distance in units of the largest; of atoms near enough, coordination that is missing."""
        ratio = np.inf if self.nearest is None else self.nearest / self.largest
        if is_alone(ratio, 0):
            return ratio
        return (self.least - self.coordination) / self.least  # at most 1

    def __str__(self) -> str:
        name = f"atom {self.atom} ({self.symbol}){_of_structure(self.graph)}"
        if self.nearest is None:
            return f"{name} has no neighbour (each {self.symbol} had one in training)"
        if is_alone(self.nearest / self.largest, 0):
            return (
                f"the nearest neighbour of {name} is {self.nearest:.3f} A away "
                f"(in training at most {self.largest:.3f} A)"
            )
        return (
            f"{name} has a coordination number of {self.coordination} "
            f"(in training at least {self.least})"
        )


@dataclass(frozen=True)
class GuardReport:
    """How much of a run was outside the training data.

    Attributes:
        checks: what was checked: distances, features, neighborhoods; empty where nothing was.
        n_evaluated, n_outside: structures.
        nearest: the pair that was nearest in comparison with training; None where none was nearer.
        farthest: the atom farthest beyond; None where none was.
        loneliest: the atom most alone in comparison with training; None where none was.
        longest_stretch: structures of evaluations in a row of which most were outside.
        stretch_start: number of the first of them.
    """

    checks: tuple[str, ...] = ()
    n_evaluated: int = 0
    n_outside: int = 0
    nearest: NearPair | None = None
    farthest: UnusualAtom | None = None
    loneliest: LoneAtom | None = None
    longest_stretch: int = 0
    stretch_start: int = 0

    def __str__(self) -> str:
        if not self.checks:
            return "extrapolation: not checked (switched off, or not in the model file)"
        checked = f"of {self.n_evaluated} structures ({_in_words(self.checks)} checked)"
        if not self.n_outside:
            return f"extrapolation: none {checked} was outside the training data"
        return (
            f"extrapolation: {self.n_outside} {checked} outside the training data, at worst "
            f"{self.worst}"
        )

    @property
    def worst(self) -> str:
        """The worst of each kind in words."""
        found = (self.loneliest, self.nearest, self.farthest)
        return ", ".join(str(x) for x in found if x is not None)

    def __add__(self, later: GuardReport) -> GuardReport:
        """Of two parts of one run."""
        longest, start = self.longest_stretch, self.stretch_start
        if later.longest_stretch > longest:
            longest, start = later.longest_stretch, self.n_evaluated + later.stretch_start
        return GuardReport(
            checks=later.checks,
            n_evaluated=self.n_evaluated + later.n_evaluated,
            n_outside=self.n_outside + later.n_outside,
            nearest=_worse(self.nearest, later.nearest),
            farthest=_worse(self.farthest, later.farthest),
            loneliest=_worse(self.loneliest, later.loneliest),
            longest_stretch=longest,
            stretch_start=start,
        )

    def write(self, path: Path) -> None:
        """As JSON, in one step. Raises RunError where that cannot be."""
        write_atomically(path, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> GuardReport:
        """Raises RunError unless `write` wrote the file."""
        try:
            content: dict[str, Any] = json.loads(path.read_text())
            near, far = content.pop("nearest"), content.pop("farthest")
            lone = content.pop("loneliest", None)  # files of version 0.1.0 have none
            return cls(
                checks=tuple(content.pop("checks")),
                nearest=None
                if near is None
                else NearPair(tuple(near.pop("atoms")), tuple(near.pop("symbols")), **near),
                farthest=None if far is None else UnusualAtom(**far),
                loneliest=None if lone is None else LoneAtom(**lone),
                **content,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"cannot read {path}: {error!r}. Remove it to go on") from error


class ExtrapolationGuard:
    """Counts what evaluations find, for the length of a run, and warns or stops.

    Args:
        mode: `warn` (once), `stop` (at the first structure outside) or `off`.
        domains: of the models that are evaluated.

    Raises:
        ConfigError: for another mode.
    """

    def __init__(self, mode: GuardMode, domains: Sequence[TrainingDomain]) -> None:
        if mode not in get_args(GuardMode):
            raise ConfigError(
                f"guard must be one of {', '.join(get_args(GuardMode))}, not {mode!r}"
            )
        self.mode, self.domains = mode, tuple(domains)
        known = {check for domain in domains for check in domain.checks}
        self.checks = () if mode == "off" else tuple(sorted(known))
        self._lock = threading.Lock()
        self.start_run()
        if mode != "off" and any(domain is not UNKNOWN_DOMAIN for domain in domains):
            _notify_of_missing_checks(self.checks)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies begin without a history."""
        return ExtrapolationGuard, (self.mode, self.domains)

    def start_run(self) -> None:
        """Forgets all it has seen: the next run is warned of, and counted, by itself."""
        self._n_evaluated = self._stretch = 0
        self._outside = GuardReport(self.checks)

    @property
    def report(self) -> GuardReport:
        """Since the beginning of the run."""
        with self._lock:
            return replace(self._outside, n_evaluated=self._n_evaluated)

    def assess(self, n_graphs: int, found: Sequence[Outliers]) -> None:
        """Counts an evaluation.

        Args:
            n_graphs: structures in it.
            found: outliers of the models that have some.

        Raises:
            ExtrapolationError: in mode `stop`, if a structure is outside.

        Warns:
            ExtrapolationWarning: in mode `warn`, of the first structure outside.
        """
        with self._lock:
            self._n_evaluated += n_graphs
            if not found:
                self._stretch = 0
                return
            is_first = not self._outside.n_outside
            outside = np.logical_or.reduce([outliers.graphs_outside() for outliers in found])
            self._stretch = self._stretch + n_graphs if 2 * outside.sum() > n_graphs else 0
            this = GuardReport(
                self.checks,
                n_outside=int(outside.sum()),
                nearest=reduce(_worse, map(_nearest, found)),
                farthest=reduce(_worse, map(_farthest, found)),
                loneliest=reduce(_worse, map(_loneliest, found)),
            )
            self._outside += this
            if self._stretch > self._outside.longest_stretch:
                self._outside = replace(
                    self._outside,
                    longest_stretch=self._stretch,
                    stretch_start=self._n_evaluated - self._stretch,
                )
        if self.mode == "stop":
            raise ExtrapolationError(f"outside the training data: {this.worst}. {ADVICE}")
        if is_first:
            warnings.warn(
                f"outside the training data: {this.worst}. {ADVICE} This is said once a run; "
                "guard='stop' would stop here",
                ExtrapolationWarning,
                stacklevel=4,  # the caller of `Evaluator.evaluate`
            )


@cache
def _notify_of_missing_checks(checks: tuple[str, ...]) -> None:
    if not checks:
        _log.warning(
            "the model file says nothing of its training data: structures outside it go unnoticed"
        )
        return
    missing = [name for name in KINDS if name not in checks]
    if missing:
        _log.warning(
            "the model file says nothing of the %s in its training data, so what is outside there "
            "goes unnoticed: `mlpotential add-domain MODEL DATA` adds it",
            _in_words(missing),
        )


def _nearest(outliers: Outliers) -> NearPair | None:
    i = int(outliers.distance_deficits.argmax())
    if outliers.distance_deficits[i] <= DISTANCE_TOLERANCE:
        return None
    j = int(outliers.partners[i])
    assert outliers.domain.shortest is not None  # or there were no deficits
    a, b = outliers.atomic_numbers[[i, j]]
    shortest = float(outliers.domain.shortest[a, b])
    return NearPair(
        atoms=(outliers.number_in_graph(i), outliers.number_in_graph(j)),
        symbols=(chemical_symbols[a], chemical_symbols[b]),
        distance=shortest - float(outliers.distance_deficits[i]),
        shortest=shortest,
        graph=outliers.graph_of(i),
    )


def _farthest(outliers: Outliers) -> UnusualAtom | None:
    i = int(outliers.feature_deviations.argmax())
    if outliers.feature_deviations[i] <= MAX_FEATURE_DEVIATION:
        return None
    return UnusualAtom(
        atom=outliers.number_in_graph(i),
        symbol=chemical_symbols[outliers.atomic_numbers[i]],
        excess=(float(outliers.feature_deviations[i]) - 1.0) / 2.0,
        graph=outliers.graph_of(i),
        feature=outliers.feature_name(i),
    )


def _loneliest(outliers: Outliers) -> LoneAtom | None:
    ratios, deficits = outliers.nearest_ratios, outliers.coordination_deficits
    if not is_alone(ratios, deficits).any():
        return None
    i = int((ratios if is_alone(ratios, 0).any() else deficits).argmax())
    assert outliers.domain.neighborhoods is not None  # or none would be alone
    z = outliers.atomic_numbers[i]
    largest, least, _ = outliers.domain.neighborhoods[z]
    return LoneAtom(
        atom=outliers.number_in_graph(i),
        symbol=chemical_symbols[z],
        nearest=None if np.isinf(ratios[i]) else float(ratios[i] * largest),
        largest=float(largest),
        coordination=int(least - deficits[i]),
        least=int(least),
        graph=outliers.graph_of(i),
    )


def _in_words(names: Sequence[str]) -> str:
    """One, two and three."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _of_structure(graph: int | None) -> str:
    return "" if graph is None else f" of structure {graph}"


def _worse(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return one or other
    return one if one.excess >= other.excess else other
