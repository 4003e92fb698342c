"""What a shell needs to complete a program: a script of shtab, made from its whole parser.

    mlpotential --print-completion bash > ~/.local/share/bash-completion/completions/mlpotential

The script is text: pressing the tabulator starts no Python. It knows what was installed when it was
made; after new plug-ins, make it anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from mlpotential.errors import ConfigError

Shell = Literal["bash", "zsh"]
TYPES_OF_FILES = (None, str, Path)  # of arguments that may name a file


def completion_script(parser: argparse.ArgumentParser, shell: Shell) -> str:
    """The script of a program all of whose options are there.

    Args:
        parser: of the program.
        shell: that reads it.

    Raises:
        ConfigError: where shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise ConfigError(
            "completion needs the package shtab: pip install 'mlpotential[completion]'"
        ) from error
    for one in every_parser(parser):
        for action in one._actions:
            # A file name that no program completes would be worse than no completion at all.
            if action.nargs != 0 and action.choices is None and action.type in TYPES_OF_FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell))


def every_parser(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its sub-commands, theirs, and so on."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from every_parser(child)
