"""Evaluators: from pictures to features and class probabilities, offline.

Two small classifiers come with ganvas: `digits`, trained on MNIST, and `cifar10`, trained on a JPEG copy of CIFAR-10,
which also serves as general colour features. `Training` makes one for any labelled set. `inception` is the network of
the published FID; its weights are used where the user has put them and are never fetched.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ganvas.compute.device import Compute, choose, deterministic, keep_freed_memory
from ganvas.core import files
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError, nearest
from ganvas.core.images import ImageSpec, from_uint8
from ganvas.core.settings import parse
from ganvas.core.version import VERSION
from ganvas.data import DataSettings, ImageSet, load_unseen
from ganvas.data import load as load_data
from ganvas.evaluation import classifier
from ganvas.evaluation.classifier import Classifier, ClassifierSettings, Progress

BUNDLED = {  # the evaluators that come with ganvas, each with its sha256
    "digits": "d3b15bae88118be7f4c3b2792d5113d6f963e58cee9259d244ec4d0d72477bb3",
    "cifar10": "56f9b5b83aeff97fb88301aa9ee8878a0b86e953b17a3558b720bc01b81f200a",
}
INCEPTION = "inception"
INCEPTION_FILE = "weights-inception-2015-12-05-6726825d.pth"
INCEPTION_SIZE = 299
BATCH = 250
LUMA = (0.299, 0.587, 0.114)  # Rec. 601: how much red, green and blue count in grey
HELD_OUT = 10  # one picture in so many tests an evaluator whose data has no test split


class Measured(NamedTuple):
    """What an evaluator sees in N pictures, on the CPU."""

    features: Tensor  # float32 [N, F]
    probabilities: Tensor  # float32 [N, classes]


@dataclass(frozen=True)
class Evaluator:
    """A fixed network that pictures are judged through.

    name, sha256: which one it is; scores through two evaluators cannot be compared
    size, channels: the pictures it looks at; others are scaled and made grey or colour
    classes: what its probabilities mean
    facts: its recipe, data and test accuracy
    network: uint8 [B, channels, H, W] on its device -> features [B, F], probabilities [B, classes]
    """

    name: str
    sha256: str
    size: int
    channels: int
    classes: tuple[str, ...]
    facts: dict[str, Any]
    network: Callable[[Tensor], tuple[Tensor, Tensor]]
    device: torch.device

    def measure(self, pictures: np.ndarray) -> Measured:
        """uint8 [N, C, H, W] -> features and probabilities; the same for a picture in any company but rounding."""
        found = []
        with torch.no_grad(), deterministic():
            for start in range(0, len(pictures), BATCH):
                pixels = torch.tensor(pictures[start : start + BATCH], device=self.device)
                found.append([part.float().cpu() for part in self.network(_with_channels(pixels, self.channels))])
        features, probabilities = (torch.cat(parts) for parts in zip(*found, strict=True))
        return Measured(features, probabilities)

    def resize(self, spec: ImageSpec) -> str:
        """How pictures of `spec` come to its size, in words."""
        if (spec.height, spec.width) == (self.size, self.size):
            return "none"
        return "bilinear as in TensorFlow 1" if self.name == INCEPTION else "bilinear, antialiased"

    def knows(self, classes: Sequence[str]) -> bool:
        """Whether its probabilities are about these classes."""
        return bool(classes) and self.classes == tuple(classes)


def pixels(pictures: np.ndarray, most: int = classifier.LARGEST) -> Tensor:
    """uint8 [N, C, H, W], scaled down to at most `most` pixels a side -> uint8 [N, C*h*w]: to find copies with."""
    height, width = pictures.shape[-2:]
    parts = []
    for start in range(0, len(pictures), BATCH):
        part = torch.tensor(pictures[start : start + BATCH])
        if max(height, width) > most:
            small = (max(1, height * most // max(height, width)), max(1, width * most // max(height, width)))
            part = F.interpolate(part.float(), small, mode="area").round().to(torch.uint8)
        parts.append(part.flatten(1))
    return torch.cat(parts)


def _with_channels(pixels: Tensor, channels: int) -> Tensor:
    """uint8 [B, 1 or 3, H, W] -> uint8 [B, channels, H, W]."""
    if pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(-1, 3, -1, -1)
    luma = torch.tensor(LUMA, device=pixels.device)[:, None, None]
    return (pixels * luma).sum(1, keepdim=True).round().to(torch.uint8)


# -- which one --------------------------------------------------------------------------------------------------------


def choose_for(
    spec: ImageSpec, classes: Sequence[str], sha256: str, device: str = "auto", name: str | None = None
) -> Evaluator:
    """The evaluator for a training set: that of this name or file, else one trained on just these pictures, else one
    that knows these classes, else general features for colour (`cifar10`) or grey pictures (`digits`)."""
    if name:
        return load(name, device)
    bundled = [load(name, device) for name in BUNDLED]
    for evaluator in bundled:
        if evaluator.facts["data"]["sha256"] == sha256:
            return evaluator
    for file, facts in _trained():
        if facts["data"]["sha256"] == sha256:
            return load(str(file), device)
    for evaluator in bundled:
        if evaluator.knows(classes) and evaluator.channels == spec.channels:
            return evaluator
    return next(evaluator for evaluator in bundled if evaluator.channels == spec.channels)


def with_hash(sha256: str, device: str = "auto") -> Evaluator | None:
    """The evaluator with this hash, if it is part of ganvas or in the cache."""
    for name, known in BUNDLED.items():
        if known == sha256:
            return load(name, device)
    for file, _ in _trained():
        if hashlib.sha256(file.read_bytes()).hexdigest() == sha256:
            return load(str(file), device)
    return None


def load(name: str, device: str = "auto") -> Evaluator:
    """An evaluator by name (`digits`, `cifar10`, `inception`, or a set that one was trained for) or by file.

    Raises UserError when there is none, or when its file is damaged.
    """
    compute = choose(device, "fp32")  # a score should not depend on the shortcuts of training
    if name == INCEPTION:
        return _inception(compute)
    if name in BUNDLED:
        data = (resources.files("ganvas.evaluation") / "weights" / f"{name}.safetensors").read_bytes()
        if hashlib.sha256(data).hexdigest() != BUNDLED[name]:
            raise UserError(f"the evaluator '{name}' of this installation is damaged: install ganvas again")
        return _from_bytes(data, name, compute)
    path = Path(name).expanduser()
    if path.suffix == ".safetensors":
        try:
            return _from_bytes(path.read_bytes(), name, compute)
        except OSError as error:
            raise UserError(f"cannot read the evaluator '{name}': {error.strerror}") from None
    named = {facts["name"]: file for file, facts in _trained()}
    if name in named:
        return load(str(named[name]), device)
    raise UserError(
        f"there is no evaluator '{name}': {nearest(name, [*BUNDLED, *named, INCEPTION])} "
        "(`ganvas evaluator train --data X` makes one)"
    )


def available() -> list[tuple[str, str, str]]:
    """(name, what it was trained on and how good it is, where it is) of every evaluator that can be used now."""
    rows = [(name, _in_words(load(name, "cpu").facts), "comes with ganvas") for name in BUNDLED]
    rows += [(facts["name"], _in_words(facts), str(file)) for file, facts in _trained()]
    weights = inception_file()
    return [*rows, (INCEPTION, "the network of the published FID", str(weights))] if weights.is_file() else rows


def describe(file: Path) -> str:
    """What the evaluator in a file was trained on and how good it is."""
    return _in_words(_facts(file.read_bytes(), file))


def _in_words(facts: Mapping[str, Any]) -> str:
    data, test = facts["data"], facts["test"]
    right = f"{test['accuracy']:.2%} of {test['images']:,} {test['what']} right"
    return f"trained on {data['images']:,} pictures of {data['name']}, {right}"


def _trained() -> list[tuple[Path, dict[str, Any]]]:
    """The evaluators in the cache with their facts; what is damaged is passed over."""
    found = []
    for file in sorted((cache_dir() / "evaluators").glob("*.safetensors")):
        with suppress(UserError):
            found.append((file, _facts(file.read_bytes(), file)))
    return found


# -- files ------------------------------------------------------------------------------------------------------------


def _to_bytes(network: Classifier, facts: Mapping[str, Any]) -> bytes:
    """An evaluator as a file: half-precision weights, `facts` in the header."""
    tensors = {
        key: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in network.state_dict().items()
    }
    return save_tensors(tensors, metadata={"ganvas": json.dumps(facts)})


def _facts(data: bytes, name: object) -> dict[str, Any]:
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        facts: dict[str, Any] = json.loads(header["__metadata__"]["ganvas"])
        _ = facts["name"], facts["classes"], facts["channels"], facts["settings"], facts["data"]["sha256"]
    except (ValueError, KeyError, TypeError):
        raise UserError(f"'{name}' is not an evaluator, or it is damaged: train it again") from None
    return facts


def _from_bytes(data: bytes, name: str, compute: Compute) -> Evaluator:
    facts = _facts(data, name)
    settings = parse(ClassifierSettings, facts["settings"], f"{name}: evaluator")
    spec = ImageSpec(facts["channels"], settings.size, settings.size, len(facts["classes"]))
    network = classifier.build(settings, spec, compute)
    try:
        network.load_state_dict(load_tensors(data))
    except (SafetensorError, RuntimeError):
        raise UserError(f"'{name}' is not an evaluator, or it is damaged: train it again") from None
    network.eval().requires_grad_(False)
    return Evaluator(
        name=facts["name"],
        sha256=hashlib.sha256(data).hexdigest(),
        size=settings.size,
        channels=facts["channels"],
        classes=tuple(facts["classes"]),
        facts=facts,
        network=lambda pixels: _views(network, settings, from_uint8(pixels)),
        device=compute.device,
    )


def _views(network: Classifier, settings: ClassifierSettings, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features and probabilities, averaged over both mirror images where the network was trained on both."""
    images = classifier.resized(images, settings.size)
    views = [network(view) for view in ((images, images.flip(3)) if settings.mirror else (images,))]
    features = torch.stack([view.features for view in views]).mean(0)
    return features, torch.stack([view.logits.softmax(1) for view in views]).mean(0)


