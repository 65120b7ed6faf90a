"""Training rules. A name in a recipe becomes a class in this table and nowhere else."""

from ganvas.methods.base import Method
from ganvas.methods.cfg_gan import CFGGAN
from ganvas.methods.cppn_vae_gan import CPPNVAEGAN
from ganvas.methods.gan import GAN
from ganvas.methods.residual_cppn import ResidualCPPN
from ganvas.methods.wgan_gp import WGANGP

__all__ = ["CFGGAN", "CPPNVAEGAN", "GAN", "METHODS", "WGANGP", "Method", "ResidualCPPN"]

METHODS: dict[str, type[Method]] = {
    "gan": GAN,
    "wgan_gp": WGANGP,
    "cfg_gan": CFGGAN,
    "cppn_vae_gan": CPPNVAEGAN,
    "residual_cppn": ResidualCPPN,
}
