from pathlib import Path

import pytest

from ganvas.core import files


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a"
    files.write(file, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    files.write(tmp_path / "new" / "a", b"1")
    files.write(tmp_path / "new" / "a", b"2")
    assert [file.read_bytes() for file in (tmp_path / "new").iterdir()] == [b"2"]
