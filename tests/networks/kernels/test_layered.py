"""The kernel of layered networks against plain PyTorch in float64."""

from functools import partial

import pytest
import torch
from torch import Tensor

from ganvas.networks import cppn
from ganvas.networks.cppn import CPPN, LayeredNetwork
from ganvas.networks.kernels import SWITCH, Weights, layered, native
from ganvas.networks.view import View
from tests.networks.kernels.comparing import double, error, errors, gradients, slopes

WIDTHS = [1, 3, 4, 7, 8, 17, 64, 100, 128, 256]
KINDS = {
    "softplus": ("softplus", "tanh", "tanh", "tanh"),
    "tanh": ("tanh",) * 8,
    "relu": ("relu", "tanh", "relu", "tanh", "relu"),
    "any": ("tanh", "softplus", "relu", "softplus"),
    "one": ("softplus",),
}


def made() -> native.Kernel:
    found, why = layered.load()
    if found is None:
        pytest.skip(f"no kernel: {why}")
    return found


def example(
    width: int, layers: int = 4, channels: int = 1, images: int = 2, pixels: int = 131
) -> tuple[Tensor, Tensor, Weights]:
    """v, coordinates and weights that neither amplify a signal much nor lose it."""
    generator = torch.Generator().manual_seed(width + layers)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    place = normal(pixels, 3) * 4
    place[:, 2] = place[:, :2].norm(dim=1)
    weights = Weights(
        normal(width, 3) * 0.3,
        normal(layers - 1, 1, width, width) / width**0.5,
        normal(layers - 1, 1, width) * 0.1,
        normal(channels, width) / width**0.5,
        normal(channels),
    )
    return normal(images, width), place, weights


def both(activations: tuple[str, ...]) -> tuple[partial[Tensor], partial[Tensor]]:
    """The network by the kernel, and in plain PyTorch."""
    return tuple(partial(way, activations=activations) for way in (layered.logits, layered.plain))  # type: ignore


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_logits_and_gradients(width: int, kind: str, channels: int) -> None:
    made()
    fast, plain = both(KINDS[kind])
    arguments = example(width, len(KINDS[kind]), channels)
    expected = plain(*double(*arguments))
    found = fast(*arguments)
    assert found.shape == (2, 131, channels)
    assert error(found, expected) < 3 * error(plain(*arguments), expected) + 1e-6
    exact = gradients(plain, *double(*arguments))
    own = errors(gradients(plain, *arguments), exact)
    mine = errors(gradients(fast, *arguments), exact)
    assert all(a < 5 * b + 2e-6 for a, b in zip(mine, own, strict=True)), (mine, own)


@pytest.mark.parametrize("pixels", [1, 15, 16, 17, 47, 48, 49, 95, 96, 97, 784])
@pytest.mark.parametrize("images", [1, 3])
def test_any_number_of_pixels(pixels: int, images: int) -> None:
    made()
    fast, plain = both(KINDS["softplus"])
    arguments = example(20, channels=3, images=images, pixels=pixels)
    torch.testing.assert_close(fast(*arguments), plain(*arguments), atol=1e-5, rtol=0)
    exact = gradients(plain, *double(*arguments))
    assert max(errors(gradients(fast, *arguments), exact)) < 2e-6


def test_a_pixel_does_not_depend_on_its_neighbours() -> None:
    made()
    fast, _ = both(KINDS["softplus"])
    v, place, weights = example(20, pixels=200)
    whole = fast(v, place, weights)
    for cut in (1, 7, 37, 48):
        assert torch.equal(torch.cat([fast(v, part, weights) for part in place.split(cut)], dim=1), whole)
    assert torch.equal(torch.cat([fast(part, place, weights) for part in v.split(1)]), whole)


@pytest.mark.parametrize("kind", ["softplus", "any"])
def test_gradients_are_slopes(kind: str) -> None:
    made()
    fast, plain = both([name.replace("relu", "tanh") for name in KINDS[kind]])  # type: ignore[arg-type]
    arguments = example(4, images=1, pixels=5)
    assert max(errors(gradients(fast, *arguments), slopes(plain, *arguments))) < 1e-5


@pytest.mark.parametrize("images", [1, 30])
def test_the_same_bits_every_time_with_any_number_of_threads(images: int) -> None:
    made()
    fast, plain = both(KINDS["tanh"])
    arguments = example(12, layers=8, images=images, pixels=784)
    logits, expected = fast(*arguments), gradients(fast, *arguments)
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        try:
            assert torch.equal(fast(*arguments), logits)
            again = gradients(fast, *arguments)
        finally:
            torch.set_num_threads(1)
        assert all(torch.equal(a, b) for a, b in zip(again, expected, strict=True))
    assert max(errors(expected, gradients(plain, *double(*arguments)))) < 2e-6


def test_many_tiles() -> None:
    """More than there are shares, each of which adds up several."""
    made()
    fast, plain = both(("tanh", "tanh"))
    arguments = example(5, layers=2, images=90, pixels=800)
    assert max(errors(gradients(fast, *arguments), gradients(plain, *double(*arguments)))) < 2e-6


