"""A calculator of ASE that is told in words, so that any process can make it.

    tblite.ase:TBLite     what a module has under this name, called with the arguments
    emt                   a calculator that ASE knows by this name
    my_method.py          a Python file with a function `calculator`, called as well

Nothing is imported before the calculator is made, which processes of `workers` do.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlpotential.errors import ConfigError, nearest_name

FUNCTION = "calculator"  # that a Python file has
MODULE_OF_FILE = "calculator_of_a_file"
ENDINGS = (".safetensors", ".pt", ".pth", ".pt2", ".pb", ".model", ".ckpt")
HOW = "write module:name, a name that ASE knows (emt), or a Python file with a function calculator"


@dataclass(frozen=True)
class NamedCalculator:
    """Where a calculator comes from.

    Attributes:
        name: `module:name`, a name of ASE, or a Python file.
        arguments: of what is called, by name; what JSON can hold.
        directory: that files are named from, in `name` and in `arguments`.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    directory: Path = field(default_factory=Path.cwd)

    def __post_init__(self) -> None:
        try:
            json.dumps(dict(self.arguments))
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"arguments of a calculator are numbers, words, lists and maps of them: {error}"
            ) from error

    @classmethod
    def told(cls, name: str, arguments: str | None) -> NamedCalculator:
        """As on a command line: arguments are YAML or JSON, `{method: GFN2-xTB}`.

        Raises:
            ConfigError: for arguments that cannot be read, or a file that is not there.
        """
        import yaml

        try:
            found = yaml.safe_load(arguments or "{}")
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise ConfigError(f"cannot read the calculator's arguments: {reason}") from error
        if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
            raise ConfigError(
                f"arguments of a calculator are written {{name: value}}, not {arguments}"
            )
        named = cls(name, found)
        if named.is_file and not named.path.is_file():
            raise ConfigError(f"there is no file {name} with a function {FUNCTION}")
        return named

    @property
    def is_file(self) -> bool:
        """Whether a Python file is named."""
        return self.name.endswith(".py")

    @property
    def path(self) -> Path:
        """Of the Python file."""
        return self.directory / self.name

    @property
    def text(self) -> str:
        """Name and arguments in a line."""
        if not self.arguments:
            return self.name
        return f"{self.name} {json.dumps(dict(self.arguments), sort_keys=True)}"

    @property
    def identity(self) -> dict[str, str]:
        """What has to be the same for a run to go on: the words, and contents of files in them."""
        digests = {
            f"{value} (sha256)": hashlib.sha256((self.directory / value).read_bytes()).hexdigest()
            for value in sorted(self._files())
        }
        return {"calculator": self.text, **digests}

    def _files(self) -> set[str]:
        """Named files that are there: Python, and models; others may be written by the work."""
        words = {word for word in _words(self.arguments) if word.lower().endswith(ENDINGS)}
        words |= {self.name} if self.is_file else set()
        return {word for word in words if _is_file(self.directory / word)}

    def make(self) -> Any:
        """A new calculator. Raises ConfigError if there is none, in one line."""
        factory = self._factory()
        try:
            calculator = factory(**self.arguments)
        except Exception as error:  # a stranger's code raises whatever it likes
            raise ConfigError(f"{self.text} cannot be made: {in_a_line(error)}") from error
        if inspect.isclass(calculator) or not hasattr(calculator, "get_property"):
            raise ConfigError(
                f"{self.text} is a {type(calculator).__name__}, not a calculator of ASE"
            )
        return calculator

    def _factory(self) -> Callable[..., Any]:
        try:
            if self.is_file:
                return self._function_of_file()
            module, colon, name = self.name.partition(":")
            if not colon:
                return _known_to_ase(self.name)
            found = functools.reduce(getattr, name.split("."), importlib.import_module(module))
        except ConfigError:
            raise
        except Exception as error:  # as above
            raise ConfigError(
                f"there is no calculator {self.name!r} ({in_a_line(error)}): {HOW}"
            ) from error
        if not callable(found):
            raise ConfigError(f"{self.name} cannot be called: {HOW}")
        return found

    def _function_of_file(self) -> Callable[..., Any]:
        spec = importlib.util.spec_from_file_location(MODULE_OF_FILE, self.path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[MODULE_OF_FILE] = module  # as an import would: classes are found by it
        spec.loader.exec_module(module)
        found = getattr(module, FUNCTION, None)
        if not callable(found):
            raise ConfigError(f"{self.name} has no function {FUNCTION}()")
        return found


def _known_to_ase(name: str) -> Callable[..., Any]:
    from ase.calculators.calculator import get_calculator_class, names

    if name.lower() not in names:
        raise ConfigError(f"ASE knows no calculator {name!r}.{nearest_name(name, names)} Or {HOW}")
    return get_calculator_class(name.lower())


def in_a_line(error: BaseException) -> str:
    """Kind and words of what somebody raised."""
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def _words(value: Any) -> Iterator[str]:
    """All words in maps and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _words(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _words(one)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a word too long for a name, or with a null in it
        return False
