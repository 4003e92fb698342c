"""NVE segments: each from its own frame, kept when finished, repeated when not."""

from __future__ import annotations

import numpy as np
import pytest
from spring_network import PolarSprings, spring_cluster

from md_runs.classical.nve_segments import run_nve_segments
from md_runs.thermal_velocities import maxwell_boltzmann
from mlpotential.errors import ConfigError, RunError, StructureError
from mlpotential.units import ASE_TIME_PER_FS

STEPS = {"segment_steps": 60, "timestep_fs": 0.5, "stride": 3}


def start_frames(n_frames: int):
    """Thermal frames with some drift and rotation, as a Langevin run leaves them."""
    atoms, generator = spring_cluster(6), np.random.default_rng(8)
    momenta = [maxwell_boltzmann(atoms, 300.0, True, generator) for _ in range(n_frames)]
    velocities = [p / atoms.get_masses()[:, None] * ASE_TIME_PER_FS + 1e-3 for p in momenta]
    return [
        (atoms.positions + generator.normal(scale=0.02, size=(6, 3)), velocity)
        for velocity in velocities
    ]


def test_segments_start_from_their_frames_and_neither_drift_nor_turn(tmp_path):
    starts = start_frames(3)
    segments = run_nve_segments(spring_cluster(6), starts, folder=tmp_path, **STEPS)
    assert len(segments) == 3
    for (positions, velocities), segment in zip(starts, segments, strict=True):
        assert segment.n_frames == 21
        np.testing.assert_array_equal(segment.positions[0, 0], positions)
        np.testing.assert_allclose(segment.times_fs, 1.5 * np.arange(21))
        masses, v = segment.masses, segment.velocities_angstrom_per_fs[:, 0]
        momenta = masses[:, None] * v
        turning = np.cross(segment.positions[:, 0], momenta)
        for moving in (momenta, turning):
            assert np.abs(moving.sum(axis=1)).max() < 1e-11 * np.abs(moving).max()
        removed = velocities - v[0]  # a rigid motion: it changes no distance
        bonds = positions[:, None] - positions
        stretching = np.einsum("ijx,ijx->ij", bonds, removed[:, None] - removed)
        assert np.abs(stretching).max() < 1e-12
        total = segment.energies[:, 0] + 0.5 * np.einsum("i,fix->f", masses, v**2) / (
            ASE_TIME_PER_FS**2
        )
        assert np.ptp(total) < 2e-3 * np.ptp(segment.energies)


def test_segments_record_the_dipole(tmp_path):
    atoms = spring_cluster(6)
    atoms.calc = PolarSprings(atoms.get_positions(), 2.0)
    segment = run_nve_segments(atoms, start_frames(1), folder=tmp_path, **STEPS)[0]
    expected = np.einsum("i,fbix->fbx", atoms.numbers, segment.positions)
    np.testing.assert_allclose(segment.dipoles, expected, rtol=0, atol=1e-13 * expected.max())


def test_finished_segments_are_kept_and_the_others_run(tmp_path):
    starts = start_frames(3)
    whole = run_nve_segments(spring_cluster(6), starts, folder=tmp_path / "whole", **STEPS)
    folder = tmp_path / "resumed"
    run_nve_segments(spring_cluster(6), starts[:1], folder=folder, **STEPS)
    content = (tmp_path / "whole" / "segment_1.frames").read_bytes()
    (folder / "segment_1.partial").write_bytes(content[:-700])  # killed in the second segment
    finished = (folder / "segment_0.frames").stat().st_mtime_ns
    segments = run_nve_segments(spring_cluster(6), starts, folder=folder, **STEPS)
    assert (folder / "segment_0.frames").stat().st_mtime_ns == finished
    assert not list(folder.glob("*.partial"))
    for segment, expected in zip(segments, whole, strict=True):
        np.testing.assert_array_equal(segment.positions, expected.positions)


def test_segments_of_another_run_are_refused(tmp_path):
    starts = start_frames(2)
    run_nve_segments(spring_cluster(6), starts, folder=tmp_path, **STEPS)
    for other_starts, change in (
        (starts[::-1], {}),
        (starts, {"segment_steps": 63}),
        (starts, {"timestep_fs": 0.25}),
        (starts, {"stride": 6}),
    ):
        with pytest.raises(RunError, match="segment of another run"):
            run_nve_segments(
                spring_cluster(6), other_starts, folder=tmp_path, **{**STEPS, **change}
            )


def test_impossible_input_is_refused(tmp_path):
    starts = start_frames(1)
    for change, message in (
        ({"segment_steps": 61}, "multiple of stride"),
        ({"stride": 0}, "stride must be a whole number"),
        ({"segment_steps": -3}, "segment_steps must be a whole number"),
        ({"timestep_fs": float("nan")}, "timestep_fs"),
    ):
        with pytest.raises(ConfigError, match=message):
            run_nve_segments(spring_cluster(6), starts, folder=tmp_path, **{**STEPS, **change})
    positions, velocities = starts[0]
    with pytest.raises(StructureError, match="shape"):
        run_nve_segments(spring_cluster(6), [(positions[:5], velocities)], folder=tmp_path, **STEPS)
    with pytest.raises(StructureError, match="velocity of atom 0"):
        run_nve_segments(
            spring_cluster(6), [(positions, velocities * np.nan)], folder=tmp_path, **STEPS
        )
