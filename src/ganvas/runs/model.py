"""Loading the trained method of a run, and sampling it."""

import base64
import html
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ganvas.compute.device import choose, deterministic
from ganvas.core import images
from ganvas.core.errors import UserError
from ganvas.core.memory import refuse_more
from ganvas.core.version import VERSION
from ganvas.data import DataSettings, ImageSet, place_of
from ganvas.data import load as load_data
from ganvas.methods import Method
from ganvas.networks.conditioning import with_label
from ganvas.runs.checkpoint import Damaged
from ganvas.runs.run import Run
from ganvas.runs.state import unpack

logger = logging.getLogger("ganvas")

DECODE_BATCH = 64
SAMPLE_BYTES = 100  # of a sample, besides its pixels
LAST_SEED = 2**63 - 1
SHOWN, SHOWN_SIDE = 36, 400  # samples that a notebook shows of a model, and the least side in pixels


class Samples(NamedTuple):
    images: np.ndarray  # uint8 [N, H, W, C]; with alpha (C = 4), colours are premultiplied: `images.straight`
    labels: np.ndarray | None  # int64 [N], numbers of `classes`
    seeds: list[int]  # of the latents; empty if these do not come from seeds
    classes: tuple[str, ...] = ()
    latents: np.ndarray | None = None  # float32 [N, `Method.latent_length`], if they do not come from seeds

    def _repr_png_(self) -> bytes:
        """For notebooks: the images as a grid."""
        return images.png(images.enlarge(images.grid(self.images, images.square_columns(len(self.images))), SHOWN_SIDE))


@dataclass(frozen=True)
class Model:
    """A trained method, ready to sample."""

    method: Method
    run: Run
    nimg: int
    classes: tuple[str, ...]
    sha256: str
    seconds: float  # of training

    def sample(self, n: int = 64, label: int | str | None = None, seed: int = 0) -> Samples:
        """`n` images from the latents of the seeds `seed`, `seed + 1`, ...; by default the labels alternate.

        A seed (and label) gives the same image, bit for bit, for any `n`. Raises UserError for a wrong label.
        """
        if n < 1 or not 0 <= seed <= LAST_SEED - n:
            raise UserError(f"cannot draw {n} samples from seed {seed}: ask for 1 or more, from a seed of 0 or more")
        spec = self.method.spec
        size = n * (SAMPLE_BYTES + 2 * spec.channels * spec.height * spec.width)
        refuse_more(size, f"{n:,} samples take", "draw fewer at a time")
        seeds = list(range(seed, seed + n))
        labels = self.labels(label, n)
        return Samples(decode(self.method, seeds, labels), labels, seeds, () if labels is None else self.classes)

    def draw(self, latents: torch.Tensor) -> Samples:
        """Images from latents [N, `Method.latent_length`], the same as `sample` draws from them."""
        return Samples(decode_latents(self.method, latents), None, [], (), latents.cpu().numpy())

    @deterministic()
    def encode(self, pixels: np.ndarray) -> torch.Tensor:
        """uint8 [N, H, W, C] of the size of the training images -> latents [N, latent_size].

        An image has the same latent, bit for bit, in any batch. Raises UserError for images of another shape or type,
        and for a method without encoder.
        """
        self.check_pixels(pixels)
        parts = []
        for start in range(0, len(pixels), DECODE_BATCH):
            chunk = np.moveaxis(pixels[start : start + DECODE_BATCH], -1, 1)
            filled = np.concatenate([chunk, np.zeros((DECODE_BATCH - len(chunk), *chunk.shape[1:]), np.uint8)])
            z = self.method.encode(images.from_uint8(torch.from_numpy(filled).to(self.method.compute.device)))
            parts.append(z[: len(chunk)])
        return torch.cat(parts) if parts else torch.empty(0, self.method.settings.latent_size)

    def check_pixels(self, pixels: np.ndarray) -> None:
        """Raise UserError unless `pixels` are images of the size of the training images, uint8 [N, H, W, C]."""
        spec = self.method.spec
        if pixels.dtype != np.uint8 or pixels.shape[1:] != (spec.height, spec.width, spec.channels):
            wanted = f"uint8 [N, {spec.height}, {spec.width}, {spec.channels}]"
            raise UserError(f"cannot encode {pixels.dtype} {list(pixels.shape)}: images of this run are {wanted}")

    def _repr_html_(self) -> str:
        """For notebooks: what it is, and some samples."""
        picture = base64.b64encode(self.sample(SHOWN)._repr_png_()).decode()
        info, recipe = self.run.info(), self.run.recipe()
        what = (
            f"{self.run.name}: {recipe.method.name} with the network {recipe.network.name}, "
            f"{self.nimg:,} images of {info.data.name} seen"
        )
        return f'<p>{html.escape(what)}</p><img src="data:image/png;base64,{picture}" alt="Samples">'

    def data(self, data_dir: Path | None = None) -> ImageSet:
        """The training images; raises UserError if they are missing or have changed."""
        data = load_data(self.data_settings(data_dir), "train", data_dir)
        if data.fingerprint != self.run.info().data.sha256:
            raise UserError(
                f"the images of '{data.name}' are not those that '{self.run.path}' was trained on: restore them"
            )
        return data

    def data_settings(self, data_dir: Path | None = None) -> DataSettings:
        """The settings of the training images, from where they were during training if they still are there.

        Otherwise the name in the recipe counts, from the current folder on. Raises UserError if they are in neither.
        """
        settings, before = self.run.recipe().data, self.run.info().data.place
        found = place_of(settings.name, data_dir)
        if before is None or str(found) == before or (data_dir is not None and found):
            return settings
        if Path(before).exists():
            return settings.model_copy(update={"name": before})
        if found is None:
            raise UserError(
                f"the training images are neither in '{before}', where they were during training, nor in "
                f"'{settings.name}' (looked in {Path.cwd()}): put them back, or give their parent folder as --data-dir"
            )
        return settings

    def provenance(self) -> dict[str, Any]:
        """The fields of `SampleRecipe` that identify the weights, from which samples can be drawn again."""
        recipe = self.run.recipe().name
        steps = {} if self.method.steps_used is None else {"steps": self.method.steps_used}
        return {"ganvas": VERSION, "recipe": recipe, "checkpoint": self.sha256, "nimg": self.nimg, **steps}

    def labels(self, label: int | str | None, n: int) -> np.ndarray | None:
        """`n` labels, int64 [n]: all of one class, or alternating if `label` is None; None for a run without classes.

        Raises UserError for a wrong label.
        """
        if not self.method.conditional:
            if label is not None:
                raise UserError("this run is not conditional: leave out --label")
            return None
        if label is None:
            return np.arange(n) % len(self.classes)
        return np.full(n, self.class_index(label))

    def class_index(self, label: int | str) -> int:
        """The index of a class, given by name or index; raises UserError if there is no such class.

        If the names are numbers themselves (1 to 12), a number is a name.
        """
        if not self.classes:
            raise UserError("this run has no classes: leave out --label")
        if str(label) in self.classes:
            return self.classes.index(str(label))
        names_are_numbers = all(name.isdecimal() for name in self.classes)
        if str(label).isdecimal() and not names_are_numbers and int(label) < len(self.classes):
            return int(label)
        raise UserError(f"there is no label '{label}': this run has {', '.join(self.classes)}")


