"""What all spectra share: the lag window where nobody says, parts, peaks, checks, the figure.

A new kind of spectrum (`vdos` and `infrared_and_raman` are two) calls, for each run,
`chosen_lags`, its own function of `md_runs.analysis.spectra`, and `note_spectrum`; then, for all
of them, `draw_spectra`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase.data import chemical_symbols

from md_runs.analysis.exports.jcamp import jcamp_text
from md_runs.analysis.sampling.correlation_stream import BLOCK_LAGS
from md_runs.analysis.sampling.uncertainty import number_text
from md_runs.analysis.spectra.density_of_states import DecomposedSpectrum
from md_runs.analysis.spectra.peaks import PeakTable, find_spectrum_peaks
from md_runs.analysis.spectra.sampling_limits import (
    fastest_stretch,
    limit_check,
    nyquist_limit_per_cm,
)
from md_runs.analysis.spectra.spectrum import Spectrum, lags_for_resolution
from md_runs.analysis.spectra.spectrum_corrections import AnySpectrum
from md_runs.analysis.spectra.spectrum_parts import SpectrumParts
from md_runs.analysis.vibrations.normal_modes import NormalModes
from md_runs.analysis.vibrations.stick_spectra import stick_spectrum
from md_runs.commands.analysis_report import ReportBuilder, Table
from md_runs.commands.prepared_run import PreparedRun
from md_runs.figures.spectra import spectra_figure
from mlpotential.errors import ConfigError, DataError
from mlpotential.run_folder import write_atomically

FINEST_PER_CM = 10.0  # chosen: resolutions beyond it are asked for
COARSEST_PER_CM = 30.0  # chosen: error bars are given up before more
SHOWN_SHARE = 0.99  # chosen: of the integral; the rest may be noise over a long range
BLOCKS_WANTED = 8  # chosen: error bars known to 27 %

By = Literal["element", "atom", "mode"]


@dataclass(frozen=True)
class Lines:
    """Harmonic lines: numbers of modes, km/mol, or Raman activities (A^4/amu).

    Attributes:
        wavenumbers_per_cm: [n_modes].
        intensities: [n_modes].
        model_errors_per_cm: of the wavenumbers, by a committee, [n_modes]; None of one model.
    """

    wavenumbers_per_cm: np.ndarray
    intensities: np.ndarray
    model_errors_per_cm: np.ndarray | None = None

    def columns(self, peaks: PeakTable) -> dict[str, list[str]]:
        """What the table of peaks has beside them: the model errors of lines within a resolution.

        The root mean square of several lines; nothing where there is none.
        """
        if self.model_errors_per_cm is None:
            return {}
        cells = []
        for place in peaks.wavenumbers_per_cm:
            near = np.abs(self.wavenumbers_per_cm - place) <= peaks.resolution_per_cm
            errors = self.model_errors_per_cm[near]
            cells.append(f"{np.sqrt(np.mean(errors**2)):.2g}" if len(errors) else "-")
        return {"model error (1/cm)": cells}


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


def integration_step_fs(run: PreparedRun, given_fs: float | None) -> float:
    """The step of the integrator (fs). Raises ConfigError where nobody tells it."""
    step_fs = given_fs or run.segments[0].integration_timestep_fs
    if step_fs is None:
        raise ConfigError(
            f"{run.path} does not tell the integrator's step: give --integration-timestep-fs"
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


def peak_table(peaks: PeakTable, name: str, columns: Mapping[str, Sequence[str]]) -> Table:
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
        *columns,
    )
    return Table(f"{name}: peaks of the {peaks.quantity}", headings, tuple(rows))


def check_parts(by: By | None, modes: NormalModes | None, runs: Sequence[PreparedRun]) -> None:
    """Raises ConfigError for parts by modes that nobody gave, DataError for those of others."""
    if by == "mode" and modes is None:
        raise ConfigError("parts by mode need the modes: --modes modes.json (md-runs modes --json)")
    if modes is None:
        return
    for run in runs:
        masses = run.segments[0].masses
        none_fixed = np.zeros(len(masses), bool)
        if len(modes.masses) != len(masses) or not np.allclose(modes.masses, masses, rtol=1e-3):
            raise DataError(
                f"the modes are of another molecule than {run.path}: its atoms, their order or "
                "their masses differ"
            )
        still = [none_fixed if f is None else f for f in (modes.fixed, run.segments[0].fixed)]
        if not np.array_equal(still[0], still[1]):
            raise DataError(
                f"{int(still[0].sum())} atoms are fixed in the modes, {int(still[1].sum())} in "
                f"{run.path}: take the modes of the structure that the run began with"
            )


def atom_labels(by: By | None, atomic_numbers: np.ndarray) -> list[str]:
    """The part that each atom belongs to: its element, or itself where `by` is "atom"."""
    symbols = [chemical_symbols[int(z)] for z in atomic_numbers]
    return [f"{symbol}{k}" for k, symbol in enumerate(symbols)] if by == "atom" else symbols


def note_spectrum(
    builder: ReportBuilder,
    run: PreparedRun,
    found: Spectrum | SpectrumParts[Any],
    sentence: str,
    columns: Callable[[PeakTable], Mapping[str, Sequence[str]]] | None = None,
) -> None:
    """Adds the spectrum of one run, or its parts: how it was made, checks, peaks.

    Args:
        builder: of the report.
        run: that it is of.
        found: saved under the name of the run.
        sentence: what was assumed.
        columns: further ones of the table of peaks, [n_peaks] each.
    """
    whole = found.total if isinstance(found, SpectrumParts) else found
    peaks = find_spectrum_peaks(whole)
    builder.assumptions.append(f"{run.name}: {sentence}")
    end = limit_check(whole.wavenumbers_per_cm, whole.blocks, whole.timestep_fs)
    builder.warnings += _beyond_the_limit(run, whole.timestep_fs)
    if end is not None and not end.passed:
        builder.warnings.append(f"{run.name}: {end}")
    for check in whole.checks:
        (builder.remarks if check.passed else builder.warnings).append(f"{run.name}: {check}")
    builder.results |= {run.name: found, f"{run.name}_peaks": peaks}
    builder.tables.append(peak_table(peaks, run.name, columns(peaks) if columns else {}))
    if isinstance(found, SpectrumParts):
        builder.tables.append(_parts_table(found, run.name))


def _beyond_the_limit(run: PreparedRun, timestep_fs: float) -> list[str]:
    """A bond that vibrates too fast for the frames, in a sentence; none where all are slow."""
    first = run.segments[0]
    if not first.has_positions:
        return []
    numbers = np.asarray(first.atomic_numbers)
    masses = np.asarray(first.masses)
    fastest = fastest_stretch(np.asarray(first.positions[0:1][0, 0]), numbers, masses)
    limit_per_cm = nyquist_limit_per_cm(timestep_fs)
    if fastest is None or fastest[0] < limit_per_cm:
        return []
    stretch_per_cm, *atoms = fastest
    bond = "-".join(chemical_symbols[int(numbers[k])] for k in atoms)
    enough_fs = timestep_fs * limit_per_cm / (1.5 * stretch_per_cm)
    return [
        f"{run.name}: frames {timestep_fs:.4g} fs apart tell wavenumbers up to {limit_per_cm:.0f} "
        f"1/cm, but {bond} bonds vibrate at {stretch_per_cm:.0f} 1/cm or more: their lines are "
        f"folded back, unless the bonds are rigid. Record frames every {enough_fs:.2g} fs"
    ]


def _parts_table(found: SpectrumParts[Any], name: str) -> Table:
    values, errors = found.integrals.value, found.integrals.standard_error
    expected = found.expected_modes if isinstance(found, DecomposedSpectrum) else None
    rows = []
    for k, label in enumerate(found.labels):
        peak = found.total.wavenumbers_per_cm[int(np.argmax(found.intensities[k]))]
        integral = number_text(float(values[k]), float(errors[k]))
        of_modes = () if expected is None else (f"{expected[k]:.4g}",)
        rows.append((label, integral, *of_modes, f"{peak:.5g}"))
    if expected is None:
        columns: tuple[str, ...] = ("part", f"integral ({found.UNITS['integrals']})")
    else:
        columns = ("part", "integral (modes)", "expected")
    return Table(f"{name}: parts", (*columns, "highest at (1/cm)"), tuple(rows))


def draw_spectra(
    builder: ReportBuilder,
    name: str,
    spectra: Mapping[str, Spectrum],
    lines: Lines | None,
    max_per_cm: float | None,
) -> float:
    """All runs in one figure, normal modes behind.

    Args:
        builder: of the report, with the peaks of `note_spectrum`.
        name: of the figure.
        spectra: by run.
        lines: of the normal modes; None for none.
        max_per_cm: right end of the axis; None where the lines end.

    Returns:
        The right end of the axis (1/cm).
    """
    sticks = None
    if lines is not None:
        width = max(spectrum.resolution_per_cm for spectrum in spectra.values())
        sticks = stick_spectrum(lines.wavenumbers_per_cm, lines.intensities, width)
        builder.results["harmonic"] = sticks
        builder.assumptions.append(
            f"harmonic lines: {len(sticks.mode_wavenumbers_per_cm)} modes as Lorentzians of "
            f"{width:.3g} 1/cm"
        )
    right = max_per_cm or shown_range_per_cm(list(spectra.values()), lines)
    peaks = builder.results[f"{next(iter(spectra))}_peaks"] if len(spectra) == 1 else None
    assert peaks is None or isinstance(peaks, PeakTable)
    builder.figures[name] = spectra_figure(spectra, right, sticks, peaks)
    return right


def note_jcamp(builder: ReportBuilder, spectra: Mapping[str, Spectrum], path: Path | None) -> None:
    """Lets the report write the spectra of all runs as JCAMP-DX, too.

    Args:
        builder: of the report.
        spectra: by run.
        path: of the file, wherever the folder of the report is; None for none.
    """
    if path is None:
        return
    text = jcamp_text(spectra)
    builder.files[str(path.absolute())] = lambda place: write_atomically(place, text)


def without_far_end(spectrum: AnySpectrum, end_per_cm: float) -> AnySpectrum:
    """The spectrum up to a wavenumber, which its corrections tell."""
    inside = spectrum.wavenumbers_per_cm <= end_per_cm
    corrections = (*spectrum.corrections, f"noise beyond {end_per_cm:g} 1/cm (cut off)")
    k, blocks = spectrum.wavenumbers_per_cm[inside], spectrum.blocks[:, inside]
    return spectrum.changed(k, blocks, corrections=corrections)


def shown_range_per_cm(spectra: Sequence[Spectrum], lines: Lines | None = None) -> float:
    """The right end of an axis, in hundreds: beyond the modes, or 99 % of every spectrum."""
    end = 0.0 if lines is None else 1.2 * float(lines.wavenumbers_per_cm.max(initial=0.0))
    if not end:
        for spectrum in spectra:
            share = abs(spectrum.intensity).cumsum()
            last = int(np.argmax(share >= SHOWN_SHARE * share[-1]))
            end = max(end, 1.15 * float(spectrum.wavenumbers_per_cm[last]))
    end = min(end, max(float(spectrum.wavenumbers_per_cm[-1]) for spectrum in spectra))
    return float(100 * max(1, np.ceil(end / 100)))
