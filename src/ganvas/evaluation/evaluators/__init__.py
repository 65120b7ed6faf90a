"""Evaluators: networks that turn images into features and class probabilities, without an internet connection.

Two small classifiers come with ganvas: `digits`, trained on MNIST, and `cifar10`, trained on a JPEG copy of CIFAR-10,
which also provides general features of colour images. `Training` trains one for any labelled set. `inception` is the
network of the published FID; ganvas never downloads its weights, but uses those that the user has downloaded.
"""

from ganvas.evaluation.evaluators.evaluator import Evaluator, Measured
from ganvas.evaluation.evaluators.lookup import available, choose_for, describe, load, with_hash
from ganvas.evaluation.evaluators.training import Training, accuracy

__all__ = [
    "Evaluator",
    "Measured",
    "Training",
    "accuracy",
    "available",
    "choose_for",
    "describe",
    "load",
    "with_hash",
]
