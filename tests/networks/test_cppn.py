import numpy as np
import pytest
import torch
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.core.settings import parse
from ganvas.networks import cppn
from ganvas.networks.cppn import CPPN, PixelNetwork, ResidualNetwork, View, bands, pictures, to_images

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


def test_coordinates_of_a_square() -> None:
    place = View(3, 3, scale=8).coordinates()
    assert place[:, 0].tolist() == [-8, 0, 8] * 3
    assert place[:, 1].tolist() == [-8] * 3 + [0] * 3 + [8] * 3
    torch.testing.assert_close(place[:, 2], place[:, :2].norm(dim=1))


@pytest.mark.parametrize(("height", "width"), [(5, 9), (9, 5), (7, 7), (1, 4), (1, 1)])
def test_pixels_are_square_and_the_middle_is_the_middle(height: int, width: int) -> None:
    x, y, _ = View(height, width, scale=3, center=(0.5, -2)).coordinates().view(height, width, 3).unbind(-1)
    torch.testing.assert_close(x.mean().item(), 0.5, atol=1e-6, rtol=0)
    torch.testing.assert_close(y.mean().item(), -2.0, atol=1e-6, rtol=0)
    step = 6 / max(1, min(height, width) - 1)
    torch.testing.assert_close(x.diff(dim=1), torch.full((height, width - 1), step))
    torch.testing.assert_close(y.diff(dim=0), torch.full((height - 1, width), step))


def test_zoom() -> None:
    near, far = View(5, 5, zoom=4).coordinates(), View(5, 5).coordinates()
    torch.testing.assert_close(4 * near, far)
    torch.testing.assert_close(View(5, 5, scale=16).coordinates(), 2 * far)
    deep = View(3, 100, center=(1 / 3, 1 / 3), zoom=1e12).coordinates(dtype=torch.float64)
    assert len(deep[:, 0].unique()) == 100  # steps of 1e-11 are told apart
    far_out = View(3, 100, center=(1000, 0), zoom=1e3).coordinates()
    assert len(far_out[:, 0].unique()) == 100  # as near as float32 comes


def test_a_part_of_the_coordinates() -> None:
    whole = View(7, 11, center=(1, 2), zoom=3).coordinates()
    stops = [*range(13, 77, 13), 77]
    parts = [View(7, 11, center=(1, 2), zoom=3).coordinates(stop - 13 if stop < 77 else 65, stop) for stop in stops]
    assert torch.equal(torch.cat(parts), whole)


def test_samples_lie_evenly_within_their_pixel() -> None:
    pixels = View(4, 5).coordinates()
    samples = View(4, 5, supersample=3).coordinates().view(20, 9, 3)
    torch.testing.assert_close(samples[:, 4], pixels)  # the one in the middle
    third = 16 / 3 / 3
    torch.testing.assert_close(samples[:, 1, :2] - samples[:, 0, :2], torch.tensor([third, 0.0]).expand(20, 2))
    torch.testing.assert_close(samples[:, 3, :2] - samples[:, 0, :2], torch.tensor([0.0, third]).expand(20, 2))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_picture_is_the_same_however_it_is_cut(kind: str, channels: int) -> None:
    G, z = damped(kind, channels), torch.randn(3, 4)
    whole = pictures(G, z, View(10, 13))
    assert whole.shape == (3, channels, 10, 13)
    assert whole.abs().max() <= 1
    assert whole.std() > 0.02
    for rows in (1, 3, 7, 99):
        cut = torch.cat(list(bands(G, z, View(10, 13), rows)), dim=1)
        assert torch.equal(cut.mul_(2).sub_(1).permute(0, 3, 1, 2), whole)
    torch.testing.assert_close(pictures(G, z[1:2], View(10, 13)), whole[1:2], atol=2e-6, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(to_images(G(z, View(10, 13).coordinates()), 10, 13), whole, atol=2e-6, rtol=0)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("width", "channels"), [(6, 3), (10, 1), (33, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_many_blocks_are_one_picture_bit_for_bit(
    kind: str, width: int, channels: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    G, z, view = damped(kind, channels, width), torch.randn(2, 4), View(31, 37, supersample=2)
    monkeypatch.setattr(cppn, "TILE", 250 * width)  # 62 pixels in a block, of 1147
    torch.set_num_threads(threads)
    try:
        whole = next(bands(G, z, view, view.height))
        for rows in (1, 7, 30):
            assert torch.equal(torch.cat(list(bands(G, z, view, rows)), dim=1), whole)
        with torch.no_grad():
            samples = G(z, view.coordinates()).view(2, 31, 37, 4, channels)
    finally:
        torch.set_num_threads(1)
    torch.testing.assert_close(whole, samples.mean(3), atol=2e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_larger_picture_is_the_same_picture_with_finer_steps(kind: str) -> None:
    G, z = damped(kind), torch.randn(1, 4)
    small, large = pictures(G, z, View(9, 9)), pictures(G, z, View(17, 17))
    torch.testing.assert_close(large[..., ::2, ::2], small, atol=5e-6, rtol=0)
    middle = pictures(G, z, View(9, 9, zoom=2))
    torch.testing.assert_close(large[..., 4:13, 4:13], middle, atol=5e-6, rtol=0)


def test_painting_leaves_no_graph_and_training_does() -> None:
    G, z = network(), torch.randn(2, 4, requires_grad=True)
    assert not pictures(G, z, View(5, 5)).requires_grad
    to_images(G(z, View(5, 5).coordinates()), 5, 5).sum().backward()
    assert z.grad is not None
    assert all(parameter.grad is not None for parameter in G.parameters())


def test_layers_that_are_computed_again_have_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    G = CPPN(kind="softplus", width=8, layers=3, std=0.3).network(1, 4)
    z, place = torch.randn(5, 4, requires_grad=True), View(6, 6).coordinates()

    def gradients() -> list[torch.Tensor]:
        return list(torch.autograd.grad(G(z, place).square().sum(), [z, *G.parameters()]))

    kept = gradients()
    monkeypatch.setattr(cppn, "KEPT", 0)
    monkeypatch.setattr(cppn, "TILE", 2 * 36 * 8)  # two images at a time
    for again, once in zip(gradients(), kept, strict=True):
        torch.testing.assert_close(again, once)
