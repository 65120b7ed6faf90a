"""Converting the value ranges and layouts of images; grids; PNG files that contain their own recipe."""

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
    """float [B, C, H, W] in [-1, 1] (clamped) -> uint8 array [B, H, W, C] on the CPU."""
    pixels = images.detach().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def grid(images: np.ndarray, columns: int, gap: int = GAP) -> np.ndarray:
    """uint8 [B, H, W, C] -> one uint8 image [H', W', C], row by row, with a gap in pixels and a filled-up last row."""
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
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
    """Write uint8 [H, W, 1 or 3] as a PNG file, atomically; `recipe` (JSON values) is stored in the file."""
    files.write(path, png(image, recipe))


def png(image: np.ndarray, recipe: Mapping[str, Any] | None = None) -> bytes:
    """The content of a PNG file of uint8 [H, W, 1 or 3] with its `recipe`."""
    info, buffer = PngInfo(), io.BytesIO()
    if recipe is not None:
        info.add_text(RECIPE_KEY, json.dumps(recipe))
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def load_png(path: Path) -> tuple[np.ndarray, dict[str, Any] | None]:
    """Read an image written by `save_png`: uint8 [H, W, C] and its recipe."""
    with files.open_regular(path) as opened, Image.open(opened) as file:
        text = file.info.get(RECIPE_KEY)
        pixels = np.asarray(file)
    return pixels.reshape(*pixels.shape[:2], -1), json.loads(text) if text else None
