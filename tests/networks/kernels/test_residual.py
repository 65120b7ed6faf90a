"""The kernel of residual networks, and the way without it, against plain PyTorch in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.networks.kernels import Weights, native, residual
from tests.networks.kernels.comparing import double, error, errors, gradients, slopes

WIDTHS = [1, 4, 6, 7, 32]


def made(width: int) -> native.Kernel:
    found, why = residual.load(width)
    if found is None:
        pytest.skip(f"no kernel: {why}")
    return found


def example(
    width: int, blocks: int = 24, channels: int = 1, images: int = 2, pixels: int = 131, depth: int = 5
) -> tuple[Tensor, Tensor, Weights]:
    """v, coordinates and weights, damped (half as strong as what keeps a signal its size, and a tenth behind it): with
    larger ones the network is chaotic, and float32 itself, by whatever way, is wrong altogether."""
    generator = torch.Generator().manual_seed(width + blocks)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    weight = normal(blocks, depth, width, width) * (6 / width) ** 0.5 * 0.5
    weight[:, -1] *= 0.2
    place = normal(pixels, 3) * 4
    place[:, 2] = place[:, :2].norm(dim=1)
    weights = Weights(
        normal(width, 3) * 0.3, weight, normal(blocks, depth, width) * 0.1, normal(channels, width), normal(channels)
    )
    return normal(images, width), place, weights


def plain(v: Tensor, place: Tensor, weights: Weights) -> Tensor:
    h = (v[:, None] + F.linear(place, weights.input)).tanh()
    for products, biases in zip(weights.weight, weights.bias, strict=True):
        k = h
        for i in range(len(products) - 1):
            k = F.linear(k, products[i], biases[i]).relu()
        h = h + F.linear(k, products[-1], biases[-1]).tanh()
    return F.linear(h, weights.out_weight, weights.out_bias)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("blocks", [0, 1, 24])
@pytest.mark.parametrize("channels", [1, 3])
def test_logits(width: int, blocks: int, channels: int) -> None:
    arguments = example(width, blocks, channels)
    expected = plain(*double(*arguments))
    own = error(plain(*arguments), expected)
    for found in (made(width).forward(*arguments), residual.forward(*arguments), residual.differentiable(*arguments)):
        assert found.shape == (2, 131, channels)
        assert error(found, expected) < 3 * own + 1e-6


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_shallow_blocks(width: int, depth: int) -> None:
    arguments = example(width, blocks=2, depth=depth)
    expected = plain(*arguments)
    for found in (made(width).forward(*arguments), residual.forward(*arguments), residual.logits(*arguments)):
        torch.testing.assert_close(found, expected, atol=5e-5, rtol=0)
    for a, b in zip(gradients(residual.logits, *arguments), gradients(plain, *arguments), strict=True):
        assert error(a, b.double()) < 1e-4


@pytest.mark.parametrize("pixels", [1, 15, 16, 17, 63, 64, 65, 784])
@pytest.mark.parametrize("images", [1, 3])
def test_any_number_of_pixels(pixels: int, images: int) -> None:
    arguments = example(6, blocks=2, channels=3, images=images, pixels=pixels)
    expected = plain(*arguments)
    torch.testing.assert_close(made(6).forward(*arguments), expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(residual.forward(*arguments), expected, atol=2e-5, rtol=0)


def test_tiles_of_pixels_and_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = example(6, blocks=2, channels=3, images=5, pixels=30)
    expected = plain(*arguments)
    for tile in (1, 7, 30, 64, 1000):
        monkeypatch.setattr(residual, "TILE", tile)
        torch.testing.assert_close(residual.forward(*arguments), expected, atol=2e-5, rtol=0)


def test_a_pixel_does_not_depend_on_its_neighbours() -> None:
    v, place, weights = example(6, pixels=200)
    whole = made(6).forward(v, place, weights)
    parts = [made(6).forward(v, part, weights) for part in place.split(37)]
    assert torch.equal(torch.cat(parts, dim=1), whole)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("blocks", "channels"), [(0, 1), (1, 3), (24, 1)])
def test_gradients(width: int, blocks: int, channels: int) -> None:
    made(width)
    arguments = example(width, blocks, channels)
    expected = gradients(plain, *double(*arguments))
    own = [error(*pair) for pair in zip(gradients(plain, *arguments), expected, strict=True)]
    for function in (residual.logits, residual.differentiable):
        found = [error(*pair) for pair in zip(gradients(function, *arguments), expected, strict=True)]
        assert all(mine < 5 * plains + 2e-5 for mine, plains in zip(found, own, strict=True)), (found, own)


def test_gradients_are_slopes() -> None:
    """Smooth, because without relus (depth 1)."""
    v, place, weights = example(4, blocks=2, images=1, pixels=5, depth=1)
    found = gradients(residual.logits, v, place, weights)
    assert max(errors(found, slopes(plain, v, place, weights))) < 1e-5


def test_the_same_bits_every_time_with_any_number_of_threads() -> None:
    arguments = example(6, blocks=3, images=30, pixels=784)
    logits, slopes = made(6).forward(*arguments), gradients(residual.logits, *arguments)
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        try:
            assert torch.equal(made(6).forward(*arguments), logits)
            again = gradients(residual.logits, *arguments)
        finally:
            torch.set_num_threads(1)
        assert all(torch.equal(a, b) for a, b in zip(again, slopes, strict=True))
    assert all(error(a, b) < 1e-4 for a, b in zip(slopes, gradients(plain, *double(*arguments)), strict=True))


def test_tanh_of_the_kernel() -> None:
    x = torch.cat([torch.linspace(-12, 12, 400_001), torch.logspace(-30, 1, 100_001)])
    found, expected = made(6).evaluate("tanh", x), x.double().tanh()
    assert ((found - expected).abs() / expected.abs().clamp_min(1e-30)).max() < 3e-7  # about 3 units in the last place
    assert found.abs().max() <= 1 + 1.2e-7
    if made(6).lanes > 4:  # with fused multiplication and addition
        assert (made(6).evaluate("tanh", torch.tensor([9.0, -20.0, 1e9])).abs() == 1).all()
    special = made(6).evaluate("tanh", torch.tensor([float("inf"), -float("inf"), float("nan"), 0.0]))
    torch.testing.assert_close(special, torch.tensor([1.0, -1.0, float("nan"), 0.0]), atol=2e-7, rtol=0, equal_nan=True)


@pytest.mark.parametrize("of", ["v", *Weights._fields])
def test_what_is_not_a_number_does_not_pass_unnoticed(of: str) -> None:
    v, place, weights = example(6)
    tensors = {"v": v, **weights._asdict()}
    tensors[of].view(-1)[0] = float("nan")
    assert made(6).forward(v, place, weights)[0].isnan().all()


def test_odd_layouts() -> None:
    v, place, weights = example(6)
    turned = Weights(*(w.movedim(0, -1).contiguous().movedim(-1, 0) for w in weights))
    expected = made(6).forward(v, place, weights)
    assert torch.equal(residual.logits(v.T.contiguous().T, place.T.contiguous().T, turned), expected)
    a, b = gradients(residual.logits, v, place, weights), gradients(residual.logits, v, place, turned)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_graph_is_small() -> None:
    made(6)
    v, place, weights = example(6)
    logits = residual.logits(v.requires_grad_(), place, weights)
    assert logits.grad_fn is not None and logits.grad_fn.name() == "LogitsBackward"
    saved = sum(tensor.numel() for tensor in logits.grad_fn.saved_tensors)  # type: ignore[attr-defined]
    assert saved == sum(tensor.numel() for tensor in (v, place, *weights))
    with torch.no_grad():
        assert residual.logits(v, place, weights).grad_fn is None


def test_what_the_kernel_is_not_made_for() -> None:
    v, place, weights = example(6)
    assert residual.logits(*double(v, place, weights)).dtype == torch.float64
    wide = example(33, blocks=1)
    torch.testing.assert_close(residual.logits(*wide), plain(*wide), atol=1e-4, rtol=0)
    assert residual.status(33) == (False, "it supports up to 32 units, not 33")
    place.requires_grad_()
    residual.logits(v, place, weights).sum().backward()
    assert place.grad is not None
    with torch.autocast("cpu", torch.bfloat16):
        assert error(residual.logits(v.bfloat16(), place, weights), plain(*double(v, place, weights))) < 0.05
        assert residual.forward(v, place.detach(), weights).dtype == torch.float32
