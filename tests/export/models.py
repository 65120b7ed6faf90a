"""Models of every kind of network, with random weights."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import torch

from ganvas.compute.device import choose
from ganvas.core.images import ImageSpec
from ganvas.methods import CFGGAN
from ganvas.networks.cppn import PixelGenerator
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import Model

CFG = {"name": "cfg_gan", "latent_size": 8, "steps": 3, "pool": 8, "eta": 0.5}
PLAIN = {"name": "gan", "latent_size": 8}
CASES: dict[str, tuple[ImageSpec, dict[str, Any]]] = {
    "mlp": (ImageSpec(1, 16, 16, 0), {"network": {"name": "mlp", "hidden": [12, 9]}, "method": PLAIN}),
    "conditional dcgan with averaged weights": (ImageSpec(3, 16, 16, 3), {"method": {"ema_images": 50}}),
    "dcgan of odd sides": (ImageSpec(1, 13, 10, 0), {"method": {**PLAIN, "latent": "uniform"}}),
    "dcgan of kernel 4 without norms": (
        ImageSpec(1, 16, 16, 0),
        {"network": {"name": "dcgan", "base": 8, "kernel": 4, "g_norm": "none"}, "method": PLAIN},
    ),
    "dcgan with pointwise convolutions": (
        ImageSpec(1, 16, 16, 0),
        {
            "network": {"name": "dcgan", "base": 8, "pointwise": True, "init": "kaiming", "d_norm": "none"},
            "method": {"name": "wgan_gp", "latent_size": 8},
        },
    ),
    "conditional resnet": (
        ImageSpec(3, 13, 16, 3),
        {"network": {"name": "resnet", "base": 4, "g_blocks": 2, "d_blocks": 2}},
    ),
    "cppn residual": (
        ImageSpec(1, 12, 12, 3),
        {"network": {"name": "cppn", "width": 6, "blocks": 5}, "method": {"name": "residual_cppn"}},
    ),
    "cppn softplus": (
        ImageSpec(1, 12, 12, 0),
        {"network": {"name": "cppn", "kind": "softplus", "width": 12, "std": 0.4}, "method": {"name": "cppn_vae_gan"}},
    ),
    "cppn relu": (
        ImageSpec(3, 12, 12, 0),
        {"network": {"name": "cppn", "kind": "relu", "width": 9}, "method": {"name": "cppn_vae_gan"}},
    ),
    "conditional cppn tanh": (ImageSpec(3, 9, 12, 3), {"network": {"name": "cppn", "kind": "tanh", "width": 8}}),
    "cfg_gan dcgan": (
        ImageSpec(1, 13, 16, 0),
        {
            "network": {"name": "dcgan", "base": 8, "pointwise": True, "init": "kaiming", "d_norm": "none"},
            "method": CFG,
        },
    ),
    "cfg_gan resnet of odd sides": (
        ImageSpec(3, 13, 10, 0),
        {"network": {"name": "resnet", "base": 4, "g_blocks": 2, "d_blocks": 2}, "method": CFG},
    ),
    "cfg_gan resnet with layer norms": (
        ImageSpec(1, 16, 16, 0),
        {"network": {"name": "resnet", "base": 4, "g_blocks": 2, "d_blocks": 2, "d_norm": "layer"}, "method": CFG},
    ),
}


def make(tiny: Callable[..., Recipe], case: str) -> Model:
    """A model with random weights; those of its averages differ, and batch norms have seen something."""
    spec, changes = CASES[case]
    method = tiny(**changes).build(spec, choose("cpu", "fp32"), training=False)
    if isinstance(method, CFGGAN):
        method.moves = method.settings.steps
        for d in method.stored:  # each with weights of its own
            for weight in d.parameters():
                weight.data.mul_(torch.empty_like(weight).uniform_(0.7, 1.3))
    for generator in (*method.averages.values(), method.modules["G"]):
        generator.train()
        labels = torch.arange(32) % spec.num_classes if method.conditional else None
        for weight in generator.parameters():
            weight.data.mul_(torch.empty_like(weight).uniform_(0.5, 1.5))
            if weight.dim() > 1 and not isinstance(generator, PixelGenerator):
                weight.data.mul_(1 / weight.std() / weight[0].numel() ** 0.5)  # images with all shades
        if isinstance(generator, PixelGenerator) and generator.pixels.config.kind == "residual":
            generator.pixels.place.weight.data.mul_(10)
            generator.pixels.output.weight.data.mul_(15)
        generator(method.latents(range(32)), labels)
    run = SimpleNamespace(
        recipe=lambda: SimpleNamespace(name="tiny"), info=lambda: SimpleNamespace(data=SimpleNamespace(name="pictures"))
    )
    return Model(method, cast(Any, run), 60, ("a", "b", "c")[: spec.num_classes], "5e", 0.0)
