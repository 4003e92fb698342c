"""`md-runs ir` and `md-runs raman`: absorption and scattering of runs, beside normal modes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from md_runs.analysis.sampling.uncertainty import estimate_text
from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.infrared import (
    InfraredSpectrum,
    dipole_flux,
    infrared_spectrum,
    infrared_spectrum_of_flux,
)
from md_runs.analysis.spectra.peaks import PeakTable, find_spectrum_peaks
from md_runs.analysis.spectra.quantum_corrections import QuantumCorrection
from md_runs.analysis.spectra.raman import RamanSpectra, raman_spectra
from md_runs.analysis.spectra.response_spectra import ResponseSpectrum
from md_runs.analysis.spectra.spectrum import Spectrum
from md_runs.analysis.spectra.spectrum_corrections import without_verlet_shift
from md_runs.analysis.vibrations.stick_spectra import StickSpectrum, stick_spectrum
from md_runs.commands.findings import Findings, Notebook
from md_runs.commands.prepared_run import RunView
from md_runs.commands.spectrum_tables import (
    check_lines,
    chosen_lags,
    integration_step_fs,
    peak_table,
    shown_range_per_cm,
    spectrum_sentence,
    without_far_end,
)
from md_runs.figures.spectra import plot_raman, spectra_figure
from md_runs.figures.style import dressed
from md_runs.trajectories.frame_arrays import LazyFrames, centroid
from md_runs.trajectories.trajectory import Trajectory
from mlpotential.errors import DataError

AnyResponse = TypeVar("AnyResponse", bound=ResponseSpectrum)


@dataclass(frozen=True)
class Lines:
    """Harmonic intensities: km/mol, or Raman activities (A^4/amu).

    Attributes:
        wavenumbers_per_cm: [n_modes].
        intensities: [n_modes].
    """

    wavenumbers_per_cm: np.ndarray
    intensities: np.ndarray


@dataclass(frozen=True)
class ResponseOptions:
    """What is asked for; None where it is to be chosen.

    Attributes:
        resolution_per_cm: sets the window.
        quantum_correction: factor of the intensities; None for that of the dynamics.
        lines: of the normal modes, drawn beside the spectrum.
        born_charges: change of the dipole with the coordinates, [n_atoms, 3, 3] (e); infrared from
            the flux of velocities instead of dipoles.
        verlet_correction: take the red shift of the integrator's step back.
        integration_timestep_fs: of the integrator; None where the run tells it.
        max_per_cm: right end of the axis.
    """

    resolution_per_cm: float | None = None
    quantum_correction: QuantumCorrection | None = None
    lines: Lines | None = None
    born_charges: np.ndarray | None = None
    verlet_correction: bool = False
    integration_timestep_fs: float | None = None
    max_per_cm: float | None = None


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
            if lines.wavenumbers_per_cm.shape == lines.intensities.shape:
                return lines
    raise DataError(f"{path} holds no {field} with wavenumbers_per_cm, [n_modes] each")


def read_born_charges(path: Path, n_atoms: int) -> np.ndarray:
    """Numbers of a .npy or text file as [n_atoms, 3, 3] (e). Raises DataError if they are not."""
    try:
        values = np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path)
    except OSError as error:
        raise DataError(f"cannot read the Born charges {path}: {error}") from error
    except ValueError as error:
        raise DataError(f"{path} holds no array of numbers: {error}") from error
    if values.size != 9 * n_atoms:
        raise DataError(
            f"{path} has {values.size} numbers: Born charges of {n_atoms} atoms are {9 * n_atoms}, "
            "[n_atoms, 3, 3]"
        )
    return np.asarray(values, np.float64).reshape(n_atoms, 3, 3)


def infrared_findings(
    views: Sequence[RunView],
    options: ResponseOptions = ResponseOptions(),
) -> Findings:
    """Infrared absorption of all runs, with peaks and checks.

    Raises:
        DataError, ConfigError: runs without dipoles or temperature, options that do not fit.
    """
    notes = Notebook()
    spectra: dict[str, InfraredSpectrum] = {}
    for view in views:
        notes.open_run(view.assumptions, view.doubts)
        with notes.noted_warnings(view.name):
            found, how = _infrared(view, options)
        found = _finished(found, view, options)
        spectra[view.name] = found
        peaks = find_spectrum_peaks(found)
        notes.results |= {view.name: found, f"{view.name}_peaks": peaks}
        notes.tables.append(peak_table(peaks, view.name))
        _note(notes, view, found, how)
    _draw(notes, spectra, options, "ir")
    return notes.findings("ir", "infrared absorption, (km/mol) per 1/cm")


def raman_findings(
    views: Sequence[RunView],
    options: ResponseOptions = ResponseOptions(),
) -> Findings:
    """Raman activities of all runs, with peaks, depolarisation ratios and checks.

    Raises:
        DataError, ConfigError: runs without polarizabilities or temperature, options that do not
            fit.
    """
    notes = Notebook()
    spectra: dict[str, ResponseSpectrum] = {}
    for view in views:
        notes.open_run(view.assumptions, view.doubts)
        with notes.noted_warnings(view.name):
            found, how = _raman(view, options)
        spectra[view.name] = found.unpolarised
        peaks = find_spectrum_peaks(found.unpolarised)
        notes.results |= {
            view.name: found.unpolarised,
            f"{view.name}_parallel": found.parallel,
            f"{view.name}_perpendicular": found.perpendicular,
            f"{view.name}_peaks": peaks,
        }
        ratios = _depolarization_ratios(found, peaks)
        notes.tables.append(peak_table(peaks, view.name, depolarisation_ratio=ratios))
        _note(notes, view, found.unpolarised, how)
    right = _draw(notes, spectra, options, "raman")
    if len(views) == 1:
        ax = plot_raman(found, None, right)
        figure = dressed(ax).get_figure(root=True)
        assert figure is not None
        notes.figures["raman_polarised"] = figure
    return notes.findings("raman", "Raman activity, (A^4/amu) per 1/cm")


def _infrared(view: RunView, options: ResponseOptions) -> tuple[InfraredSpectrum, str]:
    """From the flux of Born charges, from dipoles, or from charges and positions."""
    common, how = _common(view, options)
    intensities = None if options.lines is None else options.lines.intensities
    first, charges = view.segments[0], options.born_charges
    if charges is not None:
        if first.velocities_angstrom_per_fs is None:
            raise DataError(f"{view.path} has no velocities: Born charges give a flux with them")
        fluxes = [_flux(centroid(s.velocities_angstrom_per_fs), charges) for s in view.segments]
        found = infrared_spectrum_of_flux(fluxes, intensities_km_per_mol=intensities, **common)
        return found, f"{how}; flux of Born charges and velocities"
    if first.dipoles is not None:
        dipoles, source = [centroid(s.dipoles) for s in view.segments], "recorded dipoles"
    elif first.charges is not None:
        dipoles = [centroid(_dipoles_of_charges(s)) for s in view.segments]
        source = "dipoles of recorded charges at unwrapped positions"
    else:
        raise DataError(
            f"{view.path} has no dipoles: record them, use a model with a dipole, or give "
            "--born-charges"
        )
    found = infrared_spectrum(dipoles, intensities_km_per_mol=intensities, **common)
    return found, f"{how}; {source}"


def _raman(view: RunView, options: ResponseOptions) -> tuple[RamanSpectra, str]:
    common, how = _common(view, options)
    if view.segments[0].polarizabilities is None:
        raise DataError(f"{view.path} has no polarizabilities: record them for a Raman spectrum")
    found = raman_spectra(
        [centroid(segment.polarizabilities) for segment in view.segments],
        activities=None if options.lines is None else options.lines.intensities,
        **common,
    )
    return found.changed(lambda spectrum: _finished(spectrum, view, options)), how


def _common(view: RunView, options: ResponseOptions) -> tuple[dict[str, Any], str]:
    """Arguments that both spectra share, and a sentence on them."""
    view.check_is_motion()
    timestep_fs = view.segments[0].frame_interval_fs
    lengths = [segment.n_frames for segment in view.segments]
    n_lags, how = chosen_lags(options.resolution_per_cm, lengths, timestep_fs)
    temperature_K, source = view.known_temperature_K()
    how = f"{how}; temperature {temperature_K:.5g} K, {source}"
    common = {
        "timestep_fs": timestep_fs,
        "temperature_K": temperature_K,
        "n_lags": n_lags,
        "dynamics": view.dynamics or Dynamics(),
    }
    return common, how


def _flux(velocities: Any, charges: np.ndarray) -> LazyFrames:
    shape = (len(velocities), 3)
    return LazyFrames(shape, lambda start, stop: dipole_flux(velocities[start:stop], charges))


def _dipoles_of_charges(segment: Trajectory) -> LazyFrames:
    """sum_i q_i r_i of each bead, [n_frames, n_beads, 3] (e A)."""

    def read(start: int, stop: int) -> np.ndarray:
        charges = np.asarray(segment.charges[start:stop])  # type: ignore[index]
        dipoles: np.ndarray = np.einsum("fba,fbax->fbx", charges, segment.positions[start:stop])
        return dipoles

    return LazyFrames((segment.n_frames, segment.n_beads, 3), read)


def _finished(spectrum: AnyResponse, view: RunView, options: ResponseOptions) -> AnyResponse:
    """With the quantum correction and the integrator's step that were asked for."""
    if options.quantum_correction is not None:
        # Factors that grow with the wavenumber would make mountains of the noise beyond the lines.
        spectrum = without_far_end(
            spectrum, options.max_per_cm or _range_per_cm([spectrum], options)
        )
        spectrum = spectrum.with_quantum_correction(options.quantum_correction)
    if options.verlet_correction:
        step_fs = integration_step_fs(view, options.integration_timestep_fs)
        spectrum = without_verlet_shift(spectrum, step_fs)
    return spectrum


