"""Where things are kept that can be fetched, drawn, measured or compiled again."""

import os
from pathlib import Path

import platformdirs

from ganvas.core.errors import UserError


def cache_dir() -> Path:
    """$GANVAS_CACHE, or the user's cache folder; made if it is missing.

    Raises UserError where it cannot be made.
    """
    folder = Path(os.environ.get("GANVAS_CACHE") or platformdirs.user_cache_dir("ganvas"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the cache folder {folder} ({error.strerror}): set GANVAS_CACHE") from None
    return folder
