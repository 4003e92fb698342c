"""A pickle read as a description of what it would build: nothing in it is ever called.

A pickle is a program for a stack machine (PEP 307, PEP 3154; Python's `pickletools` lists its
instructions). This machine runs the instructions that make plain values. A name stays a `Name`, and
a call stays a `Made`, unless the caller brings a function of its own for it. Names that are neither
expected nor of a package whose objects are expected end the reading. Departure: protocols 2 to 5
without the instructions that only self-containing objects need.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from mlpotential.models.importers.refusal import Refusal, shown

Value = Any  # plain values, Name, Made, and what the caller's functions give
Function = Callable[..., Value]
KEY_TYPES = (str, bytes, int, float, bool, type(None))

CONSTANTS: dict[str, Value] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
NEW_CONTAINERS: dict[str, Callable[[], Value]] = {
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
}
LITERALS = (
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
)
TUPLE_SIZES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
IGNORED = frozenset({"PROTO", "FRAME"})


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle refers to, such as `torch.nn.functional.silu`."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Made:
    """An object as a pickle describes it.

    Attributes:
        factory: its class, or the function that would have made it.
        arguments: of that call.
        state: what it would have been told to remember, usually its attributes.
    """

    factory: Name
    arguments: tuple[Value, ...]
    state: Value = None


@dataclass(frozen=True)
class Expected:
    """What a pickle may refer to.

    Attributes:
        functions: by full name; called with the arguments in the pickle where not None, else the
            call is only written down.
        packages: of classes whose objects are written down, and of names that are only mentioned.
        stored: makes a value of what a pickle keeps outside itself (a "persistent id").
    """

    functions: Mapping[str, Function | None] = field(default_factory=dict)
    packages: Collection[str] = ()
    stored: Function | None = None

    def knows(self, name: Name) -> bool:
        """Whether the name may occur at all."""
        return str(name) in self.functions or self.has_class(name)

    def has_class(self, name: Name) -> bool:
        """Whether objects of this class may occur."""
        return any(name.module == p or name.module.startswith(f"{p}.") for p in self.packages)


def describe_pickle(stream: BinaryIO, expected: Expected) -> Value:
    """The value at the top of the next pickle of a stream, which is left behind its end.

    Raises:
        Refusal: if it is no pickle, truncated, or refers to anything that is not expected.
    """
    machine = _Machine(expected)
    try:
        with warnings.catch_warnings():  # of names with backslashes, which are refused anyway
            warnings.simplefilter("ignore", DeprecationWarning)
            for opcode, argument, _ in pickletools.genops(stream):
                machine.run(opcode.name, argument)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise Refusal(f"is damaged, or no pickle: {reason}") from None
    return machine.pop()


class _Machine:
    """Stack, memory and marks of one pickle."""

    def __init__(self, expected: Expected) -> None:
        self.expected = expected
        self.stack: list[Value] = []
        self.below_marks: list[list[Value]] = []
        self.memory: dict[int, Value] = {}

    def run(self, opcode: str, argument: Any) -> None:
        """One instruction."""
        if opcode in LITERALS:
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        elif opcode in NEW_CONTAINERS:
            self.stack.append(NEW_CONTAINERS[opcode]())
        elif opcode in TUPLE_SIZES:
            self.stack.append(tuple(self.pop() for _ in range(TUPLE_SIZES[opcode]))[::-1])
        elif opcode not in IGNORED:
            instruction = _INSTRUCTIONS.get(opcode)
            if instruction is None:
                raise Refusal(f"uses the pickle instruction {opcode}, which is not supported")
            instruction(self, argument)

    def pop(self) -> Value:
        """The uppermost value, taken off."""
        if not self.stack:
            raise Refusal("is damaged: its pickle takes more values than it made")
        return self.stack.pop()

    def _top(self) -> Value:
        value = self.pop()
        self.stack.append(value)
        return value

    def _mark(self, _: Any) -> None:
        self.below_marks.append(self.stack)
        self.stack = []

    def _since_mark(self) -> list[Value]:
        if not self.below_marks:
            raise Refusal("is damaged: its pickle has no mark where one is needed")
        values, self.stack = self.stack, self.below_marks.pop()
        return values

    def _tuple(self, _: Any) -> None:
        values = tuple(self._since_mark())
        self.stack.append(values)

    def _put(self, key: Any) -> None:
        self.memory[len(self.memory) if key is None else key] = self._top()

    def _get(self, key: int) -> None:
        if key not in self.memory:
            raise Refusal("is damaged: its pickle uses a value before it is made")
        self.stack.append(self.memory[key])

    def _append(self, _: Any) -> None:
        self._extend([self.pop()])

    def _append_many(self, _: Any) -> None:
        self._extend(self._since_mark())

    def _extend(self, values: list[Value]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise Refusal(f"appends to something that is no list: {_kind(target)}")
        target.extend(values)

    def _set_item(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        self._set([key, value])

    def _set_items(self, _: Any) -> None:
        self._set(self._since_mark())

    def _set(self, pairs: list[Value]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(pairs) % 2:
            raise Refusal(f"sets items of something that is no dictionary: {_kind(target)}")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, KEY_TYPES):
                raise Refusal(f"has a dictionary with keys that are not plain: {_kind(key)}")
            target[key] = value

    def _global(self, text: str) -> None:
        module, _, name = text.partition(" ")
        self._refer(Name(module, name))

    def _stack_global(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise Refusal("is damaged: a name in its pickle is no text")
        self._refer(Name(module, name))

    def _refer(self, name: Name) -> None:
        if not self.expected.knows(name):
            raise Refusal(f"refers to {shown(str(name))}, which is refused: nothing was executed")
        self.stack.append(name)

    def _reduce(self, _: Any) -> None:
        arguments, name = self._call()
        if str(name) not in self.expected.functions:
            raise Refusal(f"calls {shown(str(name))}, which is refused: nothing was executed")
        function = self.expected.functions[str(name)]
        if function is None:
            self.stack.append(Made(name, arguments))
            return
        try:
            self.stack.append(function(*arguments))
        except (TypeError, ValueError, OverflowError):
            raise Refusal(
                f"calls {shown(str(name))} with arguments that it does not take"
            ) from None

    def _new_object(self, _: Any) -> None:
        arguments, name = self._call()
        if not self.expected.has_class(name):
            raise Refusal(f"makes a {shown(str(name))}, which is refused: nothing was executed")
        self.stack.append(Made(name, arguments))

    def _call(self) -> tuple[tuple[Value, ...], Name]:
        arguments, name = self.pop(), self.pop()
        if not isinstance(arguments, tuple) or not isinstance(name, Name):
            raise Refusal(f"calls something that is no name: {_kind(name)}")
        return arguments, name

    def _build(self, _: Any) -> None:
        state, target = self.pop(), self._top()
        if isinstance(target, Made) and target.state is None:
            target.state = state
        elif not isinstance(target, dict):  # an OrderedDict may have attributes, which none needs
            raise Refusal(f"gives a state to something that has none: {_kind(target)}")

    def _persistent(self, _: Any) -> None:
        identity = self.pop()
        if self.expected.stored is None or not isinstance(identity, tuple):
            raise Refusal("refers to something outside its pickle, which is not supported")
        try:
            self.stack.append(self.expected.stored(*identity))
        except (TypeError, ValueError, OverflowError):
            raise Refusal("is damaged: a reference to its numbers cannot be read") from None

    def _stop(self, _: Any) -> None:
        if self.below_marks or len(self.stack) != 1:
            raise Refusal("is damaged: its pickle does not end with one value")


_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine._mark,
    "TUPLE": _Machine._tuple,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "MEMOIZE": _Machine._put,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._append_many,
    "ADDITEMS": _Machine._append_many,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "REDUCE": _Machine._reduce,
    "NEWOBJ": _Machine._new_object,
    "BUILD": _Machine._build,
    "BINPERSID": _Machine._persistent,
    "STOP": _Machine._stop,
}


def _kind(value: Value) -> str:
    return shown(str(value.factory)) if isinstance(value, Made) else type(value).__name__
