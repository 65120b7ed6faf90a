"""Metrics of the classes that an evaluator predicts."""

import math

import numpy as np
import torch
from torch import Tensor

from ganvas.metrics.table import Score
from ganvas.metrics.uncertainty import GROUPS, jackknife, mean_with_error

PRESENT = 0.1  # a class with less than this share of the samples it should have counts as lost


def inception_score(probabilities: Tensor, splits: int = 10) -> Score:
    """exp of the mean KL divergence of each image's class probabilities from their mean (Salimans et al., 2016).

    The value is the mean over `splits` consecutive parts of the samples; the error is their standard deviation (not a
    standard error), as in the paper.
    """
    values = []
    for part in probabilities.double().tensor_split(splits):
        divergence = torch.special.xlogy(part, part).sum(1) - torch.special.xlogy(part, part.mean(0)).sum(1)
        values.append(math.exp(divergence.mean().item()))
    return Score(float(np.mean(values)), float(np.std(values)))


def class_kl(predicted: Tensor, shares: Tensor) -> Score:
    """KL divergence in nats of the classes of the samples, int64 [N], from the `shares` of the data, [classes].

    The error is a delete-a-group jackknife over the samples.
    """
    counts = torch.stack([torch.bincount(part, minlength=len(shares)) for part in predicted.tensor_split(GROUPS)])
    whole = counts.sum(0)

    def divergence(count: Tensor) -> float:
        share = count.double() / count.sum()
        return float(torch.special.xlogy(share, share / shares.double().clamp_min(1e-12)).sum())

    return Score(divergence(whole), jackknife([divergence(whole - part) for part in counts]))


def classes_present(predicted: Tensor, shares: Tensor) -> Score:
    """Number of classes with at least a tenth of the samples that they would have by their share of the data."""
    counts = torch.bincount(predicted, minlength=len(shares))
    least = PRESENT * shares.double() * len(predicted) * (1 - 1e-6)  # shares are rounded, and exactly a tenth is enough
    return Score(float(((counts >= least) & (shares > 0)).sum()))


def effective_classes(predicted: Tensor) -> float:
    """Effective number of predicted classes, int64 [N]: exp of the entropy of their shares."""
    shares = torch.bincount(predicted).double() / len(predicted)
    return math.exp(-torch.special.xlogy(shares, shares).sum().item())


def label_accuracy(predicted: Tensor, labels: Tensor) -> Score:
    """Share of the samples whose predicted class, int64 [N], is the label they were drawn with, int64 [N]."""
    return mean_with_error(predicted == labels)
