"""Positions wrapped into cells of any shape, and what is made of them."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from md_runs.commands.infrared_and_raman import infrared_report
from md_runs.commands.prepared_run import open_runs
from md_runs.commands.vdos import vdos_report
from md_runs.trajectories.h5md_writer import write_h5md
from md_runs.trajectories.trajectory import Trajectory, unwrapped, with_velocities
from mlpotential.errors import DataError
from mlpotential.units import ASE_TIME_PER_FS, EV_PER_KELVIN, WAVENUMBER_PER_INVERSE_FS

pytestmark = pytest.mark.filterwarnings("ignore:velocities are not those of the run")

SKEWED = np.array([[6.0, 0, 0], [2.5, 5.5, 0], [-1.5, 2.0, 7.0]])  # A
ALL = (True, True, True)
N_FRAMES, INTERVAL_FS, LINE_PER_CM, AMPLITUDE = 1200, 8.0, 100.0, 0.15
OMEGA = 2 * np.pi * LINE_PER_CM / WAVENUMBER_PER_INVERSE_FS  # 1/fs


def drifting_pair() -> np.ndarray:
    """Two atoms that vibrate against each other and drift, [n_frames, 1, 2, 3] (A)."""
    times = INTERVAL_FS * np.arange(N_FRAMES)
    start = np.array([[0.2, 0.3, 0.1], [2.2, 0.4, 0.3]])
    drift = np.array([2.1e-3, -1.3e-3, 1.7e-3]) * times[:, None]
    stretch = AMPLITUDE * np.cos(OMEGA * times)[:, None, None] * np.array([[0.5], [-0.5]])
    along = np.array([1.0, 0.0, 0.0])
    return (start + drift[:, None] + stretch * along)[:, None]


def wrapped(positions: np.ndarray, cells: np.ndarray, pbc=ALL) -> np.ndarray:
    """Into the cell of each frame, or of all."""
    cells = np.broadcast_to(cells, (len(positions), 3, 3))[:, None]
    fractional = positions @ np.linalg.inv(cells)
    return positions - np.where(pbc, np.floor(fractional), 0.0) @ cells


def run_of(positions, cells, pbc=ALL, symbols="Ar2", **more) -> Trajectory:
    atoms = Atoms(symbols)
    return Trajectory(
        atomic_numbers=atoms.numbers,
        masses=atoms.get_masses(),
        times_fs=INTERVAL_FS * np.arange(len(positions)),
        positions=positions,
        cells=np.broadcast_to(cells, (len(positions), 3, 3)),
        pbc=pbc,
        **more,
    )


@pytest.mark.parametrize("pbc", [ALL, (True, True, False), (False, True, False)])
@pytest.mark.parametrize(
    "cell",
    [5.0 * np.eye(3), SKEWED, SKEWED[[1, 0, 2]], SKEWED @ np.diag([1, 1, -1])],
    ids=["cubic", "skewed", "left-handed", "mirrored"],
)
def test_wrapped_positions_are_followed(cell, pbc):
    truth = drifting_pair()
    run = run_of(wrapped(truth, cell, pbc), cell, pbc)
    assert np.abs(np.diff(run.positions, axis=0)).max() > 2
    found = unwrapped(run)
    moved = np.asarray(found.positions) - truth
    np.testing.assert_allclose(moved, np.broadcast_to(moved[0], moved.shape), atol=1e-9)
    pieces = np.concatenate([found.positions[k : k + 7] for k in range(0, N_FRAMES, 7)])
    np.testing.assert_allclose(pieces, np.asarray(found.positions), atol=1e-12)
    assert unwrapped(found).positions is found.positions
    step = np.diff(truth, axis=0)
    velocities = with_velocities(run).velocities_angstrom_per_fs
    np.testing.assert_allclose(velocities, (step[1:] + step[:-1]) / (2 * INTERVAL_FS), atol=1e-12)


def test_a_cell_that_changes_moves_no_atom_by_a_cell():
    """Positions relative to the cell are followed, and set into the mean one."""
    truth = drifting_pair()
    sizes = 1 + 0.03 * np.sin(np.arange(N_FRAMES) / 40.0)
    cells = sizes[:, None, None] * SKEWED
    followed = unwrapped(run_of(wrapped(truth, cells), cells))
    found = np.diff(np.asarray(followed.positions), axis=0)
    in_mean = truth @ (np.linalg.inv(cells) @ cells.mean(axis=0))[:, None]
    np.testing.assert_allclose(found, np.diff(in_mean, axis=0), atol=1e-9)
    np.testing.assert_allclose(followed.cells[7], cells.mean(axis=0))
    assert np.abs(found).max() < 0.2


def test_a_step_that_cannot_be_told_is_refused():
    truth = drifting_pair()[::130]  # 2.2 A in x between frames
    with pytest.raises(DataError, match="atom . moves by 0.4. of it from frame .* to .*: too far"):
        unwrapped(run_of(wrapped(truth, 5.0 * np.eye(3)), 5.0 * np.eye(3)))
    assert unwrapped(run_of(truth, 5.0 * np.eye(3))).positions is truth  # unwrapped as it is


def test_a_run_without_jumps_is_itself():
    truth = drifting_pair()
    for run in (run_of(truth, SKEWED), run_of(truth, SKEWED, (False,) * 3)):
        assert unwrapped(run).positions is truth


def test_the_line_is_where_it_is_and_as_hot_as_it_is(tmp_path):
    """Of 3 modes in a cell only the stretch moves; its temperature is checked, damped or not."""
    cell = 5.0 * np.eye(3)
    path = tmp_path / "pair.h5"
    write_h5md(run_of(wrapped(drifting_pair(), cell), cell), path)
    mean_square = 0.5 * (0.5 * AMPLITUDE * OMEGA / ASE_TIME_PER_FS) ** 2
    kelvin = 2 * 39.95 * mean_square / (3 * EV_PER_KELVIN)
    for temperature_K, state in ((kelvin, "passed"), (4 * kelvin, "FAILED")):
        runs = open_runs([path], temperature_K=temperature_K, skip_ps=0)
        report = vdos_report(runs, resolution_per_cm=8)
        (row,) = report.tables[1].rows
        assert float(row[0]) == pytest.approx(LINE_PER_CM, abs=0.1)
        assert float(row[3]) == pytest.approx(3, rel=0.03)
        found = report.results["pair"].kinetic_temperature_K.value
        assert found == pytest.approx(kelvin, rel=0.01)
        assert f"integral (modes) {state}" in str(report)


def test_a_dipole_of_charges_does_not_jump_at_a_face(tmp_path):
    cell, truth = 5.0 * np.eye(3), drifting_pair()
    charges = np.broadcast_to([0.4, -0.4], (N_FRAMES, 1, 2))
    path = tmp_path / "pair.h5"
    write_h5md(run_of(wrapped(truth, cell), cell, charges=charges), path)
    report = infrared_report(open_runs([path], temperature_K=300.0, skip_ps=0), resolution_per_cm=8)
    assert "continuity of dipoles (jumps) passed" in str(report)
    (row,) = report.tables[0].rows
    assert float(row[0]) == pytest.approx(LINE_PER_CM, abs=0.5)


def test_rotation_of_a_molecule_across_a_face_is_refused(tmp_path):
    cell = 5.0 * np.eye(3)
    broken = wrapped(drifting_pair() - np.array([1.2, 0, 0]), cell)
    path = tmp_path / "pair.h5"
    write_h5md(run_of(broken, cell), path)
    with pytest.raises(DataError, match="wider than half the cell: make it whole"):
        vdos_report(open_runs([path], skip_ps=0), remove="translation-and-rotation")
