"""`md-runs ir` and `md-runs raman`: absorption and scattering of runs, beside normal modes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from md_runs.analysis.sampling.uncertainty import estimate_text
from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.infrared import (
    InfraredSpectrum,
    dipole_flux,
    dipole_flux_of_atoms,
    infrared_spectrum,
    infrared_spectrum_of_flux,
)
from md_runs.analysis.spectra.infrared_parts import (
    InfraredParts,
    dipole_flux_of_modes,
    infrared_parts,
)
from md_runs.analysis.spectra.peaks import PeakTable, find_spectrum_peaks
from md_runs.analysis.spectra.quantum_corrections import QuantumCorrection
from md_runs.analysis.spectra.raman import RamanSpectra, raman_spectra, stokes_spectrum
from md_runs.analysis.spectra.response_spectra import ResponseSpectrum
from md_runs.analysis.spectra.spectrum_corrections import without_verlet_shift
from md_runs.analysis.vibrations.normal_modes import NormalModes, read_normal_modes
from md_runs.commands.analysis_report import AnalysisReport, ReportBuilder, analysis_command
from md_runs.commands.error_bars.member_runs import check_member_runs, note_member_peaks
from md_runs.commands.prepared_run import PreparedRun
from md_runs.commands.spectrum_tables import (
    By,
    Lines,
    atom_labels,
    check_parts,
    chosen_lags,
    draw_spectra,
    integration_step_fs,
    note_jcamp,
    note_spectrum,
    peak_table,
    shown_range_per_cm,
    spectrum_sentence,
    without_far_end,
)
from md_runs.figures.spectra import parts_figure, plot_raman, spectra_figure
from md_runs.figures.style import figure_of, style_axes
from md_runs.trajectories.frame_arrays import LazyFrames, centroid
from md_runs.trajectories.trajectory import Trajectory, unwrapped
from mlpotential.errors import ConfigError, DataError
from mlpotential.input_files import check_output_file

AnyResponse = TypeVar("AnyResponse", bound=ResponseSpectrum)
Found = TypeVar("Found", InfraredSpectrum | InfraredParts, RamanSpectra)

BORN_CHARGES = "Born charges"
EXAMPLES = """  md-runs {0} nve
  md-runs {0} nve --temperature-K 300 --quantum-correction harmonic
  md-runs {0} classical trpmd --intensities {1}.json --output compared"""


def read_lines(path: Path, field: str) -> Lines:
    """Intensities that `save_json` of `InfraredIntensities` or `RamanIntensities` has written.

    Args:
        path: of the JSON file; the intensities may lie one level down in it.
        field: `intensities_km_per_mol` or `activities`.

    Raises:
        DataError: a file that is missing or has no such intensities.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise DataError(f"cannot read the intensities {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is no JSON file: {error}") from error
    places = [content, *content.values()] if isinstance(content, dict) else []
    for place in places:
        if isinstance(place, dict) and {field, "wavenumbers_per_cm"} <= place.keys():
            lines = Lines(*(np.array(place[n], float) for n in ("wavenumbers_per_cm", field)))
            if (errors := place.get("model_errors_per_cm")) is not None:
                lines = replace(lines, model_errors_per_cm=np.array(errors, float))
            if lines.wavenumbers_per_cm.shape == lines.intensities.shape:
                return lines
    raise DataError(f"{path} holds no {field} with wavenumbers_per_cm, [n_modes] each")


