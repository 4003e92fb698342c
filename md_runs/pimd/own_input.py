"""An input of i-PI of one's own (GLE and PIGLET thermostats, flexible barostats, ...), run as ours.

Its motion, ensemble, normal modes and whatever else is in it are kept. Forces, outputs, and where
the run begins are those of every run, so that the same files, checkpoints and watchdog go with it.
What it tells must agree with the settings of the run, which name it in messages.
"""

from __future__ import annotations

import copy
import hashlib
import math
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ase import Atoms

from md_runs.force_provider import IpiDriver
from md_runs.pimd.ipi_input import input_xml
from md_runs.pimd.record import OWN_INPUT
from md_runs.pimd.settings import PimdRun
from md_runs.trajectories.ipi_files.run_settings import converted
from mlpotential.errors import ConfigError

OWN_INPUT_NAME = "own_input.xml"
SAME_VALUE = 1e-4  # relative; chosen: constants of i-PI and of others, digits of an atomic unit
REPLACED = ("total_steps", "total_time", "prng", "output", "system")
BEGINNING = ("file", "positions", "masses", "labels", "cell")  # of `initialize`: of the structure
GOVERNED = ("thermostat", "thermostat_time_fs", "barostat_time_fs")  # by the file alone
MODES = {False: "nvt", True: "npt"}  # of dynamics, by whether the cell moves