def _note(notes: Notebook, view: RunView, spectrum: Spectrum, how: str) -> None:
    sentence = f"{view.dynamics_remark}; {spectrum_sentence(spectrum, how)}"
    notes.assumptions.append(f"{view.name}: {sentence}")
    passed, failed = check_lines(spectrum, view.name)
    unit = spectrum.UNITS["integral"]
    notes.remarks += [f"{view.name}: integral {estimate_text(spectrum.integral, unit)}", *passed]
    notes.doubts += failed


def _depolarization_ratios(spectra: RamanSpectra, peaks: PeakTable) -> list[str]:
    """Of each peak, over a resolution or its width to each side."""
    texts = []
    for k, width in zip(peaks.wavenumbers_per_cm, peaks.widths_per_cm, strict=True):
        reach = np.nanmax([width, peaks.resolution_per_cm])
        texts.append(estimate_text(spectra.depolarization_ratio(k - reach, k + reach)))
    return texts


def _draw(
    notes: Notebook, spectra: Mapping[str, ResponseSpectrum], options: ResponseOptions, name: str
) -> float:
    """All runs in one figure, modes behind; the right end of its axis (1/cm)."""
    sticks: StickSpectrum | None = None
    lines = options.lines
    if lines is not None:
        width = max(spectrum.resolution_per_cm for spectrum in spectra.values())
        sticks = stick_spectrum(lines.wavenumbers_per_cm, lines.intensities, width)
        notes.results["harmonic"] = sticks
        notes.assumptions.append(
            f"harmonic lines: {len(lines.intensities)} modes as Lorentzians of {width:.3g} 1/cm"
        )
    right = options.max_per_cm or _range_per_cm(list(spectra.values()), options)
    notes.figures[name] = spectra_figure(spectra, right, sticks)
    return right


def _range_per_cm(spectra: Sequence[Spectrum], options: ResponseOptions) -> float:
    """Where lines end (1/cm)."""
    lines = options.lines
    top = 0.0 if lines is None else float(lines.wavenumbers_per_cm.max(initial=0.0))
    return shown_range_per_cm(spectra, top)
