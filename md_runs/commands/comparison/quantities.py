"""Numbers of two potentials, a verdict on each, and the table of all."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from md_runs.analysis.sampling.uncertainty import number_text
from md_runs.commands.analysis_report import Table

SAME_SIGMAS = 2.0  # of 20 quantities that are the same, one is told to differ
SAME = {"A": 0.001, "degree": 0.1, "1/cm": 1.0}  # chosen: what is left by relaxing to 1e-3 eV/A
MOST_SHOWN = 12  # of each kind, the most different; all are in the file


@dataclass(frozen=True)
class Quantity:
    """One number of both.

    Attributes:
        kind: of which it is one of several.
        name: of it.
        unit: of it.
        values: of A and of B.
        errors: their standard errors; NaN where there are none.
        tolerance: within which they are the same where there are no errors.
        remark: beside the verdict.
    """

    kind: str
    name: str
    unit: str
    values: tuple[float, float]
    errors: tuple[float, float] = (math.nan, math.nan)
    tolerance: float = 0.0
    remark: str = ""

    @property
    def difference(self) -> float:
        """B minus A; of angles about a circle, dihedrals have no place here."""
        return self.values[1] - self.values[0]

    @property
    def error(self) -> float:
        """Of the difference; NaN where there is none."""
        return math.hypot(*self.errors)

    @property
    def has_error(self) -> bool:
        """Whether both have one."""
        return math.isfinite(self.error)

    @property
    def is_same(self) -> bool:
        """Within the errors or the tolerance."""
        limit = SAME_SIGMAS * self.error if self.has_error else self.tolerance
        return abs(self.difference) <= limit

    @property
    def verdict(self) -> str:
        """In words."""
        if self.is_same:
            within = "errors" if self.has_error else f"{self.tolerance:.3g} {self.unit}"
            text = f"same within {within}"
        else:
            error = f" +- {self.error:.2g}" if self.has_error else ""
            text = f"differs by {self.difference:.3g}{error} {self.unit}"
        return f"{text}; {self.remark}" if self.remark else text

    @property
    def row(self) -> tuple[str, ...]:
        """Of a table."""
        of_both = [
            number_text(value, error) for value, error in zip(self.values, self.errors, strict=True)
        ]
        return (self.name, *of_both, self.unit, self.verdict)


@dataclass
class Comparison:
    """What was compared, and what could not be.

    Attributes:
        names: of A and B.
        quantities: with verdicts.
        passed_over: what was left out, and why.
    """

    names: tuple[str, str]
    quantities: list[Quantity] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        parts = [f"A: {self.names[0]}\nB: {self.names[1]}"]
        for kind in dict.fromkeys(q.kind for q in self.quantities):
            parts.append(str(self._table(kind)))
        n_same = sum(q.is_same for q in self.quantities)
        parts.append(f"{n_same} of {len(self.quantities)} quantities are the same")
        parts += [f"passed over: {text}" for text in self.passed_over]
        return "\n".join(parts)

    def _table(self, kind: str) -> Table:
        of_kind = [q for q in self.quantities if q.kind == kind]
        order = sorted(of_kind, key=lambda q: (q.is_same, -abs(q.difference)))
        shown = [q for q in of_kind if q in order[:MOST_SHOWN]]
        n_same = sum(q.is_same for q in of_kind)
        rms = math.sqrt(float(np.mean([q.difference**2 for q in of_kind])))
        title = f"{kind}: {n_same} of {len(of_kind)} the same, rms difference {rms:.3g} "
        title += of_kind[0].unit
        if len(shown) < len(of_kind):
            title += f"; the {len(shown)} that differ most"
        return Table(title, ("", "A", "B", "", "verdict"), tuple(q.row for q in shown))

    def record(self) -> dict[str, Any]:
        """For a file."""
        return {
            "A": self.names[0],
            "B": self.names[1],
            "quantities": [
                {
                    "kind": q.kind,
                    "name": q.name,
                    "unit": q.unit,
                    "A": q.values[0],
                    "B": q.values[1],
                    "standard_errors": q.errors,
                    "difference": q.difference,
                    "standard_error_of_difference": q.error,
                    "same": q.is_same,
                    "verdict": q.verdict,
                }
                for q in self.quantities
            ],
            "passed_over": self.passed_over,
        }
