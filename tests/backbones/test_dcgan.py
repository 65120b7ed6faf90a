import pytest
import torch
import torch.nn.functional as F

from ganvas.backbones.dcgan import DCGAN
from ganvas.errors import UserError
from ganvas.images import ImageSpec


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 32), (64, 64), (33, 50), (96, 20)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("classes", [0, 4])
def test_any_size(size: tuple[int, int], channels: int, classes: int) -> None:
    spec = ImageSpec(channels, *size, classes)
    labels = torch.tensor([0, 3]) if classes else None
    config = DCGAN(base=4)
    images = config.generator(spec, 10)(torch.randn(2, 10), labels)
    assert images.shape == (2, channels, *size)
    assert images.abs().max() <= 1
    assert config.discriminator(spec, 2)(images, labels).shape == (2, 2)


def test_the_networks_of_mnist_have_the_published_sizes() -> None:
    generator = DCGAN().generator(ImageSpec(1, 28, 28, 10), 100)
    assert [tuple(p.shape) for p in generator.parameters() if p.ndim > 1] == [
        (128 * 7 * 7, 110),
        (128, 64, 5, 5),
        (64, 1, 5, 5),
    ]


@pytest.mark.parametrize("kernel", [4, 5])
def test_a_labelled_convolution_equals_concatenated_one_hot_maps(kernel: int) -> None:
    discriminator = DCGAN(base=6, kernel=kernel).discriminator(ImageSpec(1, 28, 28, 10)).double()
    labels = torch.tensor([3, 0, 9, 3, 1])
    features = torch.randn(5, 1, 28, 28).double()
    for level in discriminator.levels:
        height, width = features.shape[-2:]
        maps = F.one_hot(labels, 10).double()[:, :, None, None].expand(-1, -1, height, width)
        weight = torch.cat([level.conv.weight, level.label_weight.transpose(0, 1)], dim=1)
        plain = F.conv2d(torch.cat([features, maps], 1), weight, level.conv.bias, 2, (kernel - 1) // 2)
        features = level(features, labels)
        torch.testing.assert_close(features, level.norm(plain))


def test_the_start_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    generator = DCGAN().generator(ImageSpec(3, 64, 64, 0), 100)
    wide = generator.layers[4].weight
    assert wide.mean().abs() < 1e-3
    assert wide.std().item() == pytest.approx(0.02, rel=0.02)


def test_what_cannot_be_built_is_one_line() -> None:
    with pytest.raises(UserError, match="too small"):
        DCGAN().generator(ImageSpec(1, 4, 4, 0), 10)
    with pytest.raises(UserError, match="kernel=5"):
        DCGAN(kernel=4).discriminator(ImageSpec(1, 30, 30, 0))
