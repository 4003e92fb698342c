"""Options that several sub-commands of `md-runs` share, and checks of what they name."""

from __future__ import annotations

import argparse
import inspect
import re
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from md_runs.analysis.spectra.dynamics import Method
from mlpotential.errors import ConfigError
from mlpotential.inference.execution import add_execution_options

Settings = TypeVar("Settings")


def add_structure_and_model(parser: argparse.ArgumentParser) -> None:
    """What moves, and the forces on it."""
    add = parser.add_argument
    add("structure", type=Path, help="any format ASE reads")
    add(
        "--model",
        type=Path,
        required=True,
        help="model file (.safetensors), or a quoted pattern such as 'runs/*/model.safetensors', "
        "a committee",
    )
    add_execution_options(parser)


def add_settings(parser: argparse.ArgumentParser, settings: type[Any]) -> None:
    """A run folder, and one option for each field of a dataclass of settings."""
    add = parser.add_argument
    add("--folder", type=Path, required=True, help="of the run; continued if used")
    hints, texts = get_type_hints(settings), _attribute_texts(settings)
    for field in fields(settings):
        (kind,) = [hint for hint in _alternatives(hints[field.name]) if hint is not NoneType]
        is_required = field.default is MISSING
        text = texts.get(field.name, "")
        how: dict[str, Any] = {"default": field.default, "help": f"{text} ({field.default})"}
        if is_required:
            how = {"required": True, "help": text}
        if get_origin(kind) is Literal:
            how["choices"] = get_args(kind)
        elif kind is bool:
            how["action"] = argparse.BooleanOptionalAction
        else:
            how["type"] = kind
        add("--" + field.name.replace("_", "-"), dest=field.name, **how)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The types of `int | None`; any other type by itself."""
    is_union = NoneType in get_args(hint)
    return get_args(hint) if is_union else (hint,)


def _attribute_texts(kind: type[Any]) -> dict[str, str]:
    """What the docstring of a dataclass says of each attribute, for argparse."""
    text = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")[2]
    texts: dict[str, str] = {}
    for entry in re.split(r"^    (?=\w)", text.partition("\nRaises:")[0], flags=re.MULTILINE):
        names, _, explanation = entry.partition(": ")
        shown = " ".join(explanation.split()).removesuffix(".").replace("%", "%%")
        texts |= dict.fromkeys(names.split(", "), shown)
    return texts


def taken(options: dict[str, Any], settings: type[Settings]) -> Settings:
    """Settings from the options of their names, which are taken out of `options`."""
    names = [field.name for field in fields(settings)]  # type: ignore[arg-type]
    return settings(**{name: options.pop(name) for name in names})


def add_runs(parser: argparse.ArgumentParser) -> None:
    """Options that all analyses share."""
    add = parser.add_argument
    add(
        "runs",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="run folder or trajectory file; several are laid over each other",
    )
    add("--output", type=Path, metavar="FOLDER", help="for all files (RUN_COMMAND beside the run)")
    add("--svg", action="store_true", help="figures as SVG too")
    add_reading(parser)


def add_reading(parser: argparse.ArgumentParser) -> None:
    """What the user knows better than the files: arguments of `prepared_run.open_runs`."""
    add = parser.add_argument
    add("--skip-ps", type=float, help="left out at the start (until equilibrated, as detected)")
    add("--temperature-K", type=float, help="of the runs (as recorded)")
    add("--frame-interval-fs", type=float, help="time between frames (as recorded)")
    add("--structure", type=Path, help="elements, masses, pbc, where a file does not tell them")
    add(
        "--extras-units",
        nargs="+",
        metavar="NAME=UNIT",
        help="of extras in outputs of i-PI, dipole=debye (atomic units)",
    )


def add_blocks(parser: argparse.ArgumentParser) -> None:
    """Of analyses whose error bars come from blocks of frames."""
    parser.add_argument(
        "--blocks", type=int, dest="n_blocks", help="of frames, for the error bars (10)"
    )


def add_spectrum_options(parser: argparse.ArgumentParser) -> None:
    """Of analyses of motion in time."""
    add = parser.add_argument
    add("--resolution-per-cm", type=float, help="physical resolution (10 to 30, as the run allows)")
    add("--dynamics", choices=get_args(Method), help="what moved the atoms (as recorded)")
    add("--friction-per-fs", type=float, help="of a Langevin thermostat")
    add("--verlet-correction", action="store_true", help="take back the shift by the time step")
    add("--integration-timestep-fs", type=float, help="of the integrator (as recorded)")
    add("--max-per-cm", type=float, help="right end of the axis")


def check_folder(path: Path, option: str) -> None:
    """Raises ConfigError, before the work, for a folder that is a file."""
    if path.exists() and not path.is_dir():
        raise ConfigError(f"{option} {path} is a file: name a folder")


def check_file(path: Path | None) -> None:
    """Raises ConfigError, before the work, for a file in a folder that does not exist."""
    if path is not None and not path.parent.is_dir():
        raise ConfigError(f"the folder {path.parent} of the output does not exist: make it first")
