import pytest
import torch
from torch import Tensor, nn

from ganvas.compute.device import choose
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.methods.residual_cppn import ResidualCPPN, ResidualCPPNSettings
from ganvas.networks import CPPN, DCGAN
from tests.methods.images import LABELLED, Images

NETWORK = CPPN(width=4, blocks=2, std=0.3, block_std=0.5, residual_std=0.2, d_filters=4, encoder_width=12)
ALWAYS = {"d_start_detected": 1.0, "d_start_passed": 0.0}
NEVER = {"d_start_detected": 0.0}


def make(spec: ImageSpec = LABELLED, network: CPPN = NETWORK, seed: int = 0, **settings: object) -> ResidualCPPN:
    return ResidualCPPN(
        ResidualCPPNSettings(latent_size=5, **settings), network, spec, choose("cpu", "fp32"), seed=seed
    )


def taught(**settings: object) -> ResidualCPPN:
    """A method whose classifier takes some generated images for their class, and some for generated ones."""
    method = make(**settings)
    with torch.no_grad():
        method.D.head.bias.copy_(torch.tensor([0.3, 0.0, 0.0, 0.28]))
    return method


@pytest.mark.parametrize("kind", ["against generated", "real alone", "none"])
def test_one_batch_equals_the_published_rule(kind: str) -> None:
    """Restated plainly: the closed form of KL, cross-entropies by hand, plain modules, plain Adam."""
    thresholds = {
        "against generated": {**ALWAYS, "d_stop_detected": 1.0},
        "real alone": {**NEVER, "d_start_real": 1.0, "d_stop_real": 1.0},
        "none": {**NEVER, "d_start_real": 0.0},
    }[kind]
    settings = {"g_steps": 3, "g_stop": 1.0, "d_steps": 2, **thresholds}
    ours, plain = taught(**settings), taught(**settings)
    record = ours.step(Images(LABELLED))

    x, y = Images(LABELLED).next()
    noise = torch.Generator().manual_seed(0)
    G, E, D = plain.G.pixels, plain.E, plain.D

    def redrawn() -> tuple[Tensor, Tensor]:
        mean, log_variance = E(x)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn(6, 5, generator=noise)
        normal = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
        kl = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
        return 2 * G.plain(z, plain.G.place).view(6, 8, 8, 1).permute(0, 3, 1, 2) - 1, kl

    def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
        return -logits.softmax(1).gather(1, classes[:, None]).log().mean()

    def update(adam: torch.optim.Adam, loss: Tensor) -> None:
        adam.zero_grad()
        loss.backward()
        parameters = adam.param_groups[0]["params"]
        norm = torch.cat([p.grad.flatten() for p in parameters]).norm()
        for parameter in parameters:
            parameter.grad *= min(1.0, 5.0 / norm.item())
        adam.step()

    g_adam = torch.optim.Adam([*G.parameters(), *E.parameters()], 1e-3, (0.75, 0.999))
    d_adam = torch.optim.Adam(D.parameters(), 1e-3, (0.75, 0.999))
    for _ in range(3):
        fake, kl = redrawn()
        update(g_adam, cross_entropy(D(fake), y) + 10 * kl / 64)
    redrawn()  # what decides whether D learns
    for _ in range(0 if kind == "none" else 2):
        d_loss = cross_entropy(D(x), y)
        if kind == "against generated":
            d_loss = (10 * d_loss + cross_entropy(D(redrawn()[0].detach()), torch.full((6,), 3))) / 11
        update(d_adam, d_loss)

    assert record["d_steps"] == (0 if kind == "none" else 2)
    assert ("d_loss" in record) == (kind != "none")
    for name in ("G", "E", "D"):
        for key, value in plain.modules[name].state_dict().items():
            torch.testing.assert_close(ours.modules[name].state_dict()[key], value, rtol=1e-3, atol=2e-5, msg=key)


def count(settings: dict[str, float]) -> tuple[int, int]:
    record = taught(g_steps=5, d_steps=4, **settings).step(Images(LABELLED))
    return int(record["g_steps"]), int(record["d_steps"])


def test_the_thresholds_stop_each_side() -> None:
    assert count({"g_stop": 0.0, **NEVER, "d_start_real": 0.0}) == (1, 0)  # a third passes from the start
    assert count({"g_stop": 1.0, **NEVER, "d_start_real": 0.0}) == (5, 0)
    assert count({"g_stop": 1.0, **ALWAYS, "d_stop_detected": 1.0}) == (5, 4)
    assert count({"g_stop": 1.0, **NEVER, "d_start_real": 1.0, "d_stop_real": 0.0})[1] < 4
    assert count({"g_stop": 1.0, **ALWAYS, "d_start_passed": 1.0, "d_start_real": 0.0})[1] == 0


def test_the_published_settings() -> None:
    s = ResidualCPPNSettings()
    assert (s.latent_size, s.g_steps, s.g_stop, s.d_steps) == (32, 16, 0.98, 8)
    assert (s.d_start_detected, s.d_start_passed, s.d_stop_detected) == (0.7, 0.6, 0.75)
    assert (s.d_start_real, s.d_stop_real, s.real_weight, s.kl_weight, s.clip) == (0.6, 0.7, 10, 10, 5)
    assert (s.g_lr, s.d_lr, s.beta1) == (1e-3, 1e-3, 0.75)