def read_numbers(path: Path, what: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Numbers of a .npy or text file. Raises DataError if they are not, or not so many."""
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path)
    except OSError as error:
        raise DataError(f"cannot read the {what} {path}: {error}") from error
    except ValueError as error:
        raise DataError(f"{path} holds no array of numbers: {error}") from error
    numbers = np.asarray(values, np.float64)
    return numbers if shape is None else shaped(numbers, what, shape)


def shaped(numbers: np.ndarray, what: str, shape: tuple[int, ...]) -> np.ndarray:
    """The numbers in a shape that begins with n_atoms. Raises DataError if there are others."""
    if numbers.size != np.prod(shape):
        raise DataError(
            f"there are {numbers.size} numbers, but {what} of {shape[0]} atoms are "
            f"{np.prod(shape)}, {list(shape)}"
        )
    return numbers.reshape(shape)


def infrared_report(
    runs: Sequence[PreparedRun],
    *,
    born_charges: Path | None = None,
    by: By | None = None,
    modes: Path | None = None,
    **options: Any,
) -> AnalysisReport:
    """Infrared absorption of all runs, with peaks and checks.

    Args:
        runs: with motion in time.
        born_charges: .npy or text, [n_atoms, 3, 3] (e): flux of velocities instead of dipoles.
        by: parts to divide it into, from --born-charges.
        modes: of md-runs modes --json, for --by mode.
        options: as of `note_responses`.

    Raises:
        DataError, ConfigError: runs without dipoles or temperature, options that do not fit.
    """
    reference = read_normal_modes(modes) if modes else None
    check_parts(by, reference, runs)
    measure: Any = _infrared_of_dipoles
    if born_charges is not None:
        charges = read_numbers(born_charges, BORN_CHARGES)
        measure = partial(_infrared_of_flux, born_charges=charges)
        if by is not None:
            measure = partial(_parts, by=by, modes=reference, born_charges=charges)
    elif by is not None:
        raise ConfigError(f"parts by {by} need --born-charges (md-runs modes --born-charges)")
    builder, field = ReportBuilder(), "intensities_km_per_mol"
    found, right = note_responses(builder, "ir", field, runs, measure, **options)
    if by is not None:
        builder.figures[f"ir_by_{by}"] = parts_figure(found, right)
    return builder.report("ir", "infrared absorption, (km/mol) per 1/cm")


def raman_report(
    runs: Sequence[PreparedRun], *, laser_nm: float | None = None, **options: Any
) -> AnalysisReport:
    """Raman activities of all runs, with peaks, depolarisation ratios and checks.

    Args:
        runs: with motion in time.
        laser_nm: wavelength of a laser, nm: its Stokes spectrum at the temperature of the run, too.
        options: as of `note_responses`.

    Raises:
        DataError, ConfigError: runs without polarizabilities or temperature, options that do not
            fit.
    """
    builder = ReportBuilder()
    found, right = note_responses(builder, "raman", "activities", runs, _raman, **options)
    for name, spectra in found.items():
        builder.results |= {
            f"{name}_parallel": spectra.parallel,
            f"{name}_perpendicular": spectra.perpendicular,
        }
    if len(found) == 1:
        ax = plot_raman(next(iter(found.values())), None, right)
        builder.figures["raman_polarised"] = figure_of(style_axes(ax))
    if laser_nm is not None:
        _note_stokes(builder, found, laser_nm, right)
    return builder.report("raman", "Raman activity, (A^4/amu) per 1/cm")


def _note_stokes(
    builder: ReportBuilder, found: Mapping[str, RamanSpectra], laser_nm: float, right_per_cm: float
) -> None:
    """What a laser makes of the activities of all runs."""
    stokes = {
        name: stokes_spectrum(spectra.unpolarised, laser_nm) for name, spectra in found.items()
    }
    for name, spectrum in stokes.items():
        peaks = find_spectrum_peaks(spectrum)
        builder.results |= {f"{name}_stokes": spectrum, f"{name}_stokes_peaks": peaks}
        builder.tables.append(peak_table(peaks, name, {}))
        builder.assumptions.append(
            f"{name}: {spectrum.corrections[-1]}, at a right angle, all polarisations, without a "
            f"resonance: activity times (k_0 - k)^4 / (k (1 - exp(-hck/kT))), from "
            f"{spectrum.wavenumbers_per_cm[0]:.3g} 1/cm on"
        )
    builder.figures["raman_stokes"] = spectra_figure(stokes, right_per_cm)


def note_responses(
    builder: ReportBuilder,
    name: str,
    field: str,
    runs: Sequence[PreparedRun],
    measure: Callable[[PreparedRun, dict[str, Any], np.ndarray | None], tuple[Found, str]],
    *,
    resolution_per_cm: float | None = None,
    intensities: Path | None = None,
    quantum_correction: QuantumCorrection | None = None,
    verlet_correction: bool = False,
    integration_timestep_fs: float | None = None,
    max_per_cm: float | None = None,
    jcamp: Path | None = None,
    members: bool = False,
) -> tuple[dict[str, Found], float]:
    """The spectra of all runs, noted and drawn, and the right end of the axis (1/cm).

    Args:
        builder: of the report.
        name: of the figure.
        field: of the intensities in their file.
        runs: with motion in time.
        measure: the spectrum of one run and where it comes from; takes the run, the arguments that
            all spectra share, and intensities of the modes, [n_modes].
        resolution_per_cm: physical resolution, 1/cm (10 to 30, as the run allows).
        intensities: JSON with intensities of the modes: drawn beside it.
        quantum_correction: factor of the intensities (classical; Kubo of RPMD, TRPMD and CMD).
        verlet_correction: take back the shift of lines by the time step.
        integration_timestep_fs: of the integrator, fs (as recorded).
        max_per_cm: right end of the axis, 1/cm (where lines end).
        jcamp: write the spectra as JCAMP-DX (.jdx), for programs of spectrometers.
        members: the runs after the first are of one member of its committee each: their spread is
            its model error.
    """
    check_output_file(jcamp)
    of_members = check_member_runs(runs, members)
    lines = read_lines(intensities, field) if intensities else None

    def analyse(run: PreparedRun) -> Found:
        common, how = _common(run, resolution_per_cm)
        found, source = measure(run, common, None if lines is None else lines.intensities)
        end_per_cm = max_per_cm or shown_range_per_cm([_whole(found)], lines)

        def corrected(spectrum: AnyResponse) -> AnyResponse:
            if quantum_correction is not None:
                # Factors that grow with the wavenumber make mountains of noise beyond the lines.
                spectrum = without_far_end(spectrum, end_per_cm)
                spectrum = spectrum.with_quantum_correction(quantum_correction)
            if verlet_correction:
                step_fs = integration_step_fs(run, integration_timestep_fs)
                spectrum = without_verlet_shift(spectrum, step_fs)
            return spectrum

        is_spectrum = isinstance(found, InfraredSpectrum)
        found = corrected(found) if is_spectrum else found.changed(corrected)  # type: ignore
        whole, columns = _whole(found), None if lines is None else lines.columns
        if isinstance(found, RamanSpectra):
            columns = partial(_depolarization_ratios, found)
        sentence = f"{run.dynamics_remark}; {spectrum_sentence(whole, f'{how}{source}')}"
        unit = whole.UNITS["integral"]
        builder.remarks.append(f"{run.name}: integral {estimate_text(whole.integral, unit)}")
        shown = found if isinstance(found, InfraredParts) else whole
        note_spectrum(builder, run, shown, sentence, columns)
        return found

    found = builder.for_each(runs, analyse)
    if of_members:
        note_member_peaks(builder, runs)
    wholes = {name: _whole(one) for name, one in found.items()}
    note_jcamp(builder, wholes, jcamp)
    return found, draw_spectra(builder, name, wholes, lines, max_per_cm)


def _whole(found: InfraredSpectrum | InfraredParts | RamanSpectra) -> ResponseSpectrum:
    """What of it has peaks and checks."""
    if isinstance(found, RamanSpectra):
        return found.unpolarised
    return found.total if isinstance(found, InfraredParts) else found


def _common(run: PreparedRun, resolution_per_cm: float | None) -> tuple[dict[str, Any], str]:
    """Arguments that all spectra share, and a sentence on them."""
    run.check_is_motion()
    timestep_fs = run.segments[0].frame_interval_fs
    lengths = [segment.n_frames for segment in run.segments]
    n_lags, how = chosen_lags(resolution_per_cm, lengths, timestep_fs)
    temperature_K, source = run.known_temperature_K()
    how = f"{how}; temperature {temperature_K:.5g} K, {source}"
    common = {
        "timestep_fs": timestep_fs,
        "temperature_K": temperature_K,
        "n_lags": n_lags,
        "dynamics": run.dynamics or Dynamics(),
    }
    return common, how


def _infrared_of_dipoles(
    run: PreparedRun, common: dict[str, Any], intensities: np.ndarray | None
) -> tuple[InfraredSpectrum, str]:
    """From recorded dipoles, or from charges and positions."""
    first = run.segments[0]
    if first.dipoles is not None:
        dipoles, source = [centroid(s.dipoles) for s in run.segments], "recorded dipoles"
    elif first.charges is not None:
        dipoles = [centroid(_dipoles_of_charges(s)) for s in run.segments]
        source = "dipoles of recorded charges at unwrapped positions"
    else:
        raise DataError(
            f"{run.path} has no dipoles: record them, use a model with a dipole, or give "
            "--born-charges"
        )
    found = infrared_spectrum(dipoles, intensities_km_per_mol=intensities, **common)
    return found, f"; {source}"


def _infrared_of_flux(
    run: PreparedRun,
    common: dict[str, Any],
    intensities: np.ndarray | None,
    born_charges: np.ndarray,
) -> tuple[InfraredSpectrum, str]:
    """From velocities and Born charges, which nothing damps."""
    charges = _checked(born_charges, run)
    fluxes = [
        _of_pieces((3,), partial(dipole_flux, born_charges=charges), _velocities(segment))
        for segment in run.segments
    ]
    found = infrared_spectrum_of_flux(fluxes, intensities_km_per_mol=intensities, **common)
    return found, "; flux of Born charges and velocities"


def _parts(
    run: PreparedRun,
    common: dict[str, Any],
    _: np.ndarray | None,
    by: By,
    modes: NormalModes | None,
    born_charges: np.ndarray,
) -> tuple[InfraredParts, str]:
    """What elements, atoms or modes absorb, from velocities and Born charges."""
    charges, first = _checked(born_charges, run), run.segments[0]
    if by == "mode" and modes is not None:
        labels = [f"mode {k + 1}" for k in range(len(modes.modes))]
        flux = partial(dipole_flux_of_modes, modes=modes, born_charges=charges)
    else:
        labels = atom_labels(by, first.atomic_numbers)
        flux = partial(dipole_flux_of_atoms, born_charges=charges)
    sources = [
        (_velocities(segment), *([centroid(unwrapped(segment).positions)] if by == "mode" else []))
        for segment in run.segments
    ]
    fluxes = [_of_pieces((len(labels), 3), flux, *source) for source in sources]
    return infrared_parts(fluxes, labels, **common), "; flux of Born charges and velocities"


def _checked(born_charges: np.ndarray, run: PreparedRun) -> np.ndarray:
    """[n_atoms, 3, 3] (e). Raises DataError for the charges of another molecule."""
    return shaped(born_charges, BORN_CHARGES, (run.segments[0].n_atoms, 3, 3))


def _velocities(segment: Trajectory) -> Any:
    """Of the centroid, [n_frames, n_atoms, 3] (A/fs). Raises DataError where there are none."""
    if segment.velocities_angstrom_per_fs is None:
        raise DataError("the run has no velocities: Born charges give a flux with them")
    return centroid(segment.velocities_angstrom_per_fs)


def _of_pieces(
    shape: tuple[int, ...], function: Callable[..., np.ndarray], *sources: Any
) -> LazyFrames:
    """A function of frames, evaluated where they are read, [n_frames, *shape]."""
    return LazyFrames(
        (len(sources[0]), *shape),
        lambda start, stop: function(*(source[start:stop] for source in sources)),
    )


def _dipoles_of_charges(segment: Trajectory) -> LazyFrames:
    """sum_i q_i r_i of each bead, [n_frames, n_beads, 3] (e A)."""

    def dipoles(charges: np.ndarray, positions: np.ndarray) -> np.ndarray:
        sums: np.ndarray = np.einsum("fba,fbax->fbx", charges, positions)
        return sums

    return _of_pieces((segment.n_beads, 3), dipoles, segment.charges, unwrapped(segment).positions)


def _raman(
    run: PreparedRun, common: dict[str, Any], activities: np.ndarray | None
) -> tuple[RamanSpectra, str]:
    if run.segments[0].polarizabilities is None:
        raise DataError(f"{run.path} has no polarizabilities: record them for a Raman spectrum")
    polarizabilities = [centroid(segment.polarizabilities) for segment in run.segments]
    return raman_spectra(polarizabilities, activities=activities, **common), ""


def _depolarization_ratios(spectra: RamanSpectra, peaks: PeakTable) -> dict[str, list[str]]:
    """Of each peak, over a resolution or its width to each side."""
    texts, natural = [], []
    for k, width in zip(peaks.wavenumbers_per_cm, peaks.widths_per_cm, strict=True):
        margin = np.nanmax([width, peaks.resolution_per_cm])
        texts.append(estimate_text(spectra.depolarization_ratio(k - margin, k + margin)))
        of_lamp = spectra.natural_depolarization_ratio(k - margin, k + margin)
        natural.append(estimate_text(of_lamp))
    return {"in natural light": natural, "depolarisation ratio": texts}


INFRARED = analysis_command(
    "ir",
    infrared_report,
    EXAMPLES.format("ir", "infrared")
    + "\n  md-runs ir nve --born-charges born.npy --by mode --modes modes.json",
    more=[note_responses],
    leading=lambda options: (
        ("velocities_angstrom_per_fs",) if options.get("born_charges") else ("dipoles", "charges")
    ),
)
RAMAN = analysis_command(
    "raman",
    raman_report,
    EXAMPLES.format("raman", "raman") + "\n  md-runs raman nve --laser-nm 532",
    more=[note_responses],
    leading=lambda _: ("polarizabilities",),
)
