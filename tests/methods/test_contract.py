"""One suite of properties over every method, and over toy methods of the shapes that are still to come."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from ganvas import methods
from ganvas.core.errors import UserError
from ganvas.methods.base import BatchSource, Method, evaluating, frozen
from ganvas.methods.optim import adam
from ganvas.methods.settings import MethodSettings
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import Model, decode, load
from ganvas.runs.projection import Projection, projecting
from ganvas.runs.run import Run
from ganvas.runs.state import pack
from ganvas.training.train import train
from tests.conftest import same_tensors


class ToySettings(MethodSettings):
    name: Literal["toy"] = "toy"
    latent_size: int = 8
    pulls: int = 1


class CriticToy(Method):
    """WGAN-shaped: five batches for the critic, one for G."""

    Settings = ToySettings
    PULLS = 6

    def build(self) -> None:
        spec = self.spec._replace(num_classes=0)
        self.G = self.place("G", self.networks.generator(spec, self.settings.latent_size))
        self.D = self.place("D", self.networks.discriminator(spec))

    def make_optimizers(self) -> dict[str, Optimizer]:
        return {"G": adam(self.G, 1e-3, (0.0, 0.9)), "D": adam(self.D, 1e-3, (0.0, 0.9))}

    def step(self, batches: BatchSource) -> dict[str, Tensor]:
        for _ in range(self.PULLS - 1):
            real, _ = batches.next()
            with torch.no_grad():
                fake = self.G(self.noise.normal(len(real), self.settings.latent_size))
            self._update("D", (self.D(fake) - self.D(real)).mean())
        real, _ = batches.next()
        with frozen(self.D):
            loss = -self.D(self.G(self.noise.normal(len(real), self.settings.latent_size))).mean()
            self._update("G", loss)
        return {"g_loss": loss.detach()}

    @torch.no_grad()
    def decode(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        return self.draw(z, labels, size)

    def _update(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()


class FunctionalGradientToy(CriticToy):
    """CFG-shaped: many batches a step, a pool of latents as state, gradients of images to sample."""

    PULLS = 15

    def build(self) -> None:
        super().build()
        self.pool = self.noise.normal(4, self.settings.latent_size)

    def step(self, batches: BatchSource) -> dict[str, Tensor]:
        self.pool = self.pool.roll(1, 0) * 0.9 + 0.1 * self.noise.normal(4, self.settings.latent_size)
        return {**super().step(batches), "pool": self.pool.norm()}

    def decode(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        images = super().decode(z, labels, size)
        for _ in range(3):
            with torch.enable_grad():
                x = images.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(self.D(x).sum(), x)
            images = images + 0.1 * gradient
        return images.clamp(-1, 1)

    def decode_differentiably(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        start = super().decode_differentiably(z)
        return start + (self.decode(z) - start).detach()

    def extra_state(self) -> dict[str, Tensor]:
        return {"pool": self.pool}

    def load_extra_state(self, tensors: Mapping[str, Tensor]) -> None:
        self.pool = tensors["pool"].to(self.compute.device)


class AutoencoderToy(Method):
    """VAE-shaped: an encoder with dropout (the global random generator), latents from images."""

    Settings = ToySettings

    def build(self) -> None:
        pixels = self.spec.channels * self.spec.height * self.spec.width
        size = self.settings.latent_size
        self.E = self.place("E", nn.Sequential(nn.Flatten(), nn.Linear(pixels, 2 * size), nn.Dropout(0.35)))
        self.G = self.place("G", self.networks.generator(self.spec._replace(num_classes=0), size))

    def make_optimizers(self) -> dict[str, Optimizer]:
        return {"all": adam(nn.ModuleList([self.E, self.G]), 1e-3, (0.9, 0.999))}

    def step(self, batches: BatchSource) -> dict[str, Tensor]:
        real, _ = batches.next()
        mean, log_variance = self.E(real).chunk(2, dim=1)
        z = mean + (log_variance / 2).exp() * self.noise.normal(*mean.shape)
        loss = (self.G(z) - real).square().mean()
        self.optimizers["all"].zero_grad()
        loss.backward()
        self.optimizers["all"].step()
        return {"loss": loss.detach()}

    @torch.no_grad()
    def decode(self, z: Tensor, labels: Tensor | None = None, size: tuple[int, int] | None = None) -> Tensor:
        return self.draw(z, labels, size)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        with evaluating(self.E):
            mean: Tensor = self.E(images).chunk(2, dim=1)[0]
        return mean


TOYS = {"critic": CriticToy, "functional gradient": FunctionalGradientToy, "autoencoder": AutoencoderToy}
TOY = {"name": "toy", "ema_images": 50}
CASES: dict[str, dict[str, Any]] = {
    "gan mlp": {"network": {"name": "mlp", "hidden": [12]}, "method": {"name": "gan", "d_outputs": 2}},
    "gan dcgan": {"method": {"name": "gan", "latent_size": 8, "ema_images": 100, "g_steps": 2}},
    "gan dcgan conditional": {"method": {"name": "gan", "latent_size": 8, "conditional": True, "d_steps": 2}},
    "gan cppn conditional": {
        "network": {"name": "cppn", "kind": "tanh", "width": 8, "std": 0.4},
        "method": {"name": "gan", "latent_size": 8, "conditional": True},
    },
    "cppn_vae_gan": {
        "network": {"name": "cppn", "kind": "softplus", "width": 8, "std": 0.2, "encoder_width": 16},
        "method": {"name": "cppn_vae_gan", "ema_images": 50},
    },
    "residual_cppn": {
        "network": {"name": "cppn", "width": 4, "blocks": 3, "encoder_width": 16, "encoder_dropout": 0.35},
        "method": {"name": "residual_cppn", "latent_size": 8},
    },
    "gan resnet": {
        "network": {"name": "resnet", "base": 4, "g_blocks": 2, "d_blocks": 2},
        "method": {"name": "gan", "latent_size": 8},
    },
    "wgan_gp": {
        "network": {"d_norm": "none"},
        "method": {"name": "wgan_gp", "latent_size": 8, "ema_images": 50},
        "train": {"images": 900},
    },
    "wgan clipped": {
        "network": {"d_norm": "none"},
        "method": {"name": "wgan_gp", "latent_size": 8, "clip": 0.01, "optimizer": "rmsprop"},
        "train": {"images": 900, "schedule": {"lr": {"factor": 0}}},
    },
    "cfg_gan": {
        "network": {"d_norm": "none", "init": "kaiming"},
        "method": {"name": "cfg_gan", "latent_size": 8, "steps": 3, "pool": 40, "fit_epochs": 2, "ema_images": 50},
        "train": {"images": 900, "schedule": {"eta": {"on": "score", "patience": 1}}},
    },
    "cfg_gan pool": {
        "network": {"d_norm": "none", "init": "kaiming"},
        "method": {"name": "cfg_gan", "latent_size": 8, "steps": 2, "d_steps": 2, "pool": 40, "fakes": "pool"},
        "train": {"images": 900},
    },
    "gan small set": {
        "network": {"name": "dcgan", "base": 4, "d_norm": "none", "init": "kaiming"},
        "method": {
            **{"name": "gan", "latent_size": 8, "latent": "uniform", "g_steps": 2},
            **{"augment": "colour,translation,cutout", "augment_p": 0.3, "augment_target": 0.0},
            **{"r1": 0.1, "ema_images": 50},
        },
    },
    "gan spectral": {
        "network": {"base": 4, "d_norm": "spectral", "d_labels": "projection", "init": "kaiming"},
        "method": {"name": "gan", "latent_size": 8, "conditional": True, "loss": "hinge", "lr": 2e-3},
    },
    "gan relativistic": {
        "network": {"name": "resnet", "base": 4, "g_blocks": 2, "d_blocks": 2, "d_labels": "projection"},
        "method": {
            "name": "gan",
            "latent_size": 8,
            "conditional": True,
            "loss": "relativistic",
            "r1": 1,
            "r2": 1,
            "penalty_every": 3,
        },
    },
    "gan minimax": {"network": {"name": "mlp"}, "method": {"name": "gan", "loss": "minimax"}},
    # Whatever needs the gradient of one image cannot use the statistics of its batch.
    **{name: {"network": {"d_norm": "none"}, "method": TOY, "train": {"images": 900}} for name in TOYS},
}
ENCODING = (AutoencoderToy, methods.CPPNVAEGAN, methods.ResidualCPPN)
for name in ("cppn_vae_gan", "residual_cppn", "wgan_gp", "cfg_gan pool"):
    CASES[f"{name} bf16"] = {**CASES[name], "train": {**CASES[name].get("train", {}), "precision": "bf16"}}


def test_every_method_has_a_case() -> None:
    assert {case["method"]["name"] for case in CASES.values()} >= set(methods.METHODS)


@pytest.fixture(scope="module", params=list(CASES))
def recipe(request: pytest.FixtureRequest, tiny: Callable[..., Recipe]) -> Iterator[Recipe]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param in TOYS:
            patch.setitem(methods.METHODS, "toy", TOYS[request.param])
        yield tiny(**CASES[request.param])


@pytest.fixture(scope="module")
def trained(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the recipe that was never stopped."""
    path = tmp_path_factory.mktemp("trained") / "run"
    list(train(recipe, path, device="cpu"))
    return path


