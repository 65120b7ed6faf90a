"""InceptionV3 as used by the published FID, with weights that the user has downloaded."""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from ganvas.compute.device import Compute
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError
from ganvas.core.files import read
from ganvas.evaluation.evaluators.evaluator import Evaluator

NAME = "inception"
WHAT = "the network of the published FID"
FILE = "weights-inception-2015-12-05-6726825d.pth"
SIZE = 299
SCALING = "bilinear as in TensorFlow 1"


def weights_file() -> Path | None:
    """The file of the weights, in the cache of ganvas or in that of PyTorch; None if it is in neither."""
    return next((file for file in _places() if file.is_file()), None)


def _places() -> list[Path]:
    return [cache_dir() / "evaluators" / FILE, Path(torch.hub.get_dir()) / "checkpoints" / FILE]


def load(compute: Compute) -> Evaluator:
    """InceptionV3 with the weights and the scaling of TensorFlow, from torch-fidelity.

    Raises UserError if torch-fidelity or the weights are missing, or if the weights are damaged.
    """
    file = weights_file()
    if find_spec("torch_fidelity") is None:
        raise UserError("the inception evaluator needs torch-fidelity: pip install 'ganvas[inception]'")
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

    if file is None:
        raise UserError(f"the weights of inception are missing: download {URL_INCEPTION_V3} as '{_places()[-1]}'")
    data = read(file)
    try:  # torch-fidelity unpickles the file: check first that it contains only tensors
        torch.load(file, weights_only=True)
    except Exception as error:
        raise UserError(
            f"'{file}' does not hold the weights of inception ({type(error).__name__}): download them again"
        ) from None
    network = FeatureExtractorInceptionV3("inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=file)
    network = network.to(compute.device)

    def measure(pixels: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = network(pixels)
        return features, logits.softmax(1)

    digest = hashlib.sha256(data).hexdigest()
    return Evaluator(NAME, digest, SIZE, 3, SCALING, (), None, measure, compute.device)
