import pytest
import torch
from torch import nn

from ganvas.core.images import ImageSpec
from ganvas.networks import DCGAN, ResNet
from ganvas.networks.base import Networks

SPEC = ImageSpec(1, 16, 16, 3)
CONFIGS = [
    DCGAN(base=4, d_norm="spectral", d_labels="projection", pointwise=True),
    ResNet(base=4, d_blocks=2, d_norm="spectral", d_labels="projection"),
]


@pytest.mark.parametrize("config", CONFIGS, ids=["dcgan", "resnet"])
def test_the_largest_singular_value_of_every_layer_is_one(config: Networks) -> None:
    D = config.discriminator(SPEC)
    images, labels = torch.randn(2, 1, 16, 16), torch.tensor([0, 2])
    for _ in range(200):
        D(images, labels)
    layers = [module for module in D.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert len(layers) > 3
    for layer in layers:
        assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("config", CONFIGS, ids=["dcgan", "resnet"])
def test_evaluation_leaves_the_estimates_alone(config: Networks) -> None:
    D = config.discriminator(SPEC)
    before = {name: value.clone() for name, value in D.state_dict().items()}
    D.eval()(torch.randn(2, 1, 16, 16), torch.tensor([0, 2]))
    assert all(torch.equal(value, before[name]) for name, value in D.state_dict().items())
    D.train()(torch.randn(2, 1, 16, 16), torch.tensor([0, 2]))
    assert not all(torch.equal(value, before[name]) for name, value in D.state_dict().items())