@pytest.fixture
def model(trained: Path) -> Model:
    return load(trained, device="cpu")


def newest(path: Path) -> dict[str, Tensor]:
    state, _ = Run(path).checkpoints.newest()
    assert state is not None
    return state.tensors


def test_every_network_learns(recipe: Recipe, trained: Path, model: Model) -> None:
    records = Run(trained).records()
    assert [r["nimg"] for r in records] == sorted(r["nimg"] for r in records)
    assert records[-1]["nimg"] >= recipe.total_images(60)
    assert all(torch.tensor(value).isfinite() for record in records for value in record.values())
    trained_ones = [name for name, m in model.method.modules.items() if any(p.requires_grad for p in m.parameters())]
    norms = {f"{name.lower()}{norm}" for name in trained_ones for norm in ("_norm", "_grad_norm")}
    recorded = {key for record in records for key in record}
    assert recorded >= {"diversity", "movement", "score", *norms}
    if recipe.method.name != "toy":
        assert recorded >= {"d_loss", "g_loss", "d_real", "d_fake"}
    before, _ = pack(recipe.build(model.method.spec, model.method.compute))
    after = newest(trained)
    for name in model.method.modules:
        weights = [key for key in after if key.startswith(f"module/{name}/") and "weight" in key]
        assert any(not torch.equal(before[key], after[key]) for key in weights), f"{name} did not learn"


