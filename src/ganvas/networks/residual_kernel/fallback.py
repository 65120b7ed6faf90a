"""The residual pixel network in optimised PyTorch. Activations have the layout [W, pixels].

A layer is small, so matrix products are fast only over many pixels at once. This needs no compiler and works on every
device and with every float type.
"""

import torch
from torch import Tensor

from ganvas.networks.residual_kernel.weights import Weights

TILE = 2**14  # pixels at a time when painting: their activations stay in the cache


def forward(v: Tensor, coordinates: Tensor, weights: Weights) -> Tensor:
    """v [N, W], coordinates [P, 3] -> logits [N, P, C] without gradients, tile by tile in reused memory."""
    pixels, channels = len(coordinates), len(weights.out_bias)
    logits = v.new_empty(len(v), pixels, channels)
    images_at_once = max(1, TILE // max(1, pixels))
    pixels_at_once = max(1, min(TILE // images_at_once, pixels))
    with torch.no_grad(), torch.autocast(v.device.type, enabled=False):
        scratch = v.new_empty(2, v.shape[1] * images_at_once * pixels_at_once)
        for i in range(0, len(v), images_at_once):
            for p in range(0, pixels, pixels_at_once):
                part = logits[i : i + images_at_once, p : p + pixels_at_once]
                h = _tile(v[i : i + images_at_once], coordinates[p : p + pixels_at_once], weights, scratch)
                torch.add(h.view(channels, *part.shape[:2]).permute(1, 2, 0), weights.out_bias, out=part)
    return logits


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
    """v [N, W], coordinates [P, 3] -> logits [N, P, C], differentiable with respect to all inputs."""
    with torch.autocast(v.device.type, enabled=False):  # 24 blocks in bf16 would lose the image to rounding
        h = _first(v, coordinates, weights)
        for biases, products in zip(weights.bias[..., None], weights.weight, strict=True):
            *layers, last = zip(biases, products, strict=True)
            k = h
            for bias, product in layers:
                k = torch.addmm(bias, product, k).relu_()
            h = h + torch.addmm(*last, k).tanh_()
        logits = torch.addmm(weights.out_bias[:, None], weights.out_weight, h)
        return logits.view(-1, len(v), len(coordinates)).permute(1, 2, 0)


def _first(v: Tensor, coordinates: Tensor, weights: Weights) -> Tensor:
    """The input of the first block: [W, N * P]."""
    place = weights.input @ coordinates.T
    return (v.T[:, :, None] + place[:, None]).tanh_().flatten(1)
