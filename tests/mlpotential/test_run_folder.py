"""Run folders: files are old or new, and what is wrong is said in one line."""

import errno
import fcntl

import pytest

from mlpotential.errors import RunError
from mlpotential.run_folder import lock_folder, opened_atomically, write_atomically


def test_replaces_a_file(tmp_path):
    for content in ("old", b"new"):
        write_atomically(tmp_path / "file", content)
    assert (tmp_path / "file").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_links_are_not_followed(tmp_path):
    """In a shared folder somebody else may have put them there."""
    folder, victim = tmp_path / "run", tmp_path / "victim"
    folder.mkdir()
    victim.write_text("precious")
    for name in ("run.lock", "file.partial"):
        (folder / name).symlink_to(victim)
    with pytest.raises(RunError, match=r"its run.lock is a link: remove it"), lock_folder(folder):
        pass
    with pytest.raises(RunError, match=r"cannot write .*file: Too many levels of symbolic links"):
        write_atomically(folder / "file", "new")
    assert victim.read_text() == "precious"
    (folder / "run.lock").unlink()
    with lock_folder(folder):
        pass
    write_atomically(folder / "file", "new")  # the link was taken away


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Not a directory"):
        write_atomically(tmp_path / "file" / "inner", "")
    with (
        pytest.raises(RunError, match="cannot write in the folder"),
        lock_folder(tmp_path / "file"),
    ):
        pass


def test_file_system_without_locks(tmp_path, monkeypatch):
    """Is not taken for a folder in use."""

    def no_locks(handle, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(RunError, match="cannot lock .* No locks available"), lock_folder(tmp_path):
        pass


def test_second_holder_is_refused_until_the_first_leaves(tmp_path):
    with (
        lock_folder(tmp_path),
        pytest.raises(RunError, match="in use by process"),
        lock_folder(tmp_path),
    ):
        pass
    with lock_folder(tmp_path):
        pass


def test_a_file_in_pieces_has_its_name_when_it_is_whole(tmp_path):
    path = tmp_path / "table.csv"
    with opened_atomically(path) as file:
        file.write(b"1\n")
        file.flush()
        assert [entry.name for entry in tmp_path.iterdir()] == ["table.csv.partial"]
        file.write(b"2\n")
    assert path.read_text() == "1\n2\n"

    def interrupted():
        with opened_atomically(path) as file:
            file.write(b"3\n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "1\n2\n"
