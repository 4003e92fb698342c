"""What settings of a training run there are: as a commented file, as a JSON schema, as a list.

All three are made from the dataclasses of the configuration, their types, defaults and docstrings.
Free of torch.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from mlpotential import __version__
from mlpotential.command_line import explanations
from mlpotential.models.outputs import KNOWN
from mlpotential.models.registry import ARCHITECTURES, DEFAULT_ARCHITECTURE
from mlpotential.models.terms.settings import KNOWN_TERMS, TermSettings
from mlpotential.training.config import DataConfig, OutputConfig, RunConfig, TrainingConfig

WIDTH = 96
# Of the template: settings that have no default, with values to be replaced.
EXAMPLE = RunConfig(DataConfig("train.extxyz", "eV", "Angstrom", n_validation=100))
HEADING = f"""\
# All settings of a training run, mlpotential {__version__}:  mlpotential train FILE
# Each may be left out unless it says "required", and be replaced on the command line, as in
# --training.batch_size 8. Units not named are eV, Angstrom and e.
"""
NAMED = {  # sections of names that the file chooses, each followed by settings
    "outputs": f"By name: {', '.join(KNOWN)}, or any scalar, with its settings.",
    "terms": f"By name: {', '.join(KNOWN_TERMS)}, with its settings: zbl is the repulsion of "
    "nuclei, d3 and d4 are dispersion for a density functional, such as functional: pbe.",
}
JSON_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", NoneType: "null"}
WORDS = {str: "text", bool: "true | false", int: "whole number", float: "number", NoneType: "null"}


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: of the field.
        kind: its type.
        default: MISSING where one has to be given.
        explanation: what the docstring says of it.
    """

    name: str
    kind: Any
    default: Any
    explanation: str

    @property
    def in_words(self) -> str:
        """What may be given, and what is taken where nothing is."""
        end = "required" if self.default is MISSING else f"default {_scalar(self.default)}"
        return f"{kind_in_words(self.kind)}; {end}"

    @property
    def schema(self) -> dict[str, Any]:
        """As JSON schema."""
        default = {} if self.default is MISSING else {"default": self.default}
        return {"description": self.explanation, **_schema_of_kind(self.kind), **default}


def settings_of(section: type[Any]) -> list[Setting]:
    """Those of a dataclass, in order."""
    hints, texts = get_type_hints(section), explanations(section)
    return [
        Setting(f.name, hints[f.name], _default(f), re.sub(r"\bNone\b", "null", texts[f.name]))
        for f in fields(section)
    ]


def sections_of(architecture: str) -> dict[str, type[Any]]:
    """The dataclass of each section of a configuration."""
    model = ARCHITECTURES[architecture].config_class
    return {
        "data": DataConfig,
        "model": model,
        "outputs": OutputConfig,
        "terms": TermSettings,
        "training": TrainingConfig,
    }


def kind_in_words(kind: Any) -> str:
    """`number | null` of `float | None`, `warn | stop` of such a Literal."""
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    return " | ".join(map(kind_in_words, get_args(kind))) or WORDS[kind]


def commented_yaml(config: RunConfig = EXAMPLE) -> str:
    """A configuration as the file that gives it, every setting explained."""
    blocks = [HEADING]
    for section, kind in sections_of(config.model.architecture).items():
        lines = [f"{section}:"]
        values = getattr(config, section)
        if section in NAMED:
            blocks.append("\n".join(_named(section, kind, values)))
            continue
        if section == "model":
            known = " | ".join(ARCHITECTURES)
            known += f"; default {DEFAULT_ARCHITECTURE}"
            lines += [f"  architecture: {values.architecture}  # {known}", ""]
        for setting in settings_of(kind):
            lines += _commented(setting, getattr(values, setting.name), indent="  ")
        blocks.append("\n".join(lines))
    folder = next(setting for setting in settings_of(RunConfig) if setting.name == "folder")
    blocks.append("\n".join(_commented(folder, config.folder)))
    return "\n".join(blocks)


