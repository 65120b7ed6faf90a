"""IDX, the file format of MNIST: a header with the dimensions, then the bytes, gzipped or not."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from ganvas.core.errors import UserError
from ganvas.core.files import open_regular

PREFIX = {"train": "train", "test": "t10k"}


def find(folder: Path, split: str) -> tuple[Path, Path] | None:
    """The files with the images and the labels under their official names in `folder`, or None."""
    pair = [_find(folder, stem) for stem in stems(split)]
    return (pair[0], pair[1]) if pair[0] and pair[1] else None


def stems(split: str) -> tuple[str, str]:
    """The official names, to which `.gz` may be added."""
    return f"{PREFIX[split]}-images-idx3-ubyte", f"{PREFIX[split]}-labels-idx1-ubyte"


def has(folder: Path, stem: str) -> bool:
    """Whether a folder has the file with this official name."""
    return _find(folder, stem) is not None


def _find(folder: Path, stem: str) -> Path | None:
    return next((path for path in (folder / f"{stem}.gz", folder / stem) if path.is_file()), None)


def load(images: Path, labels: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [N, 1, H, W] and labels int64 [N].

    Raises UserError for a file that is damaged, truncated or of another kind, and if the two lengths differ.
    """
    pixels, digits = read(images, 3), read(labels, 1)
    if len(pixels) != len(digits):
        raise UserError(f"{images} has {len(pixels)} images, but {labels} has {len(digits)} labels")
    return pixels[:, None], digits.astype(np.int64)


def read(path: Path, ndim: int) -> np.ndarray:
    """Read a file of unsigned bytes: 00 00 08 ndim, one big-endian 32-bit integer for each dimension, the data.

    Decompresses no more than the size in the header.
    """
    start = 4 + 4 * ndim
    try:
        with open_regular(path) as raw:
            zipped = raw.peek(2)[:2] == b"\x1f\x8b"  # gzip, whatever the name of the file
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
        raise UserError(f"cannot read {path} ({error}): replace it with a complete copy") from None
    promised = " x ".join(map(str, shape))
    if 0 in shape:
        raise UserError(f"{path} should hold {promised} bytes, which is nothing: replace it with a complete copy")
    if len(data) != size:
        held = f"{len(data):,}" if len(data) < size else "more"
        raise UserError(
            f"{path} should hold {size:,} bytes ({promised}) and holds {held}: replace it with a complete copy"
        )
    return np.frombuffer(data, np.uint8).reshape(shape)
