import os

import pytest

from neurn._files import OutputError, open_atomic, prepare_directory, write_atomic


def test_writing_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    write_atomic(path, "first")
    write_atomic(path, "zweite \N{GREEK SMALL LETTER SIGMA}")
    assert path.read_bytes() == "zweite \N{GREEK SMALL LETTER SIGMA}".encode()
    write_atomic(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch, step):
    path = tmp_path / "a.txt"
    write_atomic(path, "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_name_appears_only_when_the_content_is_complete(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    sizes = []
    monkeypatch.setattr(os, "fsync", lambda fd: sizes.append((path.exists(), os.fstat(fd).st_size)))
    write_atomic(path, "content")
    assert sizes == [(False, 7)]


def test_new_files_follow_the_umask(tmp_path):
    write_atomic(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_a_body_that_raises_leaves_no_file(tmp_path):
    with pytest.raises(KeyboardInterrupt), open_atomic(tmp_path / "a") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_directories_are_made_and_left_empty(tmp_path):
    prepare_directory(tmp_path / "x" / "y")
    prepare_directory(tmp_path / "x" / "y")
    assert list((tmp_path / "x").rglob("*")) == [tmp_path / "x" / "y"]


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OutputError, match="file' is a file; give a directory"):
        prepare_directory(tmp_path / "file")
    with pytest.raises(OutputError, match=r"cannot write to .*file/sub' .*; give another"):
        prepare_directory(tmp_path / "file" / "sub")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_directory_that_cannot_be_written_to_is_named(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", refuse)
    with pytest.raises(OutputError, match=r"cannot write to .* \(Permission denied\)"):
        prepare_directory(tmp_path)
