"""The runs below a folder, found again and again while they come and go."""

import time
from pathlib import Path

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.runs import places
from ganvas.runs.run import Run

FRESH = 2.0  # seconds after which the folder is searched again


class Folder:
    """The runs below `root`, by name: their path below it, or `.` if it is a run itself."""

    def __init__(self, root: Path) -> None:
        """`root` may be the name of a published model. Raises UserError if there is no such folder."""
        place = places.find(root)
        if not place.is_dir():
            raise UserError(f"there is no folder '{root}': name a run, or the folder that contains your runs")
        self.root = place.resolve()
        beside = self.root.parent if (self.root / "run.json").exists() else self.root
        self.outputs = beside if place == files.expanded(root) else Path.cwd()
        """where files that the page asks for are written: beside the runs, never inside one"""
        self._found: dict[str, Run] = {}
        self._searched = -FRESH

    def runs(self) -> dict[str, Run]:
        """All runs. A run that was started elsewhere appears within a few seconds."""
        if time.monotonic() - self._searched > FRESH:
            places = (Run(file.parent) for file in sorted(self.root.rglob("run.json")))
            found = {run.path.relative_to(self.root).as_posix(): run for run in places if run.is_run()}
            self._found = {name: self._found.get(name, run) for name, run in found.items()}
            self._searched = time.monotonic()
        return self._found

    def run(self, name: str) -> Run:
        """The run of this name, which comes from a page: only what was found here is ever opened.

        Raises UserError if there is none.
        """
        run = self.runs().get(name)
        if run is None:
            raise UserError(f"there is no run '{name}' in this folder")
        return run