def test_functions_of_the_kernel() -> None:
    x = torch.cat([sign * torch.logspace(-30, 1.9, 300_001) for sign in (1, -1)] + [torch.linspace(-25, 25, 300_001)])
    found, exact = made().evaluate("softplus", x), torch.nn.functional.softplus(x.double(), threshold=100)
    assert ((found - exact).abs() / exact).max() < 4e-7
    found, exact = made().evaluate("softplus_slope", exact.float()), -torch.expm1(-exact.float().double())
    assert ((found - exact).abs() / exact).max() < 4e-7
    assert torch.equal(made().evaluate("relu", x), x.relu())
    special = torch.tensor([float("inf"), -float("inf"), float("nan"), 0.0])
    for name in ("tanh", "relu", "softplus"):
        expected = layered.FUNCTIONS[name](special)
        torch.testing.assert_close(made().evaluate(name, special), expected, atol=2e-7, rtol=0, equal_nan=True)
    odd = torch.tensor([0x7FC00001, 0x7F800001, -1], dtype=torch.int32).view(torch.float32)  # also not numbers
    assert all(made().evaluate(name, odd).isnan().all() for name in native.FUNCTIONS)


@pytest.mark.parametrize("kind", ["softplus", "relu"])
@pytest.mark.parametrize("of", ["v", *Weights._fields])
def test_what_is_not_a_number_does_not_pass_unnoticed(of: str, kind: str) -> None:
    made()
    fast, _ = both(KINDS[kind])
    v, place, weights = example(6, len(KINDS[kind]))
    tensors = {"v": v, **weights._asdict()}
    tensors[of].view(-1)[0] = float("nan")
    assert fast(v, place, weights)[0].isnan().all()


def test_odd_layouts() -> None:
    made()
    fast, _ = both(KINDS["softplus"])
    v, place, weights = example(6)
    turned = Weights(*(w.movedim(0, -1).contiguous().movedim(-1, 0) for w in weights))
    assert torch.equal(fast(v.T.contiguous().T, place.T.contiguous().T, turned), fast(v, place, weights))
    a, b = gradients(fast, v, place, weights), gradients(fast, v, place, turned)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_graph_is_small() -> None:
    made()
    fast, _ = both(KINDS["softplus"])
    v, place, weights = example(6)
    logits = fast(v.requires_grad_(), place, weights)
    saved = sum(tensor.numel() for tensor in logits.grad_fn.saved_tensors)  # type: ignore[union-attr]
    assert saved == sum(tensor.numel() for tensor in (v, place, *weights))
    with torch.no_grad():
        assert fast(v, place, weights).grad_fn is None


def network(kind: str = "softplus", width: int = 8, layers: int = 3) -> tuple[LayeredNetwork, Tensor, Tensor]:
    torch.manual_seed(0)
    built = CPPN.model_validate({"kind": kind, "width": width, "layers": layers, "std": 0.3}).network(3, 4)
    assert isinstance(built, LayeredNetwork)
    return built, torch.randn(5, 4, requires_grad=True), View(6, 6).coordinates()


@pytest.mark.parametrize("kind", ["softplus", "tanh", "relu"])
@pytest.mark.parametrize("layers", [1, 2, 5])
def test_a_network_by_the_kernel_and_by_its_modules(kind: str, layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made()
    G, z, place = network(kind, 12, layers)

    def found() -> list[Tensor]:
        logits = G.logits(z, place)
        return [logits, *torch.autograd.grad(logits.square().sum(), [z, *G.parameters()])]

    ours = found()
    assert ours[0].grad_fn is not None and ours[0].grad_fn.name() == "LogitsBackward"
    monkeypatch.setenv(SWITCH, "off")
    plain = found()
    assert plain[0].grad_fn is not None and plain[0].grad_fn.name() != "LogitsBackward"
    for a, b in zip(ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_what_the_kernel_is_not_made_for(monkeypatch: pytest.MonkeyPatch) -> None:
    made()
    G, z, place = network()
    expected = G.logits(z, place)
    wrong = pytest.fail
    monkeypatch.setattr(layered, "logits", lambda *_: wrong("the kernel was used"))
    assert layered.status(257) == (False, "it supports up to 256 units, not 257")
    wide, _, _ = network(width=257)
    assert wide.logits(z, place).shape == (5, 36, 3)
    place.requires_grad_()
    G.logits(z, place).sum().backward()
    assert place.grad is not None
    torch.testing.assert_close(G.double().logits(z.double(), place.double()).float(), expected, atol=1e-4, rtol=0)
    assert not layered.serves(8, torch.empty(4, 3, device="meta"))


def test_under_autocast_the_kernel_is_exact() -> None:
    made()
    G, z, place = network()
    with torch.autocast("cpu", torch.bfloat16):
        found = G.logits(z, place)
        assert found.dtype == torch.float32
        assert error(found, G.double().logits(z.double(), place.double())) < 0.05


def test_layers_that_are_computed_again_have_the_same_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the kernel."""
    monkeypatch.setenv(SWITCH, "off")
    G, z, place = network()

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad(G(z, place).square().sum(), [z, *G.parameters()]))

    kept = gradients()
    monkeypatch.setattr(cppn, "KEPT", 0)
    monkeypatch.setattr(cppn, "TILE", 2 * 36 * 8)  # two images at a time
    for again, once in zip(gradients(), kept, strict=True):
        torch.testing.assert_close(again, once)
