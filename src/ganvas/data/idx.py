"""MNIST's own file format: a header with the dimensions, then the bytes, gzipped or not."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from ganvas.core.errors import UserError
from ganvas.core.files import open_regular

PREFIX = {"train": "train", "test": "t10k"}


def find(folder: Path, split: str) -> tuple[Path, Path] | None:
    """The files of the images and of the labels under their official names in `folder`, or None."""
    pair = [_find(folder, stem) for stem in stems(split)]
    return (pair[0], pair[1]) if pair[0] and pair[1] else None


def stems(split: str) -> tuple[str, str]:
    """The official names, to which `.gz` may be added."""
    return f"{PREFIX[split]}-images-idx3-ubyte", f"{PREFIX[split]}-labels-idx1-ubyte"


def _find(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / f"{stem}.gz", folder / stem) if path.is_file()), None)


def load(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, 1, H, W] and int64 [N].

    Raises UserError for a file that is damaged, cut short, of another kind, or one whose partner has another length.
    """
    pixels, digits = read(images, 3), read(labels, 1)
    if len(pixels) != len(digits):
        raise UserError(f"{images} has {len(pixels)} images, but {labels} has {len(digits)} labels")
    return pixels[:, None], digits.astype(np.int64)


def read(path: Path, ndim: int) -> np.ndarray:
    """A file of unsigned bytes: 00 00 08 ndim, one big-endian 32-bit integer for each dimension, the data.

    No more is unpacked than the header promises.
    """
    start = 4 + 4 * ndim
    try:
        with open_regular(path) as raw:
            zipped = raw.peek(2)[:2] == b"\x1f\x8b"  # gzip, whatever the file is called
            file = gzip.GzipFile(fileobj=raw) if zipped else raw
            header = file.read(start)
            if len(header) < start or header[:4] != bytes((0, 0, 8, ndim)):
                begin = header[:4].hex(" ")
                raise UserError(f"{path} is not an IDX file of {ndim}-dimensional bytes: it starts with {begin!r}")
            shape = tuple(int.from_bytes(header[i : i + 4], "big") for i in range(4, start, 4))
            size = math.prod(shape)
            data = bytearray()
            while len(data) <= size and (part := file.read(min(size + 1 - len(data), 2**20))):
                data += part
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {path} ({error}): put a whole copy in its place") from None
    promised = " x ".join(map(str, shape))
    if 0 in shape:
        raise UserError(f"{path} says that it holds {promised} bytes, which is nothing: put a whole copy in its place")
    if len(data) != size:
        held = f"{len(data):,}" if len(data) < size else "more"
        raise UserError(
            f"{path} should hold {size:,} bytes ({promised}) and holds {held}: put a whole copy in its place"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)
