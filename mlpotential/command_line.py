"""What the commands `mlpotential` and `md-runs` are made of: sub-commands, plug-ins, exit codes.

A sub-command is a `Command`: its options, examples, and a function that takes the options as
keyword arguments and returns an exit code. Any installed package adds its own by an entry point in
the group `mlpotential.commands` or `md_runs.commands`, so that nothing here imports what is built
upon it:

    [options.entry_points]            # setup.cfg of the other package
    md_runs.commands =
        dipoles = my_package.dipoles:COMMAND

    COMMAND = Command(summary="dipoles of a run", examples="  md-runs dipoles nve",
                      add_options=add_options, run=run)    # my_package/dipoles.py

    def add_options(parser): parser.add_argument("run_folder", type=Path)
    def run(run_folder): ...; return 0

The module of a plug-in is imported whenever the command line is read, so it must import what is
slow (torch, scipy, matplotlib) inside `run`. One that cannot be imported is listed with the reason
and troubles no other command.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from mlpotential.errors import InputError
from mlpotential.interruption import RunInterrupted

Subcommands = argparse._SubParsersAction  # of CommandParser; argparse has no public name for it

USER_MISTAKE = 2


@dataclass(frozen=True)
class Command:
    """A sub-command.

    Attributes:
        add_options: adds its options to the parser that it is given.
        run: does the work, called with the options by their names; its result is the exit code.
        examples: shown below its help, two blanks before each line.
        summary: one line; of a plug-in. Those of the program itself stand in its own table, so that
            they are listed without importing anything.
    """

    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[..., int]
    examples: str = ""
    summary: str = ""


class CommandParser(argparse.ArgumentParser):
    """The parser of a sub-command, which looks up its `Command` when it is used, not before."""

    load: Callable[[], Command] | None = None

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As of every parser."""
        if self.load is not None:
            command, self.load = self.load(), None
            self.epilog = f"examples:\n{command.examples}" if command.examples else None
            command.add_options(self)
            self.set_defaults(run_command=command.run)
        return super().parse_known_args(args, namespace)


def add_subcommands(parser: argparse.ArgumentParser) -> Subcommands[CommandParser]:
    """The place for sub-commands of a parser; the name of the chosen one becomes `command`."""
    return parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=CommandParser
    )


def add_command(
    commands: Subcommands[CommandParser], name: str, summary: str, examples: str = ""
) -> CommandParser:
    """A sub-command whose help shows examples."""
    return commands.add_parser(
        name,
        help=summary.replace("%", "%%"),
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def add_commands(
    commands: Subcommands[CommandParser], table: dict[str, tuple[str, str]], group: str
) -> None:
    """The sub-commands of a program and those of its plug-ins.

    Args:
        commands: of `add_subcommands`.
        table: by name, where its `Command` is, as `package.module:NAME`, and its summary.
        group: of entry points.
    """
    for name, (place, summary) in table.items():
        add_command(commands, name, summary).load = partial(_imported, place)
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        if point.name in commands.choices:
            print(f"{_origin(point)} is left out: there is another command", file=sys.stderr)
            continue
        plug_in = _plug_in(point)
        add_command(commands, point.name, plug_in.summary).load = partial(_itself, plug_in)


def exit_code(name: str, command: Callable[..., int], *arguments: Any, **options: Any) -> int:
    """What a command returns; a user's mistake is told in one line on standard error.

    128 + signal where a signal stopped it (its state is saved where it keeps one), 2 for a mistake.
    """
    try:
        code = command(*arguments, **options)
        sys.stdout.flush()
        return code
    except InputError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 128 + error.signal_number if isinstance(error, RunInterrupted) else USER_MISTAKE
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:  # whoever read the output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE


def _imported(place: str) -> Command:
    module, _, name = place.partition(":")
    command: Command = getattr(importlib.import_module(module), name)
    return command


def _itself(command: Command) -> Command:
    return command


def _plug_in(point: EntryPoint) -> Command:
    """The command of a plug-in, or one that says why there is none."""
    try:
        command = point.load()
        if isinstance(command, Command):
            return command
        reason = f"{point.value} is no mlpotential.command_line.Command"
    except Exception as error:  # the module of a stranger raises whatever it likes
        reason = f"{type(error).__name__}: {error}"
    reason = " ".join(f"{_origin(point)} cannot be loaded ({reason})".split())
    return Command(lambda parser: parser.error(reason), lambda: USER_MISTAKE, summary=reason)


def _origin(point: EntryPoint) -> str:
    package = "an unknown package" if point.dist is None else point.dist.name
    return f"the plug-in {point.name!r} of {package}"
