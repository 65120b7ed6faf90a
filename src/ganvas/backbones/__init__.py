"""Pairs of networks that several methods share."""

from ganvas.backbones.base import Backbone
from ganvas.backbones.cppn import CPPN
from ganvas.backbones.dcgan import DCGAN
from ganvas.backbones.mlp import MLP
from ganvas.backbones.resnet import ResNet

__all__ = ["BACKBONES", "CPPN", "DCGAN", "MLP", "Backbone", "ResNet"]

BACKBONES: dict[str, type[Backbone]] = {"mlp": MLP, "dcgan": DCGAN, "resnet": ResNet, "cppn": CPPN}
