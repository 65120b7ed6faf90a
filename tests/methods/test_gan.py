import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.compute.device import choose
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.methods.gan import GAN, GANSettings
from ganvas.networks import NETWORKS
from tests.methods.images import LABELLED, Images


def make(spec: ImageSpec = LABELLED, networks: str = "mlp", **settings: object) -> GAN:
    return GAN(GANSettings(latent_size=5, **settings), NETWORKS[networks](), spec, choose("cpu", "fp32"), seed=0)


@pytest.mark.parametrize("loss", ["non-saturating", "minimax"])
def test_one_step_equals_the_textbook(loss: str) -> None:
    """The step, restated plainly: two-output softmax, cross-entropies, plain Adam, everything drawn again."""
    spec = ImageSpec(1, 8, 8, 0)
    ours, batches = make(spec, d_outputs=2, loss=loss), Images(spec)
    plain, (real, _) = make(spec, d_outputs=2, loss=loss), Images(spec).next()
    ours.step(batches)

    G, D = plain.G, plain.D
    fake = G(torch.randn(6, 5, generator=torch.Generator().manual_seed(0)))
    generated, is_real = torch.zeros(6, dtype=torch.long), torch.ones(6, dtype=torch.long)
    d_adam = torch.optim.Adam(D.parameters(), 2e-4, (0.5, 0.999))
    (F.cross_entropy(D(real), is_real) + F.cross_entropy(D(fake.detach()), generated)).backward()
    d_adam.step()
    g_adam = torch.optim.Adam(G.parameters(), 2e-4, (0.5, 0.999))
    on_fake = D(fake)
    (F.cross_entropy(on_fake, is_real) if loss == "non-saturating" else -F.cross_entropy(on_fake, generated)).backward()
    g_adam.step()

    for name in ("G", "D"):
        for key, value in plain.modules[name].state_dict().items():
            torch.testing.assert_close(ours.modules[name].state_dict()[key], value, rtol=1e-4, atol=2e-6)


def test_hinge_and_relativistic_losses() -> None:
    real, fake = torch.tensor([2.0, -0.5]), torch.tensor([-3.0, 0.25])
    hinge, pairs = make(loss="hinge"), make(loss="relativistic")
    assert hinge.d_loss(real, fake).item() == pytest.approx((0 + 1.5) / 2 + (0 + 1.25) / 2)
    assert hinge.g_loss(fake).item() == pytest.approx((3 - 0.25) / 2)
    softplus = [math.log1p(math.exp(difference)) for difference in (-5.0, 0.75)]
    assert pairs.d_loss(real, fake).item() == pytest.approx(sum(softplus) / 2)
    assert pairs.g_loss(real, fake).item() == pytest.approx(sum(softplus) / 2)  # the sides have changed places


def test_g_is_compared_with_real_images_as_d_sees_them_now() -> None:
    """The relativistic step, restated: D learns from pairs; then G, from the pairs of the D that has learned."""
    spec = ImageSpec(1, 8, 8, 0)
    ours, plain = make(spec, loss="relativistic"), make(spec, loss="relativistic")
    ours.step(Images(spec))
    real, _ = Images(spec).next()
    fake = plain.G(torch.randn(6, 5, generator=torch.Generator().manual_seed(0)))
    optimizer = torch.optim.Adam(plain.D.parameters(), 2e-4, (0.5, 0.999))
    F.softplus(plain.D(fake.detach()) - plain.D(real)).mean().backward()
    optimizer.step()
    optimizer = torch.optim.Adam(plain.G.parameters(), 2e-4, (0.5, 0.999))
    F.softplus(plain.D(real) - plain.D(fake)).mean().backward()
    optimizer.step()
    for name in ("G", "D"):
        for key, value in plain.modules[name].state_dict().items():
            torch.testing.assert_close(ours.modules[name].state_dict()[key], value, rtol=1e-4, atol=2e-6)


def test_two_outputs_are_one_logit() -> None:
    method = make(d_outputs=2)
    x = torch.randn(4, 1, 8, 8)
    softmax: Tensor = F.softmax(method.D(x), dim=1)[:, 1]
    torch.testing.assert_close(method.logit(x, None).sigmoid(), softmax)


@pytest.mark.parametrize("d_steps", [1, 3])
def test_updates_per_step(d_steps: int) -> None:
    method = make(d_steps=d_steps)
    batches = Images(method.spec)
    method.step(batches)
    assert batches.pulled == d_steps
    counts = {name: next(iter(o.state.values()))["step"].item() for name, o in method.optimizers.items()}
    assert counts == {"D": d_steps, "G": 1}


@pytest.mark.parametrize("networks", ["mlp", "dcgan"])
def test_no_gradient_of_d_is_computed_in_the_step_of_g(networks: str) -> None:
    method = make(networks=networks, conditional=True)
    counts = dict.fromkeys(method.D.parameters(), 0)

    def count(parameter: Tensor) -> None:
        counts[parameter] += 1

    for parameter in counts:
        parameter.register_post_accumulate_grad_hook(count)
    method.step(Images(method.spec))
    assert set(counts.values()) == {1}
    assert all(parameter.requires_grad for parameter in counts)


def test_g_learns_to_fool_a_fixed_d() -> None:
    method = make(lr=1e-2)
    batches = Images(method.spec)
    method.optimizers["D"].param_groups[0]["lr"] = 0.0
    losses = [method.step(batches)["g_loss"].item() for _ in range(40)]
    assert losses[-1] < 0.8 * losses[0]


def test_conditional_needs_labels() -> None:
    with pytest.raises(UserError, match="sub-folder per class"):
        make(ImageSpec(1, 8, 8, 0), conditional=True)


def test_unconditional_ignores_labels() -> None:
    method = make()
    z = method.latents([1, 2])
    assert torch.equal(method.decode(z, torch.tensor([0, 1])), method.decode(z))


def test_uniform_latents_are_even_from_minus_1_to_1_in_training_and_sampling() -> None:
    method = make(latent="uniform")
    for z in (method.latents(range(2000)), method.prior(2000, method.noise)):
        assert -1 <= z.min() < -0.99 and 0.99 < z.max() <= 1
        assert z.square().mean().item() == pytest.approx(1 / 3, rel=0.05)


def test_the_average_forgets_by_its_half_life_and_sooner_early_in_a_run() -> None:
    method = make(ema_images=100)
    average, trained = method.averages["G"], method.modules["G"]
    for seen, left in ((10_000, 0.5), (2_000, 0.5), (1_000, 0.25), (100, 0.5**20)):  # shares after 100 images
        with torch.no_grad():
            for parameter in average.parameters():
                parameter.fill_(1.0)
            for parameter in trained.parameters():
                parameter.fill_(0.0)
        method.update_averages(100, seen)
        assert next(average.parameters()).flatten()[0].item() == pytest.approx(left, rel=1e-3, abs=1e-6)