def test_no_gradient_of_d_in_the_step_of_g_and_none_of_g_in_that_of_d() -> None:
    method = taught(g_steps=2, d_steps=3, g_stop=1.0, **ALWAYS, d_stop_detected=1.0)
    counts = dict.fromkeys("GED", 0)
    for name in counts:
        for parameter in list(method.modules[name].parameters())[:1]:
            parameter.register_post_accumulate_grad_hook(
                lambda _, name=name: counts.__setitem__(name, counts[name] + 1)
            )
    method.step(Images(LABELLED))
    assert counts == {"G": 2, "E": 2, "D": 3}


def test_colour_any_classes_and_sizes() -> None:
    spec = ImageSpec(3, 9, 9, 5)
    method = make(spec)
    assert isinstance(method.D.head, nn.Linear) and method.D.head.out_features == 6
    record = method.step(Images(spec))
    assert all(value.isfinite() for value in record.values())
    images = method.decode(method.latents([1, 2]), size=(20, 31))
    assert images.shape == (2, 3, 20, 31)


def test_encoding_takes_the_mean_and_draws_no_noise() -> None:
    method = make(network=NETWORK.model_copy(update={"encoder_dropout": 0.5}))
    images = Images(LABELLED).next().images
    before = method.noise.get_state()
    z = method.encode(images)
    assert z.shape == (6, 5) and not z.requires_grad
    assert torch.equal(z, method.encode(images))
    assert torch.equal(before, method.noise.get_state())
    assert method.E.training


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(UserError, match=r"needs labelled data.*cppn_vae_gan"):
        make(ImageSpec(1, 8, 8, 0))
    with pytest.raises(UserError, match=r"set network\.name=cppn"):
        make(network=DCGAN())  # type: ignore[arg-type]


def test_g_learns_to_be_classified() -> None:
    """Three classes of plain pictures, dark, in between and light: soon redrawn ones pass, and real ones are known.

    What D says after its own updates is a matter of chance.
    """
    spec = ImageSpec(1, 8, 8, 3)
    method = make(spec, g_lr=1e-2, d_lr=1e-2)
    labels = torch.arange(60) % 3
    noise = torch.randn(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    real = (labels.float() - 1)[:, None, None, None].expand(60, 1, 8, 8) * 0.8 + 0.05 * noise

    class Source:
        def next(self) -> tuple[Tensor, Tensor]:
            return real, labels

    for _ in range(25):
        record = method.step(Source())  # type: ignore[arg-type]
    assert record["accuracy_real"] > 0.8
    assert record["accuracy_generated"] > 0.9


def test_an_adam_of_its_own_for_updates_on_real_images_alone() -> None:
    """Two kinds of updates in turns, with one optimiser or with two: each keeps its own moments."""
    for optimizers, counts in ((1, {"D": 4}), (2, {"D": 2, "D_real": 2})):
        method = taught(d_optimizers=optimizers, d_steps=2, d_stop_detected=1.0, d_stop_real=1.0)
        for thresholds in ({**ALWAYS}, {**NEVER, "d_start_real": 1.0}):
            method.change(**thresholds)
            method.step(Images(LABELLED))
        steps = {
            name: next(iter(optimizer.state.values()))["step"].item()
            for name, optimizer in method.optimizers.items()
            if name != "G"
        }
        assert steps == counts


def test_squares_and_unit_inputs() -> None:
    """E and D are given images in [0, 1]: a black one as zeros, of which only biases remain."""
    method = make(network=NETWORK.model_copy(update={"inputs": "unit", "encoder_std": 0.02}))
    black = torch.full((2, 1, 8, 8), -1.0)
    plain = make(network=NETWORK.model_copy(update={"encoder_std": 0.02}))
    assert torch.equal(method.E.hidden[1].weight, plain.E.hidden[1].weight)
    torch.testing.assert_close(method.E(black), plain.E(torch.zeros(2, 1, 8, 8)))
    torch.testing.assert_close(method.D(black), plain.D(torch.zeros(2, 1, 8, 8)))


def test_frozen_blocks_learn_in_their_last_layers_alone() -> None:
    method = make(network=NETWORK.model_copy(update={"frozen_blocks": True}), g_lr=1e-2)
    network = method.G.pixels
    before = network.weight.detach().clone(), network.bias.detach().clone()
    for _ in range(3):
        method.step(Images(LABELLED))
    for old, new in zip(before, (network.weight, network.bias), strict=True):
        assert torch.equal(old[:, :-1], new[:, :-1])
        assert (old[:, -1] != new[:, -1]).float().mean() > 0.5  # not where a ReLU is always 0
    coordinates, z = method.G.place, torch.randn(2, 5)
    torch.testing.assert_close(network(z, coordinates), network.plain(z, coordinates), rtol=1e-4, atol=1e-5)
