"""What keeps D from running ahead of G where pictures are few: more updates of G, and a D that is held back."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTH = 0.9  # share of the old value in the running means


class Balance:
    """Chooses the updates of G per update of D, 1 to `most`, that hold the logarithm of their loss ratio near 0.

    An integral controller: the logarithm of the number moves by `gain` times the smoothed ln(G loss / D loss), so that
    the number settles where both losses are equal.
    """

    def __init__(self, most: int, gain: float = 0.1) -> None:
        self.most, self.gain = most, gain
        self.ratio, self.log_steps = 0.0, 0.0

    @property
    def steps(self) -> int:
        return round(math.exp(self.log_steps))

    def see(self, g_loss: float, d_loss: float) -> None:
        """Take in the losses after a step; ones without a logarithm are passed over."""
        if g_loss > 0 and d_loss > 0 and math.isfinite(g_loss / d_loss):
            self.ratio = SMOOTH * self.ratio + (1 - SMOOTH) * math.log(g_loss / d_loss)
            self.log_steps = min(math.log(self.most), max(0.0, self.log_steps + self.gain * self.ratio))


class LeCam:
    """Holds D's answers near running means of those for the other kind of image (Tseng et al., 2021).

    The penalty is E relu(D(x) - f)² + E relu(r - D(G(z)))², f and r being the running means of D(G(z)) and D(x).
    """

    def __init__(self, device: torch.device | None = None, keep: float = 0.99) -> None:
        self.keep = keep
        self.real, self.fake = (torch.zeros((), device=device) for _ in range(2))

    def __call__(self, d_real: Tensor, d_fake: Tensor) -> Tensor:
        """The penalty for logits [B] of a batch, which the running means then take in."""
        penalty = F.relu(d_real - self.fake).square().mean() + F.relu(self.real - d_fake).square().mean()
        self.real.mul_(self.keep).add_((1 - self.keep) * d_real.detach().mean())
        self.fake.mul_(self.keep).add_((1 - self.keep) * d_fake.detach().mean())
        return penalty


def r1(d_real: Tensor, real: Tensor) -> Tensor:
    """Mean squared gradient of D's logits [B] at real images [B, C, H, W] (Mescheder et al., 2018); has a graph."""
    (gradient,) = torch.autograd.grad(d_real.sum(), real, create_graph=True)
    return gradient.flatten(1).square().sum(1).mean()
