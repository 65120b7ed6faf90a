"""Finding evaluators by training images, by name, by file or by hash."""

import hashlib
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import resources
from pathlib import Path

from ganvas.compute.device import choose
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError, nearest
from ganvas.core.files import expanded, read
from ganvas.core.images import ImageSpec
from ganvas.evaluation.evaluators import files, imagenet, inception
from ganvas.evaluation.evaluators.evaluator import Evaluator
from ganvas.evaluation.evaluators.facts import Facts

# The evaluators that come with ganvas, with their sha256. `cifar10` is the mean of the weights of three networks (a
# model soup, Wortsman et al., 2022) that continue one training of 18 epochs: with plain_epochs=4, with plain_epochs=14,
# and with plain_epochs=0 and average_epochs=10.
BUNDLED = {
    "digits": "d3b15bae88118be7f4c3b2792d5113d6f963e58cee9259d244ec4d0d72477bb3",
    "cifar10": "56f9b5b83aeff97fb88301aa9ee8878a0b86e953b17a3558b720bc01b81f200a",
}

PUBLISHED = {imagenet.NAME: imagenet.load, inception.NAME: inception.load}  # their weights may be missing


def choose_for(
    spec: ImageSpec,
    classes: Sequence[str],
    sha256: str,
    device: str = "auto",
    name: str | None = None,
    unfit: Collection[str] = (),
) -> Evaluator:
    """Choose the evaluator for a training set; it says why.

    The first of: the one with this name or file, if given; one trained on exactly these images; a bundled one that
    knows these classes; general features of grey images (`digits`) or colour images (`imagenet`, or `cifar10` where
    that is not installed). Those named in `unfit` are chosen only by name. Raises UserError if none is left.
    """
    if name:
        return replace(load(name, device), why="it was asked for")
    channels = min(spec.channels, 3)  # what has alpha is composed on white
    bundled = [load(each, device) for each in BUNDLED if each not in unfit]
    for evaluator in bundled:
        if evaluator.facts and evaluator.facts.data.sha256 == sha256:
            return replace(evaluator, why="it was trained on these images")
    for file, facts in _trained():
        if facts.data.sha256 == sha256 and facts.name not in unfit:
            return replace(load(str(file), device), why="it was trained on these images")
    for evaluator in bundled:
        if evaluator.knows(classes) and evaluator.channels == channels:
            return replace(evaluator, why="it knows these classes")
    why = f"it has general features of {'colour' if channels == 3 else 'grey'} images"
    if channels == 3 and imagenet.NAME not in unfit:
        if imagenet.weights_file() is not None:
            return replace(load(imagenet.NAME, device), why=why)
        why += f"; better for photographs is '{imagenet.NAME}', which is not installed ({imagenet.INSTALL})"
    for evaluator in bundled:
        if evaluator.channels == channels:
            return replace(evaluator, why=why)
    raise UserError(
        f"the method trains on the features of {', '.join(unfit)}: make another with `ganvas evaluator train`"
    )


def with_hash(sha256: str, device: str = "auto") -> Evaluator | None:
    """The evaluator with this hash that comes with ganvas, with its extra `imagenet`, or is in the cache; or None.

    Raises UserError if it is that of the extra, which is not installed.
    """
    for name, known in {**BUNDLED, imagenet.NAME: imagenet.IDENTITY}.items():
        if known == sha256:
            return load(name, device)
    for file, _ in _trained():
        if hashlib.sha256(read(file)).hexdigest() == sha256:
            return load(str(file), device)
    return None


def load(name: str, device: str = "auto") -> Evaluator:
    """Load an evaluator by name or by file.

    The names are `digits`, `cifar10`, `imagenet`, `inception`, and those of the sets for which others were trained.
    Raises UserError if there is none, or if its file is damaged.
    """
    compute = choose(device, "fp32")  # scores should not depend on the precision of training
    if name in PUBLISHED:
        return PUBLISHED[name](compute)
    if name in BUNDLED:
        return files.from_bytes(_bundled(name), name, compute)
    path = expanded(name)
    if path.suffix == ".safetensors":
        try:
            return files.from_bytes(read(path), name, compute)
        except OSError as error:
            raise UserError(f"cannot read the evaluator '{name}': {error.strerror}") from None
    named = {facts.name: file for file, facts in _trained()}
    if name in named:
        return load(str(named[name]), device)
    raise UserError(
        f"there is no evaluator '{name}': {nearest(name, [*BUNDLED, *named, *PUBLISHED])} "
        "(`ganvas evaluator train --data X` makes one)"
    )


def _bundled(name: str) -> bytes:
    """The file of an evaluator that comes with ganvas."""
    data = (resources.files(__package__ or "") / "weights" / f"{name}.safetensors").read_bytes()
    if hashlib.sha256(data).hexdigest() != BUNDLED[name]:
        raise UserError(f"the evaluator '{name}' of this installation is damaged: install ganvas again")
    return data


def available() -> list[tuple[str, str, str]]:
    """(name, training data and accuracy, location) of every available evaluator."""
    rows = [(name, _in_words(files.read_facts(_bundled(name), name)), "comes with ganvas") for name in BUNDLED]
    rows += [(facts.name, _in_words(facts), str(file)) for file, facts in _trained()]
    published = (
        (imagenet.NAME, imagenet.WHAT, imagenet.weights_file()),
        (inception.NAME, inception.WHAT, inception.weights_file()),
    )
    return rows + [(name, what, str(file)) for name, what, file in published if file]


def describe(file: Path) -> str:
    """The training data and accuracy of the evaluator in a file, as text."""
    return _in_words(files.read_facts(read(file), file))


def _in_words(facts: Facts) -> str:
    learned = f"trained on {facts.data.images:,} images of {facts.data.name}"
    if facts.test is None:
        return learned
    what = facts.test.what.replace("pictures", "images")  # as earlier versions wrote
    return f"{learned}, accuracy {facts.test.accuracy:.2%} on {facts.test.images:,} {what}"


def _trained() -> list[tuple[Path, Facts]]:
    """The intact evaluators in the cache, with their facts."""
    found = []
    for file in sorted((cache_dir() / "evaluators").glob("*.safetensors")):
        with suppress(UserError, OSError):
            found.append((file, files.read_facts(read(file), file)))
    return found