def test_resuming_equals_not_stopping(recipe: Recipe, trained: Path, tmp_path: Path) -> None:
    for record in train(recipe, tmp_path / "stopped", device="cpu"):
        if record["nimg"] >= 80:
            break  # closes the iterator, which checkpoints
    assert Run(tmp_path / "stopped").state() == "stopped"
    list(train(recipe, tmp_path / "stopped", device="cpu"))
    assert same_tensors(newest(trained), newest(tmp_path / "stopped"))
    assert timeless(trained) == timeless(tmp_path / "stopped")


def timeless(path: Path) -> list[dict[str, Any]]:
    """The records of a run without what depends on the machine, and without those of its stops."""
    clock = ("seconds", "images_per_second")
    records = [record for record in Run(path).records() if "stopped" not in record]
    return [{key: value for key, value in record.items() if key not in clock} for record in records]


def test_a_seed_is_one_image_in_any_batch(model: Model) -> None:
    label = 1 if model.method.conditional else None
    many = model.sample(70, label=label, seed=3).images
    assert many.shape == (70, 16, 16, 1)
    assert (model.sample(1, label=label, seed=9).images[0] == many[6]).all()
    assert (model.sample(2, label=label, seed=70).images == many[67:69]).all()
    assert not (many[0] == many[1]).all()


def test_decoding_changes_nothing(model: Model) -> None:
    method = model.method
    before = {key: value.clone() for key, value in pack(method)[0].items()}
    images = method.decode(method.latents([1, 2, 3]), torch.zeros(3, dtype=torch.long))
    method.monitor()
    assert images.shape == (3, 1, 16, 16)
    assert images.dtype == torch.float32
    assert images.abs().max() <= 1
    assert same_tensors(before, pack(method)[0])
    assert all(module.training for module in method.modules.values())


