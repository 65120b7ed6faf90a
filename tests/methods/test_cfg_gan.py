import copy

import pytest
import torch
from torch import Tensor, nn

from ganvas.compute.device import choose
from ganvas.compute.precision import in_format
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.methods.cfg_gan import CFGGAN, CFGGANSettings
from ganvas.networks import DCGAN, Networks, ResNet
from tests.methods.images import Images

SPEC, FP32 = ImageSpec(1, 8, 8, 0), choose("cpu", "fp32")
SMALL = {"latent_size": 5, "steps": 3, "d_steps": 2, "pool": 20, "fit_epochs": 4, "fit_batch": 8, "eta": 0.7}


def make(spec: ImageSpec = SPEC, d_norm: str = "none", network: Networks | None = None, **settings: object) -> CFGGAN:
    network = network or DCGAN(base=4, d_norm=d_norm, init="kaiming")
    return CFGGAN(CFGGANSettings(**{**SMALL, **settings}), network, spec, choose("cpu", "fp32"), seed=0)


def rms(module: nn.Module, lr: float) -> torch.optim.Optimizer:
    return torch.optim.RMSprop(module.parameters(), lr, alpha=0.95, eps=1e-18, foreach=False)


def ascend(x: Tensor, d: nn.Module, eta: float) -> Tensor:
    """One functional gradient step, image by image."""
    moved = []
    for image in x:
        place = image[None].clone().requires_grad_()
        d(place).sum().backward()
        moved.append((place + eta * place.grad).detach())
    return torch.cat(moved)


def steepness(x: Tensor, d: nn.Module) -> Tensor:
    """The mean over images of the squared norm of d's gradient there, differentiable."""
    squares = []
    for image in x:
        place = image[None].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(d(place).sum(), place, create_graph=True)
        squares.append(gradient.square().sum())
    return torch.stack(squares).mean()


def length(x: Tensor, d: nn.Module, eta: float, rise: float | None) -> float:
    """The first of η, η/2, η/4, ... by which d rises, on average, by the share `rise` of what its gradient promises."""
    while rise is not None:
        promised = eta * sum((new - old).div(eta).square().sum() for new, old in zip(ascend(x, d, eta), x, strict=True))
        if (d(ascend(x, d, eta)) - d(x)).sum() >= rise * promised:
            break
        eta /= 2
    return eta


def plain_stages(method: CFGGAN, batches: Images, stages: int) -> list[nn.Module]:
    """xICFG as it is written down, without any thrift; draws its random numbers where the method does."""
    s, noise = method.settings, torch.Generator().manual_seed(0)
    G, D = method.G, method.D
    d_optimizer = rms(D, s.d_lr)
    z = torch.randn(s.pool, 5, generator=noise)
    target = (z @ (torch.randn(5, 64, generator=noise) * s.start_std)).clamp(-1, 1).view(-1, 1, 8, 8)
    stored: list[nn.Module] = []
    etas: list[float] = []
    for _ in range(stages):
        optimizer, lr, cuts, before = rms(G, s.g_lr), s.g_lr, 0, None
        for _ in range(s.fit_epochs):
            losses = []
            order = torch.randperm(s.pool, generator=noise)
            for start in range(0, s.pool, s.fit_batch):
                chosen = order[start : start + s.fit_batch]
                loss = sum(
                    0.5 * (image - target[i]).square().sum() for image, i in zip(G(z[chosen]), chosen, strict=True)
                )
                optimizer.zero_grad()
                (loss / len(chosen)).backward()
                optimizer.step()
                losses.append(loss.item() / len(chosen))
            mean = sum(losses) / len(losses)
            if before is not None and mean > before and cuts < 3:
                cuts, lr = cuts + 1, lr / 10
                optimizer.param_groups[0]["lr"] = lr
            before = mean

        G.eval()
        count = s.steps * s.d_steps
        z = torch.randn(s.pool + (6 * count if s.fakes == "fresh" else 0), 5, generator=noise)
        stored, etas = [], []
        for t in range(s.steps):
            for u in range(s.d_steps):
                real = batches.next()[0].double()
                if s.fakes == "fresh":
                    last = len(z) - 6 * (t * s.d_steps + u)
                    latents = z[last - 6 : last]
                else:
                    latents = z[torch.randint(s.pool, (6,), generator=noise)]
                fake = G(latents).detach()
                for d, eta in zip(stored, etas, strict=True):  # the whole way again
                    fake = ascend(fake, d, eta)
                loss = torch.log(1 + torch.exp(-D(real))).mean() + torch.log(1 + torch.exp(D(fake))).mean()
                if s.penalty:
                    loss = loss + s.penalty / 2 * (steepness(real, D) + steepness(fake, D))
                d_optimizer.zero_grad()
                loss.backward()
                d_optimizer.step()
            x = G(z[: len(z) - 6 * (t + 1) * s.d_steps] if s.fakes == "fresh" else z).detach()  # all that is not used
            for d, eta in zip(stored, etas, strict=True):
                x = ascend(x, d, eta)
            stored.append(copy.deepcopy(D))
            etas.append(length(x, stored[-1], s.eta, s.rise))
        z = z[: s.pool]
        target = G(z).detach()
        for d, eta in zip(stored, etas, strict=True):
            target = ascend(target, d, eta)
        G.train()
    return stored


