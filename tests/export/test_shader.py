"""The shader's weights, used in their order by a restatement of the shader in float64."""

import re

import numpy as np
import pytest
import torch

from ganvas.core.errors import UserError
from ganvas.export import glsl, shader
from ganvas.networks.cppn import CPPN, PixelNetwork
from ganvas.networks.view import View
from ganvas.painting.painter import random_network
from ganvas.painting.subjects import Subject, random_latent

LATENT = 5


def network(kind: str, width: int, channels: int) -> PixelNetwork:
    torch.manual_seed(0)
    return CPPN.model_validate({"kind": kind, "width": width, "blocks": 3}).network(channels, LATENT)


class Restated:
    """The shader, statement by statement."""

    def __init__(self, network: PixelNetwork, z: torch.Tensor) -> None:
        self.network, self.lanes = network, shader.lanes(network)
        self.weight = shader.weights(network).astype(np.float64)
        self.start = shader.start(network, z).astype(np.float64)
        self.at = 0

    def linear(self, h: list[np.ndarray]) -> np.ndarray:
        u = self.weight[self.at].copy()
        self.at += 1
        for i in range(self.lanes):
            u += self.weight[self.at : self.at + 4].T @ h[i]
            self.at += 4
        return u

    def layer(self, h: list[np.ndarray]) -> list[np.ndarray]:
        return [self.linear(h) for _ in range(self.lanes)]

    def paint(self, x: float, y: float, r: float) -> np.ndarray:
        u = [self.start[i] + self.weight[3 * i : 3 * i + 3].T @ (x, y, r) for i in range(self.lanes)]
        self.at, kind = 3 * self.lanes, self.network.config.kind
        if kind == "residual":
            h = [np.tanh(each) for each in u]
            for _ in range(3):
                k = h
                for _ in range(4):
                    k = [np.maximum(each, 0) for each in self.layer(k)]
                h = [old + np.tanh(new) for old, new in zip(h, self.layer(k), strict=True)]
        else:
            first = {"softplus": lambda v: np.log1p(np.exp(v)), "tanh": np.tanh, "relu": lambda v: np.maximum(v, 0)}
            h = [first[kind](each) for each in u]
            for number in range({"softplus": 3, "tanh": 7, "relu": 14}[kind]):
                relu = kind == "relu" and number % 2 == 1
                h = [np.maximum(each, 0) if relu else np.tanh(each) for each in self.layer(h)]
        logits = self.weight[self.at].copy()
        self.at += 1
        channels = self.network.output.out_features
        for channel in range(channels):
            for i in range(self.lanes):
                logits[channel] += self.weight[self.at] @ h[i]
                self.at += 1
        assert self.at == len(self.weight)
        return 1 / (1 + np.exp(-logits[:channels]))


@pytest.mark.parametrize(("kind", "width"), [("residual", 6), ("softplus", 9), ("tanh", 8), ("relu", 7)])
@pytest.mark.parametrize("channels", [1, 3])
@torch.no_grad()
def test_the_order_of_the_weights(kind: str, width: int, channels: int) -> None:
    G, z, place = network(kind, width, channels), torch.randn(LATENT), View(3, 4).coordinates()
    restated = Restated(G, z)
    found = np.array([restated.paint(*each) for each in place.double().numpy()])
    np.testing.assert_allclose(found, G(z[None], place)[0].numpy(), atol=2e-6)


def subject(kind: str, colour: bool = False) -> Subject:
    painter = random_network(kind, 3, colour=colour, device="cpu")
    return Subject(painter, random_latent(painter, 1), "seed 1")


@pytest.mark.parametrize("kind", ["residual:3x6", "softplus:2x8", "tanh:3x5"])
def test_the_source_is_self_contained(kind: str) -> None:
    text = glsl.render(subject(kind))
    assert text.isascii()
    numbers = re.findall(r"vec4\(([^()]*)\)[,\n]", text)
    stored = np.array([[float(number) for number in row.split(",")] for row in numbers], np.float32)
    painter = subject(kind).painter
    count = len(shader.weights(painter.network))
    np.testing.assert_array_equal(stored[:count], shader.weights(painter.network))
    assert all("." in number or "e" in number for row in numbers for number in row.split(","))


def test_a_shader_of_too_many_weights_is_refused() -> None:
    with pytest.raises(UserError, match="use --to html"):
        glsl.render(subject("tanh:20x64"))
