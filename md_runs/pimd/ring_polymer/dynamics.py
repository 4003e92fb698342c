"""Ring polymers as the settings of a run name them, in ASE's units."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.units import kB

from md_runs.analysis.path_integrals.energies import HBAR
from md_runs.pimd.ring_polymer.barostat import (
    BreathingRingPolymer,
    Piston,
    StrainedBeadFunction,
)
from md_runs.pimd.ring_polymer.integrator import (
    BeadFunction,
    RingPolymerIntegrator,
    RingPolymerSystem,
)
from md_runs.pimd.ring_polymer.thermostats import CountedNoise, Pile, Rescaling, pile_frictions
from md_runs.pimd.settings import TRPMD_LAMBDA, PimdRun
from mlpotential.units import ASE_TIME_PER_FS, EV_PER_ANGSTROM3_PER_PRESSURE_UNIT


def make_integrator(atoms: Atoms, settings: PimdRun, forces: BeadFunction) -> RingPolymerIntegrator:
    """Of the dynamics that the settings name, in ASE's units.

    Args:
        atoms: elements and masses.
        settings: of the run.
        forces: as of `RingPolymerIntegrator`.
    """
    system = system_of(atoms, settings)
    return RingPolymerIntegrator(
        system, forces, thermostat_of(system, settings), noise_of(settings)
    )


def make_breathing(
    atoms: Atoms, settings: PimdRun, forces: StrainedBeadFunction, smallest_volume: float = 0.0
) -> BreathingRingPolymer:
    """As `make_integrator`, at the pressure of the settings, in a cell that begins as the atoms'.

    Args:
        atoms: elements, masses and cell.
        settings: of the run.
        forces: as of `BreathingRingPolymer`.
        smallest_volume: less is narrower than the cutoff of the model (A^3).
    """
    system = system_of(atoms, settings)
    thermostat, noise = thermostat_of(system, settings), noise_of(settings)
    assert settings.pressure_GPa is not None
    assert thermostat is not None  # of pimd, which alone holds a pressure
    piston = Piston(
        pressure=settings.pressure_GPa * EV_PER_ANGSTROM3_PER_PRESSURE_UNIT["GPa"],
        time_constant=settings.barostat_fs * ASE_TIME_PER_FS,
        volume=float(atoms.get_volume()),
        smallest_volume=smallest_volume,
    )
    return BreathingRingPolymer(system, forces, thermostat, noise, piston)


def system_of(atoms: Atoms, settings: PimdRun) -> RingPolymerSystem:
    """What moves."""
    return RingPolymerSystem(
        masses=atoms.get_masses(),
        n_beads=settings.n_beads,
        timestep=settings.timestep_fs * ASE_TIME_PER_FS,
        kT=kB * settings.temperature_K,
        hbar=HBAR,
        holds_center=settings.fix_center_of_mass,
    )


def thermostat_of(system: RingPolymerSystem, settings: PimdRun) -> Pile | None:
    """For half a time step; None of dynamics without one."""
    if settings.dynamics == "rpmd":
        return None
    is_free = settings.dynamics == "trpmd"
    time_constant = settings.thermostat_time_fs * ASE_TIME_PER_FS
    frictions = pile_frictions(
        system.frequencies,
        strength=TRPMD_LAMBDA if is_free else 1.0,
        centroid_time=np.inf if is_free else time_constant,
    )
    half_step, kT = 0.5 * system.timestep, system.n_beads * system.kT
    n_coordinates = 3 * len(system.masses)
    rescaling = None
    if settings.thermostat == "pile-g" and not is_free:
        keeps = float(np.exp(-half_step / time_constant))
        rescaling = Rescaling(keeps, n_coordinates - system.n_held, kT)
    return Pile(frictions, half_step, kT, n_coordinates, rescaling)


def noise_of(settings: PimdRun) -> CountedNoise:
    """By the seed."""
    return CountedNoise(settings.seed)
