"""EfficientNet-Lite0 with few channels and random weights, as a dictionary in the form of the published one."""

from importlib import invalidate_caches
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ganvas.evaluation.evaluators import imagenet

BLOCKS = [  # (kernel, stride, expansion, channels in and out): as the publication has them, but for the channels
    *[(3, 1, 1, 4, 3)],
    *[(3, 2, 6, 3, 4), (3, 1, 6, 4, 4)],
    *[(5, 2, 6, 4, 5), (5, 1, 6, 5, 5)],
    *[(3, 2, 6, 5, 6), (3, 1, 6, 6, 6), (3, 1, 6, 6, 6)],
    *[(5, 1, 6, 6, 7), (5, 1, 6, 7, 7), (5, 1, 6, 7, 7)],
    *[(5, 2, 6, 7, 8), (5, 1, 6, 8, 8), (5, 1, 6, 8, 8), (5, 1, 6, 8, 8)],
    *[(3, 1, 6, 8, 9)],
]
FEATURES, CLASSES = 10, 11


def small_lite0() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}

    def layer(convolution: str, norm: str, outputs: int, inputs: int, kernel: int) -> None:
        scale = (2 / (inputs * kernel**2)) ** 0.5
        tensors[f"{convolution}.weight"] = scale * torch.randn(outputs, inputs, kernel, kernel, generator=random)
        for key, low, high in (("weight", 0.5, 2), ("bias", -1, 1), ("running_mean", -1, 1), ("running_var", 0.1, 2)):
            tensors[f"{norm}.{key}"] = low + (high - low) * torch.rand(outputs, generator=random)

    layer("_conv_stem", "_bn0", 4, 3, 3)
    for i, (kernel, _, expansion, inputs, outputs) in enumerate(BLOCKS):
        hidden = expansion * inputs
        if expansion > 1:
            layer(f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0", hidden, inputs, 1)
        layer(f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1", hidden, 1, kernel)
        layer(f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2", outputs, hidden, 1)
    layer("_conv_head", "_bn1", FEATURES, BLOCKS[-1][-1], 1)
    tensors["_fc.weight"] = torch.randn(CLASSES, FEATURES, generator=random)
    tensors["_fc.bias"] = torch.randn(CLASSES, generator=random)
    return tensors


def install_small_lite0(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install it in the place of the published weights, in a package below `folder`. Returns its file."""
    file = folder / imagenet.PACKAGE / "models" / imagenet.FILE
    file.parent.mkdir(parents=True)
    (file.parents[1] / "__init__.py").touch()
    torch.save(small_lite0(), file)
    monkeypatch.syspath_prepend(folder)
    invalidate_caches()
    monkeypatch.setattr(imagenet, "SHA256", imagenet.hashlib.sha256(file.read_bytes()).hexdigest())
    return file
