from collections.abc import Callable

import pytest

from ganvas.compute.device import choose
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.recipes.recipe import Recipe
from ganvas.runs.state import pack, unpack
from tests.conftest import same_tensors

SPEC = ImageSpec(1, 16, 16, 3)


@pytest.mark.parametrize("training", [True, False])
def test_a_state_of_other_settings_is_refused(tiny: Callable[..., Recipe], training: bool) -> None:
    compute = choose("cpu", "fp32")
    saved = pack(tiny(method={"ema_images": 40}).build(SPEC, compute))
    same = tiny(method={"ema_images": 40}, train={"seed": 2}).build(SPEC, compute)
    unpack(same, *saved)
    assert same_tensors(saved[0], pack(same)[0])
    for changes in ({"network": {"base": 4}}, {"network": {"name": "mlp"}}):
        other = tiny(method={"ema_images": 40}, **changes).build(SPEC, compute)
        with pytest.raises(UserError, match="does not fit recipe"):
            unpack(other, *saved, training=training)
    without = {key: value for key, value in saved[0].items() if not key.startswith("average/")}
    with pytest.raises(UserError, match="does not fit recipe"):
        unpack(same, without, saved[1], training=training)
