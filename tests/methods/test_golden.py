"""The image of seed 7 after three steps of every method is the one that was stored: small, and compared coarsely.

python -m tests.methods.test_golden     # stores the images anew, after a change that is meant to change them
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.compute.device import choose
from ganvas.core.images import ImageSpec
from ganvas.methods import METHODS
from ganvas.recipes.recipe import from_dict
from tests.methods.images import Images

GOLDEN = Path(__file__).with_name("golden.json")
TOLERANCE = 0.05  # of the norm of the stored image: rounding changes less, another seed more
SPEC = ImageSpec(1, 16, 16, 3)

DCGAN = {"name": "dcgan", "base": 8, "d_norm": "none", "init": "kaiming"}
CPPN = {"name": "cppn", "kind": "softplus", "width": 8, "std": 0.2, "encoder_width": 16}
CASES: dict[str, dict[str, Any]] = {
    "gan": {"network": DCGAN, "method": {"name": "gan", "conditional": True, "d_steps": 2, "lr": 1e-3}},
    "gan, small set": {
        "network": DCGAN,
        "method": {
            **{"name": "gan", "lr": 1e-3, "g_steps": 2, "r1": 0.1},
            **{"augment": "colour", "augment_p": 0.3, "augment_target": 0.6},
        },
    },
    "wgan_gp": {"network": DCGAN, "method": {"name": "wgan_gp", "n_critic": 2, "lr": 1e-3}},
    "cfg_gan": {"network": DCGAN, "method": {"name": "cfg_gan", "steps": 3, "pool": 40, "fit_epochs": 2, "d_steps": 2}},
    "cppn_vae_gan": {"network": CPPN, "method": {"name": "cppn_vae_gan"}},
    "residual_cppn": {
        "network": {"name": "cppn", "width": 6, "blocks": 3, "encoder_width": 16},
        "method": {"name": "residual_cppn"},
    },
}


def image(name: str, seed: int) -> Tensor:
    """The image of the latent of seed 7, from a run with another seed: [8, 8]."""
    method = from_dict({**CASES[name], "train": {"seed": seed}}).build(SPEC, choose("cpu", "fp32"))
    batches = Images(SPEC)
    for _ in range(3):
        method.step(batches)
    return F.avg_pool2d(method.decode(method.latents([7]), torch.zeros(1, dtype=torch.long)), 2)[0, 0]


def difference(one: Tensor, other: Tensor) -> float:
    return ((one - other).norm() / other.norm()).item()


def test_every_method_is_stored() -> None:
    assert {case["method"]["name"] for case in CASES.values()} == set(METHODS)
    assert list(json.loads(GOLDEN.read_text())) == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_seed_7_is_the_image_that_it_was(name: str) -> None:
    stored = torch.tensor(json.loads(GOLDEN.read_text())[name])
    assert difference(image(name, seed=7), stored) < TOLERANCE
    assert difference(image(name, seed=8), stored) > 2 * TOLERANCE


if __name__ == "__main__":
    rounded = {name: [[round(value, 4) for value in row] for row in image(name, 7).tolist()] for name in CASES}
    GOLDEN.write_text("{\n" + ",\n".join(f'"{name}": {json.dumps(rows)}' for name, rows in rounded.items()) + "\n}\n")
