"""Training rules. A name in a recipe becomes a class in this table and nowhere else."""

from ganvas.methods.base import Method
from ganvas.methods.cppn_vae_gan import CPPNVAEGAN
from ganvas.methods.gan import GAN
from ganvas.methods.residual_cppn import ResidualCPPN

__all__ = ["CPPNVAEGAN", "GAN", "METHODS", "Method", "ResidualCPPN"]

METHODS: dict[str, type[Method]] = {"gan": GAN, "cppn_vae_gan": CPPNVAEGAN, "residual_cppn": ResidualCPPN}
