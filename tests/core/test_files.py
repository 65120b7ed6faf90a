import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ganvas.core import files
from ganvas.core.errors import UserError


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


def test_pipes_and_devices_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe or a device"):
        files.write(tmp_path / "pipe", b"new")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK, "/dev/zero"])
def test_pipes_sockets_and_devices_are_not_read(kind: int | str, tmp_path: Path) -> None:
    path = tmp_path / "odd"
    if isinstance(kind, int):
        os.mknod(path, kind | 0o600)
    else:
        path.symlink_to(kind)
    with pytest.raises(OSError, match="a pipe or a device"):
        files.read(path)


def test_what_can_never_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("", "is a folder"), ("file/a/b", "is a file"), ("pipe", "a pipe or a device")):
        with pytest.raises((UserError, OSError), match=message):
            files.check_output(tmp_path / name)
    for name in ("file", "new", "new/folder/a"):
        files.check_output(tmp_path / name)


def test_homes_that_nobody_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert files.expanded("~/a") == Path("/home/me/a")
    assert files.expanded("~nobodyhasthis/a") == Path("~nobodyhasthis/a")


def test_a_scratch_folder_is_gone_in_the_end(tmp_path: Path) -> None:
    with files.scratch(tmp_path / "new" / "a") as folder:
        (folder / "inside").mkdir()
        files.remove_abandoned(tmp_path / "new")
        assert folder.is_dir()
    assert not list((tmp_path / "new").iterdir())


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
    (tmp_path / ".tiles.1.ganvas.part").touch()  # of `scratch`, with its folder
    (tmp_path / ".tiles.1.ganvas.parts").mkdir()
    (tmp_path / ".tiles.1.ganvas.parts" / "0.png").touch()
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


def test_any_number_of_folders_is_made(tmp_path: Path) -> None:
    deepest = tmp_path.joinpath(*["x"] * (sys.getrecursionlimit() + 100))
    made = files.make_folders(deepest)
    assert deepest.is_dir() and made[0] == deepest and made[-1] == tmp_path / "x"
    assert files.make_folders(deepest) == []
    for folder in made:  # pytest could not remove them
        folder.rmdir()
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=r"exists|Not a directory"):
            files.make_folders(path)


@pytest.mark.parametrize("name", [".", "/", "folder", "folder/.."])
def test_folders_are_not_replaced(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        files.write(Path(name), b"x")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
