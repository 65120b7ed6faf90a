"""The residual pixel network: few units and many layers.

With h = tanh(v + Wc·coordinates), then for each block h = h + tanh(A5·relu(... relu(A1·h + b1) ...) + b5), the logits
are w·h + b. Without the kernel it is computed by optimised PyTorch, with activations in the layout [W, pixels]: a layer
is so small that matrix products are fast only over many pixels at once. That needs no compiler and works on every
device and with every float type.
"""

import functools

import torch
from torch import Tensor

from ganvas.networks.kernels import native
from ganvas.networks.kernels.weights import Weights

MAX_WIDTH = 32  # units of the kernel; loops over them are unrolled
TILE = 2**14  # pixels at a time when painting in PyTorch: their activations stay in the cache


def logits(v: Tensor, coordinates: Tensor, weights: Weights) -> Tensor:
    """v [N, W], coordinates [P, 3] -> logits [N, P, C].

    `v` is the contribution of the latent and the bias to the first layer. The kernel's gradients cannot be
    differentiated again. It is not used if the coordinates need a gradient.
    """
    v = v.to(weights.weight.dtype)  # under autocast it has a lower precision
    kernel = load(v.shape[1])[0] if native.fits(v, coordinates, *weights) and status(v.shape[1])[0] else None
    if not native.need_gradients(v, coordinates, *weights):
        return kernel.forward(v, coordinates, weights) if kernel else forward(v, coordinates, weights)
    if kernel is None or coordinates.requires_grad:
        return differentiable(v, coordinates, weights)
    found: Tensor = native.Logits.apply(kernel, (), v, coordinates, *weights)  # type: ignore[no-untyped-call]
    return found


def status(width: int = 6) -> tuple[bool, str]:
    """(whether networks of this width use the kernel, why); compiles the kernel if necessary."""
    if off := native.switched_off():
        return False, off
    kernel, why = load(width)
    return kernel is not None, why


@functools.cache
def load(width: int) -> tuple[native.Kernel | None, str]:
    """The kernel for a width and its description; or None and the reason. The first call may take seconds."""
    if width > MAX_WIDTH:
        return None, f"it supports up to {MAX_WIDTH} units, not {width}"
    return native.load("residual", lambda kernel: native.agrees(kernel, differentiable, width, (2, 3)), WIDTH=width)


def forward(v: Tensor, coordinates: Tensor, weights: Weights) -> Tensor:
    """The logits in PyTorch, without gradients, tile by tile in reused memory."""
    pixels, channels = len(coordinates), len(weights.out_bias)
    found = v.new_empty(len(v), pixels, channels)
    images_at_once = max(1, TILE // max(1, pixels))
    pixels_at_once = max(1, min(TILE // images_at_once, pixels))
    with torch.no_grad(), torch.autocast(v.device.type, enabled=False):
        scratch = v.new_empty(2, v.shape[1] * images_at_once * pixels_at_once)
        for i in range(0, len(v), images_at_once):
            for p in range(0, pixels, pixels_at_once):
                part = found[i : i + images_at_once, p : p + pixels_at_once]
                h = _tile(v[i : i + images_at_once], coordinates[p : p + pixels_at_once], weights, scratch)
                torch.add(h.view(channels, *part.shape[:2]).permute(1, 2, 0), weights.out_bias, out=part)
    return found


def _tile(v: Tensor, coordinates: Tensor, weights: Weights, scratch: Tensor) -> Tensor:
    """The logits of a tile without their bias: [C, N * P]."""
    h = _first(v, coordinates, weights)
    k, spare = (memory[: h.numel()].view_as(h) for memory in scratch)
    for biases, products in zip(weights.bias[..., None], weights.weight, strict=True):
        *layers, last = zip(biases, products, strict=True)
        before = h
        for bias, product in layers:
            torch.addmm(bias, product, before, out=k).relu_()
            before, k, spare = k, spare, k
        h += torch.addmm(*last, before, out=k).tanh_()
    return weights.out_weight @ h


def differentiable(v: Tensor, coordinates: Tensor, weights: Weights) -> Tensor:
    """The logits in PyTorch, differentiable with respect to all inputs."""
    with torch.autocast(v.device.type, enabled=False):  # 24 blocks in bf16 would lose the image to rounding
        h = _first(v, coordinates, weights)
        for biases, products in zip(weights.bias[..., None], weights.weight, strict=True):
            *layers, last = zip(biases, products, strict=True)
            k = h
            for bias, product in layers:
                k = torch.addmm(bias, product, k).relu_()
            h = h + torch.addmm(*last, k).tanh_()
        found = torch.addmm(weights.out_bias[:, None], weights.out_weight, h)
        return found.view(-1, len(v), len(coordinates)).permute(1, 2, 0)


def _first(v: Tensor, coordinates: Tensor, weights: Weights) -> Tensor:
    """The input of the first block: [W, N * P]."""
    place = weights.input @ coordinates.T
    return (v.T[:, :, None] + place[:, None]).tanh_().flatten(1)
