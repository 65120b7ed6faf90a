"""The effective number of different images among the samples."""

import math

import torch
from torch import Tensor

from ganvas.metrics.moments import Moments, total
from ganvas.metrics.table import Score
from ganvas.metrics.uncertainty import GROUPS, jackknife


def vendi(features: Tensor) -> Score:
    """Vendi score (Friedman & Dieng, 2023) with the cosine kernel: exp of the entropy of the kernel's eigenvalues.

    They equal the eigenvalues of the second moment of the normalised features, so no N x N matrix is needed.
    """
    unit = features.double()
    unit = (unit / unit.norm(dim=1, keepdim=True).clamp_min(1e-12)).float()

    def effective(moments: Moments) -> float:
        return _effective_number(torch.linalg.eigvalsh(moments.outer))

    parts = [Moments.of(part) for part in unit.tensor_split(GROUPS)]
    whole = total(parts)
    return Score(effective(whole), jackknife([effective(whole - part) for part in parts]))


def _effective_number(eigenvalues: Tensor) -> float:
    eigenvalues = eigenvalues.clamp_min(0)  # rounding may leave some just below
    shares = eigenvalues / eigenvalues.sum()
    return math.exp(-torch.special.xlogy(shares, shares).sum().item())
