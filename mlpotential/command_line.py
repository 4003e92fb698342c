"""What the commands `mlpotential` and `md-runs` are made of: sub-commands, plug-ins, exit codes.

A sub-command is a `Command`: its options, examples, and a function that takes the options as
keyword arguments and returns an exit code. Any installed package adds its own by an entry point in
the group `mlpotential.commands` or `md_runs.commands`, so that nothing here imports what is built
upon it:

    [options.entry_points]            # setup.cfg of the other package
    md_runs.commands =
        dipoles = my_package.dipoles:COMMAND

    def run(folder: Path, *, temperature_K: float = 300.0) -> int:    # my_package/dipoles.py
        '''Prints dipoles.

        Args:
            folder: of a run.
            temperature_K: of the run.
        '''

    COMMAND = Command.of(run, "  md-runs dipoles nve", "dipoles of a run")

A function tells its own options: parameters before the star are positional, those after it options
with the types and defaults of the signature, and help is what the docstring says of each. One
before a slash takes the words that are none of them, which are otherwise refused.

The module of a plug-in is imported whenever the command line is read, so it must import what is
slow (torch, scipy, matplotlib) inside `run`. One that cannot be imported is listed with the reason
and troubles no other command.
"""

from __future__ import annotations

import argparse
import collections.abc
import contextlib
import difflib
import importlib
import inspect
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType, NoneType
from typing import Any, Literal, NoReturn, cast, get_args, get_origin, get_type_hints

from mlpotential import __version__
from mlpotential.completion.script import Shell, completion_script, every_parser
from mlpotential.errors import ConfigError, InputError, nearest_name
from mlpotential.interruption import RunInterrupted
from mlpotential.messages import told_in_lines

USER_MISTAKE = 2
KIND = "kind of a command"  # among parsed options: no parameter can have this name
COMPARISONS = "mlpotential.comparisons"  # entry points: (model file, reference file) -> words
PERHAPS_MEANT, SURELY_MEANT = 0.6, 0.9  # chosen: likeness of a misspelt option, as of difflib
PLACEHOLDERS = {int: "N", float: "X", Path: "PATH", str: "TEXT"}  # of values, in help


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

    @classmethod
    def of(
        cls,
        run: Callable[..., int],
        examples: str = "",
        summary: str = "",
        more: Sequence[Callable[..., Any]] = (),
        aliases: Mapping[str, str] = MappingProxyType({}),
    ) -> Command:
        """A command whose options are the parameters of its function.

        Args:
            run: see `add_arguments`.
            examples: as of `Command`.
            summary: as of `Command`.
            more: other functions or dataclasses whose parameters `run` takes as `**options`.
            aliases: as of `add_arguments`.
        """

        def add_options(parser: argparse.ArgumentParser) -> None:
            add_arguments(parser, run, aliases)
            for described in more:
                add_arguments(parser, described, aliases, only_named=True)

        return cls(add_options, run, examples, summary)

    @classmethod
    def family(
        cls, table: Mapping[str, tuple[str, str]], examples: str = "", summary: str = ""
    ) -> Command:
        """A command whose next word names one of its own sub-commands.

        Args:
            table: by name, where the `Command` of each is and its summary, as of `add_commands`.
            examples: as of `Command`.
            summary: as of `Command`.
        """

        def add_kinds(parser: argparse.ArgumentParser) -> None:
            assert isinstance(parser, ProgramParser)
            _add_from_table(parser, table, KIND, "KIND")

        return cls(add_kinds, lambda: USER_MISTAKE, examples, summary)  # each kind has its own


