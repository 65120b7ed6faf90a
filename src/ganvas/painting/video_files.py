"""Writing films frame by frame, so that a long film needs no more memory than a short one."""

import io
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import IO, NamedTuple

import numpy as np
from PIL import GifImagePlugin, Image
from PIL.ExifTags import Base

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.painting.formats.strips import to_pillow

SLOWEST = 0.01  # frames per second
MOST_PIXELS = 2**26  # of a frame, which the encoder holds in memory: 8192x8192
BT709 = 1  # in all colour enumerations of FFmpeg; without this mark, players guess from the size of the image


class Codec(NamedTuple):
    """An encoder of FFmpeg. With the `crf` in its options, compression losses are hard to see."""

    name: str
    options: dict[str, str]
    even: bool  # whether sides must be even


class Format(NamedTuple):
    """The limits of a file format for films, and its encoder."""

    side: int  # maximum side in pixels
    fps: int  # maximum; browsers slow down faster films
    codec: Codec | None  # None: encoded by Pillow


FORMATS = {
    ".mp4": Format(16_384, 240, Codec("libx264", {"crf": "17"}, even=True)),
    ".webm": Format(65_535, 240, Codec("libvpx-vp9", {"crf": "24", "cpu-used": "4", "row-mt": "1"}, even=False)),
    ".gif": Format(65_535, 50, None),
    ".webp": Format(16_383, 90, None),
}


class Film(NamedTuple):
    """What the encoders need to know besides the frames."""

    height: int
    width: int
    fps: float
    loop: bool
    comment: str


def check(path: Path, height: int, width: int, fps: float = 25) -> None:
    """Raise UserError if `save` could not write such a film: for its extension, size or speed, or without `av`."""
    ending = path.suffix.lower()
    if ending not in FORMATS:
        raise UserError(f"'{path}' is not the name of a film: it has to end in {', '.join(FORMATS)}")
    side, fastest, codec = FORMATS[ending]
    if not (1 <= height <= side and 1 <= width <= side):
        raise UserError(f"{ending} films have sides of 1 to {side} pixels, not {width}x{height}: choose another size")
    if height * width > MOST_PIXELS:
        raise UserError(f"frames of {width}x{height} pixels do not fit into memory: choose {MOST_PIXELS:,} or fewer")
    if not SLOWEST <= fps <= fastest:
        raise UserError(
            f"{ending} films have {SLOWEST} to {fastest} frames per second, not {fps:g}: choose another speed"
        )
    if codec and codec.name not in _av(ending).codecs_available:
        raise UserError(f"the installed 'av' cannot write {ending} films: write a .gif or .webp film instead")


def save(
    path: Path, frames: Iterable[np.ndarray], height: int, width: int, fps: float, loop: bool, recipe: str
) -> None:
    """Write frames, uint8 [height, width, 1 or 3], as a film, atomically; `recipe` (ASCII) is stored in it.

    `.mp4` (H.264) opens everywhere, `.webm` (VP9) is the smallest. Their encoders look ahead, which takes about 170
    bytes of memory for each pixel of a frame: 3 GB for 4096x4096.
    An odd side of an `.mp4` is extended by one pixel, a copy of the last row or column, as the format allows only even
    sides. `.gif` is exact for grey frames and for frames with up to 256 colours; it counts time in hundredths of a
    second, so the durations of frames may differ by one. `.webp` is lossy and much smaller than `.gif`.
    `loop` makes a `.gif` or `.webp` repeat forever; for the other two this is up to the player.

    Raises UserError as `check` does, or if there is no frame; OSError if the disk is full. The old file then stays as
    it was.
    """
    check(path, height, width, fps)
    files.check_output(path)
    ending = path.suffix.lower()
    film = Film(height, width, fps, loop, recipe)
    counted = _counted(frames, film)
    with files.atomic(path) as file:
        if ending == ".gif":
            _gif(file, counted, film)
        elif ending == ".webp":
            _webp(file, counted, film)
        else:  # by name, so that FFmpeg can report what failed, and read what it wrote
            _video(Path(file.name).absolute(), ending, counted, film)


def read_recipe(path: Path) -> str:
    """Read the recipe of a film written by `save`. Raises UserError if the file cannot be read or has none."""
    check(path, 1, 1)
    if not path.is_file():
        raise UserError(f"there is no film '{path}'")
    try:
        comment = _comment(path)
    except UserError:
        raise
    except Exception:  # damaged files can make libraries raise anything
        raise UserError(f"cannot read '{path}': it is damaged, or not a film") from None
    if not comment.startswith("{"):
        raise UserError(f"'{path}' contains no recipe: choose a film that ganvas wrote")
    return comment


def is_film(path: Path) -> bool:
    """Whether this is a film and not an image, by its name, or for .webp by its header."""
    if path.suffix.lower() != ".webp":
        return path.suffix.lower() in FORMATS
    with suppress(OSError, ValueError):
        return _is_animated(path)
    return False


def _av(ending: str) -> ModuleType:
    try:
        import av
    except ImportError:
        raise UserError(f"{ending} films need the extra 'video': pip install 'ganvas[video]'") from None
    return av


def _counted(frames: Iterable[np.ndarray], film: Film) -> Iterator[np.ndarray]:
    """The frames; raises ValueError for a wrong size or type, and UserError if there is none."""
    count = 0
    for frame in frames:
        if (
            frame.dtype != np.uint8
            or frame.shape[:2] != (film.height, film.width)
            or frame.shape[2:] not in ((1,), (3,))
        ):
            raise ValueError(f"frame {count} is {frame.dtype} {frame.shape} in a film of {film.height, film.width}")
        yield frame
        count += 1
    if not count:
        raise UserError("a film needs at least one frame: ask for 1 or more")


