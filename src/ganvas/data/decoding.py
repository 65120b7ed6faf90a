"""From images as they come (any size, mode, orientation, encoding) to one uint8 array; the same for every source."""

import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError, nearest
from ganvas.core.progress import progress

Fit = Literal["crop", "letterbox", "pad"]

DEFAULT_SIZE = 64  # pixels, for sets whose images are not all of one square size
MEMORY_LIMIT_BYTES = 2 * 2**30  # a larger set is memory-mapped from a file in the cache folder
MODE = {1: "L", 3: "RGB"}  # Pillow's names
CHUNK = 8  # images per task: handing over one small image would take longer than decoding it


@dataclass(frozen=True, eq=False)
class Source:
    """Images that were found, not yet decoded, in a fixed order."""

    name: str
    count: int
    open: Callable[[int], Image.Image]
    where: Callable[[int], str]  # what messages call image i: its path or its row
    labels: np.ndarray | None = None  # int64 [count]
    classes: tuple[str, ...] = ()
    side: int | None = None  # of every image, in pixels, where the source knows it
    array: np.ndarray | None = None  # uint8 [count, 1, side, side] where the source has all pixels already

    def first(self, limit: int | None) -> "Source":
        """The first `limit` images, or all of them."""
        cut = slice(limit)
        return replace(
            self,
            count=len(range(self.count)[cut]),
            labels=None if self.labels is None else self.labels[cut],
            array=None if self.array is None else self.array[cut],
        )

    def only(self, classes: Sequence[str]) -> "Source":
        """The images of some classes, which are numbered in the order given; raises UserError for an unknown one."""
        if self.labels is None:
            raise UserError(f"'{self.name}' has no classes: leave out data.classes")
        for name in classes:
            if name not in self.classes:
                raise UserError(f"'{self.name}' has no class '{name}': {nearest(name, self.classes)}")
        number = {self.classes.index(name): new for new, name in enumerate(classes)}
        chosen = np.flatnonzero(np.isin(self.labels, list(number)))
        return replace(
            self,
            count=len(chosen),
            open=lambda i: self.open(int(chosen[i])),
            where=lambda i: self.where(int(chosen[i])),
            labels=np.array([number[label] for label in self.labels[chosen].tolist()], np.int64),
            classes=tuple(classes),
            array=None if self.array is None else self.array[chosen],
        )

    def and_then(self, other: "Source") -> "Source":
        """These images and then those of `other`; raises UserError for other classes."""
        if self.classes != other.classes:
            raise UserError(f"the splits of '{self.name}' have unlike classes: train on one of them")
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
    """A source of grey images, uint8 [N, 1, S, S], with int64 [N]."""

    def open_one(i: int) -> Image.Image:
        return Image.fromarray(images[i, 0])

    return Source(name, len(images), open_one, "image {}".format, labels, classes, images.shape[-1], images)


class Original(NamedTuple):
    """An image before it was fitted: its size in pixels, upright, and its Pillow mode."""

    width: int
    height: int
    mode: str


class Decoded(NamedTuple):
    """images: uint8 [n, C, S, S] of the n readable images; kept: int64 [n], their places in the source."""

    images: np.ndarray
    kept: np.ndarray
    originals: tuple[Original, ...]  # one for each readable image
    skipped: tuple[str, ...]  # 'path: reason' for each other one


def decode(source: Source, size: int | None, channels: int | None, fit: Fit) -> Decoded:
    """Decode every image once, in a pool of threads, to `size` pixels square and `channels` planes.

    size None: the images' own size if all are square and alike, else DEFAULT_SIZE.
    channels None: 1 if every pixel of every image is grey, else 3.
    """
    whole = _at_once(source, size, channels, fit)
    if whole is not None:
        images, own = whole
        return Decoded(images, np.arange(source.count), (Original(own, own, "L"),) * source.count, ())

    with warnings.catch_warnings(action="ignore"):  # Pillow's on odd metadata and on scans of 90 megapixels and more
        side = size or source.side or _own_side(source)
        images = _allocate((source.count, channels or 3, side, side))
        results = _decode_all(images, source, fit)

    kept = np.array([i for i, one in enumerate(results) if isinstance(one, Original)], dtype=np.int64)
    for to, place in enumerate(kept):  # close the gaps in place: the array may be larger than the memory
        if to != place:
            images[to] = images[place]
    images = images[: len(kept)]
    if channels is None and _is_grey(images):
        images = images[:, :1] if isinstance(images, np.memmap) else images[:, :1].copy()
    originals = tuple(one for one in results if isinstance(one, Original))
    skipped = tuple(f"{source.where(i)}: {one}" for i, one in enumerate(results) if isinstance(one, str))
    return Decoded(images, kept, originals, skipped)


