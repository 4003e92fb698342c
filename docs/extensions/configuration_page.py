"""The page of all settings of a training, from the schema that `mlpotential train` prints."""

import json
from typing import Any

from command_pages import escaped
from repository_pages import GENERATED, write
from sphinx.application import Sphinx

from mlpotential.training.config_schema import json_schema

INTRODUCTION = """\
# Settings of a training

A training is a YAML file with the sections below; `mlpotential train run.yaml
--SECTION.SETTING VALUE` replaces a setting on the command line. `mlpotential train --print-config`
prints a file with every setting, `mlpotential train --print-schema` a JSON schema that editors
complete and check files by.
This page is made from that schema.
"""


def kind(setting: dict[str, Any]) -> str:
    """Which values a setting takes, in words."""
    if "enum" in setting:
        return ", ".join(f"`{value}`" for value in setting["enum"])
    if "const" in setting:
        return f"`{setting['const']}`"
    if alternatives := setting.get("anyOf", setting.get("oneOf")):
        return " or ".join(dict.fromkeys(kind(alternative) for alternative in alternatives))
    types = setting.get("type", "any")
    return " or ".join([types] if isinstance(types, str) else types)


def table(section: dict[str, Any]) -> str:
    """A line for each setting of a section."""
    lines = ["| setting | values | default | meaning |", "| --- | --- | --- | --- |"]
    for name, setting in section["properties"].items():
        default = f"`{json.dumps(setting['default'])}`" if "default" in setting else "required"
        if "const" in setting:
            default = ""
        meaning = escaped(" ".join(setting.get("description", "").split()))
        lines.append(f"| `{name}` | {kind(setting)} | {default} | {meaning} |")
    return "\n".join(lines)


def sections(name: str, section: dict[str, Any], level: int = 2) -> list[str]:
    """Heading, explanation and table of a section, and of each form that it can have."""
    text = [f"{'#' * level} {name}"]
    if "description" in section:
        text.append(escaped(section["description"]))
    if "properties" in section:
        text.append(table(section))
    entries = section.get("additionalProperties")
    for entry in entries.get("anyOf", [entries]) if isinstance(entries, dict) else ():
        if "properties" in entry:
            text += ["Below the name of each:", table(entry)]
    for alternative in section.get("anyOf", ()):
        form = alternative.get("properties", {}).get("architecture", {}).get("const")
        if form:
            text += sections(f"{name}, architecture {form}", alternative, level + 1)
    return text


def write_page(app: Sphinx) -> None:
    """Writes the page."""
    whole = json_schema()["properties"]
    simple = {n: s for n, s in whole.items() if not _has_settings(s)}
    text = [INTRODUCTION]
    for name, section in whole.items():
        if name not in simple:
            text += sections(name, section)
    text += ["## Beside the sections", table({"properties": simple})]
    write(GENERATED / "configuration.md", "\n\n".join(text) + "\n")


def _has_settings(section: dict[str, Any]) -> bool:
    return any(key in section for key in ("properties", "anyOf", "additionalProperties"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the step."""
    app.connect("builder-inited", write_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
