"""How much of a run was outside its model's training data, kept in the run's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlpotential.inference.guard import ExtrapolationGuard, GuardReport

REPORT_NAME = "extrapolation.json"


class RunGuard:
    """The guard of a calculator, for one run that may be continued.

    Args:
        calculator: its `guard` counts; one without is not watched.
        folder: of the run.
        continues: the run goes on with what was counted before.
    """

    def __init__(self, calculator: Any, folder: Path, continues: bool) -> None:
        self._calculator, self._folder = calculator, folder
        self._earlier = read_report(folder) if continues else None
        guard = self._guard
        if guard is not None:
            guard.start_run()

    @property
    def _guard(self) -> ExtrapolationGuard | None:
        guard = getattr(self._calculator, "guard", None)
        return guard if isinstance(guard, ExtrapolationGuard) else None

    @property
    def report(self) -> GuardReport | None:
        """From the beginning of the run; None where nobody counts."""
        guard = self._guard
        if guard is None:
            return self._earlier
        return guard.report if self._earlier is None else self._earlier + guard.report

    def save(self) -> None:
        """Raises RunError if the folder cannot be written."""
        if (report := self.report) is not None:
            report.write(self._folder / REPORT_NAME)


def read_report(folder: Path) -> GuardReport | None:
    """Of the run in a folder; None where none was kept. Raises RunError if it is damaged."""
    path = folder / REPORT_NAME
    return GuardReport.read(path) if path.exists() else None
