"""A generator as a list of layers, which the script of a page (`viewer/network.js`) computes one after the other.

A layer is JSON with a `kind`; its numbers are in two arrays, in the order in which the layers use them: the matrices,
which are most of a network, and the vectors (biases, and the scales and shifts of batch norms).

- `linear`: `outs` × `ins` weights, `outs` biases;
- `reshape`: to `channels`, `height` and `width`;
- `convolution`: to `outs` channels, with `kernel`, `stride` and `padding`: weights [outs, ins, height, width of the
  kernel], biases;
- `transposed`: a transposed convolution, with `more` rows and columns at the end: weights [outs, height, width of the
  kernel, ins], biases;
- `affine`: a scale for each channel, then a shift for each;
- `enlarge`: to `side`, by nearest neighbours; `relu`; `tanh`;
- `sum`: of what each of the `branches`, which are lists of layers, makes of its input.
"""

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.core.errors import UserError
from ganvas.networks.base import Generator
from ganvas.networks.mlp import MLPGenerator
from ganvas.networks.resnet import UpBlock

Layer = dict[str, Any]


class Layers(NamedTuple):
    layers: list[Layer]
    matrices: np.ndarray  # float32 [N]
    vectors: np.ndarray  # float32 [M]


def of_generator(generator: Generator) -> Layers:
    """The layers of a generator: from latents, with the shares of the classes, to images in [-1, 1].

    Raises UserError for networks that are not made of such layers.
    """
    writer = _Writer()
    found = writer.write(_modules(generator))
    return Layers(
        found, *(np.concatenate([_numpy(each) for each in kind]) for kind in (writer.matrices, writer.vectors))
    )


def with_matrices(generator: Generator, matrices: np.ndarray) -> Generator:
    """A copy of the generator with other numbers in its matrices: float32 [N], as in `Layers`."""
    copied, writer = copy.deepcopy(generator), _Writer()
    writer.write(_modules(copied))
    parts = torch.from_numpy(matrices).split([matrix.numel() for matrix in writer.matrices])
    for matrix, part in zip(writer.matrices, parts, strict=True):
        matrix.copy_(part.view(matrix.shape))
    return copied


def _modules(generator: Generator) -> list[nn.Module]:
    if isinstance(generator, MLPGenerator):
        return [*generator.layers, nn.Tanh(), generator.shape]
    return list(generator.layers.children())  # type: ignore[union-attr]


class _Writer:
    def __init__(self) -> None:
        self.matrices: list[Tensor] = []  # of the network, with the axes in the page's order
        self.vectors: list[Tensor] = []

    def write(self, modules: Iterable[nn.Module]) -> list[Layer]:
        return [layer for module in modules for layer in self._layers(module)]

    def _layers(self, module: nn.Module) -> list[Layer]:
        match module:
            case nn.Identity():
                return []
            case nn.Linear():
                self._weights(module.weight, module.bias)
                return [{"kind": "linear", "ins": module.in_features, "outs": module.out_features}]
            case nn.Unflatten():
                channels, height, width = module.unflattened_size
                return [{"kind": "reshape", "channels": channels, "height": height, "width": width}]
            case nn.Conv2d():
                self._weights(module.weight, module.bias)
                return [_convolution("convolution", module)]
            case nn.ConvTranspose2d():
                self._weights(module.weight.permute(1, 2, 3, 0), module.bias)
                return [_convolution("transposed", module) | {"more": module.output_padding}]
            case nn.BatchNorm2d():
                assert module.running_mean is not None and module.running_var is not None, "there are running means"
                scale = module.weight * (module.running_var.double() + module.eps).rsqrt()
                self.vectors += [scale, module.bias - module.running_mean * scale]
                return [{"kind": "affine"}]
            case nn.ReLU():
                return [{"kind": "relu"}]
            case nn.Tanh():
                return [{"kind": "tanh"}]
            case nn.Upsample():
                height, width = module.size  # type: ignore[misc]
                return [{"kind": "enlarge", "side": [height, width]}]
            case UpBlock():
                relu, enlarge = nn.ReLU(), module.enlarge
                main = [module.norm1, relu, enlarge, module.conv1, module.norm2, relu, module.conv2]
                branches = [self.write(main), self.write([module.shortcut, enlarge])]
                return [{"kind": "sum", "branches": branches}]
        raise UserError(f"a page cannot compute a layer of the kind '{type(module).__name__}': use --to onnx")

    def _weights(self, weight: Tensor, bias: Tensor | None) -> None:
        self.matrices.append(weight.detach())
        self.vectors.append(torch.zeros(weight.shape[0]) if bias is None else bias)


def _convolution(kind: str, module: nn.Conv2d | nn.ConvTranspose2d) -> Layer:
    sizes = {"kernel": module.kernel_size, "stride": module.stride, "padding": module.padding}
    return {"kind": kind, "outs": module.out_channels} | sizes


def _numpy(tensor: Tensor) -> np.ndarray:
    values: np.ndarray = tensor.detach().cpu().float().contiguous().numpy().ravel()
    return values
