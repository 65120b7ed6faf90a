"""The ranges of seeds do not overlap, and each user takes its own."""

import inspect
from itertools import combinations

import pytest
import torch

from ganvas.compute.device import choose
from ganvas.core import seeds
from ganvas.core.images import ImageSpec
from ganvas.evaluation.evaluate import evaluate
from ganvas.recipes.recipe import from_dict
from ganvas.training.monitor import SCORE_IMAGES, WATCHED

RANGES = {name: value for name, value in vars(seeds).items() if isinstance(value, range)}


@pytest.mark.parametrize(("one", "other"), list(combinations(RANGES, 2)))
def test_ranges_do_not_overlap(one: str, other: str) -> None:
    a, b = RANGES[one], RANGES[other]
    assert a.step == b.step == 1 and (a.stop <= b.start or b.stop <= a.start)


def test_the_generators_tell_them_apart() -> None:
    """PyTorch's generator on a CPU reads 32 bits of a seed."""
    assert max(values.stop for values in RANGES.values()) <= 2**32


def test_every_range_is_long_enough() -> None:
    assert len(seeds.WATCHED) >= WATCHED and len(seeds.CHECKPOINT_CHOICE) >= SCORE_IMAGES


def test_an_evaluation_has_its_own_seeds() -> None:
    assert inspect.signature(evaluate).parameters["seed"].default == seeds.EVALUATION.start


def test_a_run_trains_on_none_of_the_latents_that_people_look_at() -> None:
    recipe = from_dict({"method": {"name": "gan", "latent_size": 8}, "network": {"name": "mlp"}, "train": {"seed": 3}})
    method = recipe.build(ImageSpec(1, 4, 4, 0), choose("cpu", "fp32"))
    first = torch.randn(1, 8, generator=torch.Generator().manual_seed(seeds.TRAINING[3]))
    assert torch.equal(method.prior(1, method.noise), first)
    assert not torch.equal(method.latents([3]), first)
