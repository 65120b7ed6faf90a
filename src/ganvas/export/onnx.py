"""Trained models in ONNX, the format that most programs for neural networks read: latents in, images out.

Inputs: `z` float32 [N, latent] and, for a conditional run, `labels` int64 [N]; for a pixel network also `coordinates`
float32 [H, W, 2], x and y of each pixel. Output: `images` float32 [N, C, H, W] in [0, 1]. N, and H and W of a pixel
network, may be any numbers. Weights are those that samples are drawn with: the averaged ones, if there are any.

CFG-GAN's functional gradient steps are part of the graph. ONNX has no gradients, so the gradient of each discriminator
is written out: it is traced once, with the layers below in place of those whose gradients ONNX lacks.
"""

from __future__ import annotations

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.core.version import VERSION
from ganvas.methods import CFGGAN
from ganvas.networks.conditioning import with_label
from ganvas.networks.cppn import PixelGenerator, PixelNetwork
from ganvas.networks.image_convolutions import FromImage, ToImage
from ganvas.painting.painter import Painter
from ganvas.runs.model import Model

OPSET = 18  # widely supported, by onnxruntime-web as well
TRACED = 2  # images in the example that is traced; a single one would become a constant


def save(model: Model, out: Path) -> int:
    """Write the model; returns its size in bytes. Raises UserError without the extra `onnx`."""
    data = render(model)
    files.write(out, data)
    return len(data)


def save_pixels(painter: Painter, out: Path) -> int:
    """The same for the pixel network of a painter, such as a random one."""
    network = painter.network
    facts = painter.origin.model_dump(exclude_none=True)
    facts |= {"latent_size": painter.latent_size, "channels": painter.channels, "scale": network.scale}
    data = _exported(_Pixels(network, 0), painter.latent_size, False, facts)
    files.write(out, data)
    return len(data)


def render(model: Model) -> bytes:
    """The content of the file."""
    method, spec = model.method, model.method.spec
    generator = method.for_decoding("G")
    facts = model.provenance() | {
        "method": method.settings.name,
        "data": model.run.info().data.name,
        "latent_size": method.settings.latent_size,
        "latent_std": method.prior_std,
        "size": [spec.height, spec.width],
        "channels": spec.channels,
        **({"alpha": "premultiplied"} if spec.channels == 4 else {}),
        "classes": list(model.classes) if method.conditional else [],
    }
    network: nn.Module
    if isinstance(generator, PixelGenerator):
        facts["scale"] = generator.scale
        network = _Pixels(generator.pixels, generator.num_classes)
    elif isinstance(method, CFGGAN):
        stages = method.stages()
        facts["steps"] = len(stages)
        network = _Steps(generator, stages)
    else:
        network = _Images(generator)
    return _exported(network, method.settings.latent_size, method.conditional, facts)


# -- networks with the inputs and outputs of the file -------------------------------------------------------------


class _Images(nn.Module):
    """(z, labels) -> images in [0, 1], from the generator alone."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = _plain(generator)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = (self.generator(z, labels, exact=True) + 1) / 2
        return images


class _Pixels(nn.Module):
    """(z, labels, coordinates) -> images in [0, 1], from a pixel network."""

    def __init__(self, network: PixelNetwork, num_classes: int) -> None:
        super().__init__()
        self.network, self.num_classes = _plain(network), num_classes

    def forward(self, z: Tensor, coordinates: Tensor, labels: Tensor | None = None) -> Tensor:
        height, width, _ = coordinates.shape
        place = torch.cat([coordinates, coordinates.square().sum(2, keepdim=True).sqrt()], 2).flatten(0, 1)
        network = self.network
        pixels: Tensor = network.output(network.hidden(with_label(z, labels, self.num_classes), place)).sigmoid()
        images: Tensor = pixels.transpose(1, 2).unflatten(2, (height, width))
        return images


class _Steps(nn.Module):
    """z -> images in [0, 1], from the generator and the functional gradient steps after it."""

    def __init__(self, generator: nn.Module, stages: list[tuple[nn.Module, float]]) -> None:
        super().__init__()
        self.generator = _plain(generator)
        self.discriminators = nn.ModuleList(_with_gradients(d) for d, _ in stages)
        self.etas = [eta for _, eta in stages]

    def forward(self, z: Tensor) -> Tensor:
        x: Tensor = self.generator(z, exact=True)
        for d, eta in zip(self.discriminators, self.etas, strict=True):
            with torch.enable_grad():
                place = x.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(d(place, exact=True)[:, 0].sum(), place)
            x = x + eta * gradient
        return (x.clamp(-1, 1) + 1) / 2


def _plain(network: nn.Module) -> Any:
    """A copy for evaluation, with PyTorch's own layers in place of those that are only faster."""
    copied: Any = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    copied.to(memory_format=torch.contiguous_format)
    return _with_layers(copied, {ToImage: nn.ConvTranspose2d, FromImage: nn.Conv2d})


