"""Initial weights of convolutional networks; biases start at 0."""

import math
from collections.abc import Callable, Collection

import torch
from torch import nn

from ganvas.networks.conditioning import Head, LabelledConv

STD = 0.02  # from the DCGAN paper; also the standard deviation of a new LabelledConv's label weights

Layer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d


def normal(network: nn.Module, std: float = STD) -> None:
    """Initialise as in the DCGAN paper: weights N(0, std²), batch-norm scales N(1, 0.02²)."""
    _start(network, lambda _: std, STD)


def kaiming(network: nn.Module, slope: float = 0.0, linear: Collection[nn.Module] = ()) -> None:
    """Initialise as in He et al. (2015): weights N(0, gain² / inputs), batch-norm scales 1.

    The gain compensates for the leaky ReLU with this slope after a layer; it is 1 for the network's last layer and the
    layers in `linear`, which have none. So outputs are of order one, with or without norms.
    """
    layers = [module for module in network.modules() if isinstance(module, Layer)]
    linear = {*linear, layers[-1], *(layer for layer in layers if isinstance(layer, Head))}
    gain = nn.init.calculate_gain("leaky_relu", slope)
    _start(network, lambda layer: (1.0 if layer in linear else gain) / math.sqrt(fan_in(layer)), 0.0)


@torch.no_grad()
def cfg_gan(network: nn.Module) -> None:
    """Initialise as in CFG-GAN (Johnson & Zhang, 2018).

    Convolutions N(0, 0.01²), linear layers N(0, 2 / inputs), batch-norm scales uniform in [0, 1].
    """
    _start(network, lambda layer: math.sqrt(2 / fan_in(layer)) if isinstance(layer, nn.Linear) else 0.01, 0.0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)


def fan_in(layer: Layer) -> float:
    """The mean number of inputs of each output of the layer."""
    if isinstance(layer, nn.ConvTranspose2d):  # stride 2 spreads its input over four times as many pixels
        return layer.weight.numel() / layer.out_channels / math.prod(layer.stride)
    return layer.weight[0].numel()


@torch.no_grad()
def _start(network: nn.Module, std: Callable[[Layer], float], scale_std: float) -> None:
    for module in network.modules():
        if isinstance(module, Layer):
            nn.init.normal_(module.weight, 0.0, std(module))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, scale_std)
            nn.init.zeros_(module.bias)
        elif isinstance(module, LabelledConv) and module.num_classes:
            module.label_weight.mul_(std(module.conv) / STD)  # scaled, not redrawn: a seed keeps its weights
