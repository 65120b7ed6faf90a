from collections.abc import Callable

import pytest

from ganvas.core.errors import UserError
from ganvas.recipes.recipe import Recipe


def test_length_in_images_overrides_epochs(tiny: Callable[..., Recipe]) -> None:
    assert tiny().total_images(60) == 240
    assert tiny(train={"images": None, "epochs": 2.5}).total_images(60) == 150


def test_a_length_that_cannot_be_counted_is_refused(tiny: Callable[..., Recipe]) -> None:
    long = tiny(train={"images": None, "epochs": 1e15})
    assert long.total_images(9) == 9 * 10**15
    with pytest.raises(UserError, match=r"1e\+15 epochs of 10 images are too many: lower train\.epochs"):
        long.total_images(10)


def test_identity_is_what_decides_the_weights(tiny: Callable[..., Recipe]) -> None:
    one = tiny().identity()
    assert one == tiny(train={"images": 999, "keep": 9, "log_every": 7}).identity()
    assert one != tiny(train={"seed": 2}).identity()
    assert one != tiny(method={"beta1": 0.9}).identity()
    assert one != tiny(data={"size": 8}).identity()


def test_marks_are_names_and_what_is_not_at_its_default(tiny: Callable[..., Recipe]) -> None:
    marks = tiny(method={"beta1": 0.9, "r1": 0.0}).marks()
    assert marks["method.name"] == "gan" and marks["method.beta1"] == 0.9
    assert not {"method.r1", "method.augment_target", "train.guard", "data.name"} & marks.keys()
    assert marks != tiny().marks() and tiny().marks() == tiny(train={"keep": 9}).marks()
