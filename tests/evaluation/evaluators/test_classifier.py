"""The classifier behind the evaluators learns, goes on where it stopped, and augments as it says."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from ganvas.compute.device import choose
from ganvas.core.images import ImageSpec
from ganvas.data import DataSettings, ImageSet, load
from ganvas.evaluation.evaluators import classifier
from ganvas.evaluation.evaluators.classifier import Classifier, ClassifierSettings
from tests.conftest import same_tensors

QUICK = ClassifierSettings(
    size=16, widths=(8, 8, 16), epochs=12, small_epochs=2, batch_size=20, shift=1, mirror=False, cutout=0
)


@pytest.fixture
def data(pictures: Path) -> ImageSet:
    return load(DataSettings(name=str(pictures)))


def trained(data: ImageSet, folder: Path, settings: ClassifierSettings = QUICK, steps: int | None = None) -> Classifier:
    compute = choose("cpu", "fp32")  # so few steps come out otherwise in bf16
    network = classifier.build(settings, data.spec, compute)
    training: Iterator[object] = classifier.train(network, settings, data, compute, folder)
    for step, _ in enumerate(training, 1):
        if step == steps:
            break
    return network


def test_it_learns(data: ImageSet, tmp_path: Path) -> None:
    network = trained(data, tmp_path)
    images = torch.from_numpy(data.images).float() / 127.5 - 1
    assert data.labels is not None
    found = network(images).logits.argmax(1).numpy()
    assert (found == data.labels).mean() > 0.9
    assert not network.training


def test_a_killed_training_goes_on_and_ends_the_same(data: ImageSet, tmp_path: Path) -> None:
    whole = trained(data, tmp_path / "whole")
    trained(data, tmp_path / "cut", steps=17)  # in the sixth epoch: five are kept
    assert [file.name for file in sorted((tmp_path / "cut").glob("*.safetensors"))] == ["000000015.safetensors"]
    resumed = trained(data, tmp_path / "cut")
    assert same_tensors(whole.state_dict(), resumed.state_dict())


def test_a_damaged_state_starts_afresh(data: ImageSet, tmp_path: Path) -> None:
    whole = trained(data, tmp_path / "whole")
    trained(data, tmp_path / "cut", steps=4)
    next((tmp_path / "cut").glob("*.safetensors")).write_bytes(b"rubbish")
    assert same_tensors(whole.state_dict(), trained(data, tmp_path / "cut").state_dict())


@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 32), (1, 28), (3, 45)])
def test_features_are_the_width_of_the_last_stage(channels: int, side: int) -> None:
    network = Classifier(channels, 5, (8, 12, 16)).eval()
    features, logits = network(torch.zeros(2, channels, side, side))
    assert features.shape == (2, 16)
    assert logits.shape == (2, 5)
    assert features.min() >= 0


def ramp(count: int = 64, side: int = 16) -> torch.Tensor:
    """Images whose every pixel tells where it came from: channel 0 is the row, channel 1 the column."""
    rows, columns = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([rows, columns]).float().add(1).expand(count, -1, -1, -1)


def test_shifts_stay_within_reach_and_differ_per_image() -> None:
    settings = QUICK.model_copy(update={"shift": 3})
    moved = classifier.augmented(ramp(), settings, torch.Generator().manual_seed(0))
    centre = moved[:, :, 8, 8] - 9  # where the pixel at (8, 8) came from, less its place
    assert set(centre.unique().tolist()) == {-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0}
    assert len(centre.unique(dim=0)) > 20
    assert (moved > 0).all()


def test_mirrors_about_half() -> None:
    settings = QUICK.model_copy(update={"shift": 0, "mirror": True})
    moved = classifier.augmented(ramp(400), settings, torch.Generator().manual_seed(0))
    mirrored = moved[:, 1, 0, 0] == 16
    assert 150 < mirrored.sum() < 250
    assert torch.equal(moved[mirrored], ramp(1).flip(3).expand(int(mirrored.sum()), -1, -1, -1))
    assert torch.equal(moved[~mirrored], ramp(1).expand(int((~mirrored).sum()), -1, -1, -1))


def test_cutout_clears_one_square() -> None:
    settings = QUICK.model_copy(update={"shift": 0, "cutout": 4})
    cut = classifier.augmented(ramp(200), settings, torch.Generator().manual_seed(0)) == 0
    assert torch.equal(cut[:, 0], cut[:, 1])
    heights, widths = cut[:, 0].any(2).sum(1), cut[:, 0].any(1).sum(1)
    assert torch.equal(cut[:, 0].sum((1, 2)), heights * widths)
    assert heights.max() == 4
    assert widths.max() == 4


def test_resized_keeps_the_mean_and_the_right_size() -> None:
    images = torch.rand(3, 1, 28, 28)
    assert classifier.resized(images, 28) is images
    small = classifier.resized(images, 21)
    assert small.shape == (3, 1, 21, 21)
    assert torch.allclose(small.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=0.01)


def test_usual_settings_fit_the_pictures() -> None:
    digits = classifier.usual(ImageSpec(1, 28, 28, 10))
    assert (digits.size, digits.shift, digits.mirror, digits.cutout) == (28, 2, False, 0)
    photos = classifier.usual(ImageSpec(3, 64, 64, 4))
    assert (photos.size, photos.shift, photos.mirror, photos.cutout) == (32, 4, True, 8)
    assert classifier.usual(ImageSpec(3, 4, 4, 2)).size == 8


def test_the_same_seed_gives_the_same_network_and_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    first, second = (classifier.build(QUICK, ImageSpec(1, 16, 16, 3), choose("cpu")) for _ in range(2))
    assert same_tensors(first.state_dict(), second.state_dict())
    assert torch.equal(before, torch.get_rng_state())
    assert np.isfinite(first.head.weight.detach().numpy()).all()


def test_the_learning_rate_rises_falls_and_falls_again() -> None:
    rates = [classifier._schedule(step, 100, 140) for step in range(140)]
    assert max(rates) == pytest.approx(1, abs=0.01)
    assert rates.index(max(rates)) in (19, 20)
    assert rates[99] == pytest.approx(1 / 80)
    assert rates[100] == 0.25
    assert rates[139] == pytest.approx(0.25 / 40)
    assert all(later < earlier for part in (rates[21:100], rates[100:]) for earlier, later in pairwise(part))


def test_averaged_epochs_are_the_mean_of_their_weights(data: ImageSet, tmp_path: Path) -> None:
    longer = QUICK.model_copy(update={"average_epochs": 2})  # of three steps
    whole = trained(data, tmp_path / "whole", longer)
    steps = [trained(data, tmp_path / str(step), longer, step).head.weight.detach() for step in range(37, 43)]
    torch.testing.assert_close(whole.head.weight, torch.stack(steps).mean(0), atol=1e-6, rtol=0)
    trained(data, tmp_path / "cut", longer, steps=41)  # the state after the 39th is kept
    assert same_tensors(whole.state_dict(), trained(data, tmp_path / "cut", longer).state_dict())
    shorter = trained(data, tmp_path / "shorter")
    assert not torch.equal(shorter.head.weight, whole.head.weight)


def test_plain_epochs_go_on_from_where_a_shorter_training_ended(data: ImageSet, tmp_path: Path) -> None:
    trained(data, tmp_path / "short")
    longer = QUICK.model_copy(update={"plain_epochs": 2})
    resumed = trained(data, tmp_path / "short", longer)
    assert same_tensors(resumed.state_dict(), trained(data, tmp_path / "whole", longer).state_dict())
