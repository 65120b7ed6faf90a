"""The cache folder, for files that can be downloaded, computed or compiled again."""

import logging
import os
from pathlib import Path

import platformdirs

from ganvas.core import files
from ganvas.core.errors import UserError

logger = logging.getLogger("ganvas")


def keep(file: Path, data: bytes) -> None:
    """Write a file of the cache; a cache that is full or read-only costs time, not results."""
    try:
        files.write(file, data)
    except OSError as error:
        logger.debug("not cached: %s (%s)", file, error)


def cache_dir() -> Path:
    """The cache folder: $GANVAS_CACHE, or the user's cache folder. It is created if it is missing.

    Raises UserError if it cannot be created.
    """
    folder = Path(os.environ.get("GANVAS_CACHE") or platformdirs.user_cache_dir("ganvas"))
    try:
        files.make_folders(folder)
    except OSError as error:
        raise UserError(f"cannot create the cache folder {folder} ({error.strerror}): set GANVAS_CACHE") from None
    return folder
