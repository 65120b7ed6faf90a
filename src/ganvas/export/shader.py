"""A pixel network as a shader in GLSL ES 3.00, the language of WebGL2 and of shader sites.

A shader computes one pixel at a time, in float32. Its numbers are vectors of four: a layer of `width` units is
`LANES` = ceil(width / 4) vectors, filled up with zeros, and a layer's weights are blocks of 4×4. All of them are stored
one after the other as `vec4`, in the order in which they are used:

- the first layer: for each output vector, the columns of x, y and r;
- every other layer: for each output vector, its biases, then four columns for each input vector;
- the output: one vector of biases, then for each channel one vector of weights for each input vector.

What the latent adds to the first layer, Wz·(s·z) + b, is the same for all pixels of an image: `start`.
"""

from collections.abc import Iterator

import numpy as np
from torch import Tensor, nn

from ganvas.networks.cppn import LayeredNetwork, PixelNetwork, ResidualNetwork

LANE = 4


def lanes(network: PixelNetwork) -> int:
    """The number of vectors of a layer."""
    return -(-network.output.in_features // LANE)


def weights(network: PixelNetwork) -> np.ndarray:
    """All weights but those of the latent, in the order of the module's description: float32 [N, 4]."""
    parts = [_columns(_numpy(network.place.weight))]
    for weight, bias in _layers(network):
        blocks = _columns(weight).reshape(lanes(network), -1, LANE)
        parts.append(np.concatenate([_padded(bias).reshape(-1, 1, LANE), blocks], axis=1).reshape(-1, LANE))
    parts += [_padded(_numpy(network.output.bias)).reshape(-1, LANE)]
    parts += [_padded(row).reshape(-1, LANE) for row in _numpy(network.output.weight)]
    return np.concatenate(parts)


def start(network: PixelNetwork, z: Tensor) -> np.ndarray:
    """What a latent [latent_size] adds to the first layer: float32 [lanes, 4]."""
    return _padded(_numpy(network.latent(network.scale * z))).reshape(-1, LANE)


def source(network: PixelNetwork) -> str:
    """GLSL of `vec4 paint(vec2 place)`, whose first channels are the pixel in 0..1.

    It reads the weights by `vec4 weight(int)` and the start by `vec4 start(int)`, which whoever uses it must define.
    """
    channels = network.output.out_features
    head = f"const int LANES = {lanes(network)};\nconst int CHANNELS = {channels};\n"
    if isinstance(network, ResidualNetwork):
        blocks, layers = network.weight.shape[:2]
        return head + f"const int BLOCKS = {blocks};\nconst int LAYERS = {layers};\n" + _SHARED + _RESIDUAL + _OUTPUT
    layers = len(network.layers) if isinstance(network, LayeredNetwork) else 0
    first, other = {
        "softplus": ("softplus(u)", "squash(u)"),
        "tanh": ("squash(u)", "squash(u)"),
        "relu": ("max(u, 0.0)", "layer % 2 == 1 ? max(u, 0.0) : squash(u)"),
    }[network.config.kind]
    body = _LAYERED.replace("FIRST", first).replace("OTHER", other)
    return head + f"const int LAYERS = {layers};\n" + _SHARED + body + _OUTPUT


def _layers(network: PixelNetwork) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Weights [width, width] and biases [width] of all layers between the first one and the output."""
    if isinstance(network, ResidualNetwork):
        yield from zip(_numpy(network.weight.flatten(0, 1)), _numpy(network.bias.flatten(0, 1)), strict=True)
    elif isinstance(network, LayeredNetwork):
        for layer in network.layers:
            assert isinstance(layer, nn.Linear)
            yield _numpy(layer.weight), _numpy(layer.bias)


def _numpy(tensor: Tensor) -> np.ndarray:
    values: np.ndarray = tensor.detach().cpu().float().numpy()
    return values


def _padded(vector: np.ndarray) -> np.ndarray:
    return np.pad(vector, (0, -len(vector) % LANE))


def _columns(matrix: np.ndarray) -> np.ndarray:
    """A matrix [out, in] as its columns in vectors of four, by output vector: [ceil(out / 4) * in', 4].

    in' is `in` filled up to a multiple of four, but for the three coordinates.
    """
    across = 0 if matrix.shape[1] == 3 else -matrix.shape[1] % LANE
    filled = np.pad(matrix, ((0, -len(matrix) % LANE), (0, across)))
    return filled.reshape(-1, LANE, filled.shape[1]).transpose(0, 2, 1).reshape(-1, LANE)


_SHARED = """
// The built-in tanh may overflow for large numbers.
vec4 squash(vec4 u) {
  vec4 e = exp(-2.0 * abs(u));
  return sign(u) * (1.0 - e) / (1.0 + e);
}

vec4 softplus(vec4 u) {
  return max(u, 0.0) + log(1.0 + exp(-abs(u)));
}

// The first layer before its activation.
vec4 first(int lane, vec3 place) {
  int at = 3 * lane;
  return start(lane) + weight(at) * place.x + weight(at + 1) * place.y + weight(at + 2) * place.z;
}

// One vector of a layer before its activation; moves `at` to the next one.
vec4 linear(vec4 h[LANES], inout int at) {
  vec4 u = weight(at++);
  for (int i = 0; i < LANES; i++, at += 4) {
    u += mat4(weight(at), weight(at + 1), weight(at + 2), weight(at + 3)) * h[i];
  }
  return u;
}

vec4 paint(vec2 xy) {
  vec3 place = vec3(xy, length(xy));
  vec4 h[LANES];
  vec4 next[LANES];
  int at = 3 * LANES;
"""

_RESIDUAL = """
  vec4 k[LANES];
  for (int i = 0; i < LANES; i++) h[i] = squash(first(i, place));
  for (int block = 0; block < BLOCKS; block++) {
    for (int i = 0; i < LANES; i++) k[i] = h[i];
    for (int layer = 0; layer < LAYERS - 1; layer++) {
      for (int i = 0; i < LANES; i++) next[i] = max(linear(k, at), 0.0);
      for (int i = 0; i < LANES; i++) k[i] = next[i];
    }
    for (int i = 0; i < LANES; i++) h[i] += squash(linear(k, at));
  }
"""

_LAYERED = """
  for (int i = 0; i < LANES; i++) {
    vec4 u = first(i, place);
    h[i] = FIRST;
  }
  for (int layer = 0; layer < LAYERS; layer++) {
    for (int i = 0; i < LANES; i++) {
      vec4 u = linear(h, at);
      next[i] = OTHER;
    }
    for (int i = 0; i < LANES; i++) h[i] = next[i];
  }
"""

_OUTPUT = """
  vec4 logits = weight(at++);
  for (int channel = 0; channel < CHANNELS; channel++) {
    for (int i = 0; i < LANES; i++) logits[channel] += dot(weight(at++), h[i]);
  }
  return 1.0 / (1.0 + exp(-logits));
}
"""
