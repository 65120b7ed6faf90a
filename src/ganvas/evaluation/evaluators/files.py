"""Evaluators as .safetensors files: half-precision weights, and facts in the header."""

import hashlib
import json

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ganvas.compute.device import Compute
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec, from_uint8
from ganvas.core.settings import parse
from ganvas.evaluation.evaluators import classifier
from ganvas.evaluation.evaluators.classifier import Classifier, ClassifierSettings
from ganvas.evaluation.evaluators.evaluator import Evaluator
from ganvas.evaluation.evaluators.facts import Facts


def to_bytes(network: Classifier, facts: Facts) -> bytes:
    """The file of an evaluator: half-precision weights, with `facts` in the header."""
    tensors = {
        key: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for key, value in network.state_dict().items()
    }
    return save_tensors(tensors, metadata={"ganvas": facts.to_json()})


def read_facts(data: bytes, name: object) -> Facts:
    """Read the facts in the header; messages call the file `name`. Raises UserError if it is damaged."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return Facts.from_json(header["__metadata__"]["ganvas"], name)
    except (ValueError, KeyError, TypeError, RecursionError, UserError):
        raise _damaged(name) from None


def _damaged(name: object) -> UserError:
    return UserError(f"'{name}' is not an evaluator, or it is damaged: train it again")


def from_bytes(data: bytes, name: str, compute: Compute) -> Evaluator:
    """Load the evaluator in a file; messages call it `name`. Raises UserError if it is damaged."""
    facts = read_facts(data, name)
    settings = parse(ClassifierSettings, facts.settings, f"{name}: evaluator")
    spec = ImageSpec(facts.channels, settings.size, settings.size, len(facts.classes))
    try:
        tensors = load_tensors(data)
        if sum(map(torch.Tensor.numel, tensors.values())) != classifier.size(settings, spec):
            raise _damaged(name)  # before a network of any size is built
        network = classifier.build(settings, spec, compute)
        network.load_state_dict(tensors)
    except (SafetensorError, RuntimeError, OverflowError, TypeError):
        raise _damaged(name) from None
    network.eval().requires_grad_(False)
    return Evaluator(
        name=facts.name,
        sha256=hashlib.sha256(data).hexdigest(),
        size=settings.size,
        channels=facts.channels,
        scaling="bilinear, antialiased",
        classes=tuple(facts.classes),
        facts=facts,
        network=lambda pixels: _views(network, settings, from_uint8(pixels)),
        device=compute.device,
    )


def _views(network: Classifier, settings: ClassifierSettings, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features and probabilities, averaged over image and mirror image if the network was trained on both."""
    images = classifier.resized(images, settings.size)
    views = [network(view) for view in ((images, images.flip(3)) if settings.mirror else (images,))]
    features = torch.stack([view.features for view in views]).mean(0)
    return features, torch.stack([view.logits.softmax(1) for view in views]).mean(0)
