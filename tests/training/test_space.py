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
    ],
)
def test_what_cannot_fit_is_refused(changes: dict[str, dict[str, Any]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        refuse_what_cannot_fit(library.load("small-dcgan", changes), SPEC)
