"""A page for each command of the programs, from the parsers themselves."""

import argparse
import contextlib
import io
import re
import textwrap
from collections.abc import Iterator

from repository_pages import GENERATED, write
from sphinx.application import Sphinx

from calculators import ipi_client
from md_runs import cli as md_runs_cli
from mlpotential import cli as mlpotential_cli


def parsers() -> dict[str, argparse.ArgumentParser]:
    """By program."""
    return {
        "mlpotential": mlpotential_cli.build_parser(),
        "md-runs": md_runs_cli.build_parser(),
        "mlpotential-driver": ipi_client.build_parser(),
    }


def complete(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """The parser after it has looked up its own options, which it does when it is used."""
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        parser.parse_known_args([])
    return parser


def commands(
    parser: argparse.ArgumentParser,
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Name, summary and parser of each sub-command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            summaries = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, command in action.choices.items():
                yield name, summaries[name].replace("%%", "%"), complete(command)


def escaped(text: str) -> str:
    """Text in which Markdown finds nothing, with options as code."""
    option_or_sign = re.compile(r"(?<![\w-])(--[a-z][\w.-]*\w)|([\\`*_<>\[\]|$#{}~])")
    return option_or_sign.sub(lambda m: f"`{m[1]}`" if m[1] else f"\\{m[2]}", text)


def option(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """The entry of an argument."""
    formatter = parser._get_formatter()
    if action.option_strings:
        value = formatter._format_args(action, action.dest.upper()) if action.nargs != 0 else ""
        signature = ", ".join(f"{name} {value}".strip() for name in action.option_strings)
    else:
        signature = formatter._format_args(action, action.dest)
    text = escaped(formatter._expand_help(action)) if action.help else ""
    return f"````{{option}} {signature}\n{text}\n````\n"


def described(parser: argparse.ArgumentParser, level: int = 2) -> list[str]:
    """Paragraphs on one command: usage, examples, arguments, and its kinds if it has them."""
    text = [escaped(parser.description or "")]
    if parser.epilog:
        examples, *rest = parser.epilog.removeprefix("examples:").strip("\n").split("\n\n")
        text += ["Examples:", f"```sh\n{textwrap.dedent(examples)}\n```"]
        text += [f"```text\n{textwrap.dedent(paragraph)}\n```" for paragraph in rest]
    text.append("Usage:")
    text.append(f"```text\n{parser.format_usage().removeprefix('usage: ').strip()}\n```")
    text.append(f"```{{program}} {parser.prog}\n```")
    kinds = list(commands(parser))
    text += [
        option(parser, action)
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        and not isinstance(action, argparse._HelpAction | argparse._SubParsersAction)
    ]
    for _, _, kind in kinds:
        text += [f"{'#' * level} {kind.prog}", *described(kind, level + 1)]
    return text


def write_pages(app: Sphinx) -> None:
    """Writes a page for each command and one for each program."""
    for program, parser in parsers().items():
        found = list(commands(parser))
        if not found:
            page = [f"# {program}", *described(complete(parser))]
            write(GENERATED / "commands" / f"{program}.md", "\n\n".join(page) + "\n")
            continue
        lines = [f"| [{n}]({program}/{n}.md) | {escaped(text)} |" for n, text, _ in found]
        table = "\n".join(["| command | what it does |", "| --- | --- |", *lines])
        names = "\n".join(f"{program}/{name}" for name, _, _ in found)
        toctree = f"```{{toctree}}\n:hidden:\n\n{names}\n```"
        page = [f"# {program}", escaped(parser.description or ""), table, toctree]
        write(GENERATED / "commands" / f"{program}.md", "\n\n".join(page) + "\n")
        for name, _, command in found:
            page = [f"# {program} {name}", *described(command)]
            write(GENERATED / "commands" / program / f"{name}.md", "\n\n".join(page) + "\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the step."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
