"""Making untrusted text, such as names of files, classes and recipes, safe to show."""

import re


def printable(text: str) -> str:
    """`text` on one line, with the control characters of terminals escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def writable(text: object) -> str:
    """`text`, such as a path, with what UTF-8 cannot express escaped: names of files may be any bytes."""
    return str(text).encode("utf-8", "backslashreplace").decode()


def plain_cell(text: str) -> str:
    """The text, marked so that a spreadsheet does not evaluate it as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def plain_markdown(text: str) -> str:
    """The text on one line, with Markdown characters escaped."""
    return re.sub(r"([\\`*<|!\[\]])", r"\\\1", " ".join(text.split()))


def duration(seconds: float) -> str:
    """A rough duration for people: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
