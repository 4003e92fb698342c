"""Arrays that take long to make, kept as files that are mapped into memory.

They are in a folder of their own below `MLPOTENTIAL_CACHE` or, without it, below `mlpotential` in
`XDG_CACHE_HOME` or `~/.cache`; it may be removed at any time. Its name holds a hash of the files
that the arrays were made of, so that other files, or a later way to read them, give another folder.
It appears in one step, complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from mlpotential.errors import DataError

VARIABLE = "MLPOTENTIAL_CACHE"
_MANIFEST = "manifest.json"


def cache_folder() -> Path:
    """Where arrays are kept; it need not exist."""
    if own := os.environ.get(VARIABLE):
        return Path(own)
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "mlpotential"


def cached_arrays(
    name: str, version: int, sources: Sequence[Path], make: Callable[[], Mapping[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The arrays of `make`, mapped read-only; it is called where they are not kept yet.

    Args:
        name: of the set.
        version: of `make`: to be raised with every change of what it gives.
        sources: the files it reads.
        make: arrays by their names.

    Raises:
        DataError: if a source cannot be read, or the folder cannot be written.
    """
    folder = cache_folder() / f"{name}-{version}-{_hash_of(sources)}"
    arrays = _mapped(folder)
    if arrays is None:
        arrays_made = make()
        try:
            _write(folder, arrays_made)
        except OSError as error:
            raise DataError(
                f"cannot keep {name} in {folder.parent}: {error.strerror}; set {VARIABLE} to a "
                "folder that can be written"
            ) from error
        arrays = _mapped(folder)
    if arrays is None:
        raise DataError(f"the arrays in {folder} cannot be read: remove that folder")
    return arrays


def _hash_of(sources: Sequence[Path]) -> str:
    """Of names, sizes and contents."""
    digest = hashlib.sha256()
    for path in sources:
        try:
            with path.open("rb") as handle:
                content = hashlib.file_digest(handle, "sha256").hexdigest()
            digest.update(f"{path.name} {path.stat().st_size} {content}\n".encode())
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror}") from error
    return digest.hexdigest()[:20]


def _mapped(folder: Path) -> dict[str, np.ndarray] | None:
    """None unless all arrays are there and whole."""
    try:
        shapes = json.loads((folder / _MANIFEST).read_text())
        arrays = {n: np.load(folder / f"{n}.npy", mmap_mode="r") for n in shapes}
    except (OSError, ValueError, EOFError):
        return None
    found = {name: [array.dtype.str, *array.shape] for name, array in arrays.items()}
    return {n: a.view(np.ndarray) for n, a in arrays.items()} if found == shapes else None


def _write(folder: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Makes the folder in one step; what was there, damaged, is replaced."""
    partial = folder.with_name(f"{folder.name}.partial{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for name, array in arrays.items():
            with open(partial / f"{name}.npy", "wb") as handle:
                np.save(handle, array)
                handle.flush()
                os.fsync(handle.fileno())
        shapes = {name: [array.dtype.str, *array.shape] for name, array in arrays.items()}
        (partial / _MANIFEST).write_text(json.dumps(shapes))
        if folder.exists() and _mapped(folder) is None:
            shutil.rmtree(folder)
        if not folder.exists():  # another process may have been faster
            partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
