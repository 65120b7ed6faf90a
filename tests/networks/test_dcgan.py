import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.core.spec import read_sides
from ganvas.networks.dcgan import DCGAN

FIRST_DRAWS = (0.01211026, 1.012908, 0.02326086, -0.02172039, 0.001938427, 0.0239295)  # of seed 0, in release 0.1


@pytest.mark.parametrize("size", [(8, 8), (28, 28), (32, 32), (64, 64), (33, 50), (96, 20)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("classes", [0, 4])
def test_any_size(size: tuple[int, int], channels: int, classes: int) -> None:
    spec = ImageSpec(channels, *size, classes)
    labels = torch.tensor([0, 3]) if classes else None
    config = DCGAN(base=4)
    images = config.generator(spec, 10)(torch.randn(2, 10), labels)
    assert images.shape == (2, channels, *size)
    assert images.abs().max() <= 1
    assert config.discriminator(spec, 2)(images, labels).shape == (2, 2)


@pytest.mark.parametrize(
    ("sides", "near"),
    [((30, 30), "24 or 32"), ((100, 190), "160x96 or 192x128"), ((12, 100), "112x16"), ((33, 32), "32 or 32x40")],
)
def test_kernel_4_names_the_sizes_nearby_that_it_can_halve(sides: tuple[int, int], near: str) -> None:
    config = DCGAN(base=4, kernel=4)
    with pytest.raises(UserError, match=f"network.kernel=5, or data.size={near}$"):
        config.generator(ImageSpec(1, *sides, 0), 10)
    for size in near.split(" or "):
        height, width = read_sides(size)
        images = config.generator(ImageSpec(1, height, width, 0), 10)(torch.randn(2, 10))
        assert images.shape == (2, 1, height, width)


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


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_projection_adds_the_weights_of_the_class(outputs: int) -> None:
    spec = ImageSpec(1, 8, 8, 3)
    discriminator = DCGAN(base=4, d_labels="projection").discriminator(spec, outputs).double()
    images, labels = torch.randn(6, 1, 8, 8).double(), torch.tensor([2, 0, 1, 2, 0, 0])
    features = F.leaky_relu(discriminator.levels[0](images), 0.2).flatten(1)
    head = discriminator.head
    weights = head.weight[-1] + head.by_class.weight[labels]
    logits = discriminator(images, labels)
    torch.testing.assert_close(logits[:, -1], (weights * features).sum(1) + head.bias[-1])
    torch.testing.assert_close(logits[:, :-1], (features @ head.weight.t() + head.bias)[:, :-1])
    assert not any("label_weight" in name for name, _ in discriminator.named_parameters())
    with pytest.raises(ValueError, match="needs labels"):
        discriminator(images)


def test_logits_of_a_projection_start_at_order_one() -> None:
    torch.manual_seed(0)
    spec = ImageSpec(1, 28, 28, 10)
    discriminator = DCGAN(base=16, init="kaiming", d_labels="projection").discriminator(spec)
    logits = discriminator(torch.rand(200, 1, 28, 28) * 2 - 1, torch.arange(200) % 10)
    assert logits.std() < 1.5


def test_the_start_is_that_of_the_paper() -> None:
    torch.manual_seed(0)
    generator = DCGAN().generator(ImageSpec(3, 64, 64, 0), 100)
    wide = generator.layers[4].weight
    assert wide.mean().abs() < 1e-3
    assert wide.std().item() == pytest.approx(0.02, rel=0.02)


def test_old_seeds_and_checkpoints_keep_their_weights() -> None:
    spec = ImageSpec(1, 28, 28, 10)
    torch.manual_seed(0)
    G, D = DCGAN().generator(spec, 100), DCGAN().discriminator(spec)
    norm = ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert list(G.state_dict()) == [
        *("layers.0.weight", *(f"layers.2.{name}" for name in norm)),
        *("layers.4.weight", *(f"layers.5.{name}" for name in norm)),
        *("layers.7.weight", "layers.7.bias"),
    ]
    assert list(D.state_dict()) == [
        *("levels.0.label_weight", "levels.0.conv.weight", "levels.0.conv.bias"),
        *("levels.1.label_weight", "levels.1.conv.weight", "levels.1.norm.weight", "levels.1.norm.bias"),
        *("head.weight", "head.bias"),
    ]
    drawn = [G.layers[0].weight[0, 0], G.layers[5].weight[0], G.layers[7].weight[0, 0, 0, 0]]
    drawn += [D.levels[0].label_weight[0, 0, 0, 0], D.levels[1].conv.weight[0, 0, 0, 0], D.head.weight[0, 0]]
    torch.testing.assert_close(torch.stack(drawn), torch.tensor(FIRST_DRAWS), rtol=1e-4, atol=0)


@pytest.mark.parametrize("classes", [0, 4])
def test_pointwise_convolutions(classes: int) -> None:
    """The extended DCGAN of CFG-GAN: projection and two groups of two, then the image; mirrored in D."""
    spec, config = ImageSpec(1, 32, 32, classes), DCGAN(base=32, pointwise=True, init_std=0.01)
    labels = torch.tensor([0, 3]) if classes else None
    G, D = config.generator(spec, 100), config.discriminator(spec)
    assert [type(layer).__name__ for layer in G.layers] == [
        *("Linear", "Unflatten", "BatchNorm2d", "ReLU"),
        *("ConvTranspose2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU") * 2,
        *("ToImage", "Tanh"),
    ]
    assert [tuple(p.shape) for p in G.parameters() if p.ndim > 1] == [
        *((128 * 4 * 4, 100 + classes), (128, 64, 5, 5), (64, 64, 1, 1), (64, 32, 5, 5), (32, 32, 1, 1), (32, 1, 5, 5))
    ]
    assert [tuple(level.conv.weight.shape) for level in D.levels] == [
        *((32, 1, 5, 5), (64, 32, 5, 5), (64, 64, 1, 1), (128, 64, 5, 5), (128, 128, 1, 1))
    ]
    assert [type(level.norm).__name__ for level in D.levels] == ["Identity", *["BatchNorm2d"] * 4]
    assert [level.num_classes for level in D.levels] == [classes, classes, 0, classes, 0]
    images = G(torch.randn(2, 100), labels)
    assert images.shape == (2, 1, 32, 32)
    assert D(images, labels).shape == (2, 1)


def test_the_start_has_the_standard_deviation_asked_for() -> None:
    torch.manual_seed(0)
    config = DCGAN(init_std=0.01, pointwise=True)
    G, D = config.generator(ImageSpec(1, 32, 32, 10), 100), config.discriminator(ImageSpec(1, 32, 32, 10))
    for weight in (G.layers[0].weight, G.layers[4].weight, G.layers[7].weight, D.levels[1].label_weight):
        assert weight.std().item() == pytest.approx(0.01, rel=0.05)


def test_the_network_and_the_start_of_cfg_gan() -> None:
    torch.manual_seed(0)
    config = DCGAN(base=32, init="cfg-gan", pointwise=True, g_first_norm=False, d_norm="none")
    G, D = config.generator(ImageSpec(1, 32, 32, 0), 100), config.discriminator(ImageSpec(1, 32, 32, 0))
    first, norms = G.layers[0], [layer for layer in G.layers if isinstance(layer, nn.BatchNorm2d)]
    assert first.bias is not None and isinstance(G.layers[2], nn.ReLU)
    scales = torch.cat([norm.weight.detach() for norm in norms])
    assert [len(norm.weight) for norm in norms] == [64, 64, 32, 32]
    assert 0 <= scales.min() < 0.05 and 0.95 < scales.max() <= 1
    for weight, std in (
        (first.weight, (2 / 100) ** 0.5),
        (D.head.weight, (2 / 2048) ** 0.5),
        (G.layers[3].weight, 0.01),
        (D.levels[1].conv.weight, 0.01),
    ):
        assert weight.std().item() == pytest.approx(std, rel=0.05)


def test_the_kaiming_start() -> None:
    torch.manual_seed(0)
    config = DCGAN(init="kaiming", pointwise=True)
    G, D = config.generator(ImageSpec(3, 64, 64, 10), 100), config.discriminator(ImageSpec(3, 64, 64, 10))
    gain = 2 / (1 + 0.2**2)
    for weight, variance in (
        (G.layers[0].weight, 2 / 110),
        (G.layers[4].weight, 2 / (512 * 25 / 4)),  # a pixel meets a quarter of a strided kernel
        (G.layers[7].weight, 2 / 256),
        (G.layers[-2].weight, 1 / (64 * 25 / 4)),
        (D.levels[1].conv.weight, gain / (64 * 25)),
        (D.levels[1].label_weight, gain / (64 * 25)),
        (D.levels[2].conv.weight, gain / 128),
        (D.head.weight, 1 / (512 * 4 * 4)),
    ):
        assert weight.square().mean().item() == pytest.approx(variance, rel=0.1)
    assert (G.layers[2].weight == 1).all()
    assert not any(value.any() for name, value in D.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize("pointwise", [False, True])
def test_outputs_start_of_order_one_by_kaiming(norm: str, pointwise: bool) -> None:
    torch.manual_seed(0)
    spec = ImageSpec(1, 32, 32, 0)
    config = DCGAN.model_validate(
        {"base": 16, "init": "kaiming", "pointwise": pointwise, "g_norm": norm, "d_norm": norm}
    )
    G, D = config.generator(spec, 50), config.discriminator(spec, 50)
    with torch.no_grad():
        z = torch.randn(8, 50)
        assert 0.3 < G.layers[:-1](z).std() < 2  # what the tanh is taken of
        assert 0.1 < D(G(z)).std() < 2


def test_what_cannot_be_built_is_one_line() -> None:
    with pytest.raises(UserError, match="too small"):
        DCGAN().generator(ImageSpec(1, 4, 4, 0), 10)
    with pytest.raises(UserError, match="kernel=5"):
        DCGAN(kernel=4).discriminator(ImageSpec(1, 30, 30, 0))
