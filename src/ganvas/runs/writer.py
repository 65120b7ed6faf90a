"""Writing the files of a run: atomically, and within the disk budget if there is one."""

from pathlib import Path

from ganvas.core import files


class Writer:
    """Writes files. A disk budget is a writer whose `reserve` makes room before."""

    def reserve(self, file: Path, size: int) -> None:
        """Called before `size` bytes are written to `file`; raises RunFailed if they do not fit."""

    def write(self, file: Path, data: bytes) -> None:
        """Write the file atomically; raises OSError when the disk is full, and the old file then stays."""
        self.reserve(file, len(data))
        files.write(file, data)

    def append(self, file: Path, data: bytes) -> None:
        """Append `data` to the file."""
        self.reserve(file, len(data))
        with file.open("ab") as opened:
            opened.write(data)


UNLIMITED = Writer()
