"""Results as data frames of pandas and as figures, each asked of the result itself."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from recorded_runs import water_modes, write_water_run

from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.structure.rdf import pair_distribution, radial_distributions
from md_runs.analysis.vibrations.mode_intensities import InfraredIntensities
from md_runs.analysis.vibrations.normal_modes import compare_frequencies
from md_runs.commands.prepared_run import open_runs
from md_runs.commands.vdos import vdos_report
from mlpotential.errors import ConfigError


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """One of each kind that has a figure, by the name of its type."""
    path = tmp_path_factory.mktemp("results") / "water.extxyz"
    write_water_run(path, n_frames=1000)
    whole = vdos_report(open_runs([path])).results["water"]
    parts = vdos_report(open_runs([path]), by="element").results["water"]
    _, modes = water_modes()
    rng = np.random.default_rng(0)
    molecule = modes.positions + 0.05 * rng.normal(size=(50, 2, 3, 3))
    gas = 10 * rng.random((20, 1, 30, 3))
    (radial,) = radial_distributions(gas, np.full(30, 18), 10.0 * np.eye(3))
    wavenumbers = modes.wavenumbers_per_cm
    intensities = InfraredIntensities(wavenumbers, np.ones(3), np.ones((3, 3)))
    found = [
        whole, parts, modes, pair_distribution(molecule), radial, intensities,
        compare_frequencies(1.01 * wavenumbers, wavenumbers),
    ]  # fmt: skip
    return {type(result).__name__: result for result in found}


KINDS = (
    "VibrationalSpectrum", "DecomposedSpectrum", "NormalModes", "PairDistribution",
    "RadialDistribution", "InfraredIntensities", "FrequencyComparison",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_figures(results, kind):
    result = results[kind]
    ax = result.plot()
    assert isinstance(ax, Axes)
    assert ax.get_xlabel()
    assert ax.get_ylabel()
    given = Figure().subplots()
    assert result.plot(given) is given
    assert given.has_data()


def test_what_figures_show(results):
    modes = results["NormalModes"]
    (sticks,) = modes.plot().collections
    places = [stick[0][0] for stick in sticks.get_segments()]
    assert places == pytest.approx(modes.wavenumbers_per_cm)
    ax = results["VibrationalSpectrum"].plot(max_wavenumber_per_cm=2000.0)
    assert ax.get_xlim() == (0, 2000)
    labels = results["PairDistribution"].plot().get_legend_handles_labels()[1]
    assert labels == ["PIMD, 2 beads"]


@pytest.mark.parametrize("kind", KINDS)
def test_data_frames(results, kind, tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    result = results[kind]
    frame = result.to_dataframe()
    result.save_csv(tmp_path / "table.csv")
    pandas.testing.assert_frame_equal(frame, pandas.read_csv(tmp_path / "table.csv"))
    assert all(name.endswith(")") for name in frame.columns)


def test_units_are_in_the_names(results):
    pytest.importorskip("pandas", reason="pandas is not installed")
    assert list(results["PairDistribution"].to_dataframe()) == [
        "distances (A)", "density (1/A)", "standard_error (1/A)",
    ]  # fmt: skip
    assert list(results["NormalModes"].to_dataframe()) == ["wavenumbers_per_cm (1/cm)"]


def test_without_pandas(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ConfigError, match=r"pip install 'mlpotential\[tables\]'"):
        results["NormalModes"].to_dataframe()


def test_results_without_table_or_figure():
    class Bare(AnalysisResult):
        pass

    with pytest.raises(TypeError, match="not tabular"):
        Bare().to_dataframe()
    with pytest.raises(TypeError, match="has no figure"):
        Bare().plot()


def test_neither_is_imported_before_it_is_asked_for():
    program = (
        "import sys, md_runs.analysis.vibrations.normal_modes, md_runs.analysis.spectra.spectrum; "
        "assert not {'pandas', 'matplotlib'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=60)
