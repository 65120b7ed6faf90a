from typing import Any

import pytest

from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.recipes import library
from ganvas.training.space import refuse_what_cannot_fit

SPEC = ImageSpec(3, 64, 64, 10)


@pytest.mark.parametrize("name", library.names())
def test_every_recipe_fits(name: str) -> None:
    refuse_what_cannot_fit(library.load(name), SPEC)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": {"batch_size": 10**10}}, "a batch of 10,000,000,000 images takes 492 TB.*lower train.batch_size"),
        (
            {"network": {"name": "mlp", "hidden": [10**7, 10**7]}},
            "these networks, .* take .*: make them smaller",
        ),
        ({"network": {"name": "cppn", "width": 10**9}}, "these networks, .* take over 1,000,000 TB"),
        ({"method": {"latent_size": 2**53}}, "these networks, .* take over 1,000,000 TB"),
        ({"network": {"name": "cppn", "encoder_width": 10**6}}, "these networks, .* take .* TB"),
        (
            {"method": {"name": "wgan_gp", "g_batch": 10**9}},
            "the 64,000,000,000 images of a step take .*: lower the numbers of 'wgan_gp'",
        ),
        (
            {"method": {"name": "cfg_gan", "steps": 1_000, "d_steps": 1_000}},
            "the 128,000,640 images of a step take .*: lower the numbers of 'cfg_gan'",
        ),
        ({"method": {"name": "cfg_gan", "pool": 10**9}}, "the 1,000,001,920 images of a step take"),
    ],
)
def test_what_cannot_fit_is_refused(changes: dict[str, dict[str, Any]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        refuse_what_cannot_fit(library.load("small-dcgan", changes), SPEC)