# -- training one -----------------------------------------------------------------------------------------------------


class Training:
    """An evaluator in the making, for the labelled pictures of `data`; iterate to train it.

    `file` is where it goes: the cache, keyed by pictures and settings, or `out`. Stopped at any moment, the same call
    goes on after the last whole epoch; where the file is there already, there is nothing to do.
    Raises UserError for data without labels, with a single class, or with too few pictures.
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
        learned = load_data(data, "train", data_dir)
        if learned.labels is None or len(learned.classes) < 2:
            raise UserError(f"'{data.name}' has no labels (a sub-folder per class), which an evaluator learns to tell")
        self.of = learned.fingerprint  # of the whole set, by which runs on it find the evaluator
        unseen, self._what = load_unseen(data, learned, data_dir), "test pictures"
        if unseen is None:
            (learned, unseen), self._what = _held_out(learned), "pictures held out of the training set"
        usual = classifier.usual(learned.spec).model_dump()
        self.settings = parse(ClassifierSettings, {**usual, **(changes or {})}, "evaluator")
        if len(learned) < self.settings.batch_size:
            few = f"{len(learned)} training pictures are fewer than a batch of {self.settings.batch_size}"
            raise UserError(f"{few}: use the evaluators that come with ganvas, or --set batch_size=...")
        self.data, self._unseen, self._compute = learned, unseen, choose(device)
        recipe = hashlib.sha256(self.settings.model_dump_json().encode()).hexdigest()
        self.name = out.stem if out else learned.name
        self.file = out or cache_dir() / "evaluators" / f"{self.of[:16]}-{recipe[:8]}.safetensors"

    def __iter__(self) -> Iterator[Progress]:
        if self.file.is_file():
            return
        if self._compute.device.type == "cpu":
            keep_freed_memory()
        network = classifier.build(self.settings, self.data.spec, self._compute)
        partial = self.file.with_suffix(".training")
        with deterministic():
            yield from classifier.train(network, self.settings, self.data, self._compute, partial)
        self._write(network)
        for part in partial.glob("*"):
            part.unlink()
        partial.rmdir()

    def _write(self, network: Classifier) -> None:
        facts = {
            "name": self.name,
            "settings": self.settings.model_dump(mode="json"),
            "channels": self.data.spec.channels,
            "classes": list(self.data.classes),
            "data": {"name": self.data.name, "sha256": self.of, "images": len(self.data)},
            "ganvas": VERSION,
            "torch": torch.__version__,
        }
        facts["temperature"] = self._calibrate(network)
        as_stored = _from_bytes(_to_bytes(network, facts), self.name, Compute(self._compute.device))
        right = accuracy(as_stored, self._unseen)
        test = {"what": self._what, "images": len(self._unseen), "accuracy": right}
        files.write(self.file, _to_bytes(network, {**facts, "test": test}))

    @torch.no_grad()
    def _calibrate(self, network: Classifier) -> float:
        """Divide the logits by the temperature that fits the unseen pictures best (Guo et al., 2017); returns it.

        Label smoothing makes a network less sure than it may be, and an inception score feels that.
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
    """Share of the labelled pictures whose most likely class is their label."""
    assert data.labels is not None
    right = 0
    for start in range(0, len(data), BATCH):
        found = evaluator.measure(data.images[start : start + BATCH]).probabilities.argmax(1).numpy()
        right += int((found == data.labels[start : start + BATCH]).sum())
    return right / len(data)


