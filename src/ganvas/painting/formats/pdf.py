"""PDF: one page with one image, which is written strip by strip as in a PNG file.

Libraries for PDF keep the whole image in memory. With a bleed, the page has marks where to cut it.
"""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ganvas.core import files
from ganvas.core.images import RECIPE_KEY
from ganvas.core.version import VERSION
from ganvas.painting.formats.png import filtered
from ganvas.painting.formats.printing import DPI, INCH, Print
from ganvas.painting.formats.strips import LEVEL, Shape

POINT = 72 / INCH  # points, the unit of PDF, in a millimetre
MARK, AWAY = 5.0, 1.0  # millimetres: length of the marks, and their distance from the bleed
THIN = 0.25  # points: width of the marks
INFO, CATALOG, PAGES, PAGE, CONTENT, IMAGE, LENGTH = range(1, 8)  # numbers of the objects


def write(path: Path, shape: Shape, strips: Iterator[np.ndarray], recipe: str) -> None:
    size = shape.print or Print(shape.width * INCH / DPI, shape.height * INCH / DPI)
    with files.atomic(path) as file:
        places: dict[int, int] = {}
        file.write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
        _object(file, places, INFO, f"<< /Producer (ganvas {VERSION}) /{RECIPE_KEY} ({_escaped(recipe)}) >>")
        _object(file, places, CATALOG, f"<< /Type /Catalog /Pages {PAGES} 0 R >>")
        _object(file, places, PAGES, f"<< /Type /Pages /Kids [{PAGE} 0 R] /Count 1 >>")
        _object(file, places, PAGE, _page(size))
        content = _content(size)
        _object(file, places, CONTENT, f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
        colours = "/DeviceGray" if shape.channels == 1 else "/DeviceRGB"
        parameters = f"/Predictor 15 /Colors {shape.channels} /BitsPerComponent {shape.bits} /Columns {shape.width}"
        head = (
            f"<< /Type /XObject /Subtype /Image /Width {shape.width} /Height {shape.height} /ColorSpace {colours} "
            f"/BitsPerComponent {shape.bits} /Filter /FlateDecode /DecodeParms << {parameters} >> "
            f"/Length {LENGTH} 0 R >>"
        )
        places[IMAGE] = file.tell()
        file.write(f"{IMAGE} 0 obj\n{head}\nstream\n".encode())
        start, packer = file.tell(), zlib.compressobj(LEVEL)
        for rows in filtered(strips):
            file.write(packer.compress(rows.tobytes()))
        file.write(packer.flush())
        length = file.tell() - start
        file.write(b"\nendstream\nendobj\n")
        _object(file, places, LENGTH, str(length))
        end = file.tell()
        table = "".join(f"{places[number]:010d} 00000 n \n" for number in sorted(places))
        file.write(f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n{table}".encode())
        trailer = f"<< /Size {len(places) + 1} /Root {CATALOG} 0 R /Info {INFO} 0 R >>"
        file.write(f"trailer\n{trailer}\nstartxref\n{end}\n%%EOF\n".encode())


def read(path: Path) -> str | None:
    """The recipe, from the first object of a file that `write` made."""
    with files.open_regular(path) as file:
        if not file.read(9).startswith(b"%PDF-1."):
            raise ValueError("not a PDF file")
        lines = [file.readline() for _ in range(3)]
    found = re.search(rf"/{RECIPE_KEY} \((.*)\) >>$", lines[2].decode("latin-1").rstrip("\n"))
    return re.sub(r"\\(.)", r"\1", found[1]) if found else None


def _object(file: IO[bytes], places: dict[int, int], number: int, text: str) -> None:
    places[number] = file.tell()
    file.write(f"{number} 0 obj\n{text}\nendobj\n".encode())


def _page(size: Print) -> str:
    edge = _edge(size)
    media = _box(size, edge)
    boxes = (
        f"/MediaBox {media} /CropBox {media} /BleedBox {_box(size, edge, size.bleed)} /TrimBox {_box(size, edge, 0)}"
    )
    resources = f"/Resources << /XObject << /I {IMAGE} 0 R >> >>"
    return f"<< /Type /Page /Parent {PAGES} 0 R {boxes} {resources} /Contents {CONTENT} 0 R >>"


def _edge(size: Print) -> float:
    """The width of what surrounds the page: bleed and marks, in millimetres."""
    return size.bleed + AWAY + MARK + AWAY if size.bleed else 0.0


def _box(size: Print, edge: float, around: float | None = None) -> str:
    """The page with `around` millimetres on each side (None: all there is), in points."""
    inset = 0.0 if around is None else edge - around
    far = size.width + 2 * edge - inset, size.height + 2 * edge - inset
    return f"[{' '.join(_points(x) for x in (inset, inset, *far))}]"


def _content(size: Print) -> str:
    """The image, and the marks in line with the edges of the page."""
    edge, start = _edge(size), _edge(size) - size.bleed
    width, height = size.width + 2 * size.bleed, size.height + 2 * size.bleed
    words = [f"q {_points(width)} 0 0 {_points(height)} {_points(start)} {_points(start)} cm /I Do Q"]
    if size.bleed:
        words.append(f"{THIN} w 0 G")
        ends = (AWAY, AWAY + MARK)
        far = size.width + 2 * edge, size.height + 2 * edge
        for x in (edge, far[0] - edge):
            words += [_line((x, a), (x, b)) for a, b in (ends, (far[1] - ends[0], far[1] - ends[1]))]
        for y in (edge, far[1] - edge):
            words += [_line((a, y), (b, y)) for a, b in (ends, (far[0] - ends[0], far[0] - ends[1]))]
    return "\n".join(words)


def _line(start: tuple[float, float], stop: tuple[float, float]) -> str:
    return f"{' '.join(map(_points, start))} m {' '.join(map(_points, stop))} l S"


def _points(millimetres: float) -> str:
    return f"{millimetres * POINT:.4f}"


def _escaped(text: str) -> str:
    """The characters of a string of PDF."""
    return re.sub(r"([\\()])", r"\\\1", text)
