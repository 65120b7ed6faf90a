"""Metrics: pure functions of features, probabilities, labels and pixels. METRICS says what each one means.

Features are float tensors [N, F] on a device that supports float64. Sums are computed in float64. Pairs are compared
block by block, so memory grows with N x F, not with N x N. A score is a value with the uncertainty from the finite
number of samples; `Score.error` is a standard error unless the function says otherwise.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ganvas.metrics.table import METRICS, Metric, Score

if TYPE_CHECKING:
    from ganvas.metrics.classes import class_kl, classes_present, effective_classes, inception_score, label_accuracy
    from ganvas.metrics.copies import copy_rate
    from ganvas.metrics.distances import fid, fid_infinity, fid_refusal, frechet, kid
    from ganvas.metrics.diversity import vendi
    from ganvas.metrics.moments import Moments
    from ganvas.metrics.neighbourhoods import manifold, nearest, nearest_distances, neighbour_distances
    from ganvas.metrics.pixels import mean_distance, sliced_wasserstein

__all__ = [
    "METRICS",
    "Metric",
    "Moments",
    "Score",
    "class_kl",
    "classes_present",
    "copy_rate",
    "effective_classes",
    "fid",
    "fid_infinity",
    "fid_refusal",
    "frechet",
    "inception_score",
    "kid",
    "label_accuracy",
    "manifold",
    "mean_distance",
    "nearest",
    "nearest_distances",
    "neighbour_distances",
    "sliced_wasserstein",
    "vendi",
]


def __getattr__(name: str) -> Any:
    """A function that needs PyTorch, imported when it is first used; the table of metrics does not need it."""
    if name in __all__:
        for module in ("classes", "copies", "distances", "diversity", "moments", "neighbourhoods", "pixels"):
            functions = vars(import_module(f"{__name__}.{module}"))
            if name in functions:
                return functions[name]
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
