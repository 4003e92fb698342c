"""A spectrum in parts that add up to it, whatever the spectrum is of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Generic, Self, TypeVar

import numpy as np

from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate
from md_runs.analysis.spectra.spectrum import Spectrum
from mlpotential.errors import DataError

Whole = TypeVar("Whole", bound=Spectrum)

PARTS_FIELDS = ("intensities", "standard_errors", "blocks")  # of one unit


@dataclass(frozen=True)
class SpectrumParts(AnalysisResult, Generic[Whole]):
    """The whole and its parts: elements, atoms or normal modes.

    Attributes:
        total: the whole.
        labels: names of the parts, [n_parts].
        intensities: in the unit of the whole, [n_parts, n_points].
        standard_errors: from blocks, [n_parts, n_points].
        integrals: of each part, [n_parts].
        blocks: of the parts, see `Spectrum`, [n_parts, n_blocks, n_points]. Not saved.
    """

    total: Whole
    labels: tuple[str, ...]
    intensities: np.ndarray
    standard_errors: np.ndarray
    integrals: Estimate
    blocks: np.ndarray

    UNSAVED: ClassVar[tuple[str, ...]] = ("blocks",)
    DRAWN_BY: ClassVar[str] = "md_runs.figures.spectra:plot_parts"

    def part(self, label: str) -> Whole:
        """One part as a spectrum of its own.

        Raises:
            DataError: if there is no part of this name.
        """
        if label not in self.labels:
            raise DataError(f"there is no part {label!r}: it is one of {', '.join(self.labels)}")
        blocks = self.blocks[self.labels.index(label)]
        return self.total.changed(
            self.total.wavenumbers_per_cm, blocks, quantity=f"{self.total.quantity} of {label}"
        )

    def changed(self, change: Callable[[Whole], Whole]) -> Self:
        """The whole and all parts changed alike."""
        parts = [change(self.part(label)) for label in self.labels]
        integrals = [part.integral for part in parts]
        return replace(
            self,
            total=change(self.total),
            intensities=np.stack([part.intensity for part in parts]),
            standard_errors=np.stack([part.standard_error for part in parts]),
            integrals=Estimate(
                np.array([integral.value for integral in integrals]),
                np.array([integral.standard_error for integral in integrals]),
                self.integrals.n_blocks,
            ),
            blocks=np.stack([part.blocks for part in parts]),
        )

    def table_columns(self) -> dict[str, np.ndarray]:
        """The whole and each part, with standard errors."""
        unit = self.UNITS["intensities"]
        columns = {
            "wavenumbers_per_cm (1/cm)": self.total.wavenumbers_per_cm,
            f"all ({unit})": self.total.intensity,
            f"standard_error of all ({unit})": self.total.standard_error,
        }
        for label, part, error in zip(
            self.labels, self.intensities, self.standard_errors, strict=True
        ):
            columns[f"{label} ({unit})"] = part
            columns[f"standard_error of {label} ({unit})"] = error
        return columns
