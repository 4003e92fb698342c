"""Small runs with known answers, written by the package's own recorder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from ase import Atoms, units
from harmonic_molecules import water
from harmonic_motion import thermal_segments
from harmonic_ring_polymer import KELVIN, sample

from md_runs.analysis.vibrations.normal_modes import NormalModes, normal_modes
from md_runs.trajectories.frames_file import FrameHeader, FrameRecorder
from md_runs.trajectories.h5md_writer import write_h5md
from md_runs.trajectories.trajectory import Trajectory

WATER_CHARGES = np.array([-0.8, 0.4, 0.4])


def write_frames(
    path: Path,
    atoms: Atoms,
    interval_fs: float,
    cell: np.ndarray | None = None,
    **quantities: np.ndarray,
) -> Path:
    """A `.frames` file of quantities by name, [n_frames, n_beads, ...] each."""
    header = FrameHeader(
        atomic_numbers=tuple(int(z) for z in atoms.numbers),
        masses=tuple(float(m) for m in atoms.get_masses()),
        pbc=(True,) * 3 if cell is not None or "cells" in quantities else (False,) * 3,
        cell=None if cell is None else tuple(map(tuple, np.asarray(cell, float).tolist())),
        timestep_fs=interval_fs,
        stride=1,
        fields={name: values.shape[1:] for name, values in quantities.items()},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with FrameRecorder(path, header) as recorder:
        for frame in range(len(next(iter(quantities.values())))):
            recorder.append(**{name: values[frame] for name, values in quantities.items()})
    return path


def water_modes() -> tuple[Atoms, NormalModes]:
    """Harmonic water and its three modes."""
    atoms, hessian = water()
    return atoms, normal_modes(hessian, atoms.get_masses(), atoms.positions)


def write_water_segments(
    folder: Path,
    n_segments: int = 12,
    n_frames: int = 1200,
    interval_fs: float = 1.0,
    seed: int = 1,
) -> NormalModes:
    """NVE segments of harmonic water at 300 K, as `run_nve_segments` leaves them; its modes."""
    atoms, modes = water_modes()
    velocities, positions = thermal_segments(
        modes.modes,
        modes.masses,
        atoms.positions,
        modes.wavenumbers_per_cm,
        KELVIN,
        n_segments,
        interval_fs * np.arange(n_frames),
        seed,
        is_canonical=False,
    )
    for k, (v, r) in enumerate(zip(velocities, positions, strict=True)):
        write_frames(
            folder / f"segment_{k}.frames",
            atoms,
            interval_fs,
            positions=r[:, None],
            velocities_angstrom_per_fs=v[:, None],
        )
    return modes


def write_water_run(path: Path, n_frames: int = 4000, seed: int = 2) -> NormalModes:
    """Independent frames of classical harmonic water at 300 K, with energies; its modes."""
    atoms, modes = water_modes()
    rng = np.random.default_rng(seed)
    omega = 2 * np.pi * 2.99792458e-5 * modes.wavenumbers_per_cm / units.fs  # 1/ASE time
    q = rng.normal(size=(n_frames, 3)) * np.sqrt(KELVIN * units.kB) / omega
    shifts = np.einsum("fk,kax->fax", q, modes.modes) / np.sqrt(modes.masses)[:, None]
    energies = 0.5 * np.sum((omega * q) ** 2, axis=1, keepdims=True)
    write_frames(
        path, atoms, 10.0, positions=(atoms.positions + shifts)[:, None], energies=energies
    )
    return modes


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def write_oscillator_beads(
    path: Path, n_beads: int, n_frames: int, u: float = 3.0, with_forces: bool = True, seed: int = 0
) -> Path:
    """Two atoms of hydrogen, each a harmonic oscillator of P beads about its place, at 300 K.

    The energy, heat capacity and widths of `harmonic_ring_polymer` hold for all six degrees.
    """
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, 3.0]])
    positions, forces, potentials = sample(u, n_beads, n_frames, atoms.get_masses(), seed)
    more = {"forces": forces} if with_forces else {}
    return write_frames(
        path, atoms, 5.0, positions=positions + atoms.positions, energies=potentials, **more
    )


def write_ideal_gas(path: Path, n_frames: int = 40, n_atoms: int = 200, side: float = 12.0) -> Path:
    """Helium and neon atoms anywhere in a cubic cell."""
    rng = np.random.default_rng(3)
    atoms = Atoms(f"He{n_atoms // 2}Ne{n_atoms // 2}")
    positions = side * rng.uniform(size=(n_frames, 1, n_atoms, 3))
    return write_frames(path, atoms, 10.0, side * np.eye(3), positions=positions)


def write_polar_water(path: Path, n_frames: int = 6000, interval_fs: float = 1.0) -> NormalModes:
    """An H5MD file of harmonic water with fixed charges and a polarizability linear in positions.

    Each mode holds k_B T; the dipole is that of `WATER_CHARGES`, the derivatives of the
    polarizability those of `water_polarizability_derivatives`.
    """
    atoms, modes = water_modes()
    velocities, positions = thermal_segments(
        modes.modes,
        modes.masses,
        atoms.positions,
        modes.wavenumbers_per_cm,
        KELVIN,
        1,
        interval_fs * np.arange(n_frames),
        4,
        is_canonical=False,
    )
    shifts = positions[0] - atoms.positions
    alpha = np.eye(3) + np.einsum("fix,ixyz->fyz", shifts, water_polarizability_derivatives())
    trajectory = Trajectory(
        atomic_numbers=atoms.numbers,
        masses=modes.masses,
        times_fs=interval_fs * np.arange(n_frames),
        positions=positions[0][:, None],
        velocities_angstrom_per_fs=velocities[0][:, None],
        dipoles=np.einsum("i,fix->fx", WATER_CHARGES, positions[0])[:, None],
        polarizabilities=alpha[:, None],
    )
    write_h5md(trajectory, path)
    return modes


def water_polarizability_derivatives() -> np.ndarray:
    """Any symmetric numbers, [n_atoms, 3, 3, 3] (A^2), whose sum over atoms vanishes."""
    derivatives = np.random.default_rng(6).normal(size=(3, 3, 3, 3))
    derivatives = derivatives + derivatives.swapaxes(2, 3)
    return derivatives - derivatives.mean(axis=0)
