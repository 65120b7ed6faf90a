"""How the files of a run are written: whole or not at all, and where there is a disk budget, within it."""

from pathlib import Path

from ganvas.core import files


class Writer:
    """Writes files. A disk budget is a writer whose `reserve` makes room first."""

    def reserve(self, file: Path, size: int) -> None:
        """Called before `size` bytes go into `file`; raises RunFailed where they may not."""

    def write(self, file: Path, data: bytes) -> None:
        """Write the whole file; raises OSError when the disk is full, and the old file stays."""
        self.reserve(file, len(data))
        files.write(file, data)

    def append(self, file: Path, data: bytes) -> None:
        """Add `data` to the end of the file."""
        self.reserve(file, len(data))
        with file.open("ab") as opened:
            opened.write(data)


UNLIMITED = Writer()
