"""Image data: `load(DataSettings(name=...))` returns an ImageSet, and `Batches` draws batches from it."""

import contextlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field

from ganvas.core import files
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError, nearest
from ganvas.core.images import ImageSpec
from ganvas.core.settings import Settings
from ganvas.core.spec import ImageSize, Sides, read_sides, written
from ganvas.data import folder, hub, strokes
from ganvas.data.decoding import Fit, Source, decode, from_array, open_image
from ganvas.data.hub import Published
from ganvas.data.imageset import Batch, Batches, ImageSet, random_crops
from ganvas.data.splits import NoSplit, Split

__all__ = [
    "Batch",
    "Batches",
    "DataSettings",
    "ImageSet",
    "ImageSpec",
    "Split",
    "load",
    "load_files",
    "load_opened",
    "load_unseen",
    "place_of",
]

logger = logging.getLogger("ganvas")

MOST_CLUSTERS = 1_000
TOLERATED = 0.01  # largest share of unreadable images


class DataSettings(Settings):
    """Which images to use, and how to fit them into one shape."""

    name: str = Field("strokes", min_length=1)
    """a named set (strokes, mnist, fashion-mnist, cifar10), a folder of images, Parquet files, or a hub id; relative
    paths are also looked for in --data-dir and in $GANVAS_DATA"""
    size: ImageSize | None = None
    """size of the images in pixels: 64 is a square, 192x128 is width x height; none: their own if all are squares of
    the same size, else 64"""
    channels: Literal[1, 3, 4] | None = None
    """channels: 1 is grey, 3 is colour, 4 is colour with transparency (alpha); none: 1 if all images are grey, else 3;
    without alpha, transparent parts are composed on white"""
    fit: Fit = "crop"
    """crop: scale until the image covers the size, crop the centre; letterbox: scale until it fits in, fill with black
    (with alpha: with nothing); pad: only fill or crop"""
    random_crop: ImageSize | None = None
    """size in pixels of random crops, drawn anew whenever training sees an image; sheets and scores use one fixed crop
    of each image; none: whole images"""
    splits: Literal["train", "all"] = "train"
    """train: train on the training split; all: also on the test split, if there is one, which leaves no test images"""
    classes: tuple[str, ...] | None = None
    """only the images of these classes, by name; none: all"""
    clusters: int = Field(0, ge=0, le=MOST_CLUSTERS)
    """number of clusters of the images, by their pixels, that take the place of classes; 0 = the classes of the set"""
    shuffle: bool = True
    """shuffle the images before each epoch; false: always the order of the set"""
    limit: int | None = Field(None, ge=1)
    """maximum number of images: the first of each class in equal shares, or of the set (for folders: by path)"""
    flips: bool = False
    """mirror a random half of the images in each epoch of training"""

    @property
    def sides(self) -> Sides | None:
        """Height and width of the fitted images, before random crops; None: those of the images."""
        return None if self.size is None else read_sides(str(self.size))

    @property
    def crop_sides(self) -> Sides | None:
        """Height and width of the random crops, if there are any."""
        return None if self.random_crop is None else read_sides(str(self.random_crop))