def _named(section: str, kind: type[Any], named: Mapping[str, Any]) -> list[str]:
    """Outputs or terms, each with its settings, of which those of the first explain them."""
    lines = [f"  # {line}" for line in textwrap.wrap(NAMED[section], WIDTH - 4)]
    lines = [f"{section}:" if named else f"{section}: {{}}", *lines]
    settings = settings_of(kind)
    for number, (name, values) in enumerate(named.items()):
        lines.append(f"  {name}:")
        for setting in settings:
            value = getattr(values, setting.name)
            if number == 0:
                lines += _commented(setting, value, indent="    ")
            elif value != setting.default:
                lines.append(f"    {setting.name}: {_scalar(value)}")
    return lines


def json_schema() -> dict[str, Any]:
    """Of the configuration file, for editors and programs (JSON Schema 2020-12)."""
    sections = sections_of(DEFAULT_ARCHITECTURE)
    models = [
        _object(
            ARCHITECTURES[name].config_class,
            {"architecture": {"const": name}},
            [] if name == DEFAULT_ARCHITECTURE else ["architecture"],
        )
        for name in ARCHITECTURES
    ]
    whole = {setting.name: setting for setting in settings_of(RunConfig)}
    properties = {name: _object(kind) for name, kind in sections.items() if name != "model"}
    for name in NAMED:
        one = {"anyOf": [properties[name], {"type": "null"}]}
        properties[name] = {"type": "object", "additionalProperties": one}
    properties["model"] = models[0] if len(models) == 1 else {"anyOf": models}
    for name, section in properties.items():
        section["description"] = whole[name].explanation
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A training run of mlpotential {__version__}",
        "type": "object",
        "properties": {**properties, "folder": whole["folder"].schema},
        "required": ["data"],
        "additionalProperties": False,
    }


def settings_list() -> str:
    """A line for each setting, for the help of the command."""
    return "\n".join(_listed_lines())


def _listed_lines() -> Iterator[str]:
    for section, kind in sections_of(DEFAULT_ARCHITECTURE).items():
        word = section.removesuffix("s").upper()  # OUTPUT, TERM
        place = f"{section}: {word}:" if section in NAMED else f"{section}:"
        option = f"--{section}.{word}.NAME" if section in NAMED else f"--{section}.NAME"
        yield f"settings below {place} (or {option} VALUE on the command line)"
        for setting in settings_of(kind):
            yield f"  {setting.name:<26}{setting.in_words}"


def _commented(setting: Setting, value: Any, indent: str = "") -> list[str]:
    comment = textwrap.wrap(
        setting.explanation, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
    )
    return [*comment, f"{indent}{setting.name}: {_scalar(value)}  # {setting.in_words}", ""]


def _scalar(value: Any) -> str:
    """As YAML has it."""
    return yaml.safe_dump(value, width=10**6).removesuffix("\n").removesuffix("\n...")


def _default(field: Field[Any]) -> Any:
    made = field.default_factory
    return field.default if made is MISSING else made()


def _object(
    section: type[Any], more: dict[str, Any] | None = None, required: list[str] | None = None
) -> dict[str, Any]:
    settings = settings_of(section)
    names = [setting.name for setting in settings if setting.default is MISSING]
    return {
        "type": "object",
        "properties": (more or {}) | {setting.name: setting.schema for setting in settings},
        "required": (required or []) + names,
        "additionalProperties": False,
    }


def _schema_of_kind(kind: Any) -> dict[str, Any]:
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    kinds = get_args(kind) or (kind,)
    if any(get_origin(k) is Literal for k in kinds):
        return {"anyOf": [_schema_of_kind(k) for k in kinds]}
    types = [JSON_TYPES[k] for k in kinds]
    return {"type": types[0] if len(types) == 1 else types}
