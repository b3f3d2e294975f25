"""Files: atomic writes, checksums, deletion and sizes."""

import os
import shutil

import pytest

from reco_batch.files import delete, sha256, size_of, write_whole


def test_a_file_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    """Until the new content is on disk as a whole, readers get the old one; no part is left."""
    file = tmp_path / "file"
    write_whole(file, b"old")

    def fail(*_):
        raise OSError

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError):  # noqa: PT011  # any
        write_whole(file, b"new")

    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_no_partial_file_remains(tmp_path):
    """The partial file has become the file."""
    write_whole(tmp_path / "file", b"new")

    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"new"]


def test_a_file_has_the_sum_of_its_bytes(tmp_path):
    """The checksum of a file is that of `sha256sum`."""
    (tmp_path / "abc").write_bytes(b"abc")

    assert sha256(tmp_path / "abc").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_a_folder_has_one_sum_for_names_and_contents(tmp_path):
    """The checksum of a folder covers names and contents, not the order of writing."""

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


def test_deleting_existing_and_missing_paths(tmp_path):
    """Files, folders with their content, and missing paths."""
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "file").touch()

    for name in ("folder", "file", "nothing"):
        delete(tmp_path / name)

    assert list(tmp_path.iterdir()) == []


def test_two_processes_delete_one_folder(tmp_path, monkeypatch):
    """A file that the other process deleted first is not an error, and nothing remains."""
    folder = tmp_path / "folder"
    for name in "abc":
        (folder / name).mkdir(parents=True)
    rmtree = shutil.rmtree

    def overtaken(path):
        """Delete the file that the other process has just deleted."""
        monkeypatch.undo()
        rmtree(folder / "a")
        rmtree(folder / "a")

    monkeypatch.setattr(shutil, "rmtree", overtaken)

    delete(folder)

    assert list(tmp_path.iterdir()) == []


def test_the_size_of_a_folder_whose_files_come_and_go(tmp_path, monkeypatch):
    """A file replaced after the folder was listed is left out."""
    (tmp_path / "folder").mkdir()
    for name in ("a", "folder/b", "folder/partial"):
        (tmp_path / name).write_bytes(bytes(10))
    listed = list(os.walk(tmp_path))
    (tmp_path / "folder" / "partial").unlink()
    monkeypatch.setattr(os, "walk", lambda _: listed)

    assert size_of(tmp_path) == 20
