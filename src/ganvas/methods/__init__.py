"""The methods (training rules). This table, and nothing else, maps a name in a recipe to a class.

`gan` is the textbook GAN of `gan.py` with options for small sets, which are all off by default.
"""

from ganvas.methods.base import Method
from ganvas.methods.cfg_gan import CFGGAN
from ganvas.methods.cppn_vae_gan import CPPNVAEGAN
from ganvas.methods.residual_cppn import ResidualCPPN
from ganvas.methods.small_set_gan import SmallSetGAN
from ganvas.methods.wgan_gp import WGANGP

__all__ = ["CFGGAN", "CPPNVAEGAN", "METHODS", "WGANGP", "Method", "ResidualCPPN", "SmallSetGAN"]

METHODS: dict[str, type[Method]] = {
    "gan": SmallSetGAN,
    "wgan_gp": WGANGP,
    "cfg_gan": CFGGAN,
    "cppn_vae_gan": CPPNVAEGAN,
    "residual_cppn": ResidualCPPN,
}
