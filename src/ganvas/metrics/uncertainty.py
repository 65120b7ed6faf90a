"""Standard errors of means, and of other scores by the jackknife."""

import math

import numpy as np
from torch import Tensor

from ganvas.metrics.table import Score

GROUPS = 20  # of the jackknife


def mean_with_error(values: Tensor) -> Score:
    """The mean of independent values with its standard error."""
    values = values.double()
    return Score(values.mean().item(), (values.std() / math.sqrt(len(values))).item() if len(values) > 1 else None)


def jackknife(without_each: list[float]) -> float:
    """The standard error of a score, given its values with each group left out (Efron & Tibshirani, ch. 11)."""
    values = np.array(without_each)
    return float(np.sqrt((len(values) - 1) / len(values) * np.square(values - values.mean()).sum()))
