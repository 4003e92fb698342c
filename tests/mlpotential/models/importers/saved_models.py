"""The tiny models of other programs in tests/reference/foreign, and ways to spoil them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from mlpotential.graph import AtomGraph, collate

FOREIGN = Path(__file__).parents[3] / "reference" / "foreign"


def spoiled(source: Path, path: Path, *replacements: tuple[bytes, bytes]) -> Path:
    """A copy whose pickle has other text, each replacement found at least once."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(path, "w") as copy:
        for name in archive.namelist():
            content = archive.read(name)
            if name.endswith("/data.pkl"):
                for old, new in replacements:
                    assert old in content, old
                    content = content.replace(old, new)
            copy.writestr(name, content)
    return path


def text(value: str) -> bytes:
    """As a pickle holds it."""
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def answers(name: str) -> tuple[AtomGraph, np.ndarray, np.ndarray]:
    """Molecules, their energies [n_graphs] and forces [n_atoms, 3] by the other program."""
    with np.load(FOREIGN / f"{name}.npz", allow_pickle=False) as reference:
        numbers, positions, batch = (reference[k] for k in ("numbers", "positions", "batch"))
        graphs = [
            AtomGraph.from_arrays(numbers[batch == k], positions[batch == k])
            for k in range(batch.max() + 1)
        ]
        return collate(graphs), reference["energy"], reference["forces"]