def test_images_have_gradients_by_their_latents(model: Model) -> None:
    method = model.method
    z, labels = method.latents([1, 2, 3]), torch.zeros(3, dtype=torch.long)
    place = z.clone().requires_grad_()
    images = method.decode_differentiably(place, labels)
    torch.testing.assert_close(images.clamp(-1, 1), method.decode(z, labels), rtol=1e-4, atol=1e-4)
    (gradient,) = torch.autograd.grad(images.square().sum(), place)
    assert gradient.shape == z.shape
    assert (gradient.abs().sum(1) > 0).all()
    assert all(parameter.grad is None for module in method.modules.values() for parameter in module.parameters())
    assert all(module.training for module in method.modules.values())


def test_an_own_sample_is_found_again(model: Model) -> None:
    pixels = model.sample(2, seed=5).images
    first, *_, last = projecting(model, pixels, steps=60, draws=64, starts=4)
    assert last.z.shape == (2, model.method.settings.latent_size)
    assert (last.errors < first.errors).all()  # these networks have learnt little: their images are much alike
    assert (last.errors < 0.05).all()
    again = model.draw(torch.cat([last.z, one_hot(model, last)], 1)).images
    errors = np.sqrt(np.square((again - pixels.astype(float)) / 255).mean((1, 2, 3)))
    np.testing.assert_allclose(errors, last.errors, atol=2e-3)  # rounding to 8 bits


def one_hot(model: Model, found: Projection) -> Tensor:
    """The classes of what was found: [N, classes], or [N, 0]."""
    if found.labels is None:
        return found.z.new_empty(len(found.z), 0)
    return F.one_hot(torch.from_numpy(found.labels), len(model.classes)).float()


def test_between_two_classes_an_image_has_shares_of_both(model: Model) -> None:
    method = model.method
    if method.conditional:
        z = method.latents([4])
        whole = model.draw(torch.cat([z, torch.tensor([[0.0, 1.0, 0.0]])], 1)).images
        assert (whole == model.sample(1, label=1, seed=4).images).all()
        shared = method.decode(z, torch.tensor([[0.5, 0.5, 0.0]]))
        ends = [method.decode(z, torch.tensor([label])) for label in (0, 1)]
        assert all((shared - end).abs().max() > 1e-4 for end in ends)


def test_a_size_is_honoured_by_networks_of_pixels_and_refused_by_others(recipe: Recipe, model: Model) -> None:
    z, labels = model.method.latents([1]), torch.zeros(1, dtype=torch.long)
    assert model.method.decode(z, labels, size=(16, 16)).shape == (1, 1, 16, 16)
    if recipe.network.name == "cppn":
        assert model.method.decode(z, labels, size=(20, 30)).shape == (1, 1, 20, 30)
    else:
        with pytest.raises(UserError, match=r"images of 16x16 only, not 30x20: .*network\.name=cppn"):
            model.method.decode(z, labels, size=(20, 30))


def test_methods_with_an_encoder_encode_and_others_refuse(model: Model) -> None:
    pictures = torch.zeros(2, 16, 16, 1, dtype=torch.uint8).numpy()
    if isinstance(model.method, ENCODING):
        assert model.encode(pictures).shape == (2, model.method.settings.latent_size)
    else:
        with pytest.raises(UserError, match="has no encoder that turns images into latents"):
            model.encode(pictures)
    with pytest.raises(UserError, match=r"cannot encode uint8 \[2, 16, 8, 1\]: .* uint8 \[N, 16, 16, 1\]"):
        model.encode(pictures[:, :, :8])


def test_the_average_follows_the_weights(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = tiny(method={"ema_images": 40})
    list(train(recipe, tmp_path / "run", device="cpu"))
    method = load(tmp_path / "run", device="cpu").method
    trained, average = method.modules["G"].state_dict(), method.averages["G"].state_dict()
    start = recipe.build(method.spec, method.compute).modules["G"].state_dict()
    key = "layers.0.weight"
    assert 0 < (trained[key] - average[key]).norm() < (trained[key] - start[key]).norm()
    labels = [0, 1, 2]
    pictures = decode(method, [1, 2, 3], torch.tensor(labels).numpy())
    method.averages.clear()
    assert (pictures != decode(method, [1, 2, 3], torch.tensor(labels).numpy())).any()
