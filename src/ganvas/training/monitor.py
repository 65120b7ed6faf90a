"""Measurements during training: losses, norms, and samples from fixed latents."""

import numpy as np
import torch
from torch import Tensor

from ganvas import metrics
from ganvas.core import seeds
from ganvas.core.errors import RunFailed
from ganvas.data import ImageSet
from ganvas.evaluation.evaluators import Evaluator
from ganvas.methods import Method
from ganvas.runs.model import decode

WATCHED = 64  # samples that are measured for every record
SCORE_IMAGES = 1_000


# -- numbers ----------------------------------------------------------------------------------------------------------


class NonFinite(RunFailed):
    """A loss or a weight is no longer finite."""

    def __init__(self, said: str) -> None:
        super().__init__(
            f"{said}: lower the learning rate, or start with another seed; the last good checkpoint is kept"
        )
        self.said = said


@torch.no_grad()
def norms(method: Method) -> dict[str, Tensor]:
    """The norms of each trained network's weights, and of its gradients in the last update."""
    norms = {}
    for name, module in method.modules.items():
        weights: list[Tensor] = [p for p in module.parameters() if p.requires_grad]
        if weights:
            norms[f"{name.lower()}_norm"] = torch.stack(torch._foreach_norm(weights)).norm()
        gradients = [p.grad for p in weights if p.grad is not None]
        if gradients:
            norms[f"{name.lower()}_grad_norm"] = torch.stack(torch._foreach_norm(gradients)).norm()
    return norms


def means(pending: list[tuple[int, dict[str, Tensor]]]) -> dict[str, float]:
    """The mean of each scalar over the steps since the last record; raises NonFinite if one is not finite."""
    means = {}
    for name in dict.fromkeys(name for _, scalars in pending for name in scalars):
        steps = [nimg for nimg, scalars in pending if name in scalars]
        scattered = [scalars[name].float() for _, scalars in pending if name in scalars]
        values = torch.stack([value.to(scattered[-1].device) for value in scattered])  # resumed ones are on the CPU
        bad = (~values.isfinite()).nonzero()
        if len(bad):
            first = int(bad[0])
            raise NonFinite(f"{name} became {values[first].item()} in the step that ended at {steps[first]:,} images")
        means[name] = float(f"{values.mean().item():.6g}")
    return means


def floats(scalars: dict[str, Tensor], nimg: int) -> dict[str, float]:
    """The scalars, rounded to six digits; raises NonFinite if one is not finite."""
    values = {name: value.item() for name, value in scalars.items()}
    for name, value in values.items():
        if not np.isfinite(value):
            raise NonFinite(f"{name} became {value} after {nimg:,} images")
    return {name: float(f"{value:.6g}") for name, value in values.items()}


# -- samples ----------------------------------------------------------------------------------------------------------


class Watch:
    """Measures a few samples from fixed latents: their mean distance and how far they moved since the last record.

    If the evaluator knows the classes of the data, also the effective number of classes.
    """

    def __init__(self, data: ImageSet, method: Method, evaluator: Evaluator | None) -> None:
        chosen = np.sort(np.random.default_rng(0).permutation(len(data))[:WATCHED])
        self.labels = data.labels[chosen] if method.conditional and data.labels is not None else None
        self.seeds = list(seeds.WATCHED[: len(chosen)])
        self.real = metrics.mean_distance(data.images[chosen])
        self.evaluator = evaluator if evaluator is not None and evaluator.knows(data.classes) else None
        self.real_classes = self._classes(data.images[chosen])
        self.before: np.ndarray | None = None

    def __call__(self, method: Method) -> dict[str, float]:
        """`diversity`, `movement` and `classes`, relative to real images."""
        now = decode(method, self.seeds, self.labels)
        before, self.before = self.before, now
        if before is None or not self.real:
            return {}
        moved = np.sqrt(np.square(now.astype(np.float32) - before).mean())
        values = {"diversity": metrics.mean_distance(now) / self.real, "movement": float(moved) / self.real}
        if self.evaluator is not None:
            values["classes"] = self._classes(np.moveaxis(now, -1, 1)) / self.real_classes
        return {name: float(f"{value:.6g}") for name, value in values.items()}

    def _classes(self, images: np.ndarray) -> float:
        """The effective number of classes of uint8 [N, C, H, W]; 0 without an evaluator."""
        if self.evaluator is None:
            return 0.0
        return metrics.effective_classes(self.evaluator.measure(images).probabilities.argmax(1))


class CheckpointScore:
    """The cheap score of a checkpoint: the sliced Wasserstein distance to real images; lower is better.

    It compares equal numbers of generated and real images (at most 1,000), with the same labels. The latents are fixed,
    so the scores of two checkpoints differ only because of their weights.
    """

    def __init__(self, data: ImageSet, method: Method) -> None:
        chosen = np.random.default_rng(0).permutation(len(data))[:SCORE_IMAGES]
        self.real = _pixels(np.moveaxis(data.images[np.sort(chosen)], 1, -1))
        self.labels = data.labels[np.sort(chosen)] if method.conditional and data.labels is not None else None
        self.seeds = list(seeds.CHECKPOINT_CHOICE[: len(chosen)])

    def __call__(self, method: Method) -> float:
        return round(metrics.sliced_wasserstein(_pixels(decode(method, self.seeds, self.labels)), self.real), 5)


def _pixels(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).flatten(1).float().mul(2 / 255).sub(1)
