"""Pairs of networks that several methods share."""

from ganvas.backbones.base import Backbone
from ganvas.backbones.dcgan import DCGAN
from ganvas.backbones.mlp import MLP

__all__ = ["BACKBONES", "DCGAN", "MLP", "Backbone"]

BACKBONES: dict[str, type[Backbone]] = {"mlp": MLP, "dcgan": DCGAN}