@dataclass(frozen=True)
class OwnInput:
    """A file that agrees with the settings of its run.

    Attributes:
        path: of the file, for messages.
        root: what it says.
    """

    path: Path
    root: ET.Element

    @classmethod
    def read(cls, path: Path, settings: PimdRun) -> OwnInput:
        """The file, checked.

        Raises:
            ConfigError: it cannot be read, run or watched, or contradicts the settings.

        Warns:
            UserWarning: that outputs of its own are not written.
        """
        try:
            root = ET.parse(path).getroot()
        except (OSError, ET.ParseError) as error:
            raise ConfigError(f"cannot read the input of i-PI {path}: {error}") from error
        own = cls(path, root)
        try:
            told = [*own._impossible(), *own._governed(settings)]
            differing = told or [*own._contrary(settings)]
        except (ValueError, TypeError) as error:  # no number, or a unit that i-PI does not know
            raise ConfigError(f"{path} has a value that i-PI cannot read: {error}") from error
        if differing:
            raise ConfigError(f"{path} cannot be run as asked for: {'; '.join(differing)}")
        if outputs := [
            f"{o.tag} {o.get('filename', '')}".strip() for o in root.iterfind("output/*")
        ]:
            warnings.warn(
                f"outputs of {path} are not written ({', '.join(outputs)}): those of every run are",
                stacklevel=3,
            )
        return own

    def driver(self, driver: IpiDriver) -> IpiDriver:
        """Who answers i-PI, with a copy of the file for the folder and its part of the identity."""
        root = copy.deepcopy(self.root)
        for name in ("total_steps", "output"):  # a run may grow; outputs are not its own
            for element in root.findall(name):
                root.remove(element)
        content = ET.canonicalize(ET.tostring(root), strip_text=True)
        digest = hashlib.sha256(content.encode()).hexdigest()
        return replace(
            driver,
            files={**driver.files, OWN_INPUT_NAME: ET.tostring(self.root)},
            identity={**driver.identity, OWN_INPUT: digest},
        )

    def xml(self, atoms: Atoms, settings: PimdRun, driver: IpiDriver) -> str:
        """The input of a run of these atoms from the beginning."""
        ours = ET.fromstring(input_xml(atoms, settings, driver))
        system, own_system = _part(ours, "system"), _part(self.root, "system")
        for element in self.root:
            if element.tag not in REPLACED and not element.tag.startswith("ff"):
                ours.append(copy.deepcopy(element))
        beginning = _part(system, "initialize")
        for element in own_system.findall("initialize/*"):
            if element.tag in ("velocities", "momenta"):
                for old in beginning.findall("velocities"):
                    beginning.remove(old)
            if element.tag not in BEGINNING:
                beginning.append(copy.deepcopy(element))
        for element in own_system:
            if element.tag in ("initialize", "forces"):
                continue
            for old in system.findall(element.tag):
                system.remove(old)
            system.append(copy.deepcopy(element))
        return ET.tostring(ours, encoding="unicode") + "\n"

    def _impossible(self) -> Iterator[str]:
        """What no run of this program can be."""
        root = self.root
        if root.tag != "simulation" or len(root.findall("system")) != 1:
            yield "expected one <simulation> with one <system>"
            return
        if root.find("step") is not None or root.find("system/beads") is not None:
            yield "it is a checkpoint (step, beads): give the input that the run began with"
        if root.find("smotion") is not None or root.get("mode", "md") != "md":
            yield "it moves several systems together (smotion, mode)"
        if root.find("system/motion") is None or root.find("system/ensemble") is None:
            yield "it has no <motion> or no <ensemble>"
        if len(root.findall("system/forces/force")) > 1:
            yield "it has several forces, and one model gives one"
        for name in ("ensemble/bias", "motion/fixatoms", "motion/fixatoms_dof", "motion/nmts"):
            if root.find(f"system/{name}") is not None:
                yield f"it has <{name.rpartition('/')[2]}>, which is not supported"
        for name in ("velocities", "momenta"):
            for element in root.findall(f"system/initialize/{name}"):
                if element.get("mode") != "thermal":
                    yield f"its {name} are not thermal, and no file but the structure is read"

    def _governed(self, settings: PimdRun) -> Iterator[str]:
        """Options that the file tells instead."""
        if settings.dynamics != "pimd" or settings.engine != "ipi":
            yield f"{settings.dynamics} with engine {settings.engine} makes its own input"
        for name in GOVERNED:
            if getattr(settings, name) != getattr(PimdRun(n_steps=1), name):
                yield f"it tells the thermostat and the barostat: leave {name} out"

    def _contrary(self, settings: PimdRun) -> Iterator[str]:
        """What it tells otherwise than the settings."""
        mode, expected = self._told("motion/dynamics", "mode"), MODES[settings.moves_cell]
        kind = self._told("motion", "mode")
        if kind != "dynamics" or mode != expected:
            yield f"motion is {kind} {mode}, not dynamics {expected} ({_reason(settings)})"
        fixed = (self._text("system/motion/fixcom") or "true").lower() in ("true", "t", "1")
        if fixed != settings.fix_center_of_mass:
            yield f"fixcom is {fixed}, and fix_center_of_mass {settings.fix_center_of_mass}"
        for name, place in (("n_steps", "total_steps"), ("seed", "prng/seed")):
            yield from self._other(name, settings, self._text(place))
        yield from self._other("n_beads", settings, self._told("initialize", "nbeads"))
        if self.root.find("total_time") is not None:
            yield "total_time is not watched: give n_steps"
        for name, place, family, unit in (
            ("temperature_K", "ensemble/temperature", "temperature", "kelvin"),
            ("timestep_fs", "motion/dynamics/timestep", "time", "femtosecond"),
            ("pressure_GPa", "ensemble/pressure", "pressure", "gigapascal"),
        ):
            text = self._text(f"system/{place}")
            units = self._told(place, "units") or "automatic"
            value = None if text is None else float(converted(float(text), family, units, unit))
            yield from self._other(name, settings, value)

    def _other(self, name: str, settings: PimdRun, there: str | float | None) -> Iterator[str]:
        """A number that is another one than the setting; one that is not told is taken from it."""
        now = getattr(settings, name)
        if there is None and name in ("temperature_K", "timestep_fs", "pressure_GPa"):
            if now is not None:
                yield f"it does not tell {name}"
        elif there is not None and now is None:
            yield f"{name} is {float(there):g} there, and not given"
        elif there is not None and not math.isclose(float(there), now, rel_tol=SAME_VALUE):
            yield f"{name} is {float(there):g} there and {now:g} here"

    def _text(self, place: str) -> str | None:
        text = self.root.findtext(place)
        return None if text is None else text.strip()

    def _told(self, place: str, attribute: str) -> str | None:
        element = self.root.find(f"system/{place}")
        return None if element is None else element.get(attribute)


def _reason(settings: PimdRun) -> str:
    return "pressure_GPa is given" if settings.moves_cell else "pressure_GPa is not given"


def _part(parent: ET.Element, name: str) -> ET.Element:
    """The child of this name, which is known to be there."""
    found = parent.find(name)
    assert found is not None
    return found
