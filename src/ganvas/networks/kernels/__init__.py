"""Fast pixel networks: a compiled kernel for each kind, and PyTorch where there is none.

`residual` and `layered` compute the logits of their kind of network; `ganvas.networks.cppn` has the same networks in
plain modules. A tile of pixels goes through all the layers in the cache, and the backward pass computes the activations
again instead of keeping them. The kernels compute in float32 on the CPU, also under autocast.
"""

from ganvas.networks.kernels import layered, residual
from ganvas.networks.kernels.native import SWITCH
from ganvas.networks.kernels.weights import Weights

__all__ = ["SWITCH", "Weights", "layered", "residual"]
