"""Arrays are made once, appear complete, and are made again where files or versions changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mlpotential.data.sets.array_cache import cache_folder, cached_arrays
from mlpotential.errors import DataError


class Maker:
    """Counts how often it is called."""

    def __init__(self) -> None:
        self.n_calls = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.n_calls += 1
        return {"x": np.arange(6.0).reshape(2, 3), "z": np.array([1, 6], np.uint8)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.csv"
    path.write_text("1,2,3\n")
    return path


def check(arrays: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(arrays["x"], np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(arrays["z"], [1, 6])
    with pytest.raises(ValueError, match="read-only"):
        arrays["x"][0, 0] = 1.0


def test_made_once(source, cache):
    make = Maker()
    for _ in range(2):
        check(cached_arrays("set", 1, [source], make))
    assert make.n_calls == 1
    (folder,) = cache.iterdir()
    assert sorted(file.name for file in folder.iterdir()) == ["manifest.json", "x.npy", "z.npy"]


def test_other_files_and_versions(source):
    make = Maker()
    cached_arrays("set", 1, [source], make)
    cached_arrays("set", 2, [source], make)
    source.write_text("1,2,4\n")  # as many bytes
    cached_arrays("set", 2, [source], make)
    assert make.n_calls == 3


@pytest.mark.parametrize("damage", ["cut", "removed", "emptied", "other", "manifest"])
def test_damaged_files_are_made_again(source, cache, damage):
    make = Maker()
    cached_arrays("set", 1, [source], make)
    (folder,) = cache.iterdir()
    path = folder / "x.npy"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-8])
    elif damage == "removed":
        path.unlink()
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "other":
        np.save(path, np.zeros(2))
    else:
        (folder / "manifest.json").write_text("{")
    check(cached_arrays("set", 1, [source], make))
    assert make.n_calls == 2
    assert [path.name for path in cache.iterdir()] == [folder.name]


def test_what_fails_leaves_nothing(source, cache):
    def fail() -> dict[str, np.ndarray]:
        raise DataError("damaged")

    with pytest.raises(DataError, match="damaged"):
        cached_arrays("set", 1, [source], fail)
    assert not cache.exists()


def test_a_folder_that_cannot_be_written(source, cache):
    cache.write_text("a file")
    with pytest.raises(DataError, match="cannot keep set in .*; set MLPOTENTIAL_CACHE"):
        cached_arrays("set", 1, [source], Maker())


def test_absent_source(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*absent.csv"):
        cached_arrays("set", 1, [tmp_path / "absent.csv"], Maker())


def test_where_it_is(cache, tmp_path, monkeypatch):
    assert cache_folder() == cache
    monkeypatch.delenv("MLPOTENTIAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mlpotential"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache/mlpotential"
