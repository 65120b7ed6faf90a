import torch

from ganvas.core.images import ImageSpec
from ganvas.networks.mlp import MLP


def test_the_networks_mirror_each_other() -> None:
    spec = ImageSpec(1, 28, 28, 0)
    shapes = [tuple(p.shape) for p in MLP().generator(spec, 100).parameters() if p.ndim == 2]
    assert shapes == [(150, 100), (300, 150), (784, 300)]
    shapes = [tuple(p.shape) for p in MLP().discriminator(spec, 2).parameters() if p.ndim == 2]
    assert shapes == [(300, 784), (150, 300), (2, 150)]


def test_labels_change_the_output() -> None:
    spec = ImageSpec(3, 5, 4, 3)
    generator, discriminator = MLP().generator(spec, 6), MLP().discriminator(spec)
    z = torch.randn(1, 6).expand(2, -1)
    images = generator(z, torch.tensor([0, 2]))
    assert images.shape == (2, 3, 5, 4)
    assert not torch.equal(images[0], images[1])
    same = images[:1].expand(2, -1, -1, -1)
    first, second = discriminator(same, torch.tensor([0, 2]))
    assert first != second
