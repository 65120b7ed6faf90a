"""A picture as paths for pen plotters, in SVG: contours of equal darkness, and hatching. Lengths are in millimetres."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np
import torch

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.core.text import printable
from ganvas.export import contours
from ganvas.networks.cppn import PixelNetwork
from ganvas.networks.view import View
from ganvas.painting.paint import Painting
from ganvas.painting.subjects import Subject

LUMA = (0.2126, 0.7152, 0.0722)  # how bright the three colours look (ITU-R BT.709)
NODES = 2**24  # of the grid; on larger sheets it is coarser
AT_ONCE = 2**18  # places whose darkness is computed at a time
TONES = 16  # of the hatching
SIDES = 1.0, 10_000.0  # of a sheet
PENS = 0.01, 100.0
MOST_LEVELS = 1_000


@dataclass(frozen=True)
class Sheet:
    """A sheet of paper, and how to draw on it."""

    width: float = 200.0
    height: float = 200.0
    levels: int = 8
    """number of levels of darkness between white and black whose contours are drawn; 0: only hatching"""
    pen: float = 0.3
    """width of the pen's line; curves are about a tenth of it away from the contours at most"""
    hatch: float | None = None
    """angle of the hatching in degrees, clockwise from the horizontal; None: there is none"""

    def __post_init__(self) -> None:
        for side in (self.width, self.height):
            if not SIDES[0] <= side <= SIDES[1]:
                raise UserError(f"a side of {side:g} mm cannot be drawn: choose {SIDES[0]:g} to {SIDES[1]:g} mm")
        if not PENS[0] <= self.pen <= PENS[1]:
            raise UserError(f"a pen of {self.pen:g} mm cannot draw: choose {PENS[0]:g} to {PENS[1]:g} mm")
        if not 0 <= self.levels <= MOST_LEVELS:
            raise UserError(f"{self.levels:,} levels cannot be drawn: choose 0 to {MOST_LEVELS:,}")
        if self.hatch is None and not self.levels:
            raise UserError("nothing to draw: choose 1 or more --levels, or an angle to --hatch")
        if self.hatch is not None and not math.isfinite(self.hatch):
            raise UserError(f"cannot hatch at an angle of {self.hatch}: write degrees, for example 45")

    @property
    def tolerance(self) -> float:
        """The distance from the contours that curves are fitted to."""
        return self.pen / 10

    @property
    def step(self) -> float:
        """The size of the smallest things that are sure to be seen."""
        return max(self.pen / 2, math.sqrt(self.width * self.height / NODES))


class Layer(NamedTuple):
    """The paths of one pen. Each is a chain of cubic curves [curves, 4, 2]."""

    name: str
    paths: list[np.ndarray]


@dataclass(frozen=True)
class Drawing:
    """What is drawn on a sheet."""

    sheet: Sheet
    layers: list[Layer]
    deviation: float
    """every measured point of the contours is within this distance of the true one; 0 without contours"""

    @property
    def drawn(self) -> float:
        """How far the pen goes on the paper."""
        return sum(float(contours.lengths(path).sum()) for layer in self.layers for path in layer.paths)

    @property
    def travelled(self) -> float:
        """How far the pen goes above the paper, in each layer from the first path to the last."""
        return sum(
            float(np.hypot(*(after[0, 0] - before[-1, 3])))
            for layer in self.layers
            for before, after in zip(layer.paths, layer.paths[1:], strict=False)
        )

    def facts(self) -> str:
        """A line for users."""
        paths = sum(len(layer.paths) for layer in self.layers)
        off = f", within {math.ceil(1000 * self.deviation) / 1000:.3f} mm of the contours" if self.deviation else ""
        return (
            f"{self.sheet.width:g}x{self.sheet.height:g} mm, {self.drawn / 1000:.1f} m drawn in {paths:,} "
            f"{'path' if paths == 1 else 'paths'}, {self.travelled / 1000:.1f} m between them{off}"
        )


def save(subject: Subject, view: View, sheet: Sheet, out: Path) -> Drawing:
    """Write the drawing of a subject. Of the view, only scale, center and zoom count.

    Raises UserError if the view is beyond float64, or if there would be no path.
    """
    files.check_output(out)
    drawing = draw(subject, view, sheet)
    recipe = Painting([subject], _grid(view, sheet)).recipe().to_json()
    files.write(out, render(drawing, subject.source, recipe).encode())
    return drawing


