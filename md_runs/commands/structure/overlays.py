"""Which results are laid over each other in which panel of a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar


class Labelled(Protocol):
    """A result of one element or pair of elements."""

    @property
    def label(self) -> str:
        """Such as "O-H"."""


AnyLabelled = TypeVar("AnyLabelled", bound=Labelled)


def panels_of(by_run: Mapping[str, Sequence[AnyLabelled]]) -> list[dict[str, AnyLabelled]]:
    """All of one run together, by label; of several runs a panel for each label, by run."""
    if len(by_run) == 1:
        return [{one.label: one for one in found} for found in by_run.values()]
    labels = dict.fromkeys(one.label for found in by_run.values() for one in found)
    return [
        {name: one for name, found in by_run.items() for one in found if one.label == label}
        for label in labels
    ]
