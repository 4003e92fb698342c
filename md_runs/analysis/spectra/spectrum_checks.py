"""What a spectrum is held against: sum rules, equipartition, rotation, the harmonic limit.

A check passes where the number found lies within the tolerance and three of its standard errors of
the number expected: a difference that could be chance does not fail it. A failed check is part of
the result and of its figure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy

from md_runs.analysis.sampling.results import AnalysisResult
from md_runs.analysis.sampling.uncertainty import Estimate
from md_runs.analysis.spectra.dynamics import Dynamics
from mlpotential.errors import DataError
from mlpotential.units import ANGSTROM_PER_BOHR, ASE_TIME_PER_FS, FS_PER_ATOMIC_TIME

MODES_TOLERANCE = 0.02  # chosen: of the number of modes; a thermostat 5 % off must be seen
SMALLEST_GROUP = 0.05  # chosen: modes; the share of a group that hardly vibrates is not checked
EQUIPARTITION = "equipartition"  # name of the check
EQUIPARTITION_TOLERANCE = 0.05  # chosen: of one mode's (or group's) energy
CHANCE = 0.00135  # beyond three standard errors to one side, of a normal distribution
HARMONIC_TOLERANCE = 0.05  # chosen: anharmonic shifts of stiff molecules at 300 K stay below
VISIBLE_SHARE = 0.5  # chosen: of the resolution; less broadens a line by less than an eighth
JUMP_FACTOR = 10.0  # chosen: of the median change per frame; thermal changes stay below 5

TEMPERATURE_FACTOR_OF_UNIT = {  # what velocities taken for A/fs do to the temperature
    "A per ASE time unit": ASE_TIME_PER_FS**-2,
    "bohr per atomic unit of time": (ANGSTROM_PER_BOHR / FS_PER_ATOMIC_TIME) ** -2,
    "A/ps": 1e6,
    "nm/ps": 1e4,
}


@dataclass(frozen=True)
class Check(AnalysisResult):
    """One number against what it should be.

    Attributes:
        name: what is checked.
        value: the number found.
        standard_error: of it; NaN where unknown.
        expected: the number it should be.
        tolerance: how far it may be from it, besides three standard errors.
        unit: of these numbers; "1" for pure ones.
        passed: whether it is that near.
        remark: what it means, or what to do.
    """

    name: str
    value: float
    standard_error: float
    expected: float
    tolerance: float
    unit: str
    passed: bool
    remark: str

    def __str__(self) -> str:
        unit = "" if self.unit == "1" else f" {self.unit}"
        state = "passed" if self.passed else "FAILED"
        error = f" +- {self.standard_error:.2g}" if np.isfinite(self.standard_error) else ""
        wanted = f"{self.expected:.5g} +- {self.tolerance:.2g}"
        if self.expected == 0:  # of quantities that are never negative
            wanted = f"at most {self.tolerance:.3g}"
        text = f"{self.name} {state}: {self.value:.5g}{error}{unit}, expected {wanted}{unit}"
        return f"{text} ({self.remark})" if self.remark else text


def check_temperature(temperature_K: float | None) -> None:
    """Raises DataError for a temperature that is not positive; None is not known."""
    if temperature_K is not None and not (np.isfinite(temperature_K) and temperature_K > 0):
        raise DataError(f"temperature_K must be positive, not {temperature_K}")


def check(
    name: str,
    found: Estimate,
    expected: float,
    tolerance: float,
    remark: str = "",
    unit: str = "1",
    n_errors: float = 3.0,
) -> Check:
    """Passes within the tolerance plus some standard errors (none, where they are unknown)."""
    error = float(found.standard_error)
    allowance = tolerance + (n_errors * error if np.isfinite(error) else 0.0)
    value = float(found.value)
    passed = bool(abs(value - expected) <= allowance)  # NaN does not pass
    return Check(name, value, error, float(expected), float(tolerance), unit, passed, remark)


def modes_check(kinetic_temperature_K: Estimate, temperature_K: float, n_modes: int) -> Check:
    """The integral of a density of states that is normalised by the temperature of the run.

    Each mode holds k_B T of twice the kinetic energy, so that the integral counts the modes.
    """
    share = n_modes / temperature_K
    found = Estimate(
        kinetic_temperature_K.value * share,
        kinetic_temperature_K.standard_error * share,
        kinetic_temperature_K.n_blocks,
    )
    ratio = float(kinetic_temperature_K.value) / temperature_K
    remark = f"the vibrations are at {kinetic_temperature_K} K, the run at {temperature_K:g} K"
    for unit, factor in TEMPERATURE_FACTOR_OF_UNIT.items():
        if abs(ratio / factor - 1) < 0.2:
            remark += f"; are the velocities in {unit}, not A/fs?"
    return check("integral (modes)", found, n_modes, MODES_TOLERANCE * n_modes, remark)


def equipartition_check(
    labels: tuple[str, ...], integrals: Estimate, expected: np.ndarray
) -> Check:
    """The worst of several groups of atoms, or modes: its integral over the number it should be.

    The worst of many lies beyond three standard errors by chance, and errors from few blocks are
    uncertain themselves: as many are allowed as Student's t says for one chance in 370 in all.

    Args:
        labels: names of the groups, [n_groups].
        integrals: [n_groups].
        expected: number of modes of each group, [n_groups]; those below `SMALLEST_GROUP` are passed
            over.
    """
    vibrating = expected > SMALLEST_GROUP
    labels = tuple(np.array(labels)[vibrating])
    ratios = integrals.value[vibrating] / expected[vibrating]
    errors = integrals.standard_error[vibrating] / expected[vibrating]
    n_free = max(1, integrals.n_blocks - 1)
    n_errors = float(scipy.special.stdtrit(n_free, 1 - CHANCE / len(labels)))
    excess = np.abs(ratios - 1) - n_errors * np.nan_to_num(errors)
    worst = int(np.argmax(excess))
    found = Estimate(ratios[worst], errors[worst], integrals.n_blocks)
    remark = f"{labels[worst]}, the worst of {len(labels)}"
    return check(EQUIPARTITION, found, 1.0, EQUIPARTITION_TOLERANCE, remark, n_errors=n_errors)


def rotation_check(splitting_per_cm: float, resolution_per_cm: float) -> Check:
    """The rotation of the molecule splits lines by less than can be resolved."""
    return check(
        "rotation (line splitting)",
        Estimate(splitting_per_cm, np.nan, 1),
        0.0,
        resolution_per_cm,
        "estimated from above; start segments without angular momentum",
        "1/cm",
    )


def thermostat_check(dynamics: Dynamics, resolution_per_cm: float) -> Check:
    """The thermostat broadens lines by less than can be resolved."""
    broadening = dynamics.broadening_per_cm
    if broadening == 0.0:
        remark = f"{dynamics} broadens no line"
        if dynamics.method == "TRPMD":
            remark = "TRPMD damps the springs, which broadens stiff lines by itself"
    else:
        remark = f"{dynamics} broadens every line: take spectra from NVE segments"
    return check(
        "thermostat (line broadening)",
        Estimate(broadening, np.nan, 1),
        0.0,
        VISIBLE_SHARE * resolution_per_cm,
        remark,
        "1/cm",
    )


def harmonic_check(root_mean_square_per_cm: Estimate, harmonic_per_cm: np.ndarray) -> Check:
    """The root mean square wavenumber of a density of states, against that of the normal modes.

    In the harmonic limit the mean square of the wavenumbers is the trace of the mass-weighted
    Hessian over the number of modes, however the modes couple or degenerate.

    Args:
        root_mean_square_per_cm: of the density of states.
        harmonic_per_cm: of the modes, imaginary ones negative, [n_modes].
    """
    signed_squares = harmonic_per_cm * np.abs(harmonic_per_cm)  # imaginary modes are negative
    expected = float(np.sqrt(max(0.0, signed_squares.mean())))
    remark = "root mean square wavenumber; a difference is anharmonicity, or another potential"
    tolerance = HARMONIC_TOLERANCE * expected
    return check("harmonic limit", root_mean_square_per_cm, expected, tolerance, remark, "1/cm")


def absorption_check(integral: Estimate, harmonic_intensities: np.ndarray, unit: str) -> Check:
    """The integral of an infrared or Raman spectrum, against the sum over the normal modes.

    Args:
        integral: of the spectrum.
        harmonic_intensities: of the modes, [n_modes].
        unit: of both.
    """
    expected = float(np.sum(harmonic_intensities))
    remark = "sum of intensities; a difference is anharmonicity or too short a run"
    tolerance = 2 * HARMONIC_TOLERANCE * expected
    return check("harmonic limit", integral, expected, tolerance, remark, unit)


def jumps_check(name: str, n_jumps: int, first: str) -> Check:
    """A property that changes from frame to frame by no more than atoms can make it."""
    found = Estimate(n_jumps, np.nan, 1)
    return check(f"continuity of {name} (jumps)", found, 0.0, 0.0, f"first {first}" * (n_jumps > 0))
