"""Training an evaluator for a labelled set of images."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ganvas.compute.device import Compute, choose, deterministic, keep_freed_memory
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError
from ganvas.core.files import check_output, write
from ganvas.core.images import from_uint8
from ganvas.core.settings import parse
from ganvas.core.version import VERSION
from ganvas.data import DataSettings, ImageSet, load_unseen
from ganvas.data import load as load_data
from ganvas.evaluation.evaluators import classifier
from ganvas.evaluation.evaluators.classifier import Classifier, ClassifierSettings, Progress
from ganvas.evaluation.evaluators.evaluator import BATCH, Evaluator
from ganvas.evaluation.evaluators.facts import Facts, Tested
from ganvas.evaluation.evaluators.files import from_bytes, to_bytes

HELD_OUT = 10  # without a test split, one image in ten is held out to test the evaluator


class Training:
    """Trains an evaluator for the labelled images of `data`, by iterating over it.

    The evaluator is written to `file`: `out`, or a file in the cache that is named after images and settings. After a
    stop, training continues from the last complete epoch; if the file exists, there is nothing to do. Raises UserError
    for data without labels, with a single class, or with too few images.
    """

    def __init__(
        self,
        data: DataSettings,
        changes: Mapping[str, Any] | None = None,
        *,
        data_dir: Path | None = None,
        device: str = "auto",
        out: Path | None = None,
    ) -> None:
        if out is not None and out.suffix != ".safetensors":
            raise UserError(f"cannot write an evaluator as '{out}': name a .safetensors file")
        if out is not None:
            check_output(out)
        if data.clusters:
            raise UserError("an evaluator learns the classes of a set, not its clusters: leave out data.clusters")
        learned = load_data(data, "train", data_dir)
        if learned.labels is None or len(learned.classes) < 2:
            raise UserError(
                f"'{data.name}' has no labels, which an evaluator needs: put the images into a sub-folder per class"
            )
        if learned.spec.channels == 4:
            raise UserError("an evaluator sees no transparency: set data.channels=3, which composes images on white")
        self.of = learned.fingerprint  # of the whole set, by which its runs find the evaluator
        unseen, self._what = load_unseen(data, learned, data_dir), "test images"
        if unseen is None:
            (learned, unseen), self._what = _held_out(learned), "images held out of the training set"
        usual = classifier.usual(learned.spec).model_dump()
        self.settings = parse(ClassifierSettings, {**usual, **(changes or {})}, "evaluator")
        if len(learned) < self.settings.batch_size:
            few = f"{len(learned)} training images are fewer than a batch of {self.settings.batch_size}"
            raise UserError(f"{few}: use the evaluators that come with ganvas, or --set batch_size=...")
        classifier.refuse_what_cannot_fit(self.settings, learned.spec)
        self.data, self._unseen, self._compute = learned, unseen, choose(device)
        recipe = hashlib.sha256(self.settings.model_dump_json().encode()).hexdigest()
        self.name = out.stem if out else learned.name
        self.file = out or cache_dir() / "evaluators" / f"{self.of[:16]}-{recipe[:8]}.safetensors"

    def __iter__(self) -> Iterator[Progress]:
        partial = self.file.with_suffix(".training")
        if self.file.is_file():
            shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed while it removed it
            return
        if self._compute.device.type == "cpu":
            keep_freed_memory()
        network = classifier.build(self.settings, self.data.spec, self._compute)
        with deterministic():
            yield from classifier.train(network, self.settings, self.data, self._compute, partial)
        self._write(network)
        shutil.rmtree(partial, ignore_errors=True)

    def _write(self, network: Classifier) -> None:
        values = {
            "name": self.name,
            "settings": self.settings.model_dump(mode="json"),
            "channels": self.data.spec.channels,
            "classes": list(self.data.classes),
            "data": {"name": self.data.name, "sha256": self.of, "images": len(self.data)},
            "temperature": self._calibrate(network),
            "ganvas": VERSION,
            "torch": torch.__version__,
        }
        facts = Facts.from_values(values, self.file)
        as_stored = from_bytes(to_bytes(network, facts), self.name, Compute(self._compute.device))
        right = accuracy(as_stored, self._unseen)
        test = Tested(what=self._what, images=len(self._unseen), accuracy=right)
        write(self.file, to_bytes(network, facts.model_copy(update={"test": test})))

    @torch.no_grad()
    def _calibrate(self, network: Classifier) -> float:
        """Divide the logits by the temperature that fits the unseen images best (Guo et al., 2017), and return it.

        Label smoothing makes the probabilities too uniform, which would lower the inception score.
        """
        assert self._unseen.labels is not None
        parts = []
        for start in range(0, len(self._unseen), BATCH):
            pixels = torch.tensor(self._unseen.images[start : start + BATCH], device=self._compute.device)
            parts.append(network(classifier.resized(from_uint8(pixels), self.settings.size)).logits)
        logits, labels = torch.cat(parts), torch.tensor(self._unseen.labels, device=self._compute.device)
        temperatures = torch.logspace(-1, 1, 201).tolist()  # 2.3 % apart
        best = min(temperatures, key=lambda t: F.cross_entropy(logits / t, labels).item())
        for parameter in network.head.parameters():
            parameter.div_(best)
        return float(best)


def accuracy(evaluator: Evaluator, data: ImageSet) -> float:
    """The share of labelled images whose predicted class is their label."""
    assert data.labels is not None
    right = 0
    for start in range(0, len(data), BATCH):
        found = evaluator.measure(data.images[start : start + BATCH]).probabilities.argmax(1).numpy()
        right += int((found == data.labels[start : start + BATCH]).sum())
    return right / len(data)


def _held_out(data: ImageSet) -> tuple[ImageSet, ImageSet]:
    """Split a set: without a random tenth of its images, and that tenth."""
    assert data.labels is not None
    order = np.random.default_rng(0).permutation(len(data))
    cut = max(1, len(data) // HELD_OUT)
    test, rest = np.sort(order[:cut]), np.sort(order[cut:])
    return (
        ImageSet(data.name, data.images[rest], data.labels[rest], data.classes),
        ImageSet(data.name, data.images[test], data.labels[test], data.classes),
    )
