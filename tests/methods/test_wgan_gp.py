import pytest
import torch
from torch import Tensor

from ganvas.compute.device import choose
from ganvas.compute.noise import Noise
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.methods.optim import adam, descend, rmsprop
from ganvas.methods.wgan_gp import WGANGP, WGANGPSettings
from ganvas.networks import DCGAN
from tests.methods.images import Images

GREY, COLOUR = ImageSpec(1, 8, 8, 0), ImageSpec(3, 8, 8, 0)


def make(spec: ImageSpec = GREY, d_norm: str = "none", **settings: object) -> WGANGP:
    network = DCGAN(base=4, d_norm=d_norm, init="kaiming")
    return WGANGP(WGANGPSettings(latent_size=5, **settings), network, spec, choose("cpu", "fp32"), seed=0)


@pytest.mark.parametrize("spec", [GREY, COLOUR])
def test_the_penalty_equals_finite_differences(spec: ImageSpec, float64: None) -> None:
    method = make(spec)
    real, fake = (torch.rand(4, *spec[:3], generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    share = torch.rand(4, 1, 1, 1, generator=torch.Generator().manual_seed(3))
    method.noise = Noise(3)
    penalty = method.gradient_penalty(real, fake)

    def critic(x: Tensor) -> Tensor:
        return method.D(x, None)[:, 0].detach()

    between, step = share * real + (1 - share) * fake, 1e-6
    gradient = torch.zeros_like(between)
    for index in range(between[0].numel()):
        nudge = torch.zeros_like(between).flatten(1)
        nudge[:, index] = step
        nudge = nudge.view_as(between)
        gradient.flatten(1)[:, index] = (critic(between + nudge) - critic(between - nudge)) / (2 * step)
    expected = (gradient.flatten(1).square().sum(1).sqrt() - 1).square().mean()
    torch.testing.assert_close(penalty.detach(), expected, rtol=1e-6, atol=1e-9)

    penalty.backward()  # and the penalty's own gradient
    weight = next(method.D.parameters())
    for index in ((0, 0, 0, 0), (1, 0, 2, 3), (3, spec.channels - 1, 4, 4)):
        values = []
        for sign in (1, -1):
            weight.data[index] += sign * 1e-5
            method.noise = Noise(3)
            values.append(method.gradient_penalty(real, fake).item())
            weight.data[index] -= sign * 1e-5
        expected = (values[0] - values[1]) / 2e-5
        torch.testing.assert_close(weight.grad[index].item(), expected, rtol=1e-5, atol=1e-9)


def test_one_step_equals_the_textbook(float64: None) -> None:
    """Two updates of D and one of G, restated: everything drawn again in the same order."""
    ours, batches = make(n_critic=2, penalty=7.0, d_lr=3e-4), Images(GREY)
    plain, reals = make(n_critic=2), Images(GREY)
    scalars = ours.step(batches)
    assert batches.pulled == 2

    noise = torch.Generator().manual_seed(0)
    G, D = plain.G, plain.D
    d_adam, g_adam = adam(D, 3e-4, (0.5, 0.9)), adam(G, 1e-4, (0.5, 0.9))
    for _ in range(2):
        real = reals.next()[0].double()
        fake = G(torch.randn(6, 5, generator=noise)).detach()
        share = torch.rand(6, 1, 1, 1, generator=noise)
        x = (share * real + (1 - share) * fake).requires_grad_()
        total = torch.zeros(())
        for i in range(6):  # image by image
            (gradient,) = torch.autograd.grad(D(x)[i, 0], x, create_graph=True, retain_graph=True)
            total = total + (gradient[i].norm() - 1) ** 2 / 6
        descend(d_adam, D(fake).mean() - D(real).mean() + 7 * total)
    descend(g_adam, -D(G(torch.randn(6, 5, generator=noise))).mean())
    torch.testing.assert_close(scalars["gradient_penalty"], total.detach())
    for name in ("G", "D"):
        for key, value in plain.modules[name].state_dict().items():
            torch.testing.assert_close(ours.modules[name].state_dict()[key], value, rtol=1e-6, atol=1e-9)


def test_clipping_bounds_every_weight_and_needs_no_penalty() -> None:
    method = make(clip=0.01, optimizer="rmsprop", d_norm="batch")
    record = method.step(Images(GREY))
    assert max(p.detach().abs().max().item() for p in method.D.parameters()) <= 0.01 + 1e-9
    assert "gradient_penalty" not in record and record.keys() >= {"d_loss", "g_loss", "d_real", "d_fake"}
    assert isinstance(method.optimizers["D"], type(rmsprop(method.D, 1)))


def test_a_batch_normalising_critic_is_refused() -> None:
    with pytest.raises(UserError, match=r"network\.d_norm=none"):
        make(ImageSpec(1, 16, 16, 0), d_norm="batch")


def test_rates_change_while_it_runs() -> None:
    method = make(lr=1e-3)
    method.change(lr=5e-4)
    assert {o.param_groups[0]["lr"] for o in method.optimizers.values()} == {5e-4}
    method.change(**method.settings.slowdown_settings()["D"])
    method.change(lr=1e-4)
    assert [method.optimizers[name].param_groups[0]["lr"] for name in ("G", "D")] == [1e-4, 5e-4]
    assert method.changed == {"lr": 1e-4, "d_lr": 5e-4}
    with pytest.raises(UserError, match=r"method\.lr"):
        method.change(lr=-1)


def test_the_batch_of_g_and_the_noise_on_real_images() -> None:
    method = make(n_critic=1, g_batch=2, dequantise=0.5)
    generated, judged = [], []
    method.G.register_forward_hook(lambda _, inputs, images: generated.append(len(images)))
    method.D.register_forward_hook(lambda _, inputs, logits: judged.append(inputs[0]))
    batches = Images(method.spec)
    method.step(batches)
    real = Images(method.spec).next().images
    assert generated == [len(real), 2 * len(real)]
    added = judged[0] - real
    assert 0 <= added.min() < 0.05 and 0.45 < added.max() <= 0.5