def draw(subject: Subject, view: View, sheet: Sheet) -> Drawing:
    """The drawing of a subject; raises UserError as `save` does."""
    view = _grid(view, sheet)
    darkness = Darkness(subject, view, sheet)
    layers, deviation = [], 0.0
    if sheet.levels:
        levels = [i / (sheet.levels + 1) for i in range(1, sheet.levels + 1)]
        found = contours.find(*darkness.grid(view), darkness, levels, sheet.tolerance)
        deviation = contours.deviation(found, darkness.exact, sheet.tolerance)
        layers.append(Layer("contours", _joined(_ordered([each.curves for each in found]), sheet.pen)))
    if sheet.hatch is not None:
        layers.append(Layer("hatching", _joined(_ordered(_hatching(darkness, sheet)), 1.5 * sheet.pen)))
    if not any(layer.paths for layer in layers):
        raise UserError("there is nothing to draw, as the picture has one shade: choose another view, or more --levels")
    return Drawing(sheet, layers, deviation)


def render(drawing: Drawing, title: str, recipe: str) -> str:
    """The file as text. Its user unit is a millimetre, and each pen has a layer of Inkscape."""
    sheet = drawing.sheet
    size = f'width="{sheet.width:g}mm" height="{sheet.height:g}mm" viewBox="0 0 {sheet.width:g} {sheet.height:g}"'
    pen = f'fill="none" stroke="#000" stroke-width="{sheet.pen:g}" stroke-linecap="round" stroke-linejoin="round"'
    spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape"'
    lines = [
        f"<svg {spaces} {size}>",
        f"<title>{escape(printable(title))}</title>",
        f"<desc>{escape(drawing.facts())}. Islands smaller than {sheet.step:.2g} mm may be "
        f"missing; straight strokes of at most a pen's width, {sheet.pen:g} mm, join paths.</desc>",
        f"<metadata>{escape(recipe)}</metadata>",
    ]
    for layer in drawing.layers:
        lines.append(f'<g inkscape:groupmode="layer" inkscape:label="{layer.name}" id="{layer.name}" {pen}>')
        lines += [f'<path d="{_path(path)}"/>' for path in layer.paths]
        lines.append("</g>")
    return "\n".join([*lines, "</svg>", ""])