def _duration(index: int, fps: float, units: int) -> int:
    """The duration of frame `index` in 1 / `units` of a second, rounded so that errors do not accumulate."""
    return round((index + 1) * units / fps) - round(index * units / fps)


def _video(path: Path, ending: str, frames: Iterator[np.ndarray], film: Film) -> None:
    av, codec = _av(ending), FORMATS[ending].codec
    assert codec is not None
    kinds = av.video.reformatter
    converter = kinds.VideoReformatter()
    more = (film.height % 2, film.width % 2) if codec.even else (0, 0)
    options = {"fflags": "+bitexact"}  # no random number in a WebM file: the same film has the same bytes
    if ending == ".mp4":
        options["movflags"] = "faststart"  # playback can start before all of it is loaded
    with av.open(path, "w", format=ending[1:], options=options) as container:
        container.metadata["comment"] = film.comment
        stream = container.add_stream(
            codec.name,
            rate=Fraction(film.fps).limit_denominator(1001),
            options=codec.options,
            height=film.height + more[0],
            width=film.width + more[1],
            pix_fmt="yuv420p",  # supported by every player
            color_range=kinds.ColorRange.MPEG,
            colorspace=BT709,
            color_primaries=BT709,
            color_trc=BT709,
        )
        for frame in frames:
            frame = np.pad(frame, ((0, more[0]), (0, more[1]), (0, 0)), "edge")
            if frame.shape[-1] == 1:
                image = av.VideoFrame.from_ndarray(frame[..., 0], format="gray")
            else:
                image = av.VideoFrame.from_ndarray(frame, format="rgb24")
            image = converter.reformat(
                image,
                format="yuv420p",
                dst_colorspace=kinds.Colorspace.ITU709,
                dst_color_range=kinds.ColorRange.MPEG,
                interpolation=kinds.Interpolation.BICUBIC
                | kinds.Interpolation.ACCURATE_RND,  # else greys become darker
            )
            container.mux(stream.encode(image))
        container.mux(stream.encode())


def _gif(file: IO[bytes], frames: Iterator[np.ndarray], film: Film) -> None:
    """Pillow encodes single frames, as its own films would keep all frames in memory and merge equal ones."""
    greys = bytes(level for level in range(256) for _ in range(3))
    file.write(b"GIF89a" + struct.pack("<HH", film.width, film.height) + b"\xf7\0\0" + greys)
    if film.loop:
        file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0")
    parts = [film.comment[i : i + 255].encode() for i in range(0, len(film.comment), 255)]
    file.write(b"!\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0")
    for i, frame in enumerate(frames):
        colour = frame.shape[-1] == 3
        image = to_pillow(frame).quantize() if colour else to_pillow(frame)
        milliseconds = 10 * _duration(i, film.fps, 100)
        for block in GifImagePlugin.getdata(image, duration=milliseconds, include_color_table=colour):
            file.write(block)
    file.write(b";")


def _webp(file: IO[bytes], frames: Iterator[np.ndarray], film: Film) -> None:
    """As with GIF, Pillow encodes single frames."""
    size = _u24(film.width - 1) + _u24(film.height - 1)
    file.write(b"RIFF\0\0\0\0WEBP")
    file.write(_chunk(b"VP8X", b"\x0a\0\0\0" + size))  # announces frames and EXIF
    file.write(_chunk(b"ANIM", b"\xff\xff\xff\xff" + struct.pack("<H", 0 if film.loop else 1)))
    for i, frame in enumerate(frames):
        still = io.BytesIO()
        to_pillow(frame).save(still, "WEBP", quality=90)
        place = _u24(0) + _u24(0) + size + _u24(_duration(i, film.fps, 1000)) + b"\x02"  # drawn over the previous frame
        file.write(_chunk(b"ANMF", place + still.getvalue()[12:]))
    exif = Image.Exif()
    exif[Base.ImageDescription] = film.comment
    file.write(_chunk(b"EXIF", exif.tobytes().removeprefix(b"Exif\0\0")))
    length = file.tell() - 8
    file.seek(4)
    file.write(struct.pack("<I", length))


def _u24(number: int) -> bytes:
    return number.to_bytes(3, "little")


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _comment(path: Path) -> str:
    """The comment that `save` wrote; empty if there is none."""
    ending = path.suffix.lower()
    with files.open_regular(path) as file:
        if FORMATS[ending].codec:
            with _av(ending).open(file) as container:
                return str({key.lower(): text for key, text in container.metadata.items()}.get("comment", ""))
        if ending == ".webp" and not _is_animated(path):  # a still image may be too large for Pillow to open
            return ""
        with Image.open(file) as image:
            if ending == ".gif":
                return bytes(image.info.get("comment", b"")).decode()
            return str(image.getexif().get(Base.ImageDescription, ""))


def _is_animated(webp: Path) -> bool:
    """Whether a WebP file is animated; raises ValueError if it is not a WebP file."""
    with files.open_regular(webp) as file:
        head = file.read(21).ljust(21)
    if (head[:4], head[8:12]) != (b"RIFF", b"WEBP"):
        raise ValueError("not a WebP file")
    return head[12:16] == b"VP8X" and bool(head[20] & 2)