def _with_gradients(discriminator: nn.Module) -> nn.Module:
    """The same, with layers whose gradients by their inputs are made of operations that ONNX has."""
    return _with_layers(_plain(discriminator), {nn.Conv2d: _Conv2d, nn.AvgPool2d: _Halve})


def _with_layers(network: nn.Module, kinds: dict[type, type]) -> nn.Module:
    """The same network, whose layers of some kinds are computed by others."""
    for layer in network.modules():
        layer.__class__ = kinds.get(type(layer), type(layer))
    return network


class _Conv2d(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = _Convolution.apply(x, self.weight, self.bias, self.stride, self.padding)  # type: ignore[no-untyped-call]
        return maps


class _Convolution(torch.autograd.Function):
    """A convolution whose gradient is a transposed convolution."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.side, ctx.stride, ctx.padding = x.shape[2:], stride, padding
        return F.conv2d(x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (weight,) = gradients, ctx.saved_tensors
        given = zip(ctx.side, gradient.shape[2:], weight.shape[2:], ctx.stride, ctx.padding, strict=True)
        more = [side - ((n - 1) * stride - 2 * pad + kernel) for side, n, kernel, stride, pad in given]
        return F.conv_transpose2d(gradient, weight, None, ctx.stride, ctx.padding, more), None, None, None, None


class _Halve(nn.AvgPool2d):
    def forward(self, x: Tensor) -> Tensor:
        halved: Tensor = _Mean.apply(x)  # type: ignore[no-untyped-call]
        return halved


class _Mean(torch.autograd.Function):
    """The mean of 2x2 pixels, or of those that there are at an odd edge."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.side = x.shape[2:]
        return F.avg_pool2d(x, 2, ceil_mode=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,), (height, width) = gradients, ctx.side
        rows, columns = (torch.tensor([2.0] * (n // 2) + [1.0] * (n % 2)) for n in (height, width))
        each = (gradient / (rows[:, None] * columns))[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2)
        return each.flatten(4).flatten(2, 3)[:, :, :height, :width]


# -- the file -----------------------------------------------------------------------------------------------------


def _exported(network: nn.Module, latent: int, conditional: bool, facts: dict[str, Any]) -> bytes:
    """The model as the content of an .onnx file; `facts` are its metadata, as JSON by name."""
    count, height, width = (torch.export.Dim(name, min=1) for name in "NHW")
    inputs, shapes = {"z": torch.zeros(TRACED, latent)}, [{0: count}]
    if isinstance(network, _Pixels):
        inputs["coordinates"] = torch.zeros(3, 4, 2)
        shapes.append({0: height, 1: width})
    if conditional:
        inputs["labels"] = torch.zeros(TRACED, dtype=torch.int64)
        shapes.append({0: count})
    with _quiet():
        try:
            import onnx
            import onnxscript  # noqa: F401
        except ImportError:
            raise UserError("ONNX needs the extra 'onnx': pip install 'ganvas[onnx]'") from None
        given: nn.Module = network
        if isinstance(network, _Steps):
            given = make_fx(network, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*inputs.values())
        program = torch.export.export(given, tuple(inputs.values()), dynamic_shapes=tuple(shapes))
        found = torch.onnx.export(
            program, input_names=list(inputs), output_names=["images"], opset_version=OPSET, verbose=False
        )
        assert found is not None
        proto = found.model_proto
    _name_sizes(proto.graph)
    proto.producer_name, proto.producer_version = "ganvas", VERSION
    proto.doc_string = __doc__.split("\n\n")[1].replace("\n", " ")
    onnx.helper.set_model_props(proto, {key: _text(value) for key, value in ({"ganvas": VERSION} | facts).items()})
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def _name_sizes(graph: Any) -> None:
    """Call the sizes that may be any number N, H and W; the exporter calls them s68 and the like."""
    names = {}
    for tensor in graph.input:
        letters = "HW" if tensor.name == "coordinates" else "N"
        for letter, side in zip(letters, tensor.type.tensor_type.shape.dim, strict=False):
            names[side.dim_param] = letter
    for tensor in (*graph.input, *graph.output, *graph.value_info):
        for side in tensor.type.tensor_type.shape.dim:
            if side.dim_param:
                side.dim_param = names.get(side.dim_param, side.dim_param)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings and log lines, which concern its developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