class ProgramParser(argparse.ArgumentParser):
    """A parser that tells a mistake in one line, and what may have been meant by a misspelt word.

    Attributes:
        commands: names of sub-commands, one of which has to be the first word; none for a parser
            without.
        takes_others: words that are no option are somebody else's, unless they are nearly one.
    """

    commands: Collection[str] = ()
    takes_others = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As of every parser."""
        words = sys.argv[1:] if args is None else list(args)
        if self.commands:
            self._refuse_unknown_command(words)
        else:
            self._refuse_misspelt_options(words)
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """Ends the program with a line on standard error."""
        self.exit(USER_MISTAKE, f"{self.prog}: {message} (see {self.prog} --help)\n")

    def _refuse_unknown_command(self, words: Sequence[str]) -> None:
        if words and not words[0].startswith("-") and words[0] not in self.commands:
            near = nearest_name(words[0], self.commands)
            there = ", ".join(self.commands)
            self.error(f"there is no command {words[0]!r}.{near} There are: {there}")

    def _refuse_misspelt_options(self, words: Sequence[str]) -> None:
        """Before options are found missing: they may be what was meant."""
        known = {name.lstrip("-"): name for name in self._option_string_actions}
        least = SURELY_MEANT if self.takes_others else PERHAPS_MEANT
        for word in words:
            name = word.partition("=")[0]
            if word == "--":
                return
            if not re.match("--?[a-zA-Z]", name) or name in self._option_string_actions:
                continue  # a value, or right
            spelt = name.lstrip("-").lower().replace("_", "-")
            near = difflib.get_close_matches(spelt, known, n=1, cutoff=least)
            if near or not self.takes_others:
                hint = f". Did you mean {known[near[0]]}?" if near else ""
                self.error(f"there is no option {name}{hint}")


class CommandParser(ProgramParser):
    """The parser of a sub-command, which looks up its `Command` when it is used, not before."""

    command: Command | str | None = None  # or where it is, or None once its options are here

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As of every parser."""
        self.look_up()
        return super().parse_known_args(args, namespace)

    def look_up(self) -> None:
        """Adds the options of its command, once."""
        if self.command is None:
            return
        found, self.command = self.command, None
        command = _imported(found) if isinstance(found, str) else found
        self.epilog = f"examples:\n{command.examples}" if command.examples else None
        command.add_options(self)
        self.set_defaults(run_command=command.run)
        self.takes_others = _takes_unknown(command.run)


class _PrintCompletion(argparse.Action):
    """Prints the script that completes a program in a shell, and ends."""

    def __call__(self, parser: Any, namespace: Any, shell: Any, option_string: Any = None) -> None:
        for one in every_parser(parser):
            if isinstance(one, CommandParser):
                one.look_up()
        try:
            print(completion_script(parser, shell))
        except ConfigError as error:
            parser.error(str(error))
        parser.exit()


def program_parser(name: str, description: str, examples: str) -> ProgramParser:
    """The parser of a program; words are never abbreviated, and its help ends with examples."""
    parser = ProgramParser(
        prog=name,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mlpotential {__version__}")
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        dest=argparse.SUPPRESS,  # no option of any command
        default=argparse.SUPPRESS,
        choices=get_args(Shell),
        help="print what completes commands and options in this shell",
    )
    return parser


def add_commands(parser: ProgramParser, table: Mapping[str, tuple[str, str]], group: str) -> None:
    """The sub-commands of a program and those of its plug-ins.

    Args:
        parser: of the program.
        table: by name, where its `Command` is, as `package.module:NAME`, and its summary.
        group: of entry points.
    """
    add = _add_from_table(parser, table, "command", "COMMAND")
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        if point.name in parser.commands:
            print(f"{_origin(point)} is left out: there is another command", file=sys.stderr)
            continue
        plug_in = _plug_in(point)
        add(point.name, plug_in.summary, plug_in)


def _add_from_table(
    parser: ProgramParser, table: Mapping[str, tuple[str, str]], dest: str, metavar: str
) -> Callable[[str, str, Command | str], None]:
    """Adds sub-commands, whose name the options then hold as `dest`; what adds one more."""
    commands = parser.add_subparsers(
        dest=dest, required=True, metavar=metavar, parser_class=CommandParser
    )

    def add(name: str, summary: str, command: Command | str) -> None:
        commands.add_parser(
            name,
            help=summary.replace("%", "%%"),
            description=_sentence(summary),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        ).command = command

    for name, (place, summary) in table.items():
        add(name, summary, place)
    parser.commands = commands.choices
    return add


def _sentence(summary: str) -> str:
    """With a capital where it begins with a word; g(r) is another function than G(r)."""
    is_word = summary.split()[0].rstrip(",:").isalpha()
    return (summary[0].upper() if is_word else summary[0]) + summary[1:] + "."


