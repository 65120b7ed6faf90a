import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.compute.device import choose
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.methods.gan import GAN, GANSettings
from ganvas.methods.small_set_gan import SmallSetGAN, SmallSetGANSettings
from ganvas.networks import NETWORKS
from tests.methods.images import LABELLED, Images


def make(spec: ImageSpec = LABELLED, networks: str = "mlp", **settings: object) -> SmallSetGAN:
    values = SmallSetGANSettings(latent_size=5, **settings)
    return SmallSetGAN(values, NETWORKS[networks](), spec, choose("cpu", "fp32"), seed=0)


@pytest.mark.parametrize(("d_steps", "g_steps"), [(1, 4), (2, 3)])
def test_updates_per_step(d_steps: int, g_steps: int) -> None:
    method = make(d_steps=d_steps, g_steps=g_steps)
    batches = Images(method.spec)
    method.step(batches)
    assert batches.pulled == d_steps
    counts = {name: next(iter(o.state.values()))["step"].item() for name, o in method.optimizers.items()}
    assert counts == {"D": d_steps, "G": g_steps}


def test_d_sees_real_and_generated_images_augmented(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(augment="cutout", g_steps=2)
    seen = []
    plain = method.logit
    monkeypatch.setattr(method, "logit", lambda images, y: (seen.append(images), plain(images, y))[1])
    method.step(Images(method.spec))
    assert len(seen) == 4  # real, generated, and G's two
    assert all((images == 0).flatten(1).float().mean(1).min() > 0.05 for images in seen)


def test_penalties_enter_d_alone() -> None:
    def trained(**settings: float) -> SmallSetGAN:
        method = make(lr=1e-2, **settings)
        batches = Images(method.spec)
        for _ in range(30):
            method.step(batches)
        return method

    batches = Images(make().spec)
    real, _ = batches.next()

    def slope(method: SmallSetGAN) -> float:
        x = real.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(method.logit(x, None).sum(), x)
        return gradient.flatten(1).norm(dim=1).mean().item()

    assert slope(trained(r1=30.0)) < slope(trained()) / 2
    assert slope(trained(r2=30.0)) < slope(trained()) / 2


def test_lazy_penalties_come_every_so_many_steps_with_so_many_times_the_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    method, batches = make(r1=2.0, r2=3.0, penalty_every=3), Images(make().spec)
    plain, asked = method.small_set_step, []
    monkeypatch.setattr(method, "small_set_step", lambda *given: (asked.append(given[1:]), plain(*given))[1])
    for _ in range(5):
        method.step(batches)
    assert asked == [(2.0, 3.0), (), (), (2.0, 3.0), ()]
    lazy, exact = make(r1=2.0, r2=3.0, penalty_every=3), make(r1=6.0, r2=9.0)
    for each in (lazy, exact):
        each.step(Images(each.spec))
    for key, value in exact.D.state_dict().items():
        torch.testing.assert_close(lazy.D.state_dict()[key], value)


def test_r1_needs_a_d_that_sees_each_image_by_itself() -> None:
    with pytest.raises(UserError, match=r"network\.d_norm=none"):
        make(ImageSpec(1, 16, 16, 0), networks="dcgan", r1=1.0)


def test_the_probability_of_augmentation_is_state() -> None:
    settings = {"augment": "colour", "augment_target": 0.5}
    one, other = make(**settings), make(**settings)
    assert make().extra_state() == {}
    for _ in range(5):
        one.step(Images(one.spec))
    other.load_extra_state(one.extra_state())
    assert other.augment.p == one.augment.p < 1
    other.load_extra_state({"small_sets": torch.tensor([0.25, 0.0, 0.0, 0.0, 0.0], dtype=torch.float64)})
    assert other.augment.p == 0.25  # a checkpoint of version 0.1


def test_without_extras_it_is_the_gan_of_the_textbook() -> None:
    ours, plain = make(), GAN(GANSettings(latent_size=5), NETWORKS["mlp"](), LABELLED, choose("cpu", "fp32"), seed=0)
    for method in (ours, plain):
        method.step(Images(LABELLED))
    for key, value in plain.G.state_dict().items():
        assert torch.equal(ours.G.state_dict()[key], value)


def test_the_extras_at_their_smallest_change_nothing() -> None:
    """The step of small sets with a change that never happens and a penalty that weighs nothing."""
    ours, plain = make(augment="cutout", augment_p=0.0), make()
    ours.noise.uniform = lambda *shape: torch.ones(shape)  # type: ignore[method-assign]
    for method in (ours, plain):
        method.step(Images(LABELLED))
    for key, value in plain.G.state_dict().items():
        torch.testing.assert_close(ours.G.state_dict()[key], value)


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
