"""Convolutions with an image on one side, whose few channels leave a CPU's convolution kernels with little to do.

They are nn.Conv2d and nn.ConvTranspose2d in all but time. What the kernels do badly is the way back to the image: 5x5
with stride 2 between one channel and 64 runs at a tenth of the speed of a matrix product. So there it is one: each
pixel of the maps times the kernel gives a patch of the image, and patches are added up where they overlap; and the
gradient of the kernel is the product of all patches with all maps. Elsewhere (GPU, bf16 autocast) they are the plain
layers.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pair = tuple[int, ...]


class FromImage(nn.Conv2d):
    """image [B, C, H, W] -> maps [B, O, h, w]; zero padding, no dilation or groups."""

    def forward(self, image: Tensor) -> Tensor:
        if not _pays(image):
            return super().forward(image)
        maps = _convolve(image, self.weight, self.stride, cast(Pair, self.padding))
        return maps if self.bias is None else maps + self.bias[:, None, None]


class ToImage(nn.ConvTranspose2d):
    """maps [B, O, h, w] -> image [B, C, H, W]; no dilation or groups."""

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not _pays(maps) or output_size is not None:
            return super().forward(maps, output_size)
        padding = cast(Pair, self.padding)
        given = zip(maps.shape[2:], self.stride, padding, self.kernel_size, self.output_padding, strict=True)
        side = tuple((n - 1) * stride - 2 * pad + kernel + more for n, stride, pad, kernel, more in given)
        image = _spread(maps, self.weight, side, self.stride, padding)
        return image if self.bias is None else image + self.bias[:, None, None]


def _pays(x: Tensor) -> bool:
    return x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


def _convolve(image: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    maps: Tensor = _FromImage.apply(image, weight, stride, padding)  # type: ignore[no-untyped-call]
    return maps


def _spread(maps: Tensor, weight: Tensor, side: Pair, stride: Pair, padding: Pair) -> Tensor:
    image: Tensor = _ToImage.apply(maps, weight, side, stride, padding)  # type: ignore[no-untyped-call]
    return image


class _FromImage(torch.autograd.Function):
    """The convolution, with the gradients described above; they can be differentiated again, as penalties need."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.stride, ctx.padding = stride, padding
        # Of one channel no layout can be told, so the convolution answers in the one that slows down what comes next.
        return F.conv2d(image, weight, None, stride, padding).contiguous(memory_format=torch.channels_last)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (image, weight) = gradients, ctx.saved_tensors
        to_image = to_weight = None
        if ctx.needs_input_grad[0]:
            to_image = _spread(gradient, weight, tuple(image.shape[2:]), ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            to_weight = _weight_gradient(image, gradient, weight, ctx.stride, ctx.padding)
        return to_image, to_weight, None, None


class _ToImage(torch.autograd.Function):
    """Its transpose: patches, added up."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, side: Pair, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.stride, ctx.padding = stride, padding
        patches = weight.flatten(1).t() @ maps.flatten(2)  # [B, C * k * k, h * w]
        return F.fold(patches, side, weight.shape[2:], padding=padding, stride=stride)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (maps, weight) = gradients, ctx.saved_tensors
        to_maps = to_weight = None
        if ctx.needs_input_grad[0]:
            to_maps = F.conv2d(gradient, weight, None, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            to_weight = _weight_gradient(gradient, maps, weight, ctx.stride, ctx.padding)
        return to_maps, to_weight, None, None, None


def _weight_gradient(image: Tensor, maps: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    """The sum of all patches of the image, each times its pixel of the maps: [O, C, k, k]."""
    (height, width), channels = weight.shape[2:], image.shape[1]
    padded = F.pad(image, (padding[1], padding[1], padding[0], padding[0]))
    patches = padded.unfold(2, height, stride[0]).unfold(3, width, stride[1])  # [B, C, h, w, k, k]
    patches = patches[:, :, : maps.shape[2], : maps.shape[3]].permute(0, 2, 3, 1, 4, 5)
    columns = patches.reshape(-1, channels * height * width)
    return (maps.permute(0, 2, 3, 1).flatten(0, 2).t() @ columns).view_as(weight)
