"""The provenance of a result: time, commit, versions, machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.core.version import VERSION
from ganvas.runs.info import Session

if TYPE_CHECKING:
    from ganvas.compute.device import Compute


def now() -> str:
    """The current time in UTC, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def session_facts(compute: Compute, nimg: int) -> Session:
    """Versions and machine of a session that starts (or resumes) a run at `nimg` images."""
    import torch  # imported here as a list of runs does not need it

    device = torch.cuda.get_device_name(compute.device) if compute.device.type == "cuda" else platform.processor()
    return Session(
        at=now(),
        from_nimg=nimg,
        ganvas=VERSION,
        git=git_commit(),
        torch=torch.__version__,
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        host=platform.node(),
        pid=os.getpid(),
        device=f"{compute.device} {device}".strip(),
        precision=compute.precision,
        threads=torch.get_num_threads(),
        command=tuple(sys.argv),
    )


def git_commit() -> str | None:
    """The commit of the checkout that ganvas runs from, with `+` if it has changes; None for an installed package."""
    package = Path(__file__).parents[1]
    try:
        git = ["git", "-C", str(package)]
        # Fails for a package that is installed inside another checkout.
        tracked = [*git, "ls-files", "--error-unmatch", "__init__.py"]
        subprocess.run(tracked, capture_output=True, check=True)
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain", "--", str(package)], capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit.stdout.strip() + ("+" if changed.stdout.strip() else "")
