"""Files that are there whole or not at all."""

import os
import shutil

import pytest

from reco_batch.files import delete, sha256, size_of, write_whole


def test_what_cannot_be_replaced_stays(tmp_path, monkeypatch):
    """Until the new content is on disk as a whole, the old one is what is read."""
    file = tmp_path / "file"
    write_whole(file, b"old")

    def fail(*_):
        raise OSError

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError):  # noqa: PT011  # any
        write_whole(file, b"new")

    assert file.read_bytes() == b"old"


def test_what_is_written_is_all_that_stays(tmp_path):
    """The part that was written first has become the file."""
    write_whole(tmp_path / "file", b"new")

    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"new"]


def test_a_file_has_the_sum_of_its_bytes(tmp_path):
    """As `sha256sum` prints it."""
    (tmp_path / "abc").write_bytes(b"abc")

    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_a_folder_has_one_sum_for_names_and_contents(tmp_path):
    """Whatever changes in it, the sum is another; the order of writing is no matter."""

    def folder(name, files):
        for path, content in files:
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return sha256(tmp_path / name)

    same = [("a", b"1"), ("in/b", b"2")]
    assert folder("first", same) == folder("second", same[::-1])
    others = [[("a", b"2"), ("in/b", b"1")], [("a", b"1"), ("b", b"2")], [*same, ("c", b"")]]
    sums = {folder(str(n), files) for n, files in enumerate([same, *others])}
    assert len(sums) == 4


def test_deleting_what_is_there_and_what_is_not(tmp_path):
    """Files, folders with what is in them, and nothing."""
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "file").touch()

    for name in ("folder", "file", "nothing"):
        delete(tmp_path / name)

    assert list(tmp_path.iterdir()) == []


def test_two_processes_delete_one_folder(tmp_path, monkeypatch):
    """What the other one deleted first is no error, and nothing stays."""
    folder = tmp_path / "folder"
    for name in "abc":
        (folder / name).mkdir(parents=True)
    rmtree = shutil.rmtree

    def overtaken(path):
        """Delete what the other process has just deleted."""
        monkeypatch.undo()
        rmtree(folder / "a")
        rmtree(folder / "a")

    monkeypatch.setattr(shutil, "rmtree", overtaken)

    delete(folder)

    assert list(tmp_path.iterdir()) == []


def test_the_size_of_a_folder_whose_files_come_and_go(tmp_path, monkeypatch):
    """A file that was replaced after the folder was listed is left out."""
    (tmp_path / "folder").mkdir()
    for name in ("a", "folder/b", "folder/partial"):
        (tmp_path / name).write_bytes(bytes(10))
    listed = list(os.walk(tmp_path))
    (tmp_path / "folder" / "partial").unlink()
    monkeypatch.setattr(os, "walk", lambda _: listed)

    assert size_of(tmp_path) == 20
