import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.core.settings import parse
from ganvas.networks.resnet import DownBlock, ResNet, UpBlock

WGAN_GP: dict[str, Any] = {"base": 128, "max_filters": 128, "g_blocks": 3, "d_smallest": 8}
CIFAR = ImageSpec(3, 32, 32, 0)


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def convolution(ins: int, outs: int, kernel: int = 3) -> int:
    return (ins * kernel * kernel + 1) * outs


def resized(network: nn.Module, images: Tensor) -> list[tuple[int, int]]:
    """The height and width that leave each block, in order."""
    sides: list[tuple[int, int]] = []
    for module in network.modules():
        if type(module).__name__.endswith("Block"):
            module.register_forward_hook(lambda _, __, out: sides.append((out.shape[2], out.shape[3])))
    network(images)
    return sides


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 32), (64, 64), (48, 40), (33, 50), (96, 5)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [0, 4])
def test_any_size(size: tuple[int, int], channels: int, classes: int) -> None:
    spec = ImageSpec(channels, *size, classes)
    labels = torch.tensor([0, 3]) if classes else None
    config = ResNet(base=4, d_pool=classes == 0)
    images = config.generator(spec, 10)(torch.randn(2, 10), labels)
    assert images.shape == (2, channels, *size)
    assert images.abs().max() <= 1
    assert images.std() > 0.1
    assert config.discriminator(spec, 2)(images, labels).shape == (2, 2)


def test_wgan_gp_has_the_published_size() -> None:
    config = ResNet.model_validate(WGAN_GP)
    norm, plain = 2 * 128, 2 * convolution(128, 128)
    up = 2 * norm + plain + convolution(128, 128, 1)
    G = config.generator(CIFAR, 128)
    assert count(G) == 129 * 128 * 4 * 4 + 3 * up + norm + convolution(128, 3) == 1_204_483
    image = convolution(3, 128) + convolution(128, 128) + convolution(3, 128, 1)
    D = config.discriminator(CIFAR)
    assert count(D) == image + (plain + convolution(128, 128, 1)) + 2 * plain + 129 == 1_053_825
    assert resized(G, torch.randn(2, 128)) == [(8, 8), (16, 16), (32, 32)]
    assert resized(D, torch.randn(2, 3, 32, 32)) == [(16, 16), (8, 8), (8, 8), (8, 8)]
    assert not any(isinstance(module, nn.BatchNorm2d | nn.GroupNorm) for module in D.modules())


def test_cfg_gan_has_the_published_shapes() -> None:
    config, spec = ResNet(d_pool=False), ImageSpec(3, 64, 64, 0)
    G, D = config.generator(spec, 100), config.discriminator(spec)
    blocks = [module for module in G.modules() if isinstance(module, UpBlock)]
    assert G.layers[0].weight.shape == (512 * 4 * 4, 100)
    assert [tuple(b.conv1.weight.shape[:2]) for b in blocks] == [(256, 512), (128, 256), (64, 128), (64, 64)]
    assert [tuple(b.conv2.weight.shape[:2]) for b in blocks] == [(256, 256), (128, 128), (64, 64), (64, 64)]
    blocks = [D.first, *D.blocks]
    assert D.first.conv1.conv.weight.shape == (64, 3, 3, 3)
    assert [tuple(b.conv2.weight.shape[:2]) for b in blocks] == [(64, 64), (128, 64), (256, 128), (512, 256)]
    assert [tuple(b.shortcut.weight.shape) for b in blocks] == [
        *((64, 3, 1, 1), (128, 64, 1, 1), (256, 128, 1, 1), (512, 256, 1, 1))
    ]
    assert D.head.weight.shape == (1, 512 * 4 * 4)


def test_sides_halve_until_the_smallest_and_then_stay() -> None:
    config = ResNet(base=2)
    for size, d, g in (
        (64, [32, 16, 8, 4], [8, 16, 32, 64]),
        (32, [16, 8, 4, 4], [4, 8, 16, 32]),  # G's first block keeps 4
        (28, [14, 7, 4, 4], [4, 7, 14, 28]),
        (8, [4, 4, 4, 4], [4, 4, 4, 8]),
        (128, [64, 32, 16, 8], [16, 32, 64, 128]),  # too few blocks: the smallest side is larger
    ):
        spec = ImageSpec(1, size, size, 0)
        assert resized(config.discriminator(spec), torch.zeros(1, 1, size, size)) == [(s, s) for s in d]
        assert resized(config.generator(spec, 5), torch.randn(2, 5)) == [(s, s) for s in g]
    wide = resized(config.discriminator(ImageSpec(1, 48, 40, 0)), torch.zeros(1, 1, 48, 40))
    assert wide == [(24, 20), (12, 10), (6, 5), (3, 3)]
    assert ResNet(d_smallest=64).plan(CIFAR, 2, 64)[0] == [(32, 32)] * 3
    assert ResNet(base=64, max_filters=200).plan(CIFAR, 4, 4)[1] == [64, 128, 200, 200]


def test_a_block_that_changes_nothing_has_no_shortcut_weights() -> None:
    down = DownBlock(6, 6, False, nn.Identity)
    for convolution in (down.conv1, down.conv2):
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    features = torch.randn(2, 6, 5, 5)
    assert torch.equal(down(features), features)


