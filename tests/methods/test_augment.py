import pytest
import torch

from ganvas.compute.noise import Noise
from ganvas.core.errors import UserError
from ganvas.methods.augment import ADAPT_IMAGES, CHANGES, Augment, cutout, translation

ALL = tuple(CHANGES)


def augment(policy: tuple[str, ...] = ALL, p: float = 1.0, target: float | None = None, seed: int = 0) -> Augment:
    return Augment(policy, torch.tensor(p), target, Noise(seed))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(6, 3, 16, 16), (6, 1, 9, 14), (6, 4, 8, 12)])
def test_at_probability_0_nothing_changes(name: str, shape: tuple[int, ...]) -> None:
    images = torch.rand(shape) * 2 - 1
    torch.testing.assert_close(augment((name,), p=0.0)(images), images)


@pytest.mark.parametrize("name", ALL)
def test_every_image_changes_in_its_own_way(name: str) -> None:
    images = (torch.rand(1, 3, 16, 16) * 2 - 1).expand(8, -1, -1, -1)
    changed = augment((name,))(images)
    assert changed.shape == images.shape
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 5


def test_colours_change_and_alpha_does_not() -> None:
    images = torch.rand(5, 4, 8, 8) * 2 - 1
    changed = augment(("colour",))(images)
    assert torch.equal(changed[:, 3], images[:, 3])
    assert torch.equal(changed[:, :3], augment(("colour",))(images[:, :3]))


def test_about_p_of_the_images_change() -> None:
    images = torch.rand(400, 1, 8, 8)
    changed = augment(("colour",), p=0.3)(images)
    share = ((changed - images).abs() > 1e-4).flatten(1).any(1).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.07)


def test_translation_moves_the_image_and_fills_with_grey() -> None:
    images = torch.arange(1.0, 257.0).view(1, 1, 16, 16).expand(200, -1, -1, -1)
    moved = translation(images, torch.ones(200, 1, 1, 1), Noise(0))
    shifts = set()
    for image in moved[:, 0]:
        dy, dx = next(
            (dy, dx)
            for dy in range(-2, 3)
            for dx in range(-2, 3)
            if torch.equal(
                image, torch.nn.functional.pad(images[0, 0], (2, 2, 2, 2))[2 - dy : 18 - dy, 2 - dx : 18 - dx]
            )
        )
        shifts.add((dy, dx))
    assert len(shifts) == 25


def test_cutout_leaves_a_square_hole_of_half_the_side() -> None:
    holes = cutout(torch.ones(300, 1, 16, 16), torch.ones(300, 1, 1, 1), Noise(0))[:, 0] == 0
    heights, widths = holes.any(2).sum(1), holes.any(1).sum(1)
    assert torch.equal(holes.sum((1, 2)), heights * widths)  # a rectangle, cut by the border
    assert heights.max() == widths.max() == 8
    assert heights.min() >= 4
    assert holes.any(0).all()  # it may be anywhere


@pytest.mark.parametrize("name", ALL)
def test_gradients_flow_through(name: str) -> None:
    images = torch.rand(3, 2, 6, 8, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: augment((name,), seed=4)(x), images)


def test_the_probability_follows_the_overfitting_of_d() -> None:
    adaptive = augment(p=0.5, target=0.6)
    adaptive.adapt(torch.ones(100))
    assert adaptive.p.item() == pytest.approx(0.5 + 100 / ADAPT_IMAGES)
    for _ in range(2):
        adaptive.adapt(torch.tensor([1.0, -1.0]).repeat(50))
    assert adaptive.p.item() == pytest.approx(0.5 - 100 / ADAPT_IMAGES)
    for _ in range(1000):
        adaptive.adapt(-torch.ones(100))
    assert adaptive.p.item() == 0
    fixed = augment(p=0.5)
    fixed.adapt(torch.ones(100))
    assert fixed.p.item() == 0.5


def test_an_unknown_change_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'colour'"):
        augment(("color",))
