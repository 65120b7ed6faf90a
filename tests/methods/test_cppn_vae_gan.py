import pytest
import torch
from torch import Tensor

from ganvas.compute.device import choose
from ganvas.core.images import ImageSpec
from ganvas.methods.cppn_vae_gan import CPPNVAEGAN, CPPNVAEGANSettings
from ganvas.networks import CPPN
from tests.methods.images import Images

NETWORK = CPPN(kind="softplus", width=6, std=0.2, d_filters=4, encoder_width=12)
SPEC = ImageSpec(1, 8, 8, 0)


def make(spec: ImageSpec = SPEC, **settings: object) -> CPPNVAEGAN:
    return CPPNVAEGAN(CPPNVAEGANSettings(latent_size=5, **settings), NETWORK, spec, choose("cpu", "fp32"), seed=0)


@pytest.mark.parametrize("d_learns", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_one_batch_equals_the_published_rule(d_learns: bool, channels: int) -> None:
    """Restated plainly: Bernoulli likelihood and KL from torch.distributions, the whole batch at once, plain Adam."""
    spec = SPEC._replace(channels=channels)
    settings = {"vae_steps": 2, "g_steps": 2, "g_stop": 0.0, "d_above": 0.0 if d_learns else 9.0, "d_unless_g": 9.0}
    ours, plain = make(spec, **settings), make(spec, **settings)
    record = ours.step(Images(spec))

    x, _ = Images(spec).next()
    noise = torch.Generator().manual_seed(0)
    G, E, D = plain.G.pixels, plain.E, plain.D
    values = (x.permute(0, 2, 3, 1).reshape(6, 64, channels) + 1) / 2
    normal = torch.distributions.Normal(0.0, 1.0)

    def vae() -> tuple[Tensor, Tensor]:
        mean, log_variance = E(x)
        posterior = torch.distributions.Normal(mean, torch.exp(log_variance) ** 0.5)
        z = mean + posterior.stddev * torch.randn(6, 5, generator=noise)
        logits = G.output(G.hidden(z, plain.G.place))
        bernoulli = torch.distributions.Bernoulli(logits=logits, validate_args=False)
        likelihood = bernoulli.log_prob(values).sum((1, 2))
        kl = torch.distributions.kl_divergence(posterior, normal).sum(1)
        fake = 2 * logits.sigmoid().view(6, 8, 8, channels).permute(0, 3, 1, 2) - 1
        return fake, ((kl - likelihood) / 64).mean()

    def update(adam: torch.optim.Adam, loss: Tensor) -> None:
        adam.zero_grad()
        loss.backward()
        adam.step()

    both = [*G.parameters(), *E.parameters()]
    vae_adam = torch.optim.Adam(both, 1e-3, (0.65, 0.999))
    g_adam = torch.optim.Adam(both, 5e-3, (0.65, 0.999))
    for _ in range(2):
        update(vae_adam, vae()[1])
    for _ in range(2):
        fake, vae_loss = vae()
        update(g_adam, -D(fake).sigmoid().log().mean() + vae_loss)
    fake, _ = vae()
    if d_learns:
        d_loss = -(D(x).sigmoid().log().mean() + (1 - D(fake.detach()).sigmoid()).log().mean()) / 2
        update(torch.optim.Adam(D.parameters(), 1e-3, (0.65, 0.999)), d_loss)

    assert record["d_steps"] == float(d_learns)
    for name in ("G", "E", "D"):
        for key, value in plain.modules[name].state_dict().items():
            torch.testing.assert_close(ours.modules[name].state_dict()[key], value, rtol=1e-3, atol=2e-5, msg=key)


@pytest.mark.parametrize("channels", [1, 3])
def test_some_pixels_stand_for_all(channels: int) -> None:
    spec = SPEC._replace(channels=channels)
    some, plain = make(spec, vae_pixels=16), make(spec)
    x, _ = Images(spec).next()
    loss = some.autoencode(x)
    chosen = plain.noise.permutation(64)[:16]
    z, kl = plain.infer(x)
    pixels = plain.G(z, as_logits=True)[:, chosen].sigmoid()
    values = (x.permute(0, 2, 3, 1).reshape(6, 64, channels)[:, chosen] + 1) / 2
    nats = -(values * pixels.log() + (1 - values) * (1 - pixels).log()).sum() / (6 * 16)
    torch.testing.assert_close(loss, nats + kl.mean() / 64)

    whole, plain = make(spec, vae_pixels=64), make(spec)
    torch.testing.assert_close(whole.autoencode(x), plain.redraw(x)[1])


def test_the_thresholds() -> None:
    def count(**settings: float) -> tuple[int, int]:
        record = make(vae_steps=0, **settings).step(Images(SPEC))
        return int(record["g_steps"]), int(record["d_steps"])

    assert count(g_stop=9.0, d_above=0.0, d_unless_g=9.0) == (1, 1)
    assert count(g_stop=0.0, d_above=0.0, d_unless_g=9.0) == (4, 1)
    assert count(g_stop=0.0, d_above=9.0, d_unless_g=9.0) == (4, 0)  # D is good enough
    assert count(g_stop=0.0, d_above=0.0, d_unless_g=0.0) == (4, 0)  # G is not


def test_the_published_settings() -> None:
    s = CPPNVAEGANSettings()
    assert (s.latent_size, s.vae_steps, s.g_steps, s.g_stop, s.d_above, s.d_unless_g) == (32, 4, 4, 0.6, 0.6, 0.75)
    assert (s.g_lr, s.vae_lr, s.d_lr, s.beta1) == (5e-3, 1e-3, 1e-3, 0.65)


def test_theautoencoder_learns() -> None:
    method = make(vae_lr=3e-3, g_lr=3e-3)
    real = torch.tensor([-0.9, 0.9]).repeat(6)[:, None, None, None].expand(12, 1, 8, 8)

    class Source:
        def next(self) -> tuple[Tensor, None]:
            return real, None

    losses = [method.step(Source())["vae_loss"].item() for _ in range(40)]  # type: ignore[arg-type]
    assert sorted(losses[20:])[10] < 0.6 * losses[0]
    light = method.decode(method.encode(real)).mean((1, 2, 3))
    assert light[1] > light[0] + 0.5


def test_labels_are_not_needed_and_not_used() -> None:
    labelled, plain = make(SPEC._replace(num_classes=3)), make()
    assert not labelled.conditional
    assert labelled.D.head.weight.shape == plain.D.head.weight.shape
    assert torch.equal(labelled.decode(labelled.latents([1]), torch.tensor([2])), plain.decode(plain.latents([1])))
