"""What an input or a checkpoint of i-PI says of a run: time step, temperature, masses, dynamics."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from md_runs.analysis.spectra.dynamics import SAMPLING_ONLY

DEFAULT_PREFIX = "i-pi"  # i-PI's own
FREE_CENTROID_FS = 1e5  # chosen: a friction time that leaves the centroid free for 100 ps


@dataclass(frozen=True)
class IpiRunSettings:
    """None where the file does not tell.

    Attributes:
        timestep_fs: of the integrator.
        temperature_K: of the ensemble; none of classical NVE, where an input names it for the first
            velocities only.
        n_beads: of the ring polymer.
        dynamics: as of `Trajectory`.
        friction_per_fs: of a Langevin thermostat.
        masses: [n_atoms] (amu).
    """

    timestep_fs: float | None = None
    temperature_K: float | None = None
    n_beads: int | None = None
    dynamics: str | None = None
    friction_per_fs: float | None = None
    masses: np.ndarray | None = None


def read_ipi_run_settings(folder: Path, prefix: str) -> IpiRunSettings:
    """From the checkpoint or input in a folder whose outputs have this prefix."""
    for path in [*folder.glob("RESTART"), *sorted(folder.glob("*.xml"))]:
        try:
            root = ET.parse(path).getroot()
        except (ET.ParseError, OSError):
            continue  # another program's, or one that i-PI is writing
        output = root.find("output")
        found = DEFAULT_PREFIX if output is None else output.get("prefix", DEFAULT_PREFIX)
        if root.tag == "simulation" and found == prefix and len(root.findall("system")) == 1:
            return _run_settings(root)
    return IpiRunSettings()


def _run_settings(root: ET.Element) -> IpiRunSettings:
    system = root.find("system")
    dynamics = root.find(".//motion/dynamics")
    if system is None or dynamics is None:
        return IpiRunSettings()
    n_beads = _number_of_beads(root)
    name, friction = _dynamics(dynamics, n_beads)
    temperature_K = _number(root.find(".//ensemble/temperature"), "temperature", "kelvin")
    masses = root.findtext(".//beads/m")
    return IpiRunSettings(
        timestep_fs=_number(dynamics.find("timestep"), "time", "femtosecond"),
        temperature_K=None if name == "NVE" else temperature_K,
        n_beads=n_beads,
        dynamics=name,
        friction_per_fs=friction,
        masses=None if masses is None else _to_amu(masses),
    )


def _number_of_beads(root: ET.Element) -> int:
    holders = [root.find(f".//system/{name}") for name in ("beads", "initialize")]
    return next((int(h.get("nbeads", "1")) for h in holders if h is not None), 1)


def _dynamics(dynamics: ET.Element, n_beads: int) -> tuple[str | None, float | None]:
    """The method, and the friction of a Langevin thermostat (1/fs)."""
    if dynamics.get("mode", "nve") == "nve":
        return ("NVE" if n_beads == 1 else "RPMD"), None
    if dynamics.get("mode") != "nvt":
        return None, None
    thermostat = dynamics.find("thermostat")
    mode = "" if thermostat is None else thermostat.get("mode", "")
    tau = None if thermostat is None else _number(thermostat.find("tau"), "time", "femtosecond")
    if n_beads > 1:
        if mode == "pile_l" and tau is not None and tau >= FREE_CENTROID_FS:
            return "TRPMD", None
        return SAMPLING_ONLY, None
    if mode in ("langevin", "pile_l"):
        return "Langevin", None if not tau else 1 / tau
    return {"svr": "Bussi", "pile_g": "Bussi", "gle": "GLE", "nm_gle": "GLE"}.get(mode), None


def _number(element: ET.Element | None, family: str, unit: str) -> float | None:
    if element is None or not (element.text or "").strip():
        return None
    own = element.get("units", "atomic_unit")
    return float(converted(float(element.text or 0), family, own, unit))


def _to_amu(text: str) -> np.ndarray:
    masses = np.array(text.strip(" \n[]").replace(",", " ").split(), np.float64)
    return masses * converted(1.0, "mass", "atomic_unit", "dalton")


def converted(values: Any, family: str, unit: str, to_unit: str) -> Any:
    """Numbers, or arrays of any shape, from one of i-PI's units of a family to another."""
    from ipi.utils.units import unit_to_internal, unit_to_user

    return unit_to_user(family, to_unit, unit_to_internal(family, unit, values))
