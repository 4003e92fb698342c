"""How long the lag window of a spectrum is where nobody says: resolution against error bars."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from md_runs.analysis.sampling.correlation_stream import BLOCK_LAGS
from md_runs.analysis.sampling.uncertainty import number_text
from md_runs.analysis.spectra.peaks import PeakTable
from md_runs.analysis.spectra.spectrum import Spectrum, lags_for_resolution
from md_runs.analysis.spectra.spectrum_corrections import AnySpectrum
from md_runs.commands.findings import Table
from md_runs.commands.prepared_run import RunView
from mlpotential.errors import ConfigError, DataError

FINEST_PER_CM = 10.0  # chosen: resolutions beyond it are asked for
COARSEST_PER_CM = 30.0  # chosen: error bars are given up before more
SHOWN_SHARE = 0.99  # chosen: of the integral; the rest may be noise over a long range
BLOCKS_WANTED = 8  # chosen: error bars known to 27 %


def chosen_lags(
    resolution_per_cm: float | None, lengths: Sequence[int], timestep_fs: float
) -> tuple[int, str]:
    """The length of the window in frames, and a sentence on it.

    Args:
        resolution_per_cm: as asked for; None to choose it.
        lengths: frames of each segment.
        timestep_fs: between frames.

    Raises:
        ConfigError: a resolution that the run is too short for.
        DataError: a run of one frame.
    """
    shortest = min(lengths)
    if shortest < 4:
        raise DataError(f"a spectrum needs segments of at least 4 frames, not {shortest}: run on")
    if resolution_per_cm is not None:
        n_lags = lags_for_resolution(resolution_per_cm, timestep_fs)
        if n_lags > shortest:
            raise ConfigError(
                f"a resolution of {resolution_per_cm:g} 1/cm needs a window of {n_lags} frames, "
                f"but there are segments of {shortest}: run longer, or ask for a coarser one"
            )
        return n_lags, "as asked"
    finest, coarsest = (
        lags_for_resolution(k, timestep_fs) for k in (FINEST_PER_CM, COARSEST_PER_CM)
    )
    with_errors = sum(lengths) // (BLOCK_LAGS * BLOCKS_WANTED)
    n_lags = max(2, min(finest, shortest // 2, max(with_errors, coarsest)))
    return n_lags, "chosen (--resolution-per-cm sets it)"


def integration_step_fs(view: RunView, given_fs: float | None) -> float:
    """The step of the integrator (fs). Raises ConfigError where nobody tells it."""
    step_fs = given_fs or view.segments[0].integration_timestep_fs
    if step_fs is None:
        raise ConfigError(
            f"{view.path} does not tell the integrator's step: give --integration-timestep-fs"
        )
    return step_fs


def spectrum_sentence(spectrum: Spectrum, how: str) -> str:
    """How a spectrum was made."""
    corrections = f"; corrected for {', '.join(spectrum.corrections)}" * bool(spectrum.corrections)
    errors = f"error bars from {spectrum.n_blocks} blocks"
    if spectrum.n_blocks == 1:
        errors = "no error bars: one block only, for which the resolution would have to be coarser"
    return (
        f"{spectrum.window} window of {spectrum.n_lags} lags "
        f"({spectrum.n_lags * spectrum.timestep_fs:.5g} fs), {how}: physical resolution "
        f"{spectrum.resolution_per_cm:.3g} 1/cm (points every {spectrum.spacing_per_cm:.3g} by "
        f"zero padding); {errors}; quantum correction: {spectrum.quantum_correction}{corrections}"
    )


def peak_table(peaks: PeakTable, name: str, **columns: Sequence[str]) -> Table:
    """Peaks with their errors in brackets, and more columns, [n_peaks] each."""
    pairs = zip(peaks.COLUMNS[::2], peaks.COLUMNS[1::2], strict=True)
    numbers = [(getattr(peaks, value), getattr(peaks, error)) for value, error in pairs]
    rows = [
        (
            *(number_text(float(value[k]), float(error[k])) for value, error in numbers),
            *(cells[k] for cells in columns.values()),
        )
        for k in range(len(peaks))
    ]
    headings = (
        "wavenumber (1/cm)",
        f"height ({peaks.height_unit})",
        "width (1/cm)",
        f"area ({peaks.area_unit})",
        *(heading.replace("_", " ") for heading in columns),
    )
    return Table(f"{name}: peaks of the {peaks.quantity}", headings, tuple(rows))


def check_lines(spectrum: Spectrum, name: str) -> tuple[list[str], list[str]]:
    """Checks that passed and checks that failed, with the name of the run."""
    texts: tuple[list[str], list[str]] = ([], [])
    for check in spectrum.checks:
        texts[0 if check.passed else 1].append(f"{name}: {check}")
    return texts


def without_far_end(spectrum: AnySpectrum, end_per_cm: float) -> AnySpectrum:
    """The spectrum up to a wavenumber, which its corrections tell."""
    inside = spectrum.wavenumbers_per_cm <= end_per_cm
    corrections = (*spectrum.corrections, f"noise beyond {end_per_cm:g} 1/cm (cut off)")
    k, blocks = spectrum.wavenumbers_per_cm[inside], spectrum.blocks[:, inside]
    return spectrum.changed(k, blocks, corrections=corrections)


def shown_range_per_cm(spectra: Sequence[Spectrum], harmonic_top_per_cm: float = 0.0) -> float:
    """The right end of an axis, in hundreds: beyond the modes, or 99 % of every spectrum."""
    end = 1.2 * harmonic_top_per_cm
    if not end:
        for spectrum in spectra:
            share = abs(spectrum.intensity).cumsum()
            last = int(np.argmax(share >= SHOWN_SHARE * share[-1]))
            end = max(end, 1.15 * float(spectrum.wavenumbers_per_cm[last]))
    end = min(end, max(float(spectrum.wavenumbers_per_cm[-1]) for spectrum in spectra))
    return float(100 * max(1, np.ceil(end / 100)))
