"""How labels enter a network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """labels [B] -> bool [B, num_classes]; unlike F.one_hot it never waits for the device to check them.

    Between classes, labels are shares of the classes, float [B, num_classes], and stay as they are.
    """
    if labels.is_floating_point():
        return labels
    return labels[:, None] == torch.arange(num_classes, device=labels.device)


def with_label(features: Tensor, labels: Tensor | None, num_classes: int) -> Tensor:
    """features [B, F] with the one-hot label appended: [B, F + num_classes]; unchanged when there are no classes."""
    if num_classes == 0:
        return features
    if labels is None:
        raise ValueError("a conditional network needs labels")
    return torch.cat([features, one_hot(labels, num_classes).to(features.dtype)], dim=1)


class LabelledConv(nn.Module):
    """A convolution over features and one-hot label maps, followed by a norm.

    The label maps are constant and the same for all images of a class, so each class is convolved once instead of each
    image: the result equals that of concatenation, at a fraction of the cost. features [B, in, H, W], labels [B] ->
    [B, out, H', W'].
    """

    def __init__(self, conv: nn.Conv2d, side: tuple[int, int], num_classes: int, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm, self.num_classes = conv, norm, num_classes
        if num_classes:
            self.label_weight = nn.Parameter(torch.empty(num_classes, conv.out_channels, *conv.kernel_size))
            nn.init.normal_(self.label_weight, 0.0, 0.02)
            self.register_buffer("ones", torch.ones(1, 1, *side), persistent=False)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        features = self.conv(features)
        if self.num_classes:
            if labels is None:
                raise ValueError("a conditional network needs labels")
            features = features + self.label_maps(labels)
        normalised: Tensor = self.norm(features)
        return normalised

    def label_maps(self, labels: Tensor) -> Tensor:
        """The convolved label maps, [B, out, H', W']."""
        kernels = self.label_weight.flatten(0, 1)[:, None]  # [classes * out, 1, k, k]
        maps = F.conv2d(self.get_buffer("ones"), kernels, None, self.conv.stride, self.conv.padding)
        height, width = maps.shape[-2:]
        maps = maps.view(self.num_classes, -1, height * width).transpose(1, 2)  # [classes, h * w, out]: channels last
        # A matrix product selects the map of each label: unlike indexing, it has a deterministic gradient everywhere.
        picked = one_hot(labels, self.num_classes).to(maps.dtype) @ maps.flatten(1)
        return picked.view(len(labels), height, width, -1).permute(0, 3, 1, 2)


class Head(nn.Linear):
    """The last layer of a discriminator. features [B, F], labels [B] -> logits [B, outputs].

    With classes, the last logit also has weights that belong to the class of the image, which makes a projection
    discriminator (Miyato & Koyama, 2018).
    """

    def __init__(self, features: int, outputs: int, num_classes: int) -> None:
        super().__init__(features, outputs)
        self.num_classes = num_classes
        self.by_class = nn.Linear(features, num_classes, bias=False) if num_classes else None

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = super().forward(features)
        if self.by_class is None:
            return logits
        if labels is None:
            raise ValueError("a conditional network needs labels")
        projected: Tensor = self.by_class(features)  # [B, classes]
        mine = (projected * one_hot(labels, self.num_classes)).sum(1, keepdim=True)
        return torch.cat([logits[:, :-1], logits[:, -1:] + mine], 1)
