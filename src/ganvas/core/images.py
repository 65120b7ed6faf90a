"""Converting the value ranges and layouts of images; grids; PNG files that contain their own recipe.

Of four channels, the fourth is alpha, and the others are premultiplied: a colour times its alpha, never more than it.
What nobody sees, the colour of transparent pixels, is black then, and colours can be averaged and compared. PNG files
hold the colours themselves.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from ganvas.core import files
from ganvas.core.spec import ImageSpec as ImageSpec

GAP = 2  # pixels between the images of a grid
RECIPE_KEY = "ganvas"  # the PNG text chunk that holds the recipe of an image, as JSON


def from_uint8(pixels: Tensor) -> Tensor:
    """uint8 [B, C, H, W] in 0..255 -> float32 [B, C, H, W] in [-1, 1], channels-last."""
    return pixels.to(torch.float32, memory_format=torch.channels_last).mul_(2 / 255).sub_(1)


def to_uint8(images: Tensor) -> np.ndarray:
    """float [B, C, H, W] in [-1, 1] (clamped) -> uint8 array [B, H, W, C] on the CPU; no colour exceeds its alpha."""
    pixels = images.detach().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    if pixels.shape[1] == 4:
        pixels = torch.minimum(pixels, pixels[:, 3:])
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def straight(pixels: np.ndarray) -> np.ndarray:
    """uint8 [..., C] with the colours themselves instead of premultiplied ones; only images with alpha change."""
    if pixels.shape[-1] != 4:
        return pixels
    alpha = pixels[..., 3:].astype(np.float32)
    colours = (pixels[..., :3] * (255 / np.maximum(alpha, 1))).round().clip(0, 255).astype(np.uint8)
    return np.concatenate([colours, pixels[..., 3:]], -1)


def premultiplied(pixels: np.ndarray) -> np.ndarray:
    """uint8 [..., 4], the inverse of `straight`; other images stay as they are."""
    if pixels.shape[-1] != 4:
        return pixels
    colours = (pixels[..., :3] * (pixels[..., 3:].astype(np.float32) / 255)).round().astype(np.uint8)
    return np.concatenate([colours, pixels[..., 3:]], -1)


def on_white(pixels: np.ndarray) -> np.ndarray:
    """uint8 [..., C] composed on white where it has alpha: [..., 1 or 3]."""
    if pixels.shape[-1] != 4:
        return pixels
    alpha = pixels[..., 3:]
    composed: np.ndarray = np.minimum(pixels[..., :3], alpha) + (255 - alpha)
    return composed


def grid(images: np.ndarray, columns: int, gap: int = GAP) -> np.ndarray:
    """uint8 [B, H, W, C] -> one uint8 image [H', W', C], row by row, with a gap in pixels and a filled-up last row.

    The gaps are white; between images with alpha they are transparent.
    """
    count, height, width, channels = images.shape
    rows, ground = -(-count // columns), 0 if channels == 4 else 255
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), ground, np.uint8)
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + gap) + gap, (i % columns) * (width + gap) + gap
        sheet[y : y + height, x : x + width] = image
    return sheet


def square_columns(count: int) -> int:
    """The number of columns of the most nearly square grid that holds `count` images."""
    return max(1, int(np.ceil(np.sqrt(count))))


def enlarge(image: np.ndarray, least: int = 640) -> np.ndarray:
    """Repeat pixels (no blur) by the smallest integer factor that makes the longer side at least `least` pixels."""
    factor = max(1, -(-least // max(image.shape[:2])))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def save_png(path: Path, image: np.ndarray, recipe: Mapping[str, Any] | None = None) -> None:
    """Write uint8 [H, W, 1, 3 or 4] as a PNG file, atomically; `recipe` (JSON values) is stored in the file."""
    files.write(path, png(image, recipe))


def png(image: np.ndarray, recipe: Mapping[str, Any] | None = None) -> bytes:
    """The content of a PNG file of uint8 [H, W, 1, 3 or 4] with its `recipe`."""
    info, buffer = PngInfo(), io.BytesIO()
    if recipe is not None:
        info.add_text(RECIPE_KEY, json.dumps(recipe))
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else straight(image)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def load_png(path: Path) -> tuple[np.ndarray, dict[str, Any] | None]:
    """Read an image written by `save_png`: uint8 [H, W, C] and its recipe."""
    with files.open_regular(path) as opened, Image.open(opened) as file:
        text = file.info.get(RECIPE_KEY)
        pixels = np.asarray(file)
    return premultiplied(pixels.reshape(*pixels.shape[:2], -1)), json.loads(text) if text else None
