import pytest
import torch

from ganvas.networks import cppn
from ganvas.networks import render as rendering
from ganvas.networks.cppn import to_images
from ganvas.networks.render import bands, render
from ganvas.networks.view import View
from tests.networks.test_cppn import KINDS, damped, network


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_the_same_however_it_is_cut(kind: str, channels: int) -> None:
    G, z = damped(kind, channels), torch.randn(3, 4)
    whole = render(G, z, View(10, 13))
    assert whole.shape == (3, channels, 10, 13)
    assert whole.abs().max() <= 1
    assert whole.std() > 0.02
    for rows in (1, 3, 7, 99):
        cut = torch.cat(list(bands(G, z, View(10, 13), rows)), dim=1)
        assert torch.equal(cut.mul_(2).sub_(1).permute(0, 3, 1, 2), whole)
    torch.testing.assert_close(render(G, z[1:2], View(10, 13)), whole[1:2], atol=2e-6, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(to_images(G(z, View(10, 13).coordinates()), 10, 13), whole, atol=2e-6, rtol=0)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("width", "channels"), [(6, 3), (10, 1), (33, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_many_blocks_are_one_image_bit_for_bit(
    kind: str, width: int, channels: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    G, z, view = damped(kind, channels, width), torch.randn(2, 4), View(31, 37, supersample=2)
    for module in (cppn, rendering):
        monkeypatch.setattr(module, "TILE", 250 * width)  # 62 pixels in a block, of 1147
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
def test_a_larger_image_is_the_same_image_with_finer_steps(kind: str) -> None:
    G, z = damped(kind), torch.randn(1, 4)
    small, large = render(G, z, View(9, 9)), render(G, z, View(17, 17))
    torch.testing.assert_close(large[..., ::2, ::2], small, atol=5e-6, rtol=0)
    middle = render(G, z, View(9, 9, zoom=2))
    torch.testing.assert_close(large[..., 4:13, 4:13], middle, atol=5e-6, rtol=0)


def test_painting_leaves_no_graph_and_training_does() -> None:
    G, z = network(), torch.randn(2, 4, requires_grad=True)
    assert not render(G, z, View(5, 5)).requires_grad
    to_images(G(z, View(5, 5).coordinates()), 5, 5).sum().backward()
    assert z.grad is not None
    assert all(parameter.grad is not None for parameter in G.parameters())