def test_the_mean_at_an_odd_edge_is_that_of_the_pixels_there() -> None:
    halve = DownBlock(1, 1, True, nn.Identity).halve
    torch.testing.assert_close(
        halve(torch.arange(9.0).view(1, 1, 3, 3)), torch.tensor([[2.0, 3.5], [6.5, 8.0]]).view(1, 1, 2, 2)
    )


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_the_gradient_of_an_image_is_its_own(norm: str) -> None:
    torch.manual_seed(0)
    D = ResNet.model_validate({"base": 4, "d_norm": norm}).discriminator(ImageSpec(1, 16, 16, 0)).double()

    def gradient(images: Tensor) -> Tensor:
        x = images.clone().requires_grad_()
        return torch.autograd.grad(D(x).sum(), x)[0]

    images = torch.randn(5, 1, 16, 16, dtype=torch.float64)
    together, alone = gradient(images)[:1], gradient(images[:1])
    assert alone.abs().max() > 0
    assert torch.allclose(together, alone, rtol=1e-9) == (norm != "batch")
    assert torch.equal(gradient(images), gradient(images))
    D.eval()  # no statistics are kept
    assert torch.equal(gradient(images)[:1], together)


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_a_penalty_on_the_gradient_has_the_right_gradient(norm: str) -> None:
    """(‖∇D(x)‖ - 1)², and its slope along a random direction of the weights, against central differences."""
    torch.manual_seed(1)
    config = ResNet.model_validate({"base": 3, "d_blocks": 3, "d_norm": norm})
    D = config.discriminator(ImageSpec(2, 9, 12, 3)).double()
    labels, images = torch.tensor([0, 2]), torch.randn(2, 2, 9, 12, dtype=torch.float64, requires_grad=True)

    def penalty() -> Tensor:
        (slope,) = torch.autograd.grad(D(images, labels).sum(), images, create_graph=True)
        return (slope.flatten(1).norm(dim=1) - 1).square().sum()

    weights = list(D.parameters())
    directions = [torch.randn_like(weight) for weight in weights]
    gradients = torch.autograd.grad(penalty(), weights, allow_unused=True)  # biases behind the last ReLU have none
    slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True) if g is not None)

    def moved(step: float) -> Tensor:
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight.add_(direction, alpha=step)
        return penalty().detach()

    step = 1e-6
    measured = (moved(step) - moved(-2 * step)) / (2 * step)
    assert abs(slope) > 1e-2
    torch.testing.assert_close(slope.detach(), measured, rtol=1e-5, atol=0)


def test_a_label_changes_the_output_and_is_needed() -> None:
    spec, config = ImageSpec(3, 16, 16, 3), ResNet(base=8)
    G, D = config.generator(spec, 6).eval(), config.discriminator(spec)
    images = G(torch.randn(1, 6).expand(2, -1), torch.tensor([0, 2]))
    assert not torch.equal(images[0], images[1])
    first, second = D(images[:1].expand(2, -1, -1, -1), torch.tensor([0, 2]))
    assert first != second
    for network, x in ((G, torch.randn(1, 6)), (D, images)):
        with pytest.raises(ValueError, match="needs labels"):
            network(x)


def test_the_memory_layout_is_no_matter() -> None:
    torch.manual_seed(0)
    D = ResNet(base=4).discriminator(ImageSpec(3, 20, 20, 0)).double()
    images = torch.randn(2, 3, 20, 20).double()
    expected = D(images)
    D.to(memory_format=torch.channels_last)
    torch.testing.assert_close(D(images.to(memory_format=torch.channels_last)), expected)


def test_the_kaiming_start() -> None:
    torch.manual_seed(0)
    D = ResNet().discriminator(ImageSpec(3, 32, 32, 10))
    block = D.blocks[1]
    assert block.conv1.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 128)), rel=0.02)
    assert block.conv2.weight.std().item() == pytest.approx(math.sqrt(1 / (9 * 128)), rel=0.02)
    assert block.shortcut.weight.std().item() == pytest.approx(math.sqrt(1 / 128), rel=0.02)
    assert D.head.weight.std().item() == pytest.approx(math.sqrt(1 / 512), rel=0.15)
    for start in (D.first.conv1.conv.weight, D.first.conv1.label_weight):
        assert start.std().item() == pytest.approx(math.sqrt(2 / 27), rel=0.1)
    biases = [value for name, value in D.named_parameters() if name.endswith("bias")]
    assert biases and not any(bias.any() for bias in biases)


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("size", [28, 64])
def test_outputs_start_of_order_one(norm: str, size: int) -> None:
    torch.manual_seed(0)
    spec = ImageSpec(1, size, size, 0)
    config = ResNet.model_validate({"base": 16, "g_norm": norm})
    G, D = config.generator(spec, 50), config.discriminator(spec, 50)
    with torch.no_grad():
        z = torch.randn(8, 50)
        assert 0.3 < G.layers[:-1](z).std() < 2  # what the tanh is taken of
        assert 0.1 < D(G(z)).std() < 2


def test_the_normal_start() -> None:
    torch.manual_seed(0)
    spec, config = ImageSpec(1, 32, 32, 5), ResNet(base=16, init="normal")
    G, D = config.generator(spec, 50), config.discriminator(spec)
    for start in (G.layers[0].weight, D.blocks[2].conv2.weight, D.first.conv1.label_weight):
        assert start.std().item() == pytest.approx(0.02, rel=0.05)


def test_what_cannot_be_built_is_one_line() -> None:
    for build in (lambda spec: ResNet().generator(spec, 10), ResNet().discriminator):
        with pytest.raises(UserError, match=r"images of 5x7 are too small for 'resnet': it needs 8 pixels or more"):
            build(ImageSpec(1, 7, 5, 0))
    for values in ({"g_blocks": 0}, {"d_norm": "instance"}, {"d_smallest": 0}, {"g_norm": "layer"}, {"blocks": 3}):
        with pytest.raises(UserError, match=f"network.{next(iter(values))}"):
            parse(ResNet, values, "network")
