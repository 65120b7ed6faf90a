"""Ways for a label to enter a network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.images import ImageSpec


def with_label(features: Tensor, labels: Tensor | None, num_classes: int) -> Tensor:
    """features [B, F] with the one-hot label appended: [B, F + num_classes]; unchanged when there are no classes."""
    if num_classes == 0:
        return features
    if labels is None:
        raise ValueError("a conditional network needs labels")
    return torch.cat([features, F.one_hot(labels, num_classes).to(features.dtype)], dim=1)


class LabelMaps(nn.Module):
    """What a convolution adds to its output when the one-hot label is stacked on its image as constant feature maps.

    The maps are the same for all images of a class, so each class is convolved once instead of each image: equal to
    concatenation, at 1/B of its cost. labels [B] -> [B, out, H/2, W/2].
    """

    def __init__(self, spec: ImageSpec, conv: nn.Conv2d) -> None:
        super().__init__()
        self.num_classes, self.stride, self.padding = spec.num_classes, conv.stride, conv.padding
        kernel_height, kernel_width = conv.kernel_size
        self.weight = nn.Parameter(torch.empty(spec.num_classes, conv.out_channels, kernel_height, kernel_width))
        nn.init.normal_(self.weight, 0.0, 0.02)
        self.register_buffer("ones", torch.ones(1, 1, spec.height, spec.width), persistent=False)

    def forward(self, labels: Tensor) -> Tensor:
        ones: Tensor = self.get_buffer("ones")
        kernels = self.weight.flatten(0, 1)[:, None]  # [classes * out, 1, k, k]
        maps = F.conv2d(ones, kernels, None, self.stride, self.padding)  # [1, classes * out, h, w]
        height, width = maps.shape[-2:]
        maps = maps.view(self.num_classes, -1, height * width).transpose(1, 2)  # [classes, h * w, out]: channels last
        # A matrix product picks the map of each label: unlike indexing, its gradient is deterministic on every device.
        picked = F.one_hot(labels, self.num_classes).to(maps.dtype) @ maps.flatten(1)
        return picked.view(len(labels), height, width, -1).permute(0, 3, 1, 2)
