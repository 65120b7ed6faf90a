"""Spectral normalisation (Miyato et al., 2018): a bound on the slope of a discriminator."""

from torch import nn
from torch.nn.utils import parametrizations


def spectral_norm(network: nn.Module) -> None:
    """Divide the weights of every layer by their largest singular value, as a matrix with one row for each output.

    One step of power iteration in each forward pass in training mode keeps track of the value; under autocast it has
    the precision of bf16. Weights of labels that are added as maps (`LabelledConv`) stay as they are: they do not
    change the slope with respect to the image. Call it once, after the initial weights are drawn.
    """
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            parametrizations.spectral_norm(module)
