import numpy as np
import pytest
import torch
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.core.settings import parse
from ganvas.networks.cppn import CPPN, PixelNetwork, ResidualNetwork
from ganvas.networks.view import View

KINDS = ("residual", "softplus", "tanh", "relu")


def network(channels: int = 1, latent_size: int = 4, **settings: object) -> PixelNetwork:
    torch.manual_seed(0)
    return CPPN.model_validate(settings).network(channels, latent_size)


def damped(kind: str, channels: int = 1, width: int | None = None) -> PixelNetwork:
    """Weights so small that rounding errors do not grow from layer to layer."""
    std = {"residual": 0.3, "relu": 0.2}.get(kind, 0.12)
    block_std = 0.5 * (6 / (width or 6)) ** 0.5
    return network(channels, kind=kind, width=width, std=std, block_std=block_std, residual_std=0.1)


def restated(network: PixelNetwork, kind: str, z: Tensor, place: Tensor) -> np.ndarray:
    """The network written down again, pixel by pixel, in float64 numpy."""
    w = {name: value.double().numpy() for name, value in network.state_dict().items()}
    images = []
    for latent in z.double().numpy():
        pixels = []
        for x, y, r in place.double().numpy():
            u = w["latent.weight"] @ (network.scale * latent) + w["latent.bias"]
            u = u + w["place.weight"][:, 0] * x + w["place.weight"][:, 1] * y + w["place.weight"][:, 2] * r
            if kind == "residual":
                h = np.tanh(u)
                for A, b in zip(w["weight"], w["bias"], strict=True):
                    k = h
                    for i in range(len(A) - 1):
                        k = np.maximum(A[i] @ k + b[i], 0)
                    h = h + np.tanh(A[-1] @ k + b[-1])
            else:
                h = {"softplus": np.log1p(np.exp(u)), "tanh": np.tanh(u), "relu": np.maximum(u, 0)}[kind]
                for i in range({"softplus": 3, "tanh": 7, "relu": 14}[kind]):
                    h = w[f"layers.{i}.weight"] @ h + w[f"layers.{i}.bias"]
                    h = np.maximum(h, 0) if kind == "relu" and i % 2 else np.tanh(h)
            pixels.append(1 / (1 + np.exp(-(w["output.weight"] @ h + w["output.bias"]))))
        images.append(pixels)
    return np.array(images)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
@torch.no_grad()
def test_the_network_is_what_is_written(kind: str, channels: int) -> None:
    G = damped(kind, channels).double()
    z, place = torch.randn(2, 4).double(), View(4, 5).coordinates(dtype=torch.float64)
    expected = restated(G, kind, z, place)
    np.testing.assert_allclose(G(z, place).numpy(), expected, rtol=1e-11)
    if isinstance(G, ResidualNetwork):
        np.testing.assert_allclose(G.plain(z, place).numpy(), expected, rtol=1e-11)
        np.testing.assert_allclose(G.float()(z.float(), place.float()).numpy(), expected, atol=2e-6)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [("residual", (24, 5, 6, 6)), ("softplus", (3, 128, 128)), ("tanh", (7, 64, 64)), ("relu", (14, 64, 64))],
)
def test_the_published_sizes(kind: str, shape: tuple[int, ...]) -> None:
    G = CPPN.model_validate({"kind": kind}).network(1, 32)
    deep = G.weight if isinstance(G, ResidualNetwork) else torch.stack([layer.weight for layer in G.layers])
    assert deep.shape == shape
    assert G.latent.weight.shape == (shape[-1], 32)


def test_transparency_is_refused() -> None:
    with pytest.raises(UserError, match="paint no transparency"):
        CPPN().generator(ImageSpec(4, 8, 8, 0), 4)


def test_the_published_start() -> None:
    torch.manual_seed(0)
    G = CPPN(width=32).network(3, 100)
    assert isinstance(G, ResidualNetwork)
    for parameters, std in (
        (G.weight[:, :-1], 1.0),
        (G.bias[:, :-1], 1.0),
        (G.weight[:, -1], 0.001),
        (G.bias[:, -1], 0.001),
        (G.latent.weight, 0.05),
        (G.place.weight, 0.05),
        (G.output.weight, 0.05),
    ):
        assert parameters.std().item() == pytest.approx(std, rel=0.2)
        assert abs(parameters.mean().item()) < 0.3 * std
    assert G.latent.bias.std() > 0.02  # biases are not zero
    for std in (0.30, 0.45, 0.60):
        weights = torch.cat([p.flatten() for p in CPPN(kind="tanh", std=std).network(1, 8).parameters()])
        assert weights.std().item() == pytest.approx(std, rel=0.02)
    assert CPPN(kind="tanh").sizes() == (64, 8, 0.45)
    assert CPPN(kind="softplus", width=20, layers=2, std=1).sizes() == (20, 2, 1)


@pytest.mark.parametrize("blocks", [0, 1])
def test_few_blocks(blocks: int) -> None:
    assert network(blocks=blocks, layers=1)(torch.randn(2, 4), View(3, 3).coordinates()).shape == (2, 9, 1)


def test_wrong_settings_are_one_line() -> None:
    for values in ({"width": 0}, {"kind": "linear"}, {"scale": 0}, {"std": -1}):
        with pytest.raises(UserError, match=f"network.{next(iter(values))}"):
            parse(CPPN, values, "network")
