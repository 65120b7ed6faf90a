"""Evaluators: which one is chosen, what it sees, and what happens to damaged or missing ones."""

import hashlib
import json
import os
import sys
import types
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganvas.compute.device import choose
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.data import DataSettings, load
from ganvas.evaluation import evaluators
from ganvas.evaluation.evaluators import classifier, imagenet, inception, lookup
from ganvas.evaluation.evaluators.classifier import ClassifierSettings
from ganvas.evaluation.evaluators.evaluator import BATCH
from ganvas.evaluation.evaluators.files import to_bytes

QUICK = {"widths": [8, 8, 16], "epochs": 12, "batch_size": 18, "shift": 1}
DIGITS = tuple("0123456789")


@pytest.fixture(autouse=True)
def _no_other_evaluators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(imagenet, "find_spec", lambda name: None)


@pytest.mark.parametrize(("name", "limit"), [("digits", 1_000_000), ("cifar10", 4_000_000)])
def test_bundled_evaluators_are_what_the_code_says(name: str, limit: int) -> None:
    data = (resources.files("ganvas.evaluation.evaluators") / "weights" / f"{name}.safetensors").read_bytes()
    assert len(data) < limit
    assert hashlib.sha256(data).hexdigest() == lookup.BUNDLED[name]
    evaluator = evaluators.load(name, "cpu")
    assert evaluator.name == name
    assert len(evaluator.classes) == 10
    assert evaluator.facts.test.accuracy >= {"digits": 0.994, "cifar10": 0.9}[name]


@pytest.mark.parametrize(("name", "data", "least"), [("digits", "mnist", 0.99), ("cifar10", "cifar10", 0.88)])
def test_bundled_evaluators_know_real_pictures(name: str, data: str, least: float, real_data: Path) -> None:
    size = {"digits": 28, "cifar10": 32}[name]
    test = load(DataSettings(name=data, size=size, limit=1_000), "test", real_data)
    assert evaluators.accuracy(evaluators.load(name, "cpu"), test) >= least


def test_a_picture_is_measured_the_same_in_any_company() -> None:
    evaluator = evaluators.load("digits", "cpu")
    pictures = np.random.default_rng(0).integers(0, 256, (BATCH + 7, 1, 28, 28), dtype=np.uint8)
    all_together = evaluator.measure(pictures)
    one_by_one = evaluator.measure(pictures[-1:])
    assert all_together.features.shape == (BATCH + 7, 128)
    assert torch.allclose(all_together.features[-1:], one_by_one.features, rtol=1e-4, atol=1e-4)
    assert torch.allclose(all_together.probabilities.sum(1), torch.ones(len(pictures)), atol=1e-5)


def test_other_sizes_and_colours_are_brought_to_the_evaluators() -> None:
    evaluator = evaluators.load("digits", "cpu")
    grey = np.random.default_rng(0).integers(0, 256, (2, 1, 28, 28), dtype=np.uint8)
    colour = grey.repeat(3, axis=1)
    assert torch.allclose(evaluator.measure(grey).features, evaluator.measure(colour).features, atol=1e-4)
    large = grey.repeat(2, axis=2).repeat(2, axis=3)
    assert evaluator.measure(large).features.shape == (2, 128)
    assert evaluator.resize(ImageSpec(1, 28, 28, 0)) == "none"
    assert evaluator.resize(ImageSpec(1, 56, 56, 0)) == "bilinear, antialiased"


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_images_with_alpha_are_composed_on_white(name: str) -> None:
    evaluator = evaluators.load(name, "cpu")
    side = evaluator.size
    images = np.random.default_rng(0).integers(0, 256, (3, 4, side, side), dtype=np.uint8)
    images[:, :3] = np.minimum(images[:, :3], images[:, 3:])
    composed = images[:, :3] + (255 - images[:, 3:])
    assert torch.equal(evaluator.measure(images).features, evaluator.measure(composed).features)
    assert evaluator.resize(ImageSpec(4, side, side, 0)) == "composed on white"
    assert evaluator.resize(ImageSpec(4, 50, 60, 0)).startswith("composed on white, bilinear")
    of_colour = evaluators.choose_for(ImageSpec(4, 28, 28, 0), (), "0" * 64, "cpu", unfit=("imagenet",))
    assert of_colour.name == "cifar10"


def test_images_of_other_proportions_are_stretched_to_the_evaluators_square() -> None:
    """Nothing is cut off: an image is seen as its square shape, and as the same one at twice the width."""
    evaluator = evaluators.load("digits", "cpu")
    square = np.random.default_rng(0).integers(0, 256, (2, 1, 28, 28), dtype=np.uint8)
    tall, wide = square.repeat(3, axis=2), square.repeat(2, axis=3)
    expected = evaluator.measure(square).features
    for images in (tall, wide):
        apart = (evaluator.measure(images).features - expected).norm() / expected.norm()
        assert apart < 0.2, apart
        cut = images[:, :, :28, :28]
        assert (evaluator.measure(cut).features - expected).norm() / expected.norm() > 2 * apart
    assert evaluator.resize(ImageSpec(1, 28, 56, 0)) == "bilinear, antialiased, stretched to a square"


