"""What several sub-commands of `md-runs` share: settings, checks of what is named, isotopes."""

from __future__ import annotations

import glob
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from ase.data import chemical_symbols

from md_runs.force_provider import CalculatorForces, ForceProvider, ModelForces
from mlpotential.errors import ConfigError, ExtrapolationWarning
from mlpotential.inference.execution import DEFAULT_EXECUTION, Execution
from mlpotential.input_files import require_model_files
from mlpotential.labelling.named_calculator import NamedCalculator
from mlpotential.settings_checks import check_count, check_number

if TYPE_CHECKING:
    from ase import Atoms

Settings = TypeVar("Settings")

SHORT_EVALUATION_S = 0.02  # chosen: below it nobody has to be told
_DEFAULTS = asdict(DEFAULT_EXECUTION)

# amu: M. Wang et al., Chin. Phys. C 45, 030003 (2021), doi:10.1088/1674-1137/abddaf (AME2020)
HYDROGENS = {"D": 2.014101778, "T": 3.016049281}


def taken(options: dict[str, Any], settings: type[Settings]) -> Settings:
    """Settings from the options of their names, which are taken out of `options`."""
    names = [field.name for field in fields(settings)]  # type: ignore[arg-type]
    return settings(**{name: options.pop(name) for name in names})


@dataclass(frozen=True)
class OtherCalculator:
    """Any calculator of ASE in the place of a model.

    Attributes:
        calculator: instead of --model: module:name, such as tblite.ase:TBLite, a name that ASE
            knows, such as emt, or a Python file with a function calculator().
        calculator_arguments: what the calculator is made with, '{method: GFN2-xTB}'.
        calculator_timeout_s: longest time for one structure (s); then the run stops, and goes on
            with the same command.
        drivers: processes of the calculator, which share beads and displacements.
    """

    calculator: str | None = None
    calculator_arguments: str | None = None
    calculator_timeout_s: float = 3600.0
    drivers: int = 1

    def __post_init__(self) -> None:
        check_number("calculator_timeout_s", self.calculator_timeout_s)
        check_count("drivers", self.drivers)
        given = {"--calculator-arguments": self.calculator_arguments is not None}
        given["--drivers"] = self.drivers != 1
        if self.calculator is None and any(given.values()):
            name = next(name for name, is_given in given.items() if is_given)
            raise ConfigError(f"{name} is of a calculator: give --calculator, too")

    def forces(self) -> CalculatorForces:
        """Of the calculator, which must be named. Raises ConfigError for words that name none."""
        assert self.calculator is not None
        named = NamedCalculator.told(self.calculator, self.calculator_arguments)
        return CalculatorForces(
            named.name, named.arguments, self.calculator_timeout_s, self.drivers, named.directory
        )


def chosen_forces(
    model: Path | None, other: OtherCalculator, execution: Execution
) -> ModelForces | CalculatorForces:
    """A model or a calculator, checked as far as that costs no time.

    Raises:
        ConfigError: for both or none of them, or an execution of a calculator.
        ModelFileError: for a file that cannot be read.
    """
    if (model is None) == (other.calculator is None):
        both = "not both" if model is not None else "one of them is needed"
        raise ConfigError(f"forces come from --model FILE or --calculator NAME: {both}")
    if model is not None:
        check_model(model)
        return ModelForces(model, execution)
    own = [f"--{name}" for name, value in asdict(execution).items() if value != _DEFAULTS[name]]
    if own:
        raise ConfigError(
            f"{', '.join(own)} of a model: tell a calculator by --calculator-arguments"
        )
    return other.forces()


def try_calculator(forces: ForceProvider, atoms: Atoms, work: str = "", n_rounds: int = 0) -> None:
    """Evaluates once before the work, and tells how long that will take, if it is a calculator.

    Args:
        forces: of the run.
        atoms: that it begins with.
        work: of which the time is told, `1000 steps`; nothing where nobody knows how much it is.
        n_rounds: evaluations one after the other, in that work.

    Raises:
        ConfigError, CalculatorError: before the run, for a calculator without forces.
    """
    if not isinstance(forces, CalculatorForces):
        return
    from mlpotential.labelling.worker_calculator import WorkerCalculator

    calculator = WorkerCalculator(forces.named, timeout_s=forces.limit_s)
    calculator.evaluate([atoms])
    seconds = calculator.seconds
    assert seconds is not None
    calculator.workers.close()
    log = logging.getLogger("mlpotential")
    log.warning(
        f"{forces.factory} has no guard and no uncertainty: nothing tells when a structure is "
        "outside of what it is good for"
    )
    if work and seconds > SHORT_EVALUATION_S:
        text = duration_text(n_rounds * seconds)
        log.info(f"one structure took {seconds:.3g} s: {work} will take about {text}")


def rounds(forces: ForceProvider, n_structures: int) -> int:
    """Evaluations one after the other, of so many structures at a time."""
    drivers = forces.drivers if isinstance(forces, CalculatorForces) else 1
    return -(-n_structures // drivers)


def duration_text(seconds: float) -> str:
    """`12 s`, `3.4 min`, `5.6 h`, `7.8 days`."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} s"


@contextmanager
def printed_extrapolation() -> Iterator[None]:
    """For commands that print what a path-integral run says of it at its end: once is enough."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "extrapolation: ", ExtrapolationWarning)
        yield


def check_model(model: Path) -> None:
    """Raises ModelFileError, before torch is imported, for a file that cannot be read."""
    if glob.escape(str(model)) == str(model):  # no pattern of a committee
        require_model_files([str(model)])


def check_folder(path: Path, option: str) -> None:
    """Raises ConfigError, before the work, for a folder that is a file."""
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{option} {path} is a file: name a folder")


def parse_isotopes(texts: Sequence[str]) -> dict[str, float]:
    """Masses (amu) by element or number of the atom. Raises ConfigError for others.

    Args:
        texts: C=13.003 (an element), 4=2.014 (an atom, from 0), with D or T for the mass where that
            is meant; D alone is H=D.
    """
    masses = {}
    for text in texts:
        who, _, mass = f"H={text}".partition("=") if text in HYDROGENS else text.partition("=")
        try:
            masses[who] = HYDROGENS[mass] if mass in HYDROGENS else float(mass)
        except ValueError:
            masses[who] = float("nan")
        if not (who.isalnum() and np.isfinite(masses[who]) and masses[who] > 0):
            raise ConfigError(
                f"{text!r} is no isotope: write element or number of the atom and its new mass "
                "(amu, or D or T), C=13.003, 4=2.014 or H=D"
            )
    return masses


def isotope_masses(
    masses: np.ndarray, atomic_numbers: np.ndarray, isotopes: Mapping[str, float], what: object
) -> np.ndarray:
    """The masses with those of isotopes in their place, [n_atoms] (amu).

    Atoms that are named by their number keep what that says, whatever is said of their element.

    Args:
        masses: [n_atoms] (amu).
        atomic_numbers: [n_atoms].
        isotopes: of `parse_isotopes`.
        what: has these atoms, for messages.

    Raises:
        ConfigError: for atoms that are not there.
    """
    new_masses = masses.copy()
    symbols = np.array([chemical_symbols[int(z)] for z in atomic_numbers])
    for who, mass in sorted(isotopes.items(), key=lambda item: item[0].isdecimal()):
        chosen = np.arange(len(masses)) == int(who) if who.isdecimal() else symbols == who
        if not chosen.any():
            raise ConfigError(f"{what} has no atom {who!r} to give the mass {mass:g} amu")
        new_masses[chosen] = mass
    return new_masses
