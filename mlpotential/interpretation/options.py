"""Options that several kinds of `interpret` have, and what they print. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlpotential.data.sets.named import files_of
from mlpotential.errors import ConfigError
from mlpotential.input_files import require_data_files
from mlpotential.messages import aligned
from mlpotential.run_folder import made_folder


@dataclass(frozen=True)
class AskedStructures:
    """About which structures, and where results go.

    Attributes:
        data: structures, as for `evaluate --unlabelled`: any file that ASE reads, or a published
            set such as qm9.
        folder: of tables, arrays and pictures.
        length_unit: e.g. Angstrom, Bohr; published sets and files of ASE need none.
        seed: of the choice of structures.
        device: auto, cpu, cuda or cuda:N.
        batch_size: structures at once.
    """

    data: str
    folder: str
    length_unit: str | None = None
    seed: int = 0
    device: str = "auto"
    batch_size: int = 32

    def check(self) -> Path:
        """The folder, made; raises InputError if the data is not there or it cannot be made."""
        require_data_files(files_of([self.data]))
        return made_folder(self.folder)


def element_of(symbol: str) -> int:
    """The atomic number. Raises ConfigError for a word that is no symbol."""
    from ase.data import atomic_numbers

    if symbol not in atomic_numbers:
        raise ConfigError(f"there is no element {symbol!r}: write symbols such as C or Na")
    return int(atomic_numbers[symbol])


def as_text(rows: Sequence[dict[str, Any]]) -> str:
    """A table for the screen."""
    words = [list(rows[0]), *([_word(value) for value in row.values()] for row in rows)]
    return "\n".join(aligned(words))


def _word(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
