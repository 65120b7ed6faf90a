"""Images of any size from a pixel network, computed in blocks to save memory."""

from collections.abc import Iterator

import torch
from torch import Tensor

from ganvas.networks.cppn import TILE, PixelNetwork
from ganvas.networks.view import View


def render(network: PixelNetwork, z: Tensor, view: View) -> Tensor:
    """One image for each latent: z [B, latent] -> images [B, C, height, width] in [-1, 1], without gradients."""
    return next(bands(network, z, view, view.height)).mul_(2).sub_(1).permute(0, 3, 1, 2)


@torch.no_grad()
def bands(network: PixelNetwork, z: Tensor, view: View, rows: int) -> Iterator[Tensor]:
    """The image of each latent, `rows` rows at a time from the top: z [B, latent] -> [B, rows, width, C] in (0, 1).

    Pixels are computed in blocks that do not depend on `rows`, so neither do the bits of an image; memory grows with
    the size of a band only.
    """
    blocks = _blocks(network, z, view)
    rest = z.new_empty(len(z), 0, network.output.out_features)  # unused pixels of the previous band's last block
    for top in range(0, view.height, rows):
        height = min(rows, view.height - top)
        band = rest.new_empty(len(z), height * view.width, rest.shape[2])
        done = 0
        while done < band.shape[1]:
            if not rest.shape[1]:
                rest = next(blocks)
            part, rest = rest.tensor_split([band.shape[1] - done], 1)
            band[:, done : done + part.shape[1]] = part
            done += part.shape[1]
        yield band.view(len(z), height, view.width, -1)


def _blocks(network: PixelNetwork, z: Tensor, view: View) -> Iterator[Tensor]:
    """All pixels in blocks [B, pixels, C]; each pixel is the mean of its supersamples."""
    units, n, pixels = network.output.in_features, view.supersample**2, view.height * view.width
    block = min(pixels, max(1, TILE // (units * n)))
    together = max(1, TILE // (units * n * block))  # images at a time
    for start in range(0, pixels, block):
        place = view.coordinates(start, min(start + block, pixels), z.dtype).to(z.device)
        samples = torch.cat([network(part, place) for part in z.split(together)])
        yield samples.view(len(z), -1, n, samples.shape[2]).mean(2) if n > 1 else samples
