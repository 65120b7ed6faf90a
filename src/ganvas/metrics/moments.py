"""Moments of features, from which the Fréchet distance and the Vendi score are computed."""

from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 1_000  # vectors in float64 at once


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of outer products of vectors, in float64."""

    count: int
    total: Tensor  # [F]
    outer: Tensor  # [F, F]

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        total = torch.zeros(features.shape[1], dtype=torch.float64, device=features.device)
        outer = torch.zeros(features.shape[1], features.shape[1], dtype=torch.float64, device=features.device)
        for part in features.split(BLOCK):
            total += part.double().sum(0)
            outer += part.double().T @ part.double()
        return cls(len(features), total, outer)

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.outer + other.outer)

    def __sub__(self, other: "Moments") -> "Moments":
        return Moments(self.count - other.count, self.total - other.total, self.outer - other.outer)

    @property
    def mean(self) -> Tensor:
        return self.total / self.count

    @property
    def covariance(self) -> Tensor:
        return (self.outer - torch.outer(self.total, self.mean)) / (self.count - 1)


def total(parts: list[Moments]) -> Moments:
    """The moments of all parts together."""
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    return whole
