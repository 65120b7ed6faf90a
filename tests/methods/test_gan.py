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


def test_two_outputs_are_one_logit() -> None:
    method = make(d_outputs=2)
    x = torch.randn(4, 1, 8, 8)
    softmax: Tensor = F.softmax(method.D(x), dim=1)[:, 1]
    torch.testing.assert_close(method._logit(x, None).sigmoid(), softmax)


@pytest.mark.parametrize(("d_steps", "g_steps"), [(1, 1), (3, 1), (1, 4), (2, 3)])
def test_updates_per_step(d_steps: int, g_steps: int) -> None:
    method = make(d_steps=d_steps, g_steps=g_steps)
    batches = Images(method.spec)
    method.step(batches)
    assert batches.pulled == d_steps
    counts = {name: next(iter(o.state.values()))["step"].item() for name, o in method.optimizers.items()}
    assert counts == {"D": d_steps, "G": g_steps}


@pytest.mark.parametrize("networks", ["mlp", "dcgan"])
def test_no_gradient_of_d_is_computed_in_the_step_of_g(networks: str) -> None:
    method = make(networks=networks, conditional=True, g_steps=3)
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


def test_balance_gives_g_as_many_updates_as_it_needs() -> None:
    method = make(g_steps="balance", most_g_steps=6, lr=1e-5, d_lr=1e-2)  # D runs ahead
    batches, taken = Images(method.spec), []
    for _ in range(60):
        taken.append(method.step(batches)["g_steps"].item())
    assert taken[0] == 1
    assert max(taken) == taken[-1] == 6
    assert next(iter(method.optimizers["G"].state.values()))["step"].item() == sum(taken)


def test_d_sees_real_and_generated_images_augmented(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(augment="cutout", g_steps=2)
    seen = []
    plain = method._logit
    monkeypatch.setattr(method, "_logit", lambda images, y: (seen.append(images), plain(images, y))[1])
    method.step(Images(method.spec))
    assert len(seen) == 4  # real, generated, and G's two
    assert all((images == 0).flatten(1).float().mean(1).min() > 0.05 for images in seen)


def test_penalties_enter_d_alone() -> None:
    def trained(**settings: float) -> GAN:
        method = make(lr=1e-2, **settings)
        batches = Images(method.spec)
        for _ in range(30):
            method.step(batches)
        return method

    batches = Images(make().spec)
    real, _ = batches.next()

    def slope(method: GAN) -> float:
        x = real.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(method._logit(x, None).sum(), x)
        return gradient.flatten(1).norm(dim=1).mean().item()

    assert slope(trained(r1=30.0)) < slope(trained()) / 2
    assert slope(trained(lecam=30.0)) < slope(trained()) / 2


def test_r1_needs_a_d_that_sees_each_image_by_itself() -> None:
    with pytest.raises(UserError, match=r"network\.d_norm=none"):
        make(ImageSpec(1, 16, 16, 0), networks="dcgan", r1=1.0)


def test_state_of_the_extras_comes_back() -> None:
    settings = {"g_steps": "balance", "augment": "colour", "augment_target": 0.5, "lecam": 1.0}
    one, other = make(**settings), make(**settings)
    assert make().extra_state() == {}
    batches = Images(one.spec)
    for _ in range(5):
        one.step(batches)
    other.load_extra_state(one.extra_state())
    assert one.held.real != 0 and one.balance.ratio != 0
    for _ in range(2):  # at once, and after both went on
        assert torch.equal(other.extra_state()["small_sets"], one.extra_state()["small_sets"])
        for each in one, other:
            each.augment.adapt(torch.ones(7))
            each.held(torch.tensor([0.3]), torch.tensor([0.7]))


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


def test_robot_vs_robot() -> None:
    """G's updates all on the latents that D saw; both losses after them, restated plainly."""
    spec = ImageSpec(1, 8, 8, 0)
    settings = {"g_steps": 3, "g_latents": "same", "losses": "after", "lr": 1e-2}
    ours, plain = make(spec, **settings), make(spec, **settings)
    record = ours.step(Images(spec))

    G, D, (real, _) = plain.G, plain.D, Images(spec).next()
    z = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    ones, zeros = torch.ones(6, 1), torch.zeros(6, 1)

    def d_loss() -> Tensor:
        on_real, on_fake = D(real), D(G(z).detach())
        return F.binary_cross_entropy_with_logits(on_real, ones) + F.binary_cross_entropy_with_logits(on_fake, zeros)

    def g_loss() -> Tensor:
        return F.binary_cross_entropy_with_logits(D(G(z)), ones)

    for network, loss, updates in ((D, d_loss, 1), (G, g_loss, 3)):
        adam = torch.optim.Adam(network.parameters(), 1e-2, (0.5, 0.999))
        for _ in range(updates):
            adam.zero_grad()
            loss().backward()
            adam.step()

    torch.testing.assert_close(record["d_loss"], d_loss().detach(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(record["g_loss"], g_loss().detach(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(record["d_real"], D(real).sigmoid().mean().detach(), rtol=1e-3, atol=1e-5)
    for key, value in G.state_dict().items():
        torch.testing.assert_close(ours.G.state_dict()[key], value, rtol=1e-3, atol=2e-3)  # 0.2 of a step of Adam
