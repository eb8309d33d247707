import pytest

from neurn.demo import OutputError
from neurn.demo.files import prepare_directory


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
