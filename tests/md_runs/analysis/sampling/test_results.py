"""Results as JSON and CSV."""

import csv
import json
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import pytest

from md_runs.analysis.sampling.correlation_stream import CorrelationFunction
from md_runs.analysis.sampling.equilibration import Equilibration
from md_runs.analysis.sampling.results import AnalysisResult, plain
from md_runs.analysis.sampling.uncertainty import Estimate
from md_runs.analysis.spectra.density_of_states import DecomposedSpectrum, VibrationalSpectrum
from md_runs.analysis.spectra.infrared import InfraredSpectrum
from md_runs.analysis.spectra.peaks import PeakTable
from md_runs.analysis.spectra.raman import RamanSpectrum
from md_runs.analysis.structure.distances import CageGeometry, DistanceDistribution
from md_runs.analysis.structure.rdf import PairDistribution
from md_runs.analysis.vibrations.irreps import ModeSymmetries
from md_runs.analysis.vibrations.mode_comparison import ModeComparison
from md_runs.analysis.vibrations.mode_intensities import InfraredIntensities, RamanIntensities
from md_runs.analysis.vibrations.normal_modes import FrequencyComparison, NormalModes
from md_runs.analysis.vibrations.point_groups import PointGroup
from md_runs.analysis.vibrations.quasi_harmonic import QuasiHarmonicModes
from md_runs.analysis.vibrations.stick_spectra import StickSpectrum
from md_runs.analysis.vibrations.thermochemistry import Thermochemistry

RESULTS = [
    CageGeometry,
    CorrelationFunction,
    DecomposedSpectrum,
    DistanceDistribution,
    Equilibration,
    FrequencyComparison,
    InfraredIntensities,
    InfraredSpectrum,
    ModeComparison,
    ModeSymmetries,
    NormalModes,
    PairDistribution,
    PeakTable,
    PointGroup,
    QuasiHarmonicModes,
    RamanIntensities,
    RamanSpectrum,
    StickSpectrum,
    Thermochemistry,
    VibrationalSpectrum,
]


@dataclass(frozen=True)
class Curve(AnalysisResult):
    x: np.ndarray
    y: np.ndarray
    mean: Estimate
    n_frames: int

    UNITS: ClassVar[dict[str, str]] = {"x": "A", "y": "1/A", "mean": "A"}
    COLUMNS: ClassVar[tuple[str, ...]] = ("x", "y")


@pytest.fixture
def curve() -> Curve:
    return Curve(
        np.array([0.1, 0.2]), np.array([1 / 3, np.nan]), Estimate(np.float64(2), np.nan, 1), 7
    )


def test_json_holds_units_types_and_every_digit(curve: Curve, tmp_path: Any) -> None:
    curve.save_json(tmp_path / "curve.json")
    content = json.loads((tmp_path / "curve.json").read_text())
    assert content == {
        "type": "Curve",
        "units": {"x": "A", "y": "1/A", "mean": "A"},
        "x": [0.1, 0.2],
        "y": [1 / 3, None],
        "mean": {"type": "Estimate", "value": 2.0, "standard_error": None, "n_blocks": 1},
        "n_frames": 7,
    }


def test_csv_has_units_in_its_header(curve: Curve, tmp_path: Any) -> None:
    curve.save_csv(tmp_path / "curve.csv")
    rows = list(csv.reader((tmp_path / "curve.csv").read_text().splitlines()))
    assert rows == [["x (A)", "y (1/A)"], ["0.1", repr(1 / 3)], ["0.2", ""]]


def test_what_is_not_tabular_has_no_csv(tmp_path: Any) -> None:
    with pytest.raises(TypeError, match="not tabular"):
        Estimate(1.0, 0.1, 2).save_csv(tmp_path / "estimate.csv")


def test_what_has_no_plain_form_is_refused() -> None:
    with pytest.raises(TypeError, match="object has no plain form"):
        plain([1.0, object()])


@pytest.mark.parametrize("result", RESULTS)
def test_every_number_that_is_not_a_count_has_a_unit(result: type[AnalysisResult]) -> None:
    texts = {f.name: str(f.type) for f in fields(result)}  # type: ignore[arg-type]
    names = {n: text.removeprefix("Annotated[").split(",")[0] for n, text in texts.items()}
    numbers = ("float", "np.ndarray", "Estimate")
    quantities = {n for n, kind in names.items() if kind in numbers}
    some_have = {n for n, kind in names.items() if kind.removesuffix(" | None") in numbers}
    assert quantities <= set(result.UNITS) <= some_have
    assert set(result.COLUMNS) <= set(result.UNITS)
