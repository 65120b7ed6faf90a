"""What an evaluator is: a fixed network that turns images into features and class probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganvas.compute.device import deterministic
from ganvas.core.images import ImageSpec
from ganvas.evaluation.evaluators.facts import Facts

BATCH = 250
LUMA = (0.299, 0.587, 0.114)  # Rec. 601: the weights of red, green and blue in grey


class Measured(NamedTuple):
    """The output of an evaluator for N images, on the CPU."""

    features: Tensor  # float32 [N, F]
    probabilities: Tensor  # float32 [N, classes]


@dataclass(frozen=True)
class Evaluator:
    """A fixed network from whose output scores are computed.

    name, sha256: identify the evaluator; scores of different evaluators cannot be compared
    size, channels: of its input; images are scaled to the size and converted to grey or colour
    scaling: how they are scaled, as text
    classes: the classes of its probabilities, in order; empty if they are unnamed
    facts: its settings, data and test accuracy; None for imagenet and inception
    network: uint8 [B, channels, H, W] on `device` -> features [B, F], probabilities [B, classes]
    why: why it was chosen, as text
    """

    name: str
    sha256: str
    size: int
    channels: int
    scaling: str
    classes: tuple[str, ...]
    facts: Facts | None
    network: Callable[[Tensor], tuple[Tensor, Tensor]]
    device: torch.device
    why: str = ""

    def measure(self, images: np.ndarray) -> Measured:
        """uint8 [N, C, H, W] -> features and probabilities; except for rounding, images do not affect each other."""
        found = []
        with torch.no_grad(), deterministic():
            for start in range(0, len(images), BATCH):
                pixels = torch.tensor(images[start : start + BATCH], device=self.device)
                found.append([part.float().cpu() for part in self.network(_with_channels(pixels, self.channels))])
        features, probabilities = (torch.cat(parts) for parts in zip(*found, strict=True))
        return Measured(features, probabilities)

    def resize(self, spec: ImageSpec) -> str:
        """How images of `spec` are brought to the evaluator's input, as text."""
        parts = ["composed on white"] if spec.channels == 4 else []
        if (spec.height, spec.width) != (self.size, self.size):
            parts += [self.scaling] if spec.height == spec.width else [self.scaling, "stretched to a square"]
        return ", ".join(parts) or "none"

    def knows(self, classes: Sequence[str]) -> bool:
        """Whether the probabilities are of these classes."""
        return bool(classes) and self.classes == tuple(classes)


def _with_channels(pixels: Tensor, channels: int) -> Tensor:
    """uint8 [B, 1, 3 or 4, H, W] -> uint8 [B, channels, H, W]; what has alpha is composed on white."""
    if pixels.shape[1] == 4:
        alpha = pixels[:, 3:]
        pixels = torch.minimum(pixels[:, :3], alpha) + (255 - alpha)
    if pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(-1, 3, -1, -1)
    luma = torch.tensor(LUMA, device=pixels.device)[:, None, None]
    return (pixels * luma).sum(1, keepdim=True).round().to(torch.uint8)
