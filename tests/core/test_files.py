import errno
import os
import stat
import subprocess
import sys
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


def test_what_a_killed_process_left_half_written_is_removed(tmp_path: Path) -> None:
    """By its lock: a file that somebody still writes to stays. So do half-written files of other programs."""
    program = (
        "import sys; from pathlib import Path; from ganvas.core import files\n"
        "with files.atomic(Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); print('ready', flush=True); sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "a")]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    (tmp_path / ".tiles.1.ganvas.part").mkdir()
    (tmp_path / ".tiles.1.ganvas.part" / ".lock").touch()
    files.remove_abandoned(tmp_path)
    (left,) = tmp_path.iterdir()
    assert left.read_bytes() == b"half"
    process.kill()
    process.communicate()
    (tmp_path / ".film.part").write_bytes(b"another program's")
    files.remove_abandoned(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [".film.part"]


def test_file_systems_that_cannot_sync_folders_are_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def files_only(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", files_only)
    files.write(tmp_path / "a", b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