def load(
    settings: DataSettings,
    split: Split = "train",
    data_dir: Path | None = None,
    whites: Mapping[str, float] | None = None,
) -> ImageSet:
    """Find and decode the images of a split; named sets are looked for in `data_dir` first.

    If `size`, `channels` or `whites` is None, it is determined for each split separately; `load_unseen` loads the test
    split like the training set. Raises UserError for an unknown name, a damaged file, or if more than 1 % of the images
    cannot be read.
    """
    source = find(settings, split, data_dir)
    if settings.splits == "all" and split == "train" and (test := _find_test(settings, data_dir)):
        source = source.and_then(test).first(settings.limit)
    decoded = decode(source, settings.sides, settings.channels, settings.fit, whites)
    images, skipped = decoded.images, decoded.skipped
    if len(skipped) > TOLERATED * source.count:
        raise UserError(
            f"{len(skipped)} of {source.count} images in '{source.name}' cannot be read, more than "
            f"{TOLERATED:.0%}: repair or remove them ({'; '.join(skipped[:3])}{'; ...' if len(skipped) > 3 else ''})"
        )
    whole = None
    if settings.crop_sides is not None:
        images, whole = random_crops(images, settings.crop_sides), images
    found = ImageSet(
        name=source.name,
        images=images,
        labels=None if source.labels is None else source.labels[decoded.kept],
        classes=source.classes,
        skipped=skipped,
        whole=whole,
        notes=source.notes + decoded.notes,
        whites=decoded.whites,
    )
    return found.clustered(settings.clusters) if settings.clusters else found


def load_files(
    paths: Sequence[Path], settings: DataSettings, spec: ImageSpec, whites: Mapping[str, float] | None = None
) -> np.ndarray:
    """Decode image files to the shape of a set, with its `whites`: uint8 [n, C, H, W].

    Raises UserError if one cannot be read.
    """
    opened = [partial(open_image, path) for path in paths]
    return load_opened(opened, [str(path) for path in paths], settings, spec, whites)


