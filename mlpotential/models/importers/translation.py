"""A potential of another program that has become one of ours, before it is verified and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mlpotential.graph import AtomGraph
from mlpotential.models.importers.foreign_network import OriginalAnswer
from mlpotential.models.potential import Potential


@dataclass(frozen=True)
class Translation:
    """What a source became.

    Attributes:
        model: in eV and A, in evaluation mode.
        source: file or folder it was in.
        program: that trained it.
        what: it is, in words, such as `SchNet of SchNetPack 2.1.1, T = 3`.
        units: of energy and length in the source.
        files: of the source, in it.
        notes: what its user should know, a sentence each.
        original: see `ForeignNetwork`.
        feature_ranges: see `ModelRecord`; empty where the source says nothing of them.
    """

    model: Potential
    source: Path
    program: str
    what: str
    units: tuple[str, str]
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    original: Callable[[AtomGraph], OriginalAnswer] | None = None
    feature_ranges: dict[str, dict[str, list[float]]] = field(default_factory=dict)