def run_program(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    """Runs the sub-command that the arguments name, see `exit_code`.

    Args:
        parser: with `add_commands`.
        arguments: None for those of the process.
    """
    options, unknown = parser.parse_known_args(arguments)
    given = vars(options)
    words = [given.pop(dest) for dest in ("command", KIND) if dest in given]
    name, run = " ".join([parser.prog, *words]), given.pop("run_command")
    takes_unknown = _takes_unknown(run)
    if unknown and not takes_unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    with told_in_lines(name):
        return exit_code(name, run, *([unknown] if takes_unknown else []), **given)


def _takes_unknown(run: Callable[..., int]) -> bool:
    """Whether the first parameter stands before a slash, for words that are no option."""
    kinds = [parameter.kind for parameter in inspect.signature(run).parameters.values()]
    return inspect.Parameter.POSITIONAL_ONLY in kinds


def add_arguments(
    parser: argparse.ArgumentParser,
    described: Callable[..., Any],
    aliases: Mapping[str, str] = MappingProxyType({}),
    only_named: bool = False,
) -> None:
    """One argument for each parameter of a function, or each field of a dataclass.

    Parameters that have to be named become options, `--r-max` of `r_max`; required ones have no
    default. Their types are those of one value, `Literal`, `bool`, or a `Sequence` of values.

    Args:
        parser: of a command.
        described: with annotations, and a Google docstring that explains each parameter.
        aliases: second names of options, by parameter.
        only_named: leave parameters out that need no name.
    """
    hints, texts = get_type_hints(described), explanations(described)
    for name, parameter in inspect.signature(described).parameters.items():
        is_named = parameter.kind is parameter.KEYWORD_ONLY or inspect.isclass(described)
        is_collecting = parameter.kind in (parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY)
        if is_collecting or (only_named and not is_named):
            continue
        kinds = [kind for kind in _alternatives(hints.get(name)) if kind is not NoneType]
        default, text = parameter.default, texts.get(name, "").replace("%", "%%")
        how: dict[str, Any] = {"help": text}
        has_default = default is not parameter.empty
        if get_origin(kinds[0]) is collections.abc.Sequence:
            kinds, how["nargs"] = list(get_args(kinds[0])), "+"
        if get_origin(kinds[0]) is Literal:
            how["choices"] = get_args(kinds[0])
        elif kinds[0] is bool:
            is_flag = parameter.default is False and not inspect.isclass(described)
            how["action"] = "store_true" if is_flag else argparse.BooleanOptionalAction
        else:
            how["type"] = kinds[0]
            how["metavar"] = PLACEHOLDERS.get(kinds[0]) if is_named else None
        if not is_named:
            if has_default:
                how["nargs"] = "?"
            parser.add_argument(name, **how)
        elif not has_default:
            how["help"] += " (required)"
            parser.add_argument(_option(name), required=True, **how)
        else:
            if how.get("action") != "store_true" and isinstance(default, int | float | str):
                how["help"] += f" (default: {_shown(default).replace('%', '%%')})"
            names = [_option(name)] + ([aliases[name]] if name in aliases else [])
            parser.add_argument(*names, dest=name, default=default, **how)


def _shown(default: float | str) -> str:
    """A default as it would be typed."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The types of `int | None`; any other type by itself."""
    return get_args(hint) if NoneType in get_args(hint) else (hint,)


def explanations(described: Callable[..., Any]) -> dict[str, str]:
    """What a docstring says of each parameter or attribute, those that a class inherits too."""
    inherited: dict[str, str] = {}
    for base in reversed(described.__mro__[1:-1] if inspect.isclass(described) else ()):
        inherited |= explanations(base)
    return inherited | _explanations(described)


def _explanations(described: Callable[..., Any]) -> dict[str, str]:
    document = inspect.cleandoc(described.__doc__ or "")
    _, _, section = document.partition("Attributes:\n" if inspect.isclass(described) else "Args:\n")
    texts: dict[str, str] = {}
    for entry in re.split(r"^    (?=\w)", re.split(r"\n(?=\w)", section)[0], flags=re.MULTILINE):
        names, _, explanation = entry.partition(": ")
        text = " ".join(explanation.replace("`", "").split()).removesuffix(".")
        texts |= dict.fromkeys(names.split(", "), text)
    return texts


def exit_code(name: str, command: Callable[..., int], *arguments: Any, **options: Any) -> int:
    """What a command returns; a user's mistake is told in one line on standard error.

    128 + signal where a signal stopped it (its state is saved where it keeps one), 2 for a mistake.
    """
    try:
        code = command(*arguments, **options)
        sys.stdout.flush()
        return code
    except InputError as error:
        with contextlib.suppress(OSError):  # the terminal that closed, which stopped the run
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


def comparison_with(name: str) -> Callable[..., Any]:
    """What compares a model with a reference of this kind, of the group `COMPARISONS`.

    Raises:
        ConfigError: if no installed package offers it.
    """
    for point in entry_points(group=COMPARISONS, name=name):
        return cast("Callable[..., Any]", point.load())
    raise ConfigError(
        f"nothing installed compares {name}: install the package again (pip install .)"
    )


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