def test_the_evaluator_is_chosen_by_the_data(pictures: Path) -> None:
    def chosen(channels: int, classes: tuple[str, ...], sha256: str = "0" * 64) -> str:
        return evaluators.choose_for(ImageSpec(channels, 28, 28, len(classes)), classes, sha256, "cpu").name

    digits = evaluators.load("digits", "cpu")
    assert chosen(1, DIGITS, digits.facts.data.sha256) == "digits"
    assert chosen(1, DIGITS) == "digits"  # other pictures of the same classes
    assert chosen(1, ()) == "digits"  # general features
    assert chosen(3, ()) == "cifar10"
    assert chosen(3, DIGITS) == "cifar10"
    training = evaluators.Training(DataSettings(name=str(pictures)), QUICK, device="cpu")
    list(training)
    whole = load(DataSettings(name=str(pictures)))  # a part of them was held out
    own = evaluators.choose_for(whole.spec, whole.classes, whole.fingerprint, "cpu")
    assert own.sha256 == hashlib.sha256(training.file.read_bytes()).hexdigest()
    assert own.knows(training.data.classes)
    assert not own.knows(())


def test_an_evaluator_of_ones_own_is_trained_once_and_listed(pictures: Path) -> None:
    training = evaluators.Training(DataSettings(name=str(pictures)), QUICK, device="cpu")
    steps = list(training)
    assert steps[-1].nimg == steps[-1].total == 12 * 54 // 18 * 18
    assert training.file.parent == cache_dir() / "evaluators"
    assert not training.file.with_suffix(".training").exists()
    evaluator = evaluators.load(str(training.file), "cpu")
    assert evaluator.facts.test.model_dump() == {
        "what": "images held out of the training set",
        "images": 6,
        "accuracy": evaluators.accuracy(evaluator, training._unseen),
    }
    assert evaluator.facts.test.accuracy > 0.8
    training.file.with_suffix(".training").mkdir()  # left by a process that was killed at its end
    again = evaluators.Training(DataSettings(name=str(pictures)), QUICK, device="cpu")
    assert list(again) == []
    assert not training.file.with_suffix(".training").exists()
    assert evaluators.load(str(pictures), "cpu").sha256 == evaluator.sha256  # by the name of its data
    assert [row[0] for row in evaluators.available()] == ["digits", "cifar10", str(pictures)]
    assert "54 images" in evaluators.available()[2][1]


def test_a_test_split_is_used_where_there_is_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 5)):
        for level, name in ((60, "dark"), (180, "light")):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for i in range(count):
                noise = rng.integers(0, 40, (16, 16)).astype(np.uint8) + np.uint8(level)
                Image.fromarray(noise).save(tmp_path / "set" / split / name / f"{i}.png")
    training = evaluators.Training(
        DataSettings(name=str(tmp_path / "set")), QUICK | {"lr": 0.02}, out=tmp_path / "mine.safetensors"
    )
    list(training)
    evaluator = evaluators.load(str(tmp_path / "mine.safetensors"), "cpu")
    assert evaluator.name == "mine"
    assert evaluator.facts.test.model_dump() == {"what": "test images", "images": 10, "accuracy": 1.0}
    assert evaluator.facts.data.images == 40


def test_data_that_no_evaluator_can_learn_is_refused(pictures: Path, tmp_path: Path) -> None:
    flat = pictures / "across"
    with pytest.raises(UserError, match="has no labels"):
        evaluators.Training(DataSettings(name=str(flat)))
    with pytest.raises(UserError, match="the classes of a set, not its clusters"):
        evaluators.Training(DataSettings(name=str(pictures), clusters=2))
    with pytest.raises(UserError, match="fewer than a batch of 256"):
        evaluators.Training(DataSettings(name=str(pictures)))
    with pytest.raises(UserError, match="did you mean 'epochs'"):
        evaluators.Training(DataSettings(name=str(pictures)), {"epoch": 3})
    with pytest.raises(UserError, match="less than the size of 16 pixels"):
        evaluators.Training(DataSettings(name=str(pictures)), {"shift": 16})
    for change, message in (
        ({"lr": 1e300}, r"evaluator\.lr' is 1e\+300: input should be less than or equal to 1000000"),
        ({"cutout": 10**10}, r"evaluator\.cutout' is 10000000000: input should be less than or equal to 1024"),
        ({"epochs": 1e23}, r"evaluator\.epochs' is 1e\+23: input should not exceed"),
        ({"widths": [8, 8, 10**12], "batch_size": 18}, "these networks, .* take .*: lower the widths"),
    ):
        with pytest.raises(UserError, match=message):
            evaluators.Training(DataSettings(name=str(pictures)), change)
    with pytest.raises(UserError, match=r"name a \.safetensors file"):
        evaluators.Training(DataSettings(name=str(pictures)), out=tmp_path / "x.pt")


