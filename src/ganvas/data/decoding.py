"""Decoding images of any size, mode, orientation and format into one uint8 array, the same for every source."""

import math
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from ganvas.core import files
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError, nearest
from ganvas.core.progress import progress
from ganvas.core.spec import Sides

Fit = Literal["crop", "letterbox", "pad"]

DEFAULT_SIDE = 64  # pixels, of the squares for sets whose images are not all of one square size
MEMORY_LIMIT_BYTES = 2 * 2**30  # larger sets are memory-mapped from a file in the cache folder
MODE = {1: "L", 3: "RGB", 4: "RGBa"}  # Pillow's modes by number of channels; RGBa is premultiplied by alpha
CHUNK = 8  # images per task: starting a task takes longer than decoding one small image
MOST_PIXELS = 500_000_000  # of one image, before fitting
LARGE_PIXELS = 50_000_000  # images of this size or larger are decoded one at a time, to save memory
MOST_METADATA_BYTES = 64 * 2**20  # of each colour profile or text in a PNG file, after decompression
TURNS = {  # by the number in the EXIF tag Orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = tuple(TURNS[number] for number in (5, 6, 7, 8))  # these exchange width and height

_ONE_LARGE, _LIMITS = threading.Lock(), threading.Lock()


@dataclass(frozen=True, eq=False)
class Source:
    """Images in a fixed order that have been found but not decoded."""

    name: str
    count: int
    open: Callable[[int], Image.Image]
    where: Callable[[int], str]  # the name of image i in messages: its path or its row
    labels: np.ndarray | None = None  # int64 [count]
    classes: tuple[str, ...] = ()
    side: int | None = None  # side of every image in pixels, if the source knows it
    array: np.ndarray | None = None  # uint8 [count, 1, side, side], if the source has decoded pixels
    notes: tuple[str, ...] = ()  # how the data were interpreted and what was left out, where users may expect otherwise

    def __post_init__(self) -> None:
        """Raises UserError for labels outside the classes."""
        if self.labels is not None and len(self.labels):
            low, high = int(self.labels.min()), int(self.labels.max())
            if low < 0 or high >= len(self.classes):
                raise UserError(
                    f"'{self.name}': labels from {low} to {high} do not fit its {len(self.classes)} classes: "
                    "they are damaged, or belong to another set"
                )

    def first(self, limit: int | None) -> "Source":
        """The first `limit` images, in their order; if there are classes, an equal share of each."""
        if limit is None or limit >= self.count:
            return self
        if self.labels is None:
            return self._at(np.arange(limit))
        by_class = np.argsort(self.labels, kind="stable")
        counts = np.bincount(self.labels)
        rank = np.empty(self.count, np.int64)  # of each image within its class
        rank[by_class] = np.concatenate([np.arange(count) for count in counts])
        return self._at(np.sort(np.argsort(rank, kind="stable")[:limit]))

    def only(self, classes: Sequence[str]) -> "Source":
        """Only the images of `classes`, numbered in the given order; raises UserError for an unknown class."""
        if self.labels is None:
            raise UserError(f"'{self.name}' has no classes: leave out data.classes")
        for name in classes:
            if classes.count(name) > 1:
                raise UserError(f"data.classes names '{name}' twice: name each class once")
            if name not in self.classes:
                raise UserError(f"'{self.name}' has no class '{name}': {nearest(name, self.classes)}")
        number = {self.classes.index(name): new for new, name in enumerate(classes)}
        chosen = self._at(np.flatnonzero(np.isin(self.labels, list(number))))
        assert chosen.labels is not None
        labels = np.array([number[label] for label in chosen.labels.tolist()], np.int64)
        return replace(chosen, labels=labels, classes=tuple(classes))

    def _at(self, places: np.ndarray) -> "Source":
        """The images with the indices `places`, int64 [n]."""
        return replace(
            self,
            count=len(places),
            open=lambda i: self.open(int(places[i])),
            where=lambda i: self.where(int(places[i])),
            labels=None if self.labels is None else self.labels[places],
            array=None if self.array is None else self.array[places],
        )

    def and_then(self, other: "Source") -> "Source":
        """These images followed by those of `other`; raises UserError if the classes differ."""
        if self.classes != other.classes:
            raise UserError(f"the splits of '{self.name}' have different classes: train on one of them")
        both = self.array is not None and other.array is not None and self.side == other.side
        return replace(
            self,
            count=self.count + other.count,
            open=lambda i: self.open(i) if i < self.count else other.open(i - self.count),
            where=lambda i: self.where(i) if i < self.count else other.where(i - self.count),
            labels=None if self.labels is None else np.concatenate([self.labels, other.labels]),
            side=self.side if self.side == other.side else None,
            array=np.concatenate([self.array, other.array]) if both else None,
        )


def from_array(name: str, images: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> Source:
    """A source of grey images, uint8 [N, 1, H, W], with labels, int64 [N]."""

    def open_one(i: int) -> Image.Image:
        return Image.fromarray(images[i, 0])

    if images.shape[2] != images.shape[3]:
        return Source(name, len(images), open_one, "image {}".format, labels, classes)
    return Source(name, len(images), open_one, "image {}".format, labels, classes, images.shape[-1], images)


def open_image(path: Path) -> Image.Image:
    """An image file; raises OSError for a pipe or a device."""
    files.refuse_pipes(path)
    return Image.open(path)


class Original(NamedTuple):
    """An image before fitting: its size in pixels, upright, and its Pillow mode."""

    width: int
    height: int
    mode: str
    transparent: bool = False
    """whether some of its pixels are, at least in part"""


Whites = Mapping[str, float]  # Pillow mode of deep grey -> the value that is white


class Deep(NamedTuple):
    """A grey image with more than 8 bits, to be decoded once the white value of all such images is known."""

    mode: str
    low: float
    high: float


class Decoded(NamedTuple):
    """images: uint8 [n, C, H, W], the n readable images; kept: int64 [n], their indices in the source."""

    images: np.ndarray
    kept: np.ndarray
    originals: tuple[Original, ...]  # one for each readable image
    skipped: tuple[str, ...]  # 'path: reason' for each unreadable image
    whites: Whites
    notes: tuple[str, ...]  # on the range of grey images with more than 8 bits


def decode(
    source: Source, sides: Sides | None, channels: int | None, fit: Fit, whites: Whites | None = None
) -> Decoded:
    """Decode every image once, in a thread pool, to `sides` (height and width) and `channels` channels.

    sides None: the images' own if all are squares of the same size, else DEFAULT_SIDE.
    channels None: 1 if every pixel of every image is grey, else 3.
    whites: the white value of deep grey images (16 or 32 bits, floats), by mode; for other modes it is determined by
    the largest value of all images of that mode.
    """
    whole = _at_once(source, sides, channels, fit)
    if whole is not None:
        images, own = whole
        return Decoded(images, np.arange(source.count), (Original(own, own, "L"),) * source.count, (), {}, ())

    with warnings.catch_warnings(action="ignore"), _limits_for_own_files():  # Pillow warns of odd metadata
        if sides is None:
            own_side = source.side or _own_side(source)
            sides = own_side, own_side
        images = _allocate((source.count, channels or 3, *sides))
        results = _decode_all(images, source, range(source.count), fit, whites or {})
        waiting = {i: one for i, one in enumerate(results) if isinstance(one, Deep)}
        whites = {**_whites(waiting.values()), **(whites or {})}
        for i, one in zip(waiting, _decode_all(images, source, list(waiting), fit, whites), strict=True):
            results[i] = one

    kept = np.array([i for i, one in enumerate(results) if isinstance(one, Original)], dtype=np.int64)
    for to, place in enumerate(kept):  # close the gaps in place: the array may be larger than the memory
        if to != place:
            images[to] = images[place]
    images = images[: len(kept)]
    if channels is None and _is_grey(images):
        images = images[:, :1] if isinstance(images, np.memmap) else images[:, :1].copy()
    originals = tuple(one for one in results if isinstance(one, Original))
    skipped = tuple(f"{source.where(i)}: {one}" for i, one in enumerate(results) if isinstance(one, str))
    return Decoded(images, kept, originals, skipped, whites, _ranges(waiting.values(), whites))


@contextmanager
def _limits_for_own_files() -> Iterator[None]:
    """Raise Pillow's limits, which protect servers from hostile files, to allow panoramas and large colour profiles.

    They belong to the process: sets that several threads load are decoded one after the other.
    """
    with _LIMITS:
        before = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
        # Pillow refuses images of more than twice its limit.
        Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = MOST_PIXELS // 2, MOST_METADATA_BYTES
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK = before


def _whites(images: Iterable[Deep]) -> dict[str, float]:
    """The white value of each mode of deep grey, from the largest value of all images of that mode."""
    highest: dict[str, float] = {}
    for image in images:
        highest[image.mode] = max(image.high, highest.get(image.mode, image.high))
    return {mode: _white(mode, high) for mode, high in highest.items()}


def _white(mode: str, high: float) -> float:
    """The white value of a mode: 65,535 for 16 bits; other modes may hold 8 or 16 bits, floats usually 0 to 1."""
    if mode.startswith("I;16"):
        return 65535.0
    usual = (1.0, 255.0, 65535.0) if mode == "F" else (255.0, 65535.0)
    over = 1.1 if mode == "F" else 1.0  # scaling and sharpening make floats overshoot
    return next((white for white in usual if high <= over * white), high)


def _ranges(images: Iterable[Deep], whites: Whites) -> tuple[str, ...]:
    """A note for each mode of deep grey, such as '3 images of mode F hold values from 0 to 1.02: white is 1'."""
    by_mode: dict[str, list[Deep]] = {}
    for image in images:
        by_mode.setdefault(image.mode, []).append(image)
    return tuple(
        f"{len(some):,} images of mode {mode} hold values from {min(one.low for one in some):g} to "
        f"{max(one.high for one in some):g}: white is {whites[mode]:g}"
        + (", black is 0 and below" if min(one.low for one in some) < 0 else "")
        for mode, some in by_mode.items()
    )


def _at_once(source: Source, sides: Sides | None, channels: int | None, fit: Fit) -> tuple[np.ndarray, int] | None:
    """The pixels of a source that has decoded ones, and their side before padding; None if they have to be scaled."""
    if source.array is None or channels not in (None, 1):
        return None
    own = source.array.shape[-1]
    margins = [side - own for side in sides or (own, own)]
    if not any(margins):
        return source.array, own
    if min(margins) < 0 or fit != "pad":
        return None
    edges = [((margin + 1) // 2, margin // 2) for margin in margins]
    return np.pad(source.array, ((0, 0), (0, 0), *edges)), own


def _own_side(source: Source) -> int:
    """The side of all readable images if they are squares of one size, else DEFAULT_SIDE; reads headers only."""
    side = None
    with progress(f"reading sizes of {source.name}", source.count) as advance:
        for i in range(source.count):
            advance(1)
            try:
                with source.open(i) as image:
                    width, height = image.size
            except Exception:  # _decode_into reports it
                continue
            if width != height or side not in (None, width):
                return DEFAULT_SIDE
            side = width
    return side or DEFAULT_SIDE


def _allocate(shape: tuple[int, ...]) -> np.ndarray:
    needed = math.prod(shape)
    if needed <= MEMORY_LIMIT_BYTES:
        return np.empty(shape, np.uint8)
    folder = cache_dir()
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"the decoded images take {needed / 1e9:.1f} GB and {folder} has {free / 1e9:.1f} GB free: "
            "choose a smaller data.size or data.limit, or set GANVAS_CACHE to a folder with more space"
        )
    # An unnamed file disappears with the process: no stale copy is ever read, and the disk does not fill up.
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)


def _decode_all(
    images: np.ndarray, source: Source, places: Sequence[int], fit: Fit, whites: Whites
) -> list[Original | Deep | str]:
    """Decode the images with the indices `places` into uint8 [N, C, H, W]; returns the results of `_decode_into`."""

    def work(start: int) -> list[Original | Deep | str]:
        return [_decode_into(images[i], source, i, fit, whites) for i in places[start : start + CHUNK]]

    results: list[Original | Deep | str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress(f"decoding {source.name}", len(places)) as advance:
        for part in pool.map(work, range(0, len(places), CHUNK)):
            results += part
            advance(len(part))
    return results


def _decode_into(target: np.ndarray, source: Source, i: int, fit: Fit, whites: Whites) -> Original | Deep | str:
    """Decode image `i` into uint8 [C, H, W]; returns its original format, or the reason why it cannot be read.

    For a deep grey image whose white value is not in `whites`, only its range is returned.
    """
    planes, height, width = target.shape
    try:
        with source.open(i) as image, _ONE_LARGE if image.width * image.height > LARGE_PIXELS else nullcontext():
            own, mode = image.size, image.mode
            least = max(height, width)  # in both directions, as the image may lie on its side
            if fit != "pad" and min(image.size) >= 6 * least:
                image.draft(None, (3 * least, 3 * least))  # large JPEGs: skip detail that scaling would average out
            image.load()
            if mode[0] in "IF" and mode not in whites:
                values = _deep(image)
                finite = values[np.isfinite(values)]
                low, high = (finite.min(), finite.max()) if finite.size else (0, 0)
                return Deep(mode, float(low), float(high))
            turn = _turn(image)
            layer = image.convert("RGBA") if image.has_transparency_data else None
            transparent = layer is not None and layer.getchannel("A").getextrema() != (255, 255)
            plain = _premultiplied(image, layer, whites) if planes == 4 else _to_8_bit(image, layer, whites)
            fitted = _fit(plain if turn is None else plain.transpose(turn), height, width, fit)
            pixels = np.asarray(fitted if len(fitted.getbands()) == planes else fitted.convert(MODE[planes]))
            if planes == 4:
                pixels = np.minimum(pixels, pixels[..., 3:])  # scaling with Lanczos overshoots at edges
    except UnidentifiedImageError:
        return "not an image that Pillow can read"
    except Exception as error:  # a damaged file can make Pillow's readers raise any exception
        return getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
    target[:] = pixels.reshape(height, width, planes).transpose(2, 0, 1)
    return Original(*(own[::-1] if turn in SIDEWAYS else own), mode, transparent)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """The transposition that puts the image upright, from its EXIF data; None if these are missing or damaged."""
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # EXIF data may contain anything
        return None


def _deep(image: Image.Image) -> np.ndarray:
    """The values of a deep grey image, float32 [H, W]; nan is 0, and inf stays, as it must not decide what is white."""
    return np.nan_to_num(np.asarray(image).astype(np.float32), posinf=np.inf, neginf=-np.inf)


def _premultiplied(image: Image.Image, layer: Image.Image | None, whites: Whites) -> Image.Image:
    """Convert any mode to RGBa: colours times alpha. `layer`: the same image as RGBA, if it has transparency."""
    return (layer or _to_8_bit(image, None, whites).convert("RGBA")).convert("RGBa")


def _to_8_bit(image: Image.Image, layer: Image.Image | None, whites: Whites) -> Image.Image:
    """Convert any mode to L or RGB; transparent parts (`layer`: the same image as RGBA) become white, as on paper."""
    if image.mode[0] in "IF":  # 16 bits, 32 bits, floats
        values = _deep(image) * (255 / whites[image.mode])
        return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
    if image.mode in ("L", "RGB") and layer is None:
        return image
    grey = Image.getmodebase(image.mode) == "L"
    if layer is not None:
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("L" if grey else "RGB")


def _fit(image: Image.Image, height: int, width: int, fit: Fit) -> Image.Image:
    """L, RGB or RGBa of any size -> `width` x `height` pixels; scaled with an antialiasing Lanczos filter."""
    if image.size == (width, height):
        return image
    if fit == "pad":  # Pillow's crop is black outside the image; larger images lose their border
        left, top = (image.width - width) // 2, (image.height - height) // 2
        return image.crop((left, top, left + width, top + height))
    if fit == "letterbox":  # what would be thinner than a pixel has one
        if round(image.height / image.width * width) < 1:
            image = image.resize((width, 1), Image.Resampling.LANCZOS)
        elif round(image.width / image.height * height) < 1:
            image = image.resize((1, height), Image.Resampling.LANCZOS)
    scaled = ImageOps.fit if fit == "crop" else ImageOps.pad
    return scaled(image, (width, height), Image.Resampling.LANCZOS)


def _is_grey(images: np.ndarray) -> bool:
    """Whether the three channels are equal in all images; stops at the first part with colour."""
    parts = (images[start : start + 256] for start in range(0, len(images), 256))
    return all((part[:, :1] == part).all() for part in parts)
