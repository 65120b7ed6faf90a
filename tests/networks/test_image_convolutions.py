from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.networks.image_convolutions import FromImage, ToImage

SHAPES = [(1, 5, 2, (8, 8)), (3, 4, 1, (8, 6)), (1, 5, 2, (7, 9)), (2, 5, 2, (8, 7)), (3, 3, 1, (6, 6))]


def with_parameters(layer: nn.Module) -> Callable[..., Tensor]:
    """The layer as a function of its input and parameters."""
    names = [name for name, _ in layer.named_parameters()]

    def call(x: Tensor, *values: Tensor) -> Tensor:
        for name, value in zip(names, values, strict=True):
            del layer._parameters[name]
            layer._parameters[name] = value  # type: ignore[assignment]
        out: Tensor = layer(x)
        return out

    return call


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("channels", "kernel", "padding", "side"), SHAPES)
def test_from_an_image_equals_the_plain_convolution_twice_differentiated(
    channels: int, kernel: int, padding: int, side: tuple[int, int], bias: bool
) -> None:
    layer = FromImage(channels, 3, kernel, 2, padding, bias=bias).double()
    image = torch.randn(2, channels, *side, dtype=torch.double, requires_grad=True)
    torch.testing.assert_close(layer(image), F.conv2d(image, layer.weight, layer.bias, 2, padding))
    parameters = list(layer.parameters())
    assert torch.autograd.gradcheck(with_parameters(layer), (image, *parameters))
    assert torch.autograd.gradgradcheck(with_parameters(layer), (image, *parameters), fast_mode=True)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("more", [(0, 0), (1, 1), (1, 0)])
@pytest.mark.parametrize(("channels", "kernel", "padding", "side"), SHAPES[:4])
def test_to_an_image_equals_the_plain_transposed_convolution_twice_differentiated(
    channels: int, kernel: int, padding: int, side: tuple[int, int], more: tuple[int, int], bias: bool
) -> None:
    layer = ToImage(3, channels, kernel, 2, padding, output_padding=more, bias=bias).double()
    maps = torch.randn(2, 3, side[0] // 2, side[1] // 2, dtype=torch.double, requires_grad=True)
    torch.testing.assert_close(layer(maps), F.conv_transpose2d(maps, layer.weight, layer.bias, 2, padding, more))
    parameters = list(layer.parameters())
    assert torch.autograd.gradcheck(with_parameters(layer), (maps, *parameters))
    assert torch.autograd.gradgradcheck(with_parameters(layer), (maps, *parameters), fast_mode=True)


def test_layouts_do_not_change_the_result() -> None:
    layer, back = FromImage(3, 8, 5, 2, 2), ToImage(8, 3, 5, 2, 2, output_padding=1)
    image = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(layer(image.contiguous(memory_format=torch.channels_last)), layer(image))
    maps = layer(image).detach()
    torch.testing.assert_close(back(maps.contiguous(memory_format=torch.channels_last)), back(maps.contiguous()))


@pytest.mark.parametrize("channels", [1, 3])
def test_under_autocast_they_compute_what_the_plain_layers_do(channels: int) -> None:
    layer, back = FromImage(channels, 16, 5, 2, 2), ToImage(16, channels, 5, 2, 2, output_padding=1)
    image = torch.randn(8, channels, 16, 16, requires_grad=True)

    def run() -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            maps = layer(image)
            out = back(maps)
        assert maps.dtype == out.dtype == torch.bfloat16
        parameters = [*layer.parameters(), *back.parameters()]
        return [maps, out, *torch.autograd.grad(out.float().square().sum(), [image, *parameters])]

    ours = run()
    layer.__class__, back.__class__ = nn.Conv2d, nn.ConvTranspose2d  # type: ignore[assignment]
    for mine, plain in zip(ours, run(), strict=True):
        assert mine.dtype == plain.dtype
        assert (mine - plain).float().norm() < 0.01 * plain.float().norm()


def test_maps_have_their_channels_last() -> None:
    for channels in (1, 3):
        maps = FromImage(channels, 8, 5, 2, 2)(torch.randn(4, channels, 16, 16))
        assert maps.is_contiguous(memory_format=torch.channels_last)


def test_their_state_is_that_of_the_plain_layers() -> None:
    plain = nn.ConvTranspose2d(4, 1, 5, 2, 2)
    ToImage(4, 1, 5, 2, 2).load_state_dict(plain.state_dict())
