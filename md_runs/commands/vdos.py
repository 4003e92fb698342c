"""`md-runs vdos`: the vibrational density of states of runs, and its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from md_runs.analysis.sampling.correlation_stream import correlation_function
from md_runs.analysis.sampling.uncertainty import estimate_text, mean_of_blocks
from md_runs.analysis.spectra.density_of_states import (
    DecomposedSpectrum,
    VibrationalSpectrum,
    decomposed_density_of_states,
)
from md_runs.analysis.spectra.dynamics import Dynamics
from md_runs.analysis.spectra.sampling_limits import differences_check
from md_runs.analysis.spectra.spectrum_checks import (
    EQUIPARTITION,
    equipartition_check,
    modes_check,
)
from md_runs.analysis.spectra.spectrum_corrections import (
    without_difference_damping,
    without_verlet_shift,
)
from md_runs.analysis.spectra.vibrational_motion import ModeProjection, Removed
from md_runs.analysis.structure.periodic_images import checked_cells
from md_runs.analysis.vibrations.degrees_of_freedom import DegreesOfFreedom, degrees_of_freedom
from md_runs.analysis.vibrations.normal_modes import NormalModes, read_normal_modes
from md_runs.commands.analysis_report import AnalysisReport, ReportBuilder, Table, analysis_command
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
    spectrum_sentence,
)
from md_runs.figures.spectra import parts_figure
from md_runs.trajectories.frame_arrays import SubstituteFrames, centroid
from md_runs.trajectories.trajectory import Trajectory, unwrapped, with_velocities
from mlpotential.errors import DataError
from mlpotential.input_files import check_output_file

EXAMPLES = """  md-runs vdos nve
  md-runs vdos nve --by element --modes modes.json --resolution-per-cm 5
  md-runs vdos classical trpmd --output compared --verlet-correction"""


def vdos_report(
    runs: Sequence[PreparedRun],
    *,
    by: By | None = None,
    modes: Path | None = None,
    resolution_per_cm: float | None = None,
    remove: Literal["translation-and-rotation", "translation", "nothing"] | None = None,
    mass_weighting: bool = True,
    correlation: bool = False,
    verlet_correction: bool = False,
    integration_timestep_fs: float | None = None,
    max_per_cm: float | None = None,
    jcamp: Path | None = None,
    members: bool = False,
) -> AnalysisReport:
    """Densities of states of all runs, with peaks and checks; of ring polymers, of the centroid.

    Args:
        runs: with motion in time.
        by: parts to divide it into.
        modes: of md-runs modes --json: drawn beside it, and the parts of --by mode.
        resolution_per_cm: physical resolution, 1/cm (10 to 30, as the run allows).
        remove: motion of the whole to take off (translation-and-rotation; translation in a cell).
        mass_weighting: without it the plain velocity autocorrelation function, hydrogens foremost.
        correlation: save the velocity autocorrelation function in time, too.
        verlet_correction: take back the shift of lines by the time step.
        integration_timestep_fs: of the integrator, fs (as recorded).
        max_per_cm: right end of the axis, 1/cm (where lines end).
        jcamp: write the spectra as JCAMP-DX (.jdx), for programs of spectrometers.
        members: the runs after the first are of one member of its committee each: their spread is
            its model error.

    Raises:
        DataError, ConfigError: runs without motion, options that do not fit them.
    """
    reference = read_normal_modes(modes) if modes else None
    check_parts(by, reference, runs)
    check_output_file(jcamp)
    of_members = check_member_runs(runs, members)
    removed: Any = remove and remove.replace("-", " ")
    builder = ReportBuilder()

    lines = None
    if reference is not None:
        ones = np.ones(reference.n_modes)
        lines = Lines(reference.wavenumbers_per_cm, ones, reference.model_errors_per_cm)

    def analyse(run: PreparedRun) -> DecomposedSpectrum:
        found, how = density_of_states_of(
            run, by, reference, resolution_per_cm, removed, mass_weighting
        )
        if verlet_correction:
            step_fs = integration_step_fs(run, integration_timestep_fs)
            found = _changed(found, lambda spectrum: without_verlet_shift(spectrum, step_fs))
        total = found.total
        columns = None if lines is None else lines.columns
        note_spectrum(builder, run, found if by else total, _sentence(run, total, how), columns)
        if correlation:
            builder.results[f"{run.name}_correlation"] = correlation_function(
                [centroid(segment.velocities_angstrom_per_fs) for segment in _moving(run)],
                total.timestep_fs,
                total.n_lags,
                weights=np.asarray(run.segments[0].masses)[:, None] if mass_weighting else None,
            )
        return found

    parts = builder.for_each(runs, analyse)
    builder.tables.insert(0, _overview(parts))
    if of_members:
        note_member_peaks(builder, runs)
    totals = {name: found.total for name, found in parts.items()}
    note_jcamp(builder, totals, jcamp)
    right = draw_spectra(builder, "vdos", totals, lines, max_per_cm)
    if by:
        builder.figures[f"vdos_by_{by}"] = parts_figure(parts, right)
    return builder.report("vdos", "vibrational density of states, its integral the number of modes")


def _moving(run: PreparedRun) -> list[Trajectory]:
    """Its segments with velocities; without recorded ones, differences of positions.

    Raises:
        DataError: for a run whose motion has no meaning in time.
    """
    run.check_is_motion()
    return [with_velocities(segment) for segment in run.segments]


def density_of_states_of(
    run: PreparedRun,
    by: By | None,
    modes: NormalModes | None,
    resolution_per_cm: float | None,
    removed: Removed | None,
    mass_weighted: bool,
) -> tuple[DecomposedSpectrum, str]:
    """The density of states of one run, and how its window was chosen."""
    first, segments = run.segments[0], _moving(run)
    are_differences = first.velocities_angstrom_per_fs is None
    timestep_fs = first.frame_interval_fs
    lengths = [segment.n_frames for segment in run.segments]
    n_lags, how = chosen_lags(resolution_per_cm, lengths, timestep_fs)
    if removed is None:
        removed = "translation" if run.is_periodic else "translation and rotation"
    is_checked = modes is not None and not are_differences
    needs_positions = removed == "translation and rotation"
    parts: list[str] | ModeProjection = atom_labels(by, first.atomic_numbers)
    if by == "mode" and modes is not None:
        parts = ModeProjection(modes.modes, modes.positions)
    found = decomposed_density_of_states(
        [centroid(segment.velocities_angstrom_per_fs) for segment in segments],
        [_whole_positions(s) for s in segments] if needs_positions else None,
        np.asarray(first.masses, np.float64),
        timestep_fs,
        parts,
        n_lags,
        removed,
        temperature_K=None if are_differences else run.temperature_K,  # damped: see below
        dynamics=run.dynamics or Dynamics(),
        harmonic_per_cm=modes.wavenumbers_per_cm if modes is not None and is_checked else None,
        mass_weighted=mass_weighted,
        fixed=first.fixed,
    )
    if are_differences:  # central ones, of positions
        found = _without_damping(found, run.temperature_K)
    elif (
        mass_weighted and first.has_positions and not isinstance(first.positions, SubstituteFrames)
    ):
        total = found.total
        contradiction = differences_check(
            centroid(first.velocities_angstrom_per_fs),
            centroid(unwrapped(first).positions),
            _freedom(first, removed),
            timestep_fs,
            total.wavenumbers_per_cm,
            total.intensity,
        )
        if not contradiction.passed:
            found = replace(found, total=replace(total, checks=(*total.checks, contradiction)))
    return found, how


def _freedom(segment: Trajectory, removed: Removed) -> DegreesOfFreedom:
    frames = np.asarray(centroid(segment.positions)[:1000])
    return degrees_of_freedom(frames, segment.masses, removed, fixed=segment.fixed, pbc=segment.pbc)


def _whole_positions(segment: Trajectory) -> Any:
    """Unwrapped, of the centroid. Raises DataError for a molecule that lies across a face."""
    segment = unwrapped(segment)
    positions = centroid(segment.positions)
    if segment.cells is not None and any(segment.pbc):
        inverse = np.linalg.inv(checked_cells(np.asarray(segment.cells[0]), segment.pbc))
        extent = np.ptp(np.asarray(positions[0]) @ inverse, axis=0)
        if (extent[list(segment.pbc)] > 0.5).any():
            raise DataError(
                "rotation can be removed of a molecule only, and this one is wider than half the "
                "cell: make it whole, or remove translation only"
            )
    return positions


def _without_damping(found: DecomposedSpectrum, temperature_K: float | None) -> DecomposedSpectrum:
    """Of central differences, which lack kinetic energy: the temperature is that of the rest."""
    ratio = without_difference_damping(found.total, 2).integral.value / found.total.n_modes
    changed = _changed(found, lambda spectrum: without_difference_damping(spectrum, 2))
    total, expected = changed.total, changed.expected_modes
    damped = total.kinetic_temperature_K
    kelvin = replace(
        damped, value=damped.value * ratio, standard_error=damped.standard_error * ratio
    )
    integrals = mean_of_blocks(np.trapezoid(changed.blocks, total.wavenumbers_per_cm).T)
    checks = {check.name: check for check in total.checks}
    if temperature_K is not None and total.mass_weighted:
        of_run = modes_check(kelvin, temperature_K, total.n_modes)
        checks[of_run.name] = of_run
    if EQUIPARTITION in checks:
        checks[EQUIPARTITION] = equipartition_check(changed.labels, integrals, expected)
    total = replace(total, kinetic_temperature_K=kelvin, checks=tuple(checks.values()))
    return replace(changed, total=total, integrals=integrals)


def _sentence(run: PreparedRun, total: VibrationalSpectrum, how: str) -> str:
    weighting = "mass-weighted" if total.mass_weighted else "NOT mass-weighted"
    centroid = "of the centroid, " if run.n_beads > 1 else ""
    fixed = run.segments[0].fixed
    left_out = "" if fixed is None else f", {int(fixed.sum())} fixed atoms left out"
    temperature = "temperature unknown: the integral is not checked against it"
    if run.temperature_K is not None:
        temperature = f"temperature {run.temperature_K:g} K"
    return (
        f"{run.dynamics_remark}; velocities {centroid}{weighting}, {total.removed} removed"
        f"{left_out}; {temperature}; {spectrum_sentence(total, how)}"
    )


def _changed(
    found: DecomposedSpectrum, change: Callable[[VibrationalSpectrum], VibrationalSpectrum]
) -> DecomposedSpectrum:
    """The total and all parts changed alike, and normalised to the number of modes anew."""
    changed = found.changed(change)
    total = changed.total
    factor = total.n_modes / total.integral.value
    return replace(
        changed,
        total=total.changed(total.wavenumbers_per_cm, factor * total.blocks),
        intensities=factor * changed.intensities,
        standard_errors=factor * changed.standard_errors,
        integrals=found.integrals,
        blocks=factor * changed.blocks,
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


COMMAND = analysis_command(
    "vdos", vdos_report, EXAMPLES, leading=lambda _: ("velocities_angstrom_per_fs",)
)