def load_opened(
    images: Sequence[Callable[[], Image.Image]],
    names: Sequence[str],
    settings: DataSettings,
    spec: ImageSpec,
    whites: Mapping[str, float] | None = None,
) -> np.ndarray:
    """As `load_files`, for functions that open images; `names` are those of the images in messages."""
    source = Source("images", len(images), lambda i: images[i](), lambda i: names[i])
    sides = spec.height, spec.width
    whole = sides if settings.random_crop is None else settings.sides or sides
    decoded = decode(source, whole, spec.channels, settings.fit, whites)
    if decoded.skipped:
        raise UserError(f"cannot read {decoded.skipped[0]}")
    top, left = ((all_of_it - part) // 2 for all_of_it, part in zip(whole, sides, strict=True))  # the central crop
    return decoded.images[:, :, top : top + spec.height, left : left + spec.width]


def load_unseen(settings: DataSettings, train: ImageSet, data_dir: Path | None = None) -> ImageSet | None:
    """The whole test split in the shape of the training images; None if there is none, or if it was trained on.

    Its labels are numbered like those of the training images; it has none if these have clusters for classes. Raises
    UserError for a class that the training images lack.
    """
    if settings.splits == "all":
        return None
    height, width = (train.images if train.whole is None else train.whole).shape[2:]
    as_train = {"size": written((height, width)), "channels": train.spec.channels}
    alike = settings.model_copy(update={**as_train, "limit": None, "clusters": 0})
    if _find_test(alike, data_dir) is None:
        return None
    test = load(alike, "test", data_dir, train.whites)
    if settings.clusters:
        return replace(test, labels=None, classes=(), unclustered=test.fingerprint)
    if test.labels is None or test.classes == train.classes:
        return test
    if unknown := [name for name in test.classes if name not in train.classes]:
        raise UserError(
            f"the test split of '{train.name}' has the class '{unknown[0]}', which its training split lacks"
        )
    number = np.array([train.classes.index(name) for name in test.classes])
    return replace(test, labels=number[test.labels], classes=train.classes)


def _find_test(settings: DataSettings, data_dir: Path | None) -> Source | None:
    """The whole test split; None if there is none. Raises UserError if it is damaged."""
    try:
        return find(settings.model_copy(update={"limit": None}), "test", data_dir)
    except NoSplit:
        return None
    except hub.Unreachable as error:
        logger.warning("going on without the test split: %s", error)
        return None


def find(settings: DataSettings, split: Split = "train", data_dir: Path | None = None) -> Source:
    """Find the images of a split without decoding them; named sets are downloaded if necessary.

    Raises UserError for an unknown name or a missing split.
    """
    if data_dir is not None and not data_dir.is_dir():
        raise UserError(f"there is no folder '{data_dir}': --data-dir is where named sets are looked for first")
    source = _find(settings.name, split, data_dir)
    if settings.classes is not None:
        source = source.only(settings.classes)
    return source.first(settings.limit)


def _find(name: str, split: Split, data_dir: Path | None) -> Source:
    if name in NAMED:
        source = NAMED[name](split, data_dir)
        if folder.image_files(Path(name)):
            note = f"'{name}' is the built-in set, not the folder of images of that name here: that is './{name}'"
            return replace(source, notes=(*source.notes, note))
        return source
    place = place_of(name, data_dir) or Path(name)
    if (place.is_file() and place.suffix == ".parquet") or (place.is_dir() and _only_parquet(place)):
        from ganvas.data import parquet

        files = parquet.find(place, split)
        if not files:
            raise NoSplit(f"'{name}' has no {split} split: no Parquet file in it is named {split}-...")
        return parquet.from_files(name, files)
    if place.is_dir():
        return folder.load(name, place, split)
    if place.exists():
        raise UserError(f"'{name}' is a single file: give the folder with the images, or a .parquet file")
    if is_hub_id(name):
        return hub.by_id(name, split)
    if re.search(r"[/\\~]|\.parquet$", name):
        raise UserError(f"there is no folder or file '{name}' (looked in {Path.cwd()})")
    raise UserError(
        f"there is no set and no folder '{name}': {nearest(name, NAMED)} "
        "(or give --data a path, or a hub id owner/name)"
    )


def is_hub_id(name: str) -> bool:
    """Whether a name has the form of a data set of the hub, owner/name or owner/name:configuration."""
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*(:[\w.-]+)?", name) is not None


def place_of(name: str, data_dir: Path | None = None) -> Path | None:
    """The folder or file with the images, absolute; None for named sets and those of the hub."""
    if name in NAMED:
        return None
    places = (files.expanded(name), *(home / name for home in hub.homes(data_dir)))
    return next((place.absolute() for place in places if place.exists()), None)


def _only_parquet(place: Path) -> bool:
    return any(place.rglob("*.parquet")) and not folder.image_files(place)


def _strokes(split: Split, data_dir: Path | None) -> Source:
    """The generated digits: drawn once, which takes seconds, then kept in the cache."""
    count, seed = {"train": (60_000, 0), "test": (10_000, 1)}[split]
    shapes = {"images": (count, 1, strokes.SIZE, strokes.SIZE), "labels": (count,)}
    cached = {part: cache_dir() / f"strokes-{strokes.VERSION}-{split}-{part}.npy" for part in shapes}
    try:
        for path in cached.values():
            files.refuse_pipes(path)
        images, labels = (np.load(path) for path in cached.values())
        if (images.shape, labels.shape) != tuple(shapes.values()):
            raise ValueError("another version")
    except (OSError, ValueError, EOFError):
        images, labels = strokes.draw(count, seed)
        with contextlib.suppress(OSError):  # with a full disk they are drawn again next time
            for part, array in (("images", images), ("labels", labels)):
                with files.atomic(cached[part]) as file:
                    np.save(file, array)
    return from_array("strokes", images, labels, DIGITS)


DIGITS = tuple("0123456789")
GARMENTS = (
    *("T - shirt / top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

NAMED: dict[str, Callable[[Split, Path | None], Source]] = {
    "strokes": _strokes,
    "mnist": partial(hub.named, "mnist", Published("ylecun/mnist", "mnist", 28, DIGITS, idx=True)),
    "fashion-mnist": partial(
        hub.named, "fashion-mnist", Published("zalando-datasets/fashion_mnist", "fashion_mnist", 28, GARMENTS, idx=True)
    ),
    "cifar10": partial(hub.named, "cifar10", Published("uoft-cs/cifar10", "plain_text", 32, OBJECTS)),
}
