"""Parsing values on the command line: sizes, lengths, lists of numbers, centers."""

import math
import re

from ganvas.core.errors import UserError
from ganvas.core.spec import Sides, read_sides

MOST_NUMBERS = 10_000  # in a range
LARGEST = 2**63 - 1
PAPERS = {  # width x height in millimetres
    **{f"a{i}": size for i, size in enumerate(((841, 1189), (594, 841), (420, 594), (297, 420), (210, 297)))},
    "a5": (148, 210),
    "a6": (105, 148),
    "letter": (215.9, 279.4),
}
UNITS = {"mm": 1.0, "cm": 10.0, "in": 25.4}  # in millimetres
NUMBER, UNIT = r"(\d{1,6}(?:\.\d{1,6})?)", r"(mm|cm|in)"


def read_size(text: str) -> Sides:
    """Parse `1080` or `1920x1080` (width x height) into (height, width); raises UserError."""
    try:
        return read_sides(text)
    except ValueError as error:
        raise UserError(f"cannot read the size '{text}': {error}") from None


def read_length(text: str) -> float:
    """Parse `3mm`, `1.5cm` or `0.5in` into millimetres; raises UserError."""
    found = re.fullmatch(rf"{NUMBER}\s*{UNIT}", text.strip())
    if found is None:
        raise UserError(f"cannot read the length '{text}': write it with its unit, as in 0.3mm, 2cm or 0.5in")
    return float(found[1]) * UNITS[found[2]]


def read_paper(text: str) -> tuple[float, float]:
    """Parse a sheet of paper into (width, height) in millimetres; raises UserError.

    It is written as `A3`, `A3-landscape`, `letter`, `300x400mm` (width x height) or `200mm` (a square).
    """
    name, _, turned = text.strip().lower().partition("-")
    if name in PAPERS and turned in ("", "portrait", "landscape"):
        width, height = PAPERS[name]
        return (height, width) if turned == "landscape" else (width, height)
    found = re.fullmatch(rf"{NUMBER}(?:x{NUMBER})?\s*{UNIT}", text.strip())
    if found is None:
        names = ", ".join((*(each.upper() for each in PAPERS if each != "letter"), "letter"))
        raise UserError(f"cannot read the paper '{text}': write {names}, A3-landscape, or 300x400mm (width x height)")
    return float(found[1]) * UNITS[found[3]], float(found[2] or found[1]) * UNITS[found[3]]


def read_numbers(text: str, what: str) -> list[int]:
    """Parse `0-15`, `1,5,9` or both into numbers, which messages call `what`; raises UserError."""
    numbers: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,1000})(?:-(\d{1,1000}))?", part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first:
            raise UserError(f"cannot read the {what} '{text}': write them as 0-15 or 1,5,9")
        if last > LARGEST or last - first >= MOST_NUMBERS:
            raise UserError(f"the {what} '{text}' are too large or too many: below 2**63, at most {MOST_NUMBERS:,}")
        numbers += range(first, last + 1)
    return numbers


def read_place(text: str) -> tuple[tuple[float, float], float]:
    """Parse `1.5,-2,40` into a center (x, y) and a zoom; raises UserError."""
    center, _, zoom = text.rpartition(",")
    try:
        found = read_center(center), float(zoom)
    except (UserError, ValueError):
        raise UserError(f"cannot read the view '{text}': write x,y,zoom, for example 1.5,-2,40") from None
    if not 0 < found[1] < math.inf:
        raise UserError(f"cannot paint the view '{text}': its zoom, the last number, is above 0")
    return found


def read_center(text: str) -> tuple[float, float]:
    """Parse `1.5,-2` or `-1.5,2` into (x, y); raises UserError."""
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"cannot read the center '{text}': write x,y, for example 1.5,-2") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise UserError(f"cannot paint around '{text}': both numbers must be finite")
    return x, y