def test_missing_and_damaged_evaluators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"no evaluator 'digit': did you mean 'digits'\?"):
        evaluators.load("digit")
    with pytest.raises(UserError, match="cannot read the evaluator"):
        evaluators.load(str(tmp_path / "nowhere.safetensors"))
    rubbish = cache_dir() / "evaluators" / "rubbish.safetensors"
    rubbish.parent.mkdir()
    rubbish.write_bytes(b"rubbish" * 10)
    with pytest.raises(UserError, match="not an evaluator, or it is damaged"):
        evaluators.load(str(rubbish))
    os.mkfifo(rubbish.with_name("pipe.safetensors"))
    rubbish.with_name("folder.safetensors").mkdir()
    assert [row[0] for row in evaluators.available()] == ["digits", "cifar10"]  # others are not in the way
    whole = (resources.files("ganvas.evaluation.evaluators") / "weights" / "digits.safetensors").read_bytes()
    rubbish.write_bytes(whole[:-100])
    with pytest.raises(UserError, match="not an evaluator, or it is damaged"):
        evaluators.load(str(rubbish))
    evaluator = evaluators.load("digits", "cpu")
    evaluator.facts.settings["invented_later"] = 1
    spec = ImageSpec(1, 28, 28, 10)
    settings = ClassifierSettings(widths=(32, 64, 128))
    network = classifier.build(settings, spec, choose("cpu"))
    rubbish.write_bytes(to_bytes(network, evaluator.facts))
    with pytest.raises(UserError, match=r"unknown setting .*invented_later"):
        evaluators.load(str(rubbish))
    monkeypatch.setitem(lookup.BUNDLED, "digits", "0" * 64)
    with pytest.raises(UserError, match="install ganvas again"):
        evaluators.load("digits")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": []}, "not an evaluator, or it is damaged"),
        ({"channels": 2}, "not an evaluator, or it is damaged"),
        ({"data": {"name": "x", "sha256": "y", "images": "many"}}, "not an evaluator, or it is damaged"),
        ({"settings": {"widths": [10**9, 10**9, 10**9]}}, "not an evaluator, or it is damaged"),
        ({"settings": {"size": 10**9}}, "evaluator.size"),
    ],
)
def test_evaluators_that_say_odd_things_of_themselves(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    data = (resources.files("ganvas.evaluation.evaluators") / "weights" / "digits.safetensors").read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    header["__metadata__"]["ganvas"] = json.dumps({**json.loads(header["__metadata__"]["ganvas"]), **change})
    text = json.dumps(header).encode()
    (tmp_path / "odd.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data[end:])
    with pytest.raises(UserError, match=message):
        evaluators.load(str(tmp_path / "odd.safetensors"))


class FakeInception(torch.nn.Module):
    """Stands in for torch-fidelity's network, which this machine may not have."""

    def __init__(self, name: str, wanted: list[str], feature_extractor_weights_path: Path) -> None:
        super().__init__()
        assert wanted == ["2048", "logits_unbiased"]
        self.scale = torch.load(feature_extractor_weights_path, weights_only=True)["scale"]

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        assert pixels.dtype == torch.uint8
        assert pixels.shape[1] == 3
        mean = pixels.float().mean((1, 2, 3))[:, None] * self.scale
        return mean.expand(-1, 2048), torch.zeros(len(pixels), 1008)


@pytest.fixture
def torch_fidelity(monkeypatch: pytest.MonkeyPatch) -> None:
    package = types.ModuleType("torch_fidelity")
    module = types.ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    vars(module).update(URL_INCEPTION_V3="https://example.org/weights.pth", FeatureExtractorInceptionV3=FakeInception)
    monkeypatch.setitem(sys.modules, "torch_fidelity", package)
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", module)
    monkeypatch.setattr(inception, "find_spec", lambda name: types.SimpleNamespace())


def test_inception_is_never_fetched(torch_fidelity: None) -> None:
    with pytest.raises(UserError, match=r"download https://example.org/weights.pth as '.*6726825d.pth'"):
        evaluators.load("inception")
    assert "inception" not in [row[0] for row in evaluators.available()]


def test_inception_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inception, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'ganvas\[inception\]'"):
        evaluators.load("inception")


@pytest.mark.parametrize("place", ["evaluators", "hub"])
def test_inception_is_used_where_its_weights_are(torch_fidelity: None, place: str, tmp_path: Path) -> None:
    file = {"evaluators": cache_dir() / "evaluators", "hub": tmp_path / "hub" / "checkpoints"}[place]
    file.mkdir(parents=True)
    file /= inception.FILE
    torch.save({"scale": torch.tensor(2.0)}, file)
    evaluator = evaluators.load("inception", "cpu")
    seen = evaluator.measure(np.full((3, 1, 28, 28), 50, np.uint8))
    assert seen.features.shape == (3, 2048)
    assert seen.features.unique().tolist() == [100.0]
    assert seen.probabilities.shape == (3, 1008)
    assert evaluator.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert evaluators.available()[-1][0] == "inception"


def test_weights_that_would_run_code_are_refused(torch_fidelity: None) -> None:
    file = cache_dir() / "evaluators" / inception.FILE
    file.parent.mkdir()
    torch.save({"scale": types.SimpleNamespace()}, file)
    with pytest.raises(UserError, match="does not hold the weights of inception"):
        evaluators.load("inception", "cpu")
