"""A decoded image set in memory, and an endless, seeded, resumable stream of batches from it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from ganvas.compute.device import to_device
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec, from_uint8
from ganvas.core.spec import Sides
from ganvas.data.clusters import kept_clusters


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Decoded images of one size and one number of channels.

    images: uint8 [N, C, H, W], in memory or memory-mapped (never written to)
    labels: int64 [N] in 0..len(classes)-1, or None
    classes: the name of each label, empty without labels
    skipped: files that could not be read, each with its reason
    notes: how the data were interpreted, and what was left out
    whole: uint8 [N, C, H', W'], the larger images that `images` are crops of; None if they are not crops
    whites: the white value of originals with more than 8 bits, by their Pillow mode
    unclustered: the fingerprint of the set with its own labels, if clusters have taken their place
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None = None
    classes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    whole: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    whites: Mapping[str, float] = field(default_factory=dict)
    unclustered: str | None = None

    def __post_init__(self) -> None:
        if len(self.images) == 0:
            raise UserError(f"data '{self.name}' has no images")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def spec(self) -> ImageSpec:
        _, channels, height, width = self.images.shape
        return ImageSpec(channels, height, width, len(self.classes))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of shape, pixels and labels: equal for the same images in the same order, whatever their source.

        Clusters do not change it: on another machine an image may fall into a neighbouring one.
        """
        if self.unclustered:
            return self.unclustered
        digest = hashlib.sha256(repr(self.images.shape).encode())
        for start in range(0, len(self.images), 4096):
            digest.update(np.ascontiguousarray(self.images[start : start + 4096]).tobytes())
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        return digest.hexdigest()

    def clustered(self, count: int) -> "ImageSet":
        """The set with clusters of its whole images in place of its classes, at most `count`."""
        labels = kept_clusters(self.images if self.whole is None else self.whole, count, self.fingerprint)
        names = tuple(f"cluster {number}" for number in range(labels.max() + 1))
        return replace(self, labels=labels, classes=names, unclustered=self.fingerprint)

    def distinct(self, but: "ImageSet | None" = None) -> np.ndarray:
        """The indices of the distinct images, without those that `but` contains; int64 [n]."""
        elsewhere = set(map(digest, but.images)) if but else set()
        first: dict[bytes, int] = {}
        for place, image in enumerate(self.images):
            first.setdefault(digest(image), place)
        return np.array([place for key, place in first.items() if key not in elsewhere], np.int64)


def digest(image: np.ndarray) -> bytes:
    """A hash of the pixels."""
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def random_crops(images: np.ndarray, sides: Sides) -> np.ndarray:
    """One crop of each image, always the same: uint8 [N, C, H, W] -> [N, C, *sides]."""
    height, width = images.shape[2:]
    if sides[0] > height or sides[1] > width:
        what, whole = f"{sides[1]}x{sides[0]}", f"{width}x{height}"
        raise UserError(f"random crops of {what} pixels are larger than the images of {whole}: lower data.random_crop")
    places = crop_places(images, sides, np.random.default_rng(0))
    return sliding_window_view(images, sides, (2, 3))[np.arange(len(images)), :, places[:, 0], places[:, 1]]


def crop_places(images: np.ndarray, sides: Sides, random: np.random.Generator) -> np.ndarray:
    """A random position for a crop of `sides` in each image [N, C, H, W]: row and column, int64 [N, 2]."""
    height, width = images.shape[2:]
    return random.integers(0, [height - sides[0] + 1, width - sides[1] + 1], (len(images), 2))


class Batch(NamedTuple):
    images: Tensor  # float32 [B, C, H, W] in [-1, 1], channels-last, on the training device
    labels: Tensor | None  # int64 [B]


class Drawn(NamedTuple):
    positions: np.ndarray  # int64 [B], indices into the set
    mirrored: np.ndarray  # bool [B]
    places: np.ndarray  # int64 [B, 2], row and column of each crop; [0, 2] if the set has no crops


class Batches:
    """An endless stream of batches in an order determined by `seed`. Each epoch is a permutation of the whole set.

    The state is the number of images drawn, so setting `nimg` resumes the stream at any position. Another value of
    `reshuffles` changes the permutations from there on; the current epoch may then repeat some images and miss others.
    A batch may span two epochs, or more if the set is smaller than a batch. With `shuffle=False` every epoch has the
    order of the set. If the set has crops, new ones are drawn in each epoch.
    """

    # Up to this size the pixels are kept on the GPU, and a batch needs no transfer.
    KEEP_ON_DEVICE_BYTES = 4 * 2**30

    def __init__(
        self,
        data: ImageSet,
        batch_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        flips: bool = False,
        shuffle: bool = True,
    ) -> None:
        self.data = data
        self.batch_size = batch_size
        self.seed = seed
        self.device = torch.device(device)
        self.flips, self.shuffle = flips, shuffle
        self.nimg = 0
        self.reshuffles = 0
        self._epoch = -1, -1
        self._order = np.empty(0, dtype=np.int64)
        self._mirrored = np.empty(0, dtype=bool)
        self._places = np.empty((0, 2), dtype=np.int64)
        pixels = data.images if data.whole is None else data.whole
        on_device = self.device.type != "cpu" and pixels.nbytes <= self.KEEP_ON_DEVICE_BYTES
        self._pixels = torch.tensor(pixels, device=self.device) if on_device else None
        self._pixels_here = pixels
        self._labels = None if data.labels is None else torch.tensor(data.labels, device=self.device)

    @property
    def epoch(self) -> float:
        """The number of passes over the set so far."""
        return self.nimg / len(self.data)

    def next(self) -> Batch:
        """The next batch, gathered from the uint8 array with one indexing operation."""
        drawn = self.draw()
        there = to_device(torch.from_numpy(drawn.positions), self.device)
        if self._pixels is not None:
            pixels = self._pixels[there]
        else:
            pixels = to_device(torch.from_numpy(self._pixels_here[drawn.positions]), self.device)
        if self.data.whole is not None:
            height, width = self.data.images.shape[2:]
            row, column = to_device(torch.from_numpy(drawn.places), self.device).unbind(1)
            each = torch.arange(len(pixels), device=self.device)
            pixels = pixels.unfold(2, height, 1).unfold(3, width, 1)[each, :, row, column]
        if self.flips:
            flip = to_device(torch.from_numpy(drawn.mirrored), self.device)
            pixels = torch.where(flip[:, None, None, None], pixels.flip(3), pixels)
        return Batch(from_uint8(pixels), None if self._labels is None else self._labels[there])

    def draw(self) -> Drawn:
        """Draw the indices, flips and crops of the next batch, and advance the stream."""
        parts: list[Drawn] = []
        missing = self.batch_size
        while missing:
            epoch, start = divmod(self.nimg, len(self.data))
            self._begin(epoch)
            cut = slice(start, start + missing)
            parts.append(Drawn(self._order[cut], self._mirrored[cut], self._places[cut]))
            self.nimg += len(parts[-1].positions)
            missing -= len(parts[-1].positions)
        return Drawn(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _begin(self, epoch: int) -> None:
        if (epoch, self.reshuffles) != self._epoch:
            self._epoch = epoch, self.reshuffles
            seeds = [self.seed, epoch, self.reshuffles] if self.reshuffles else [self.seed, epoch]
            random = np.random.default_rng(seeds)
            self._order = random.permutation(len(self.data)) if self.shuffle else np.arange(len(self.data))
            self._mirrored = random.random(len(self.data)) < 0.5
            if self.data.whole is not None:
                height, width = self.data.images.shape[2:]
                self._places = crop_places(self.data.whole, (height, width), random)