def _at_once(source: Source, size: int | None, channels: int | None, fit: Fit) -> tuple[np.ndarray, int] | None:
    """The pixels of a source that has them all, and their own side, where there is nothing to scale."""
    if source.array is None or channels == 3:
        return None
    own = source.array.shape[-1]
    margin = (size or own) - own
    if margin and (margin < 0 or fit != "pad"):
        return None
    before, after = (margin + 1) // 2, margin // 2
    return np.pad(source.array, ((0, 0), (0, 0), (before, after), (before, after))) if margin else source.array, own


def _own_side(source: Source) -> int:
    """The side of all readable images if they are square and alike, else DEFAULT_SIZE; reads headers only."""
    side = None
    with progress(f"looking at {source.name}", source.count) as advance:
        for i in range(source.count):
            advance(1)
            try:
                with source.open(i) as image:
                    width, height = image.size
            except Exception:  # see _decode_into, which lists it
                continue
            if width != height or side not in (None, width):
                return DEFAULT_SIZE
            side = width
    return side or DEFAULT_SIZE


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
    # A file without a name goes away with the process: no stale copy is ever read, and the disk does not fill up.
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.uint8, "w+", shape=shape)


def _decode_all(images: np.ndarray, source: Source, fit: Fit) -> list[Original | str]:
    """Write every image to its place in uint8 [N, C, S, S]; the results of `_decode_into`."""

    def work(start: int) -> list[Original | str]:
        stop = min(start + CHUNK, source.count)
        return [_decode_into(images[i], source, i, fit) for i in range(start, stop)]

    results: list[Original | str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress(f"decoding {source.name}", source.count) as advance:
        for part in pool.map(work, range(0, source.count, CHUNK)):
            results += part
            advance(len(part))
    return results


def _decode_into(target: np.ndarray, source: Source, i: int, fit: Fit) -> Original | str:
    """Write image `i` to uint8 [C, S, S]; what it was like, or the reason why it cannot be read."""
    planes, side, _ = target.shape
    try:
        with source.open(i) as image:
            width, height = image.size
            mode = image.mode
            if fit != "pad" and min(image.size) >= 6 * side:
                image.draft(None, (3 * side, 3 * side))  # large JPEGs: skip detail that resizing would average away
            image.load()
            turned = image.getexif().get(ExifTags.Base.Orientation, 1)
            turned = turned if turned in range(1, 9) else 1  # anything can be written there
            upright = ImageOps.exif_transpose(image) if turned != 1 else image
            fitted = _fit(_to_8_bit(upright), side, fit)
            pixels = np.asarray(fitted if len(fitted.getbands()) == planes else fitted.convert(MODE[planes]))
    except UnidentifiedImageError:
        return "not an image that Pillow can read"
    except Exception as error:  # a damaged file makes Pillow's readers raise whatever its bytes lead them to
        return getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
    target[:] = pixels.reshape(side, side, planes).transpose(2, 0, 1)
    return Original(height, width, mode) if turned >= 5 else Original(width, height, mode)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Any mode as L or RGB; transparency lies on white, as on paper."""
    if image.mode[0] in "IF":  # 16 bits, 32 bits (which Pillow uses for 16), floats in 0..1 or 0..255
        values = np.nan_to_num(np.asarray(image).astype(np.float32))
        scale = 1 / 257 if image.mode[0] == "I" else 255 if values.max() <= 1 else 1
        return Image.fromarray((values * scale).round().clip(0, 255).astype(np.uint8))
    if image.mode in MODE.values() and not image.has_transparency_data:
        return image
    grey = Image.getmodebase(image.mode) == "L"
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("L" if grey else "RGB")


def _fit(image: Image.Image, side: int, fit: Fit) -> Image.Image:
    """L or RGB of any size -> `side` pixels square; scaled with Lanczos, whose reach grows as the image shrinks."""
    if image.size == (side, side):
        return image
    if fit == "pad":  # outside the image Pillow's crop is black; an image larger than `side` loses its border
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return image.crop((left, top, left + side, top + side))
    scaled = ImageOps.fit if fit == "crop" else ImageOps.pad
    return scaled(image, (side, side), Image.Resampling.LANCZOS)


def _is_grey(images: np.ndarray) -> bool:
    """Whether the three planes are the same everywhere; looks no further than the first coloured stretch."""
    stretches = (images[start : start + 256] for start in range(0, len(images), 256))
    return all((part[:, :1] == part).all() for part in stretches)
