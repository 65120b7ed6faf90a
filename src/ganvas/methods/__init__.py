"""Training rules. A name in a recipe becomes a class in this table and nowhere else."""

from ganvas.methods.base import Method
from ganvas.methods.gan import GAN

__all__ = ["GAN", "METHODS", "Method"]

METHODS: dict[str, type[Method]] = {"gan": GAN}
