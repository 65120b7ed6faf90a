"""The share of samples that are copies of training images."""

from torch import Tensor

from ganvas.metrics.table import Score
from ganvas.metrics.uncertainty import mean_with_error

CLOSE, FAR = 0.01, 1.5  # the quantile of the real images from which the threshold is computed, and the exponent
SURELY, MAYBE = 0.25, 0.5  # limits of the threshold, for any data: below the first a sample is always a copy


def copy_rate(samples: Tensor, real: Tensor) -> Score:
    """Share of the samples that are much nearer to a training image than unseen real images are.

    samples, real: for each image, its distance to the nearest training image divided by its distance to the nearest
    unseen image (other than itself), float32 [N]. Unlike the distance alone, this quotient does not mistake plain
    images, which are near to everything, for copies (Meehan et al., 2020, compare the same two distances). Let q be the
    1 % quantile of the quotients of the real images; a sample whose quotient is below q^1.5 is a copy. The exponent
    allows for samples that are plainer than any real image. Because q is uncertain for small sets and misleading for
    sets with near duplicates, the threshold is kept between 0.25 and 0.5.
    """
    q = real.double().quantile(CLOSE)
    return mean_with_error(samples < (q**FAR).clamp(SURELY, MAYBE))