class Darkness:
    """How dark a picture is at any place of the sheet: places [..., 2] -> [...] in (0, 1).

    With the palette `ink` a network of one channel paints its values dark on light.
    """

    def __init__(self, subject: Subject, view: View, sheet: Sheet) -> None:
        """Raises UserError if the view is beyond float64."""
        self.network = subject.painter.precise(view)
        self.z, self.sheet = subject.z[None], sheet
        self.unit = 2 * view.scale / view.zoom / min(sheet.width, sheet.height)  # coordinates in a millimetre
        self.center = np.array(view.center)

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """As `ganvas paint` computes it."""
        return self._values(self.network, places)

    def exact(self, places: np.ndarray) -> np.ndarray:
        """In float64, many times slower."""
        return self._values(copy.deepcopy(self.network).cpu().double(), places)

    def grid(self, view: View) -> tuple[np.ndarray, tuple[float, float]]:
        """The darkness in the corners of as many cells as the view has pixels, and the sides of a cell."""
        step = self.sheet.width / view.width, self.sheet.height / view.height
        x = np.arange(view.width + 1) * step[0]
        rows = [np.stack([x, np.full_like(x, i * step[1])], 1) for i in range(view.height + 1)]
        at_once = max(1, AT_ONCE // len(x))
        parts = [np.stack(rows[top : top + at_once]) for top in range(0, len(rows), at_once)]
        return np.concatenate([self(part) for part in parts]), step

    @torch.no_grad()
    def _values(self, network: PixelNetwork, places: np.ndarray) -> np.ndarray:
        weight, flat = network.output.weight, places.reshape(-1, 2)
        middle = np.array([self.sheet.width, self.sheet.height]) / 2
        found = np.empty(len(flat))
        for start in range(0, len(flat), AT_ONCE):
            xy = torch.from_numpy((flat[start : start + AT_ONCE] - middle) * self.unit + self.center)
            place = torch.cat([xy, xy.norm(dim=1, keepdim=True)], 1).to(weight)
            values = network(self.z.to(weight), place)[0].double().cpu().numpy()
            found[start : start + AT_ONCE] = values[:, 0] if values.shape[1] == 1 else 1 - values @ LUMA
        if not np.isfinite(found).all():
            raise UserError("the network paints numbers that are not finite: choose an earlier checkpoint")
        return found.reshape(places.shape[:-1])


def _grid(view: View, sheet: Sheet) -> View:
    """The view with a pixel for each cell of the grid in which contours are looked for."""
    height, width = (max(2, math.ceil(side / sheet.step)) for side in (sheet.height, sheet.width))
    return View(height, width, view.scale, view.center, view.zoom)


def _hatching(darkness: Darkness, sheet: Sheet) -> list[np.ndarray]:
    """Parallel lines a pen apart. Each is drawn where it is darker than its threshold, so as many as the tone needs.

    The thresholds follow each other so that the lines of a tone are evenly spaced: 1/2, 1/4, 3/4, 1/8, ... of black.
    """
    assert sheet.hatch is not None
    angle = math.radians(sheet.hatch)
    along, across = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    size = np.array([sheet.width, sheet.height])
    found: list[np.ndarray] = []
    reach = float(np.hypot(*size)) / 2
    for i in range(-math.floor(reach / sheet.pen), math.floor(reach / sheet.pen) + 1):
        foot = size / 2 + i * sheet.pen * across
        with np.errstate(divide="ignore", invalid="ignore"):  # where the line is between the borders of the sheet
            hits = np.stack([-foot / along, (size - foot) / along])
        parallel = np.abs(along) < 1e-9
        if (parallel & ((foot < 0) | (foot > size))).any():
            continue
        first = float(np.where(parallel, -np.inf, hits.min(0)).max())
        last = float(np.where(parallel, np.inf, hits.max(0)).min())
        if last - first < sheet.pen:
            continue
        times = np.linspace(first, last, max(2, math.ceil((last - first) / sheet.step)) + 1)
        threshold = _threshold(i % TONES)
        dark = darkness(foot + times[:, None] * along) > threshold
        changes = np.flatnonzero(dark[1:] != dark[:-1])
        low, high = times[changes], times[changes + 1]
        for _ in range(12):  # bisection
            middle = (low + high) / 2
            same = (darkness(foot + middle[:, None] * along) > threshold) == dark[changes]
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        ends = np.concatenate([times[:1][dark[:1]], (low + high) / 2, times[-1:][dark[-1:]]]).reshape(-1, 2)
        for pair in ends[ends[:, 1] - ends[:, 0] > sheet.pen / 2]:
            found.append(_straight(*(foot + pair[:, None] * along).round(contours.DIGITS)))
    return found


def _threshold(i: int) -> float:
    """Of the i-th of `TONES` lines: the bits of i, in reverse, as a fraction."""
    digits = TONES.bit_length() - 1
    return (int(f"{i:0{digits}b}"[::-1], 2) + 0.5) / TONES


def _ordered(paths: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Paths in an order in which the pen goes to the nearest one each time.

    Open paths are drawn from either end, closed ones from any of their points.
    """
    if not paths:
        return []
    closed = [bool((path[0, 0] == path[-1, 3]).all()) for path in paths]
    entries = [path[:, 0] if loop else path[[0, -1], [0, 3]] for path, loop in zip(paths, closed, strict=True)]
    owners = np.repeat(np.arange(len(paths)), [len(each) for each in entries])
    numbers = np.concatenate([np.arange(len(each)) for each in entries])
    places = np.concatenate(entries)
    pen, found, left = np.zeros(2), [], np.ones(len(paths), bool)
    for done in range(1, len(paths) + 1):
        nearest = int(np.argmin(((places - pen) ** 2).sum(1)))
        owner, number = owners[nearest], numbers[nearest]
        path = paths[owner]
        if closed[owner]:
            path = np.roll(path, -number, axis=0)
        elif number:
            path = path[::-1, ::-1]
        found.append(path)
        pen = path[-1, 3]
        left[owner] = False
        places[owners == owner] = np.inf
        if done % 64 == 0:  # not each time, as it copies all
            kept = left[owners]
            places, owners, numbers = places[kept], owners[kept], numbers[kept]
    return found


def _joined(paths: Sequence[np.ndarray], gap: float) -> list[np.ndarray]:
    """Paths without lifting the pen for a gap that its line covers."""
    found: list[list[np.ndarray]] = []
    for path in paths:
        if found and np.hypot(*(path[0, 0] - found[-1][-1][-1, 3])) <= gap:
            found[-1] += [_straight(found[-1][-1][-1, 3], path[0, 0]), path]
        else:
            found.append([path])
    return [np.concatenate(parts) for parts in found]


def _straight(start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """A straight line as a path [1, 4, 2]."""
    return np.stack([start, start, stop, stop])[None]


def _path(path: np.ndarray) -> str:
    """The words of a path."""
    words = [f"M{_numbers(path[0, :1])}"]
    for curve in path:
        straight = (curve[0] == curve[1]).all() and (curve[2] == curve[3]).all()
        words.append(f"L{_numbers(curve[3:])}" if straight else f"C{_numbers(curve[1:])}")
    closed = (path[0, 0] == path[-1, 3]).all()
    return "".join([*words, "Z" if closed else ""])


def _numbers(points: np.ndarray) -> str:
    texts = (f"{number:.{contours.DIGITS}f}".rstrip("0").rstrip(".") for number in points.ravel())
    return " ".join("0" if text == "-0" else text for text in texts)
