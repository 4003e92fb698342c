"""What a path-integral run is: settings only, importable without torch or i-PI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from md_runs.analysis.spectra.dynamics import RingPolymerDynamics
from mlpotential.errors import ConfigError
from mlpotential.settings_checks import (
    check_choice,
    check_count,
    check_number,
    is_finite_number,
    require,
)

Engine = Literal["ipi", "native", "cuda"]
PileVariant = Literal["pile-l", "pile-g", "piglet"]

DYNAMICS, ENGINES, THERMOSTATS = map(get_args, (RingPolymerDynamics, Engine, PileVariant))
TRPMD_LAMBDA = 0.5  # Rossi, Ceriotti, Manolopoulos (2014); 1 is the optimal damping of PILE

BAROSTAT_FS = 1000.0  # chosen: slow beside vibrations, as is usual


@dataclass(frozen=True)
class PimdRun:
    """A path-integral run at constant temperature, or ring-polymer dynamics that starts from one.

    The thermostat is PILE (Ceriotti et al., J. Chem. Phys. 133, 124104 (2010)): optimally damped
    Langevin on the internal modes of the ring polymer, and in its variant PILE-L on the centroid of
    every degree of freedom by itself. The global variant PILE-G disturbs the centroid less, but
    leaves it to the potential to spread energy among the modes, which a small stiff molecule does
    too slowly.

    Its time has no meaning. Approximate quantum dynamics, for spectra, is made of segments:

        rpmd:  Newton's equations of the ring polymer (I. R. Craig, D. E. Manolopoulos, J. Chem.
               Phys. 121, 3368 (2004), doi:10.1063/1.1777575).
        trpmd: as well, with half the optimal damping of PILE on the internal modes and none on
               the centroid (M. Rossi, M. Ceriotti, D. E. Manolopoulos, J. Chem. Phys. 140, 234116
               (2014), doi:10.1063/1.4883861), which keeps the modes of the ring polymer out of
               the spectrum.

    Attributes:
        n_steps: length of the run, or of all segments together (time steps); the only setting that
            may grow in a folder with a run.
        n_beads: beads, replicas of the ring polymer; 1 is classical.
        temperature_K: of the quantum ensemble (K).
        timestep_fs: time step of the integrator (fs).
        thermostat_time_fs: friction time of the centroid (fs); chosen: a few vibrations.
        stride: time steps from one recorded frame, the positions of all beads, to the next.
        properties_stride: time steps between recorded energies and temperatures.
        checkpoint_stride: time steps from one checkpoint to the next: what is lost at most when the
            run is killed.
        seed: of the random numbers of first velocities and thermostat.
        fix_center_of_mass: remove the motion of the center of mass; temperatures count 3 degrees of
            freedom less. Segments of a molecule then start without rotation, too.
        dynamics: pimd samples at constant temperature; rpmd and trpmd make segments, for spectra.
        segment_ps: length of each segment of rpmd or trpmd (ps); its inverse is the resolution of a
            spectrum.
        start_spacing_ps: time between the frames of the PIMD run that segments start from (ps), the
            first after one spacing; chosen: ten times the thermostat's.
        engine: ipi is a process of i-PI; native moves the ring polymer in this process, by the same
            equations and faster; cuda moves it on a CUDA device, of molecules and one model.
        thermostat: variant of PILE: pile-l is local, pile-g rescales all centroid momenta by one
            factor. The matrices of piglet come with an input of i-PI of one's own.
        record_forces: store forces and potentials of every bead with the positions, for perturbed
            path integrals.
        pressure_GPa: hold it from outside (GPa), of pimd and a structure that is periodic in all
            directions; negative is tension. None keeps the cell.
        barostat_time_fs: in which the volume relaxes (fs); 1000 where none is given.

    Raises:
        ConfigError: for a value of the wrong type or out of range.
    """

    n_steps: int
    n_beads: int = 8
    temperature_K: float = 300.0
    timestep_fs: float = 0.5
    thermostat_time_fs: float = 100.0
    stride: int = 10
    properties_stride: int = 10
    checkpoint_stride: int = 1000
    seed: int = 0
    fix_center_of_mass: bool = True
    dynamics: RingPolymerDynamics = "pimd"
    segment_ps: float = 2.0
    start_spacing_ps: float = 1.0
    record_forces: bool = False
    engine: Engine = "ipi"
    thermostat: PileVariant = "pile-l"
    pressure_GPa: float | None = None
    barostat_time_fs: float | None = None

    def __post_init__(self) -> None:
        check_choice("dynamics", self.dynamics, DYNAMICS)
        check_choice("engine", self.engine, ENGINES)
        if self.thermostat == "piglet":
            raise ConfigError(
                "thermostat piglet needs matrices for the temperature, the frequencies and the "
                "beads, which are not part of i-PI: get them from gle4md.org within an input of "
                "i-PI, and give that with --input-xml"
            )
        check_choice("thermostat", self.thermostat, THERMOSTATS)
        if self.thermostat == "pile-g" and self.n_beads == 1:
            raise ConfigError(
                "pile-g with one bead is a classical run that never changes the direction of its "
                "rotation: choose pile-l, or md-runs classical --ensemble bussi"
            )
        for name in ("n_steps", "n_beads", "stride", "properties_stride", "checkpoint_stride"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, smallest=0)
        check_number("temperature_K", self.temperature_K)
        for name in ("timestep_fs", "thermostat_time_fs", "segment_ps", "start_spacing_ps"):
            check_number(name, getattr(self, name))
        for name in ("fix_center_of_mass", "record_forces"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name} must be true or false, not {getattr(self, name)!r}")

        if self.dynamics != "pimd" and self.n_steps % self.segment_steps:
            raise ConfigError(
                f"n_steps ({self.n_steps}) must be whole segments of {self.segment_steps} steps "
                f"(segment_ps {self.segment_ps:g}, timestep_fs {self.timestep_fs:g}, stride "
                f"{self.stride})"
            )

        self._check_pressure()
        if self.engine == "cuda":
            self._check_device()

    def _check_device(self) -> None:
        if self.thermostat == "pile-g" and self.dynamics == "pimd":
            raise ConfigError("engine cuda has pile-l alone: leave the thermostat, or use native")
        if self.moves_cell:
            raise ConfigError("engine cuda keeps the cell: use engine native to hold a pressure")

    def _check_pressure(self) -> None:
        pressure = self.pressure_GPa
        if pressure is None:
            require(
                self.barostat_time_fs is None,
                "barostat_time_fs",
                "left out without pressure_GPa",
                self.barostat_time_fs,
            )
            return
        require(is_finite_number(pressure), "pressure_GPa", "a finite number", pressure)
        check_number("barostat_time_fs", self.barostat_fs)
        if self.dynamics != "pimd":
            raise ConfigError(
                f"{self.dynamics} keeps the cell, pimd alone samples at constant pressure: leave "
                "pressure_GPa out"
            )

    @property
    def is_in_process(self) -> bool:
        """Whether the ring polymer moves in this process, which writes files of its own."""
        return self.engine != "ipi"

    @property
    def barostat_fs(self) -> float:
        """Time constant of the volume, also where none was given (fs)."""
        return BAROSTAT_FS if self.barostat_time_fs is None else self.barostat_time_fs

    @property
    def moves_cell(self) -> bool:
        """Whether the pressure is held, and the cell moves."""
        return self.pressure_GPa is not None

    @property
    def segment_steps(self) -> int:
        """Steps of a segment, whole strides."""
        interval_fs = self.timestep_fs * self.stride
        return self.stride * max(1, round(1000.0 * self.segment_ps / interval_fs))

    @property
    def records_velocities(self) -> bool:
        """Whether the motion in time has a meaning."""
        return self.dynamics != "pimd"
