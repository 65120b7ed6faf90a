"""Pairs of networks that the methods train."""

from ganvas.networks.base import Networks
from ganvas.networks.cppn import CPPN
from ganvas.networks.dcgan import DCGAN
from ganvas.networks.mlp import MLP
from ganvas.networks.resnet import ResNet

__all__ = ["CPPN", "DCGAN", "MLP", "NETWORKS", "Networks", "ResNet"]

NETWORKS: dict[str, type[Networks]] = {"mlp": MLP, "dcgan": DCGAN, "resnet": ResNet, "cppn": CPPN}
