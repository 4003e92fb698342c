"""A torch module as a pickle describes it: its class by name, its tensors, parts and settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mlpotential.models.importers.pickle_description import Made, Value
from mlpotential.models.importers.refusal import Refusal, shown
from mlpotential.models.importers.torch_file import StoredTensor

HOOKS = ("_forward_hooks", "_forward_pre_hooks")  # code that would change what a module gives


@dataclass(frozen=True)
class DescribedModule:
    """One module of a tree.

    Attributes:
        path: from the root, such as `output_modules.0`.
        made: as the pickle describes it.
    """

    path: str
    made: Made

    @classmethod
    def of(cls, path: str, value: Value) -> DescribedModule:
        """Raises Refusal if the value is no module, or has hooks."""
        state = value.state if isinstance(value, Made) else None
        if not isinstance(state, dict) or not isinstance(state.get("_modules"), dict):
            raise Refusal(f"has no torch module at {shown(path or 'its top')}")
        if any(state.get(name) for name in HOOKS):
            raise Refusal(f"has a hook at {shown(path)}, which is refused: code is not executed")
        return cls(path, value)

    @property
    def class_name(self) -> str:
        """The short one, such as `SchNet`."""
        return self.made.factory.name

    def check_class(self, *expected: str) -> DescribedModule:
        """Itself. Raises Refusal, naming it, if it is of none of these classes (short names)."""
        if self.class_name not in expected:
            raise Refusal(
                f"has {shown(str(self.made.factory))} at {shown(self.path or 'its top')}, which is "
                f"refused: {' or '.join(expected)} can be converted"
            )
        return self

    def part(self, *names: str | int) -> DescribedModule:
        """The module at the end of a path of names. Raises Refusal if there is none."""
        module = self
        for name in names:
            path = f"{module.path}.{name}".lstrip(".")
            parts = module.made.state["_modules"]
            if parts.get(str(name)) is None:
                raise Refusal(f"lacks the module {module._path_of(name)}")
            module = DescribedModule.of(path, parts[str(name)])
        return module

    def parts(self) -> list[DescribedModule]:
        """All modules directly below, in order."""
        names = list(self.made.state["_modules"])
        if not all(isinstance(name, str) for name in names):
            raise Refusal(f"has a module without a name at {shown(self.path)}")
        return [self.part(name) for name in names]

    def has_part(self, name: str) -> bool:
        """Whether there is a module of this name directly below."""
        return self.made.state["_modules"].get(name) is not None

    def has_tensor(self, name: str) -> bool:
        """Whether there is a parameter or buffer of this name."""
        return self._stored(name) is not None

    def tensor(self, name: str) -> Tensor:
        """A parameter or buffer. Raises Refusal if it is missing or damaged."""
        stored = self._stored(name)
        if stored is None:
            raise Refusal(f"lacks the tensor {self._path_of(name)}")
        return stored.read()

    def _stored(self, name: str) -> StoredTensor | None:
        for group in ("_parameters", "_buffers"):
            tensors = self.made.state.get(group)
            if isinstance(tensors, dict) and isinstance(tensors.get(name), StoredTensor):
                return tensors[name]
        return None

    def _path_of(self, name: str | int) -> str:
        return shown(f"{self.path}.{name}".lstrip("."))

    def setting(self, name: str) -> Any:
        """An attribute that is neither module nor tensor. Raises Refusal if it is missing."""
        if name not in self.made.state:
            raise Refusal(f"lacks the setting {self._path_of(name)}")
        return self.made.state[name]

    def text(self, name: str) -> str:
        """An attribute that is text. Raises Refusal if it is none."""
        value = self.setting(name)
        if not isinstance(value, str):
            raise Refusal(f"has a {name} at {shown(self.path)} that is no text")
        return value

    def check_setting(self, name: str, expected: Any) -> None:
        """Raises Refusal, naming it, if an attribute has another value than the one supported."""
        value = self.setting(name)
        if type(value) is not type(expected) or value != expected:
            raise Refusal(
                f"has {name} = {shown(value)} at {shown(self.path)}, which is refused: only "
                f"{shown(expected)} can be converted"
            )