@pytest.mark.parametrize(("eta", "rise", "penalty"), [(0.7, None, 0.0), (200.0, 0.9, 0.0), (0.7, None, 0.3)])
@pytest.mark.parametrize("fakes", ["fresh", "pool"])
def test_stages_equal_the_algorithm(fakes: str, eta: float, rise: float | None, penalty: float, float64: None) -> None:
    ours, plain = (make(fakes=fakes, eta=eta, rise=rise, penalty=penalty) for _ in range(2))
    batches = Images(SPEC)
    reals = iter([batches.next() for _ in range(12)])
    source = type("Source", (), {"next": lambda self: (lambda b: b._replace(images=b.images.double()))(next(reals))})()
    for _ in range(2):
        ours.step(source)
    stored = plain_stages(plain, Images(SPEC), 2)
    for mine, theirs in ((ours.G, plain.G), (ours.D, plain.D), *zip(ours.stored, stored, strict=True)):
        for key, value in theirs.state_dict().items():
            torch.testing.assert_close(mine.state_dict()[key], value, rtol=1e-6, atol=1e-9)
    assert (min(ours.etas) < eta) == (rise is not None)


def test_generation_is_so_many_gradient_steps() -> None:
    method = make(eta=0.05)
    z = method.latents(range(4))
    start = method.decode(z)
    for _ in range(2):
        method.step(Images(SPEC))
    with torch.no_grad():
        method.G.eval()
        x = method.G(z)
        method.G.train()
    frames = [x]
    for d in method.stored:
        frames.append(ascend(frames[-1], d, 0.05))
    for steps in range(4):
        other = make(eta=0.05)
        other.load_extra_state(method.extra_state())
        for name, module in method.modules.items():
            other.modules[name].load_state_dict(module.state_dict())
        other.use_steps(steps)
        torch.testing.assert_close(other.decode(z), frames[steps].clamp(-1, 1))
    assert (start != frames[3]).any()
    with pytest.raises(UserError, match="0 to 3"):
        method.use_steps(4)


def test_the_trace_of_an_image_sums_to_it() -> None:
    method = make(eta=0.05)
    method.step(Images(SPEC))
    z = method.latents(range(4))
    start, steps = method.draw(z), list(method.trace(z))
    assert len(steps) == 3
    total = start + torch.stack([step.update for step in steps]).sum(0)
    torch.testing.assert_close(total, steps[-1].images)
    torch.testing.assert_close(total.clamp(-1, 1), method.decode(z))
    x = start
    for d, step in zip(method.stored, steps, strict=True):
        torch.testing.assert_close(step.images, ascend(x, d, 0.05))
        with torch.no_grad():
            torch.testing.assert_close(step.before, d(x)[:, 0])
            torch.testing.assert_close(step.after, d(step.images)[:, 0])
        x = step.images
    method.use_steps(1)
    assert len(list(method.trace(z))) == 1