def _held_out(data: ImageSet) -> tuple[ImageSet, ImageSet]:
    """The set without a tenth of its pictures, drawn by chance, and that tenth."""
    assert data.labels is not None
    order = np.random.default_rng(0).permutation(len(data))
    cut = max(1, len(data) // HELD_OUT)
    test, rest = np.sort(order[:cut]), np.sort(order[cut:])
    return (
        ImageSet(data.name, data.images[rest], data.labels[rest], data.classes),
        ImageSet(data.name, data.images[test], data.labels[test], data.classes),
    )


# -- Inception --------------------------------------------------------------------------------------------------------


def inception_file() -> Path:
    """Where the weights of Inception are looked for: the cache of ganvas, then that of PyTorch."""
    own = cache_dir() / "evaluators" / INCEPTION_FILE
    return own if own.is_file() else Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_FILE


def _inception(compute: Compute) -> Evaluator:
    """InceptionV3 as the published FID uses it (TensorFlow weights and resize), through torch-fidelity."""
    file = inception_file()
    if find_spec("torch_fidelity") is None:
        raise UserError("the inception evaluator needs torch-fidelity: pip install 'ganvas[inception]'")
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

    if not file.is_file():
        raise UserError(f"the weights of inception are not here: fetch {URL_INCEPTION_V3} as '{file}'")
    data = file.read_bytes()
    try:  # torch-fidelity unpickles the file as it is: make sure first that it holds nothing but tensors
        torch.load(file, weights_only=True)
    except Exception as error:
        raise UserError(
            f"'{file}' is not the weights of inception ({type(error).__name__}): fetch them again"
        ) from None
    network = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=file)
    network = network.to(compute.device)

    def measure(pixels: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = network(pixels)
        return features, logits.softmax(1)

    digest = hashlib.sha256(data).hexdigest()
    return Evaluator(INCEPTION, digest, INCEPTION_SIZE, 3, (), {"data": {"sha256": ""}}, measure, compute.device)
