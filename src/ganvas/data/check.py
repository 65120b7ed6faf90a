"""A check of image data before training: sizes, classes, duplicates and unreadable files."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from ganvas.core.progress import progress
from ganvas.core.spec import Sides, written
from ganvas.core.text import duration
from ganvas.data import TOLERATED, DataSettings, find
from ganvas.data.decoding import Original, decode
from ganvas.data.imageset import digest

THUMB = 16  # side in pixels of the grey thumbnails that are compared to find near duplicates
NEAR = 5.0  # images are near duplicates if their thumbnails differ by less: root mean square in grey levels of 0..255
BLOCK = 256  # images compared at once with a range of others
SHOWN = 5  # examples of each finding
CLASSES_SHOWN = 30
COLOURS = {1: "grey", 3: "colour", 4: "colour and alpha"}


@dataclass(frozen=True)
class Report:
    """The result of `check`. Pairs are (name, name of the image it equals or resembles)."""

    name: str
    count: int  # readable images
    channels: int
    sides: Sides  # pixels, after fitting
    classes: dict[str, int]  # images in each class, empty without classes
    originals: tuple[Original, ...]  # size and mode of each readable image before fitting
    exact: int  # images whose pixels after fitting equal those of an earlier one
    exact_pairs: tuple[tuple[str, str], ...]  # the first few
    near: int  # pairs of other images that almost match
    near_pairs: tuple[tuple[str, str], ...]
    skipped: tuple[str, ...]  # 'path: reason' of each unreadable file
    notes: tuple[str, ...]  # what was taken as what, and what was left out
    megabytes: float  # of the decoded images

    @property
    def size(self) -> int | str:
        """The size after fitting, as `data.size` is written."""
        return written(self.sides)

    def lines(self) -> list[str]:
        """The report as text, one line per finding."""
        width, height = map(_spread, ([one.width for one in self.originals], [one.height for one in self.originals]))
        size = f"{self.sides[1]} x {self.sides[0]}"
        modes = Counter(one.mode for one in self.originals).most_common()
        return [
            f"{self.name}: {self.count:,} images, used as {size} {COLOURS[self.channels]} pixels",
            *self.notes,
            f"classes: {self._classes()}",
            f"originals: {width} wide, {height} high, Pillow modes {', '.join(f'{mode} ({n:,})' for mode, n in modes)}",
            f"transparency: {self._transparency()}",
            f"exact duplicates: {self.exact:,}{_examples(f'{one} = {other}' for one, other in self.exact_pairs)}",
            f"near duplicates: {self.near:,} pairs{_examples(f'{one} ~ {other}' for one, other in self.near_pairs)}",
            f"unreadable: {self._unreadable()}",
            f"memory: {self.megabytes:,.0f} MB",
        ]

    def _classes(self) -> str:
        shown = [f"{name} ({n:,})" for name, n in islice(self.classes.items(), CLASSES_SHOWN)]
        more = len(self.classes) - len(shown)
        return ", ".join([*shown, *([f"... {more:,} more"] if more else [])]) or "none"

    @property
    def transparent(self) -> int:
        """The number of images with pixels that are transparent, at least in part."""
        return sum(one.transparent for one in self.originals)

    def _transparency(self) -> str:
        kept = "kept as alpha" if self.channels == 4 else "composed on white, data.channels=4 keeps it"
        return f"{self.transparent:,} images ({kept})" if self.transparent else "none"

    def _unreadable(self) -> str:
        share = len(self.skipped) / max(1, self.count + len(self.skipped))
        verdict = "are skipped" if share <= TOLERATED else f"training refuses more than {TOLERATED:.0%}"
        return f"{len(self.skipped)} ({share:.1%}, {verdict}){_examples(self.skipped)}" if self.skipped else "none"


def check(settings: DataSettings, data_dir: Path | None = None) -> Report:
    """Check the training split. Raises UserError only if there is nothing to check."""
    source = find(settings, "train", data_dir)
    decoded = decode(source, settings.sides, settings.channels, settings.fit)
    images, kept = decoded.images, decoded.kept
    counts = [] if source.labels is None else np.bincount(source.labels[kept], minlength=len(source.classes)).tolist()

    def names(pairs: Sequence[tuple[int, int]]) -> tuple[tuple[str, str], ...]:
        return tuple((source.where(int(kept[i])), source.where(int(kept[j]))) for i, j in pairs[:SHOWN])

    copies = exact_duplicates(images)
    others = np.delete(np.arange(len(images)), [i for i, _ in copies])
    near, alike = near_duplicates(images, others)
    return Report(
        name=source.name,
        count=len(images),
        channels=images.shape[1],
        sides=(images.shape[2], images.shape[3]),
        classes=dict(zip(source.classes, counts, strict=True)),
        originals=decoded.originals,
        exact=len(copies),
        exact_pairs=names(copies),
        near=near,
        near_pairs=names(alike),
        skipped=decoded.skipped,
        notes=source.notes + decoded.notes,
        megabytes=images.nbytes / 1e6,
    )


def exact_duplicates(images: np.ndarray) -> list[tuple[int, int]]:
    """(i, j) for each image i of uint8 [N, C, H, W] whose pixels equal those of an earlier one; j is the first such."""
    first: dict[bytes, int] = {}
    pairs = []
    for i, image in enumerate(images):
        j = first.setdefault(digest(image), i)
        if j != i:
            pairs.append((i, j))
    return pairs


def near_duplicates(images: np.ndarray, among: np.ndarray) -> tuple[int, list[tuple[int, int]]]:
    """The number of near-duplicate pairs, and the first few (i, j), i > j, of uint8 [N, C, H, W] `among` int64 [M].

    Near duplicates are the same image saved again, in another size, or brighter. Their thumbnails, minus the mean
    brightness, are less than NEAR apart. Two vectors are never closer than their projections on an axis, so after
    sorting along the principal axis each block of images is compared only with the range within reach.
    """
    thumbs = _thumbnails(images, among)
    if len(thumbs) < 2:
        return 0, []
    axis = np.linalg.eigh(thumbs.T @ thumbs)[1][:, -1]
    place = thumbs @ axis
    order = np.argsort(place)
    place, thumbs, among = place[order], thumbs[order], among[order]
    reach = NEAR * thumbs.shape[1] ** 0.5  # as a Euclidean distance

    # |a - b| < reach  <=>  a.b - |a|^2 / 2 - |b|^2 / 2 > -reach^2 / 2: two more columns hold the halved squares.
    half = -(thumbs**2).sum(1, keepdims=True) / 2
    one = np.ones_like(half)
    left, right = np.hstack([thumbs, half, one]), np.hstack([thumbs, one, half]).T
    count = 0
    pairs: list[tuple[int, int]] = []
    with progress("comparing", len(thumbs)) as advance:
        for start in range(0, len(thumbs), BLOCK):
            block = left[start : start + BLOCK]
            end = int(np.searchsorted(place, place[start : start + BLOCK][-1] + reach))
            for column in range(start, end, 32 * BLOCK):
                close = block @ right[:, column : min(column + 32 * BLOCK, end)] > -(reach**2) / 2
                a, b = np.divmod(np.flatnonzero(close), close.shape[1])
                fresh = a + start < b + column  # each pair once, and no image with itself
                count += int(fresh.sum())
                ends = zip(among[a[fresh][:SHOWN] + start], among[b[fresh][:SHOWN] + column], strict=True)
                pairs = sorted({*pairs, *((int(max(one)), int(min(one))) for one in ends)})[:SHOWN]
            advance(len(block))
    return count, pairs


def _thumbnails(images: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Grey means over a grid of at most THUMB x THUMB cells, minus the mean of the image: float32 [M, cells]."""
    sides = images.shape[2:]
    rows, columns = (np.arange(cells) * side // cells for side in sides if (cells := min(THUMB, side)))
    heights, widths = (np.diff(np.append(at, side)) for at, side in zip((rows, columns), sides, strict=True))
    thumbs = np.empty((len(among), len(rows) * len(columns)), np.float32)
    for start in range(0, len(among), BLOCK):
        grey = images[among[start : start + BLOCK]].mean(axis=1, dtype=np.float32)
        sums = np.add.reduceat(np.add.reduceat(grey, rows, axis=1), columns, axis=2)
        thumbs[start : start + BLOCK] = (sums / np.outer(heights, widths)).reshape(len(grey), -1)
    thumbs -= thumbs.mean(axis=1, keepdims=True)
    return thumbs


def _examples(texts: Iterable[str]) -> str:
    return "".join(f"; {text}" for text in islice(texts, SHOWN))


def _spread(values: Sequence[int]) -> str:
    if not values:
        return "0 pixels"
    least, median, most = np.quantile(values, [0, 0.5, 1])
    return f"{most:.0f}" if least == most else f"{least:.0f} to {most:.0f} (median {median:.0f})"


def epoch_line(count: int, seconds_per_image: float) -> str:
    """How long an epoch of `count` images takes."""
    return f"one epoch: about {duration(count * seconds_per_image)}, with a DCGAN of 64 base filters on this machine"