@pytest.mark.parametrize("layer_norms", [False, True])
def test_images_have_gradients_through_all_steps(layer_norms: bool) -> None:
    """In float64, where a small change of z meets no kink of a leaky ReLU."""
    method = make(network=ResNet(base=4, g_blocks=1, d_blocks=2, d_norm="layer") if layer_norms else None, eta=0.05)
    method.step(Images(SPEC))
    for module in (method.G, *method.stored):
        module.double()
    z = method.latents([3]).double()

    def height(z: Tensor) -> float:
        start = method.draw(z)
        return float(method.move_all(start).square().sum())

    place = z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(method.decode_differentiably(place).square().sum(), place)
    step = 1e-7 * torch.eye(5).double()
    slopes = [(height(z + one) - height(z - one)) / 2e-7 for one in step]
    torch.testing.assert_close(gradient[0], torch.tensor(slopes).double(), rtol=1e-4, atol=1e-4)


def test_before_the_first_stage_nothing_is_moved() -> None:
    method = make()
    z = method.latents(range(3))
    with torch.no_grad():
        method.G.eval()
        torch.testing.assert_close(method.decode(z), method.G(z))


def test_an_image_moves_by_itself() -> None:
    method = make()
    x = torch.rand(9, 1, 8, 8)
    together = method.move(x, method.D, 0.7)
    for i in range(9):
        torch.testing.assert_close(method.move(x[i : i + 1], method.D, 0.7)[0], together[i])
    assert all(parameter.grad is None for parameter in method.D.parameters())
    with pytest.raises(UserError, match=r"network\.d_norm=none"):
        make(ImageSpec(1, 16, 16, 0), d_norm="batch")


class Bowl(nn.Module):
    """d(x) = -bend/2 |x - 1|²: a step of η brings 1 - η bend / 2 of what the gradient promises."""

    def __init__(self, bend: float) -> None:
        super().__init__()
        self.bend = bend

    def forward(self, x: Tensor) -> Tensor:
        return -self.bend / 2 * (x - 1).flatten(1).square().sum(1, keepdim=True)


def test_a_step_is_halved_until_it_rises_as_promised() -> None:
    x = torch.rand(5, 1, 8, 8)
    for bend, rise, eta, share in ((1, 0.5, 0.8, 0.6), (4, 0.5, 0.2, 0.6), (4, 0.7, 0.1, 0.8), (4, None, 0.8, -0.6)):
        found, brought = make(eta=0.8, rise=rise).step_size(x, in_format(Bowl(bend), FP32))
        assert found == pytest.approx(eta)
        assert brought.item() == pytest.approx(share, abs=1e-4)


def test_a_flat_discriminator_promises_nothing() -> None:
    _, brought = make(eta=0.8, rise=0.5).step_size(torch.rand(5, 1, 8, 8), in_format(Bowl(0), FP32))
    assert brought.item() == 0


def test_generation_repeats_the_steps_that_were_found() -> None:
    method = make(eta=200.0, rise=0.9, fakes="pool", d_lr=1e-2)
    method.step(Images(SPEC))
    assert len(set(method.etas)) > 1
    other = make(eta=200.0, rise=0.9, fakes="pool")
    other.load_extra_state(method.extra_state())
    for name, module in method.modules.items():
        other.modules[name].load_state_dict(module.state_dict())
    z, x = method.pool
    torch.testing.assert_close(other.decode(z), x.clamp(-1, 1), rtol=1e-4, atol=1e-4)


def test_the_rate_of_the_fit_falls_when_its_loss_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(g_lr=0.2, fit_epochs=16, g_cut=0.9, g_most_cuts=3)
    rates: list[float] = []
    plain_step = torch.optim.RMSprop.step

    def step(self: torch.optim.RMSprop) -> None:
        rates.append(self.param_groups[0]["lr"])
        plain_step(self)

    monkeypatch.setattr(torch.optim.RMSprop, "step", step)
    method.approximate(*method.pool)
    assert list(dict.fromkeys(round(rate, 6) for rate in rates)) == [0.2, 0.18, 0.162, 0.1458]
    assert method.settings.g_lr == 0.2


def test_a_stage_sees_its_images_once() -> None:
    batches = Images(SPEC)
    record = make().step(batches)
    assert batches.pulled == 6
    assert record.keys() == {
        *("d_loss", "g_loss", "d_real", "d_fake"),
        *("update_size", "eta", "rise", "approximation"),
    }