def decode(method: Method, seeds: list[int], labels: np.ndarray | None) -> np.ndarray:
    """uint8 [N, H, W, C] from one latent per seed."""
    parts = []
    for start in range(0, len(seeds), DECODE_BATCH):
        few = slice(start, start + DECODE_BATCH)
        z = method.latents(seeds[few])
        if labels is not None:
            z = with_label(z, torch.from_numpy(labels[few]).to(z.device), method.spec.num_classes)
        parts.append(decode_latents(method, z))
    return np.concatenate(parts)


@deterministic()
def decode_latents(method: Method, latents: torch.Tensor) -> np.ndarray:
    """uint8 [N, H, W, C] from latents [N, `latent_length`], whose last numbers are shares of the classes.

    All batches have the same size (the last is padded), as convolutions may round differently in other batch sizes.
    """
    parts, size = [], method.settings.latent_size
    for few in latents.to(method.compute.device).split(DECODE_BATCH):
        filled = torch.cat([few, few[:1].expand(DECODE_BATCH - len(few), -1)])
        drawn = method.decode(filled[:, :size], filled[:, size:] if method.conditional else None)
        parts.append(images.to_uint8(drawn)[: len(few)])
    return np.concatenate(parts)


def load(path: Path | str, which: str | int = "last", device: str = "auto") -> Model:
    """Load the trained method of a run directory. `which` is `last`, `best`, or the images seen of a checkpoint.

    Raises UserError if there is no such run or checkpoint.
    """
    run = Run.existing(path)
    recipe, info = run.recipe(), run.info()
    available = run.checkpoints.available()
    if not available:
        raise UserError(f"'{path}' has no checkpoint yet: train it a little longer")
    if which == "last":
        state, damages = run.checkpoints.newest()
        for damage in damages:
            logger.warning(damage)
        assert state is not None, "available() is not empty"
    else:
        nimg = int(which) if str(which).isdecimal() else None
        if which == "best":  # an only checkpoint is the best, even without a score
            nimg = available[0] if len(available) == 1 else run.checkpoints.best()
        if nimg not in available:
            choices = ", ".join(map(str, available))
            raise UserError(f"there is no checkpoint '{which}': use last, best or one of {choices}")
        try:
            state = run.checkpoints.load(nimg)
        except Damaged as damage:
            raise UserError(f"checkpoint {damage}: choose another one") from None
    compute = choose(device, "fp32")  # images should not depend on the precision of training
    method = recipe.build(info.data.spec, compute, training=False)
    unpack(method, state.tensors, state.values, training=False)
    return Model(method, run, state.values["nimg"], info.data.classes, state.sha256, state.values["seconds"])
