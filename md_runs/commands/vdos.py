"""`md-runs vdos`: the vibrational density of states of runs, and its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from ase.data import chemical_symbols

from md_runs.analysis.sampling.uncertainty import estimate_text, number_text
from md_runs.analysis.spectra.density_of_states import (
    DecomposedSpectrum,
    VibrationalSpectrum,
    decomposed_density_of_states,
)
from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.peaks import find_spectrum_peaks
from md_runs.analysis.spectra.spectrum_corrections import (
    without_difference_damping,
    without_verlet_shift,
)
from md_runs.analysis.spectra.vibrational_motion import ModeProjection, Removed
from md_runs.analysis.vibrations.normal_modes import NormalModes
from md_runs.analysis.vibrations.stick_spectra import stick_spectrum
from md_runs.commands.findings import Findings, Notebook, Table
from md_runs.commands.prepared_run import RunView
from md_runs.commands.spectrum_tables import (
    check_lines,
    chosen_lags,
    integration_step_fs,
    peak_table,
    shown_range_per_cm,
    spectrum_sentence,
)
from md_runs.figures.spectra import parts_figure, spectra_figure
from md_runs.trajectories.frame_arrays import centroid
from md_runs.trajectories.trajectory import with_velocities
from mlpotential.errors import ConfigError, DataError

Parts = Literal["element", "atom", "mode"]


@dataclass(frozen=True)
class VdosOptions:
    """What is asked for; None where it is to be chosen.

    Attributes:
        by: what to divide the density of states into.
        modes: normal modes, drawn beside it and the parts of `by="mode"`.
        resolution_per_cm: sets the window.
        removed: motions of the whole to take off; None for translation and, without a cell,
            rotation.
        mass_weighted: False for the plain velocity autocorrelation function.
        verlet_correction: take the red shift of the integrator's step back.
        integration_timestep_fs: of the integrator; None where the run tells it.
        max_per_cm: right end of the axis.
    """

    by: Parts | None = None
    modes: NormalModes | None = None
    resolution_per_cm: float | None = None
    removed: Removed | None = None
    mass_weighted: bool = True
    verlet_correction: bool = False
    integration_timestep_fs: float | None = None
    max_per_cm: float | None = None


def vdos_findings(views: Sequence[RunView], options: VdosOptions = VdosOptions()) -> Findings:
    """Densities of states of all runs, with peaks and checks; of ring polymers, of the centroid.

    Raises:
        DataError, ConfigError: runs without motion, options that do not fit them.
    """
    if options.by == "mode" and options.modes is None:
        raise ConfigError("parts by mode need the modes: --modes modes.json (md-runs modes --json)")
    notes = Notebook()
    spectra: dict[str, DecomposedSpectrum] = {}
    for view in views:
        notes.open_run(view.assumptions, view.doubts)
        with notes.noted_warnings(view.name):
            found, how = _spectrum(view, options)
        spectra[view.name] = found
        notes.assumptions.append(f"{view.name}: {_sentence(view, found.total, how)}")
        passed, failed = check_lines(found.total, view.name)
        notes.remarks += passed
        notes.doubts += failed
        peaks = find_spectrum_peaks(found.total)
        notes.results |= {
            view.name: found if options.by else found.total,
            f"{view.name}_peaks": peaks,
        }
        notes.tables.append(peak_table(peaks, view.name))
        if options.by:
            notes.tables.append(_parts_table(found, view.name))
    notes.tables.insert(0, _overview(spectra))
    _draw(notes, spectra, options)
    return notes.findings("vdos", "vibrational density of states, its integral the number of modes")


def _spectrum(view: RunView, options: VdosOptions) -> tuple[DecomposedSpectrum, str]:
    """The density of states of one run, and how its window was chosen."""
    first, modes, removed = view.segments[0], options.modes, options.removed
    view.check_is_motion()
    are_differences = first.velocities_angstrom_per_fs is None
    segments = [with_velocities(segment) for segment in view.segments]
    timestep_fs = first.frame_interval_fs
    lengths = [segment.n_frames for segment in segments]
    n_lags, how = chosen_lags(options.resolution_per_cm, lengths, timestep_fs)
    if removed is None:
        removed = "translation" if view.is_periodic else "translation and rotation"
    if modes is not None:
        check_modes_belong(modes, first.masses, view)
    is_checked = modes is not None and not are_differences
    needs_positions = removed == "translation and rotation"
    found = decomposed_density_of_states(
        [centroid(segment.velocities_angstrom_per_fs) for segment in segments],
        [centroid(segment.positions) for segment in segments] if needs_positions else None,
        np.asarray(first.masses, np.float64),
        timestep_fs,
        _parts(options, first.atomic_numbers),
        n_lags,
        removed,
        temperature_K=None if are_differences else view.temperature_K,
        dynamics=view.dynamics or Dynamics(),
        harmonic_per_cm=modes.wavenumbers_per_cm if modes is not None and is_checked else None,
        mass_weighted=options.mass_weighted,
        fixed=first.fixed,
    )
    if are_differences:
        found = _changed(found, _undamped)
    if options.verlet_correction:
        step_fs = integration_step_fs(view, options.integration_timestep_fs)
        found = _changed(found, lambda spectrum: without_verlet_shift(spectrum, step_fs))
    return found, how


def _undamped(spectrum: VibrationalSpectrum) -> VibrationalSpectrum:
    """Of velocities that are central differences of positions."""
    return without_difference_damping(spectrum, 2)


def check_modes_belong(modes: NormalModes, masses: np.ndarray, view: RunView) -> None:
    """Raises DataError for modes of another molecule."""
    if len(modes.masses) != len(masses) or not np.allclose(modes.masses, masses, rtol=1e-3):
        raise DataError(
            f"the modes are of another molecule than {view.path}: its atoms, their order or their "
            "masses differ"
        )


def _parts(options: VdosOptions, atomic_numbers: np.ndarray) -> list[str] | ModeProjection:
    """Modes, or a label of each atom."""
    symbols = [chemical_symbols[int(z)] for z in atomic_numbers]
    if options.by == "mode" and options.modes is not None:
        return ModeProjection(options.modes.modes, options.modes.positions)
    if options.by == "atom":
        return [f"{symbol}{k}" for k, symbol in enumerate(symbols)]
    return symbols


def _sentence(view: RunView, total: VibrationalSpectrum, how: str) -> str:
    weighting = "mass-weighted" if total.mass_weighted else "NOT mass-weighted"
    centroid = "of the centroid, " if view.n_beads > 1 else ""
    fixed = view.segments[0].fixed
    left_out = "" if fixed is None else f", {int(fixed.sum())} fixed atoms left out"
    temperature = "temperature unknown: the integral is not checked against it"
    if view.temperature_K is not None:
        temperature = f"temperature {view.temperature_K:g} K"
    return (
        f"{view.dynamics_remark}; velocities {centroid}{weighting}, {total.removed} removed"
        f"{left_out}; {temperature}; {spectrum_sentence(total, how)}"
    )


def _changed(
    found: DecomposedSpectrum, change: Callable[[VibrationalSpectrum], VibrationalSpectrum]
) -> DecomposedSpectrum:
    """The total and all parts changed alike, and normalised to the number of modes anew."""
    total, parts = change(found.total), [change(found.part(label)) for label in found.labels]
    factor = total.n_modes / total.integral.value
    return replace(
        found,
        total=total.changed(total.wavenumbers_per_cm, factor * total.blocks),
        intensities=factor * np.stack([part.intensity for part in parts]),
        standard_errors=factor * np.stack([part.standard_error for part in parts]),
        blocks=factor * np.stack([part.blocks for part in parts]),
    )


def _overview(spectra: Mapping[str, DecomposedSpectrum]) -> Table:
    rows = tuple(
        (
            name,
            estimate_text(found.total.integral),
            str(found.total.n_modes),
            estimate_text(found.total.kinetic_temperature_K),
            f"{found.total.resolution_per_cm:.3g}",
        )
        for name, found in spectra.items()
    )
    columns = ("run", "integral (modes)", "expected", "temperature (K)", "resolution (1/cm)")
    return Table("in all", columns, rows)


def _parts_table(found: DecomposedSpectrum, name: str) -> Table:
    values, errors = found.integrals.value, found.integrals.standard_error
    rows = []
    for k, label in enumerate(found.labels):
        peak = found.total.wavenumbers_per_cm[int(np.argmax(found.intensities[k]))]
        integral = number_text(float(values[k]), float(errors[k]))
        rows.append((label, integral, f"{found.expected_modes[k]:.4g}", f"{peak:.5g}"))
    columns = ("part", "integral (modes)", "expected", "highest at (1/cm)")
    return Table(f"{name}: parts", columns, tuple(rows))


def _draw(notes: Notebook, spectra: Mapping[str, DecomposedSpectrum], options: VdosOptions) -> None:
    """All runs in one figure, the parts in another."""
    totals = {name: found.total for name, found in spectra.items()}
    sticks, top, modes = None, 0.0, options.modes
    if modes is not None:
        width = max(total.resolution_per_cm for total in totals.values())
        sticks = stick_spectrum(modes.wavenumbers_per_cm, np.ones(len(modes.modes)), width)
        top = float(sticks.mode_wavenumbers_per_cm.max(initial=0.0))
        notes.results["harmonic"] = sticks
        notes.assumptions.append(
            f"harmonic lines: {len(sticks.mode_wavenumbers_per_cm)} modes as Lorentzians of "
            f"{sticks.width_per_cm:.3g} 1/cm"
        )
    right = options.max_per_cm or shown_range_per_cm(list(totals.values()), top)
    notes.figures["vdos"] = spectra_figure(totals, right, sticks)
    if options.by:
        notes.figures[f"vdos_by_{options.by}"] = parts_figure(spectra, right)
