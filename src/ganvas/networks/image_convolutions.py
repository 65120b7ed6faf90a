"""Faster convolutions between an image, which has few channels, and feature maps, on a CPU.

They compute the same as nn.Conv2d and nn.ConvTranspose2d. PyTorch's CPU kernels are slow at computing the image from
the maps: 5x5 with stride 2 between one channel and 64 runs at a tenth of the speed of a matrix product. Here this
direction is a matrix product: each pixel of the maps times the kernel gives a patch of the image, and overlapping
patches are summed. The other directions are convolutions in channels-last layout. On other devices these classes are
the plain layers.
"""

from itertools import product
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

Pair = tuple[int, ...]


class FromImage(nn.Conv2d):
    """image [B, C, H, W] -> maps [B, O, h, w]; zero padding, no dilation or groups."""

    def forward(self, image: Tensor) -> Tensor:
        if image.device.type != "cpu":
            return super().forward(image)
        image, weight, bias = _autocast(image, self.weight, self.bias)
        maps = _convolve(image, weight, self.stride, cast(Pair, self.padding), bias)
        return maps


class ToImage(nn.ConvTranspose2d):
    """maps [B, O, h, w] -> image [B, C, H, W]; no dilation or groups."""

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        if maps.device.type != "cpu" or output_size is not None:
            return super().forward(maps, output_size)
        padding = cast(Pair, self.padding)
        given = zip(maps.shape[2:], self.stride, padding, self.kernel_size, self.output_padding, strict=True)
        side = tuple((n - 1) * stride - 2 * pad + kernel + more for n, stride, pad, kernel, more in given)
        maps, weight, bias = _autocast(maps, self.weight, self.bias)
        image = _spread(maps, weight, side, self.stride, padding)
        return image if bias is None else image + bias[:, None, None]


def _autocast(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """The three tensors in the number format that PyTorch's own layers would use under the current autocast."""
    if not torch.is_autocast_enabled("cpu"):
        return x, weight, bias
    dtype = torch.get_autocast_dtype("cpu")
    return x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)


def _convolve(image: Tensor, weight: Tensor, stride: Pair, padding: Pair, bias: Tensor | None = None) -> Tensor:
    maps: Tensor = _FromImage.apply(image, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
    return maps


def _spread(maps: Tensor, weight: Tensor, side: Pair, stride: Pair, padding: Pair) -> Tensor:
    image: Tensor = _ToImage.apply(maps, weight, side, stride, padding)  # type: ignore[no-untyped-call]
    return image


class _FromImage(torch.autograd.Function):
    """The convolution with its gradients as described above. They are differentiable, as gradient penalties need."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(_pixels_first(image), weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (image, weight) = gradients, ctx.saved_tensors
        to_image = to_weight = to_bias = None
        if ctx.needs_input_grad[0]:
            to_image = _spread(gradient, weight, tuple(image.shape[2:]), ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            to_weight = conv2d_weight(_pixels_first(image), weight.shape, gradient, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[2]:
            to_bias = gradient.sum((0, 2, 3))
        return to_image, to_weight, to_bias, None, None


class _ToImage(torch.autograd.Function):
    """The transposed convolution, as a sum of patches."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, side: Pair, stride: Pair, padding: Pair) -> Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.stride, ctx.padding = stride, padding
        pixels = maps.permute(0, 2, 3, 1).flatten(0, 2)  # [B * h * w, O]
        patches = (weight.flatten(1).t() @ pixels.t()).view(*weight.shape[1:], len(maps), *maps.shape[2:])
        return _add_up(patches, side, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (maps, weight) = gradients, ctx.saved_tensors
        to_maps = to_weight = None
        if ctx.needs_input_grad[0]:
            to_maps = _convolve(gradient, weight, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            to_weight = conv2d_weight(_pixels_first(gradient), weight.shape, maps, ctx.stride, ctx.padding)
        return to_maps, to_weight, None, None, None


def _pixels_first(image: Tensor) -> Tensor:
    """The image [B, C, H, W] with the strides of the channels-last layout, even if it has one channel.

    The usual strides of a one-channel image fit both layouts, and the convolution would then return the layout that
    slows down the next layers.
    """
    if image.shape[1] > 1:
        return image.contiguous(memory_format=torch.channels_last)
    return image.contiguous().view(len(image), *image.shape[2:], 1).permute(0, 3, 1, 2)


def _add_up(patches: Tensor, side: Pair, stride: Pair, padding: Pair) -> Tensor:
    """Sum the patches [C, k, k, B, h, w], one for each pixel of the maps, where they overlap: image [B, C, *side].

    In `canvas`, pixels of the image that are one stride apart are adjacent, so that each position in the kernel is
    added with one operation. Sums are computed in float32 or wider.
    """
    channels, *kernel, images, h, w = patches.shape
    most = [n + (k - 1) // s for n, k, s in zip((h, w), kernel, stride, strict=True)]
    rows, columns = (max(n, -(-(p + m) // s)) for n, p, m, s in zip(most, padding, side, stride, strict=True))
    dtype = torch.promote_types(patches.dtype, torch.float32)
    canvas = patches.new_zeros(channels, *stride, images, rows, columns, dtype=dtype)
    for c, y, x in product(range(channels), range(kernel[0]), range(kernel[1])):
        top, left = y // stride[0], x // stride[1]
        canvas[c, y % stride[0], x % stride[1], :, top : top + h, left : left + w] += patches[c, y, x]
    image = canvas.to(patches.dtype).permute(3, 0, 4, 1, 5, 2).flatten(4).flatten(2, 3)
    return image[:, :, padding[0] : padding[0] + side[0], padding[1] : padding[1] + side[1]]
