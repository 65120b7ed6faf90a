"""What downloads from the Hugging Face hub and uploads to it have in common."""

import os
from pathlib import Path

from ganvas.core.cache import cache_dir


def endpoint() -> str | None:
    """Another server with the hub's interface; None: the hub itself."""
    return os.environ.get("HF_ENDPOINT")


def cache() -> Path:
    """The folder that keeps what was downloaded."""
    return cache_dir() / "hub"


def first_line(error: Exception) -> str:
    """The first line of an error of the hub's library, whose texts are long."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
