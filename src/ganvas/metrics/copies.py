"""How many samples are copies of training images."""

from torch import Tensor

from ganvas.metrics.table import Score
from ganvas.metrics.uncertainty import mean_with_error

CLOSE, FAR = 0.01, 1.5  # the quantile of the real images that sets the threshold, and its power
SURELY, MAYBE = 0.25, 0.5  # of any set: quotients below which an image is always a copy, and may be one


def copy_rate(samples: Tensor, real: Tensor) -> Score:
    """Share of the samples that are much nearer to a training image than unseen real images are.

    samples, real: for each image, its distance to the nearest training image divided by its distance to the nearest
    unseen image (other than itself), float32 [N]. Unlike the distance alone, this quotient does not mistake plain
    images, which are near to everything, for copies (Meehan et al., 2020, compare the same two distances). With q the
    quotient that 1 % of the real images stay below, a sample below q^1.5 is a copy; the margin allows for samples that
    are plainer than any real image. A small set tells little about q, and near duplicates in it mislead, so a quotient
    of more than a half is never a copy and one of less than a quarter always is.
    """
    q = real.double().quantile(CLOSE).clamp_max(1)
    return mean_with_error(samples < (q**FAR).clamp(SURELY, MAYBE))
