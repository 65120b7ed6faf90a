"""A pixel network with one latent as GLSL source: a function, and the `mainImage` that shader sites call."""

from pathlib import Path

import numpy as np

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.core.text import printable
from ganvas.export import shader
from ganvas.painting.subjects import Subject

MOST_VECTORS = 8_192  # constants of four numbers: compilers of shaders take minutes for more


def save(subject: Subject, out: Path) -> int:
    """Write the source; returns its size in bytes. Raises UserError for a network that is too large."""
    text = render(subject).encode()
    files.write(out, text)
    return len(text)


def render(subject: Subject) -> str:
    """The source as text: `vec4 paint(vec2)` from coordinates to a pixel in 0..1, and `mainImage`."""
    network = subject.painter.network
    values = shader.weights(network)
    if len(values) > MOST_VECTORS:
        raise UserError(
            f"a shader with {4 * len(values):,} weights would not compile: at most {4 * MOST_VECTORS:,}; use --to html"
        )
    unit = f"{2 * network.scale:.1f} / (min(iResolution.x, iResolution.y) - 1.0)"
    colour = "paint(place).rgb" if subject.painter.channels == 3 else "vec3(1.0 - paint(place).x)"
    return "\n".join(
        [
            f"// {printable(subject.source)}, painted by ganvas. GLSL ES 3.00, float32.",
            _constants("WEIGHTS", values),
            _constants("START", shader.start(network, subject.z)),
            "vec4 weight(int at) { return WEIGHTS[at]; }",
            "vec4 start(int lane) { return START[lane]; }",
            shader.source(network),
            f"// From -{network.scale:g} to {network.scale:g} over the shorter side of the image.",
            "void mainImage(out vec4 colour, in vec2 pixel) {",
            "  vec2 middle = pixel - 0.5 * iResolution.xy;",
            f"  vec2 place = vec2(middle.x, -middle.y) * {unit};",
            f"  colour = vec4({colour}, 1.0);",
            "}",
            "",
        ]
    )


def _constants(name: str, values: np.ndarray) -> str:
    rows = ",\n  ".join(f"vec4({', '.join(map(_number, row))})" for row in values)
    return f"const vec4 {name}[{len(values)}] = vec4[](\n  {rows}\n);"


def _number(value: np.float32) -> str:
    """The shortest decimal number that is this float32."""
    text = str(value)
    return text if set(text) & set(".en") else f"{text}.0"
