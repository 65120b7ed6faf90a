"""Evaluations of real (tiny) runs: provenance, reference rows, and what they share with training."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas import metrics
from ganvas.compute.device import choose
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec, from_uint8, to_uint8
from ganvas.core.seeds import CHECKPOINT_CHOICE
from ganvas.data import DataSettings, ImageSet, load
from ganvas.evaluation import evaluators
from ganvas.evaluation.evaluate import Copies, RunScorer, evaluate
from ganvas.methods import Method
from ganvas.recipes.recipe import Recipe
from ganvas.runs import checkpoint
from ganvas.runs import model as sample
from ganvas.runs.run import Run
from ganvas.training.train import train
from tests.conftest import warned

TINY_EVALUATOR = {"widths": [8, 8, 16], "epochs": 12, "batch_size": 18, "shift": 1}


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """200 training and 100 test pictures of 16x16 in two classes: light on the left, light on the right."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 100), ("test", 50)):
        for name, place in (("left", slice(0, 8)), ("right", slice(8, 16))):
            (tmp_path / "set" / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 90, (16, 16))
                pixels[:, place] += 120
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "set" / split / name / f"{i:03d}.png")
    return tmp_path / "set"


@pytest.fixture
def run(tiny: Callable[..., Recipe], folder: Path, tmp_path: Path) -> Path:
    list(train(tiny(data={"name": str(folder)}), tmp_path / "run", device="cpu"))
    return tmp_path / "run"


def own_evaluator(folder: Path) -> None:
    list(evaluators.Training(DataSettings(name=str(folder)), TINY_EVALUATOR, device="cpu"))


def test_an_evaluation_says_all_about_itself(run: Path, folder: Path) -> None:
    own_evaluator(folder)
    found = evaluate(run, "last", n=120, device="cpu")
    (file,) = (run / "evaluations").iterdir()
    assert file.name == f"000000240-{found['key']}.json"
    assert json.loads(file.read_text()) == found
    train_set, test_set = (load(DataSettings(name=str(folder), size=16, channels=1), s) for s in ("train", "test"))
    protocol = found["protocol"]
    assert protocol["evaluator"]["name"] == str(folder)
    assert protocol["evaluator"]["resize"] == "none"
    assert protocol["data"]["sha256"] == protocol["data"]["trained_on"] == train_set.fingerprint
    assert (protocol["n"], protocol["split"], protocol["seed"]) == (120, "train", 1_000_000)
    assert protocol["labels"] == "as in the data"
    assert set(protocol["metrics"]) >= {"fid", "kid", "copy_rate"}
    assert found["checkpoint"]["nimg"] == 240
    assert found["checkpoint"]["sha256"] == json.loads((run / "checkpoints" / "000000240.json").read_text())["sha256"]
    assert found["run"] == {"recipe": "tiny", "seed": 1, "identity": found["run"]["identity"]}
    assert list(found["scores"]) == [
        *("kid", "inception_score", "precision", "recall", "density", "coverage", "vendi", "class_kl"),
        *("classes_present", "label_accuracy", "copy_rate"),
    ]
    assert "2,000" in found["refused"]["fid"] and "KID" in found["refused"]["fid"]
    assert sum(found["counts"]) == 120
    real, noise, mean = (found["references"][kind] for kind in ("real", "noise", "mean"))
    assert real["what"] == f"{len(test_set)} test pictures"
    assert real["scores"]["label_accuracy"]["value"] > 0.9
    assert real["scores"]["kid"]["value"] < 0.1 * noise["scores"]["kid"]["value"]
    assert real["scores"]["coverage"]["value"] > 0.8
    assert mean["scores"]["vendi"]["value"] == pytest.approx(1, abs=1e-3)
    assert mean["scores"]["inception_score"]["value"] == pytest.approx(1)
    assert noise["scores"]["coverage"]["value"] < 0.3
    assert real["scores"]["copy_rate"]["value"] <= 0.01


def test_labels_of_a_run_with_an_encoder_are_those_of_redrawn_pictures(
    tiny: Callable[..., Recipe], folder: Path, tmp_path: Path
) -> None:
    own_evaluator(folder)
    network = {"name": "cppn", "width": 4, "blocks": 1, "encoder_width": 16, "std": 0.2}
    recipe = tiny(data={"name": str(folder)}, network=network, method={"name": "residual_cppn", "latent_size": 4})
    list(train(recipe, tmp_path / "run", device="cpu"))
    found = evaluate(tmp_path / "run", "last", n=100, device="cpu")
    assert found["protocol"]["labels"] == "none" and "label_accuracy" not in found["scores"]
    assert list(found["scores"])[-2:] == ["redrawn_accuracy", "copy_rate"]
    model = sample.load(tmp_path / "run", device="cpu")
    test = load(DataSettings(name=str(folder), size=16, channels=1), "test")
    redrawn = to_uint8(model.method.decode(model.method.encode(from_uint8(torch.tensor(test.images)))))
    predicted = evaluators.load(str(folder), "cpu").measure(np.moveaxis(redrawn, -1, 1)).probabilities.argmax(1).numpy()
    assert found["scores"]["redrawn_accuracy"]["value"] == pytest.approx((predicted == test.labels).mean(), abs=0.011)


def test_a_second_evaluation_is_the_same_and_faster(run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = evaluate(run, "last", n=120, device="cpu")

    def must_not(*_: Any) -> None:
        raise AssertionError("the cache has it")

    monkeypatch.setattr(RunScorer, "_real_row", must_not)
    second = evaluate(run, "last", n=120, device="cpu")
    assert second["scores"] == first["scores"]
    assert second["key"] == first["key"]
    assert len(list((run / "evaluations").iterdir())) == 1


def test_another_seed_split_or_count_is_another_protocol(run: Path, folder: Path) -> None:
    keys = {
        evaluate(run, "last", device="cpu", **{"n": 100, **changes})["key"]  # type: ignore[arg-type]
        for changes in ({}, {"n": 101}, {"seed": 5}, {"split": "test"})
    }
    assert len(keys) == 4


def test_foreign_classes_have_no_class_scores(run: Path) -> None:
    found = evaluate(run, "last", n=100, device="cpu")
    assert found["protocol"]["evaluator"]["name"] == "digits"
    assert found["protocol"]["evaluator"]["resize"] == "bilinear, antialiased"
    assert list(found["scores"]) == ["kid", "precision", "recall", "density", "coverage", "vendi", "copy_rate"]
    assert "does not know the classes" in found["refused"]["inception_score"]
    assert found["counts"] is None


def test_without_a_test_split_the_ceiling_is_one_half_against_the_other(
    tiny: Callable[..., Recipe], tmp_path: Path, folder: Path
) -> None:
    only_train = folder / "train"
    list(train(tiny(data={"name": str(only_train)}), tmp_path / "alone", device="cpu"))
    found = evaluate(tmp_path / "alone", "last", n=100, device="cpu")
    assert found["references"]["real"]["what"] == "100 training pictures against the other 100"
    with pytest.raises(UserError, match="no test split: use --split train"):
        evaluate(tmp_path / "alone", "last", n=100, split="test", device="cpu")


def test_bad_requests_are_one_line(run: Path, folder: Path) -> None:
    with pytest.raises(UserError, match="99 samples are too few"):
        evaluate(run, n=99, device="cpu")
    with pytest.raises(UserError, match="no evaluator 'digts'"):
        evaluate(run, evaluator="digts", device="cpu")
    with pytest.raises(UserError, match="there is no checkpoint '7'"):
        evaluate(run, 7, device="cpu")
    next((folder / "train" / "left").iterdir()).unlink()
    with pytest.raises(UserError, match="are not those that"):
        evaluate(run, device="cpu")


def test_damaged_caches_are_measured_again(run: Path) -> None:
    first = evaluate(run, "last", n=100, device="cpu")
    for file in (cache_dir() / "evaluations").iterdir():
        file.write_bytes(b"rubbish")
    assert evaluate(run, "last", n=100, device="cpu")["scores"] == first["scores"]


def toy(count: int, seed: int = 0) -> ImageSet:
    images = np.random.default_rng(seed).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
    return ImageSet("toy", images)


@pytest.fixture
def method(tiny: Callable[..., Recipe]) -> Method:
    return tiny(method={"conditional": False}).build(ImageSpec(1, 16, 16, 0), choose("cpu"))


def test_few_real_pictures_have_few_scores(method: Method) -> None:
    judge = RunScorer(toy(20), None, evaluators.load("digits", "cpu"), n=100)
    assert "real" not in judge.rows
    assert list(judge.rows["noise"]["scores"]) == ["vendi", "copy_rate"]
    assert "40 real pictures, not 20" in str(judge.refusal("kid", method))


def test_fid_and_its_extrapolation_where_there_are_enough(method: Method) -> None:
    data = toy(2_000)
    judge = RunScorer(data, toy(2_000, 1), evaluators.load("digits", "cpu"), n=2_000, infinity=True)
    real = judge.rows["real"]["scores"]
    assert real["fid_infinity"]["value"] < real["fid"]["value"] < judge.rows["mean"]["scores"]["fid"]["value"]
    assert judge.refusal("fid", method) is None
    assert judge.refusal("fid_infinity", method) is None
    assert judge.refusal("class_kl", method) is not None
    assert judge.refusal("label_accuracy", method) is not None


# -- while training ---------------------------------------------------------------------------------------------------


def test_training_evaluates_and_keeps_the_best(tiny: Callable[..., Recipe], folder: Path, tmp_path: Path) -> None:
    recipe = tiny(
        data={"name": str(folder)},
        train={"eval_every": 80, "eval_samples": 100, "best": "kid", "checkpoint_every": 240, "keep": 1},
    )
    records = list(train(recipe, tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    scored = {record["nimg"]: record["kid"] for record in records if "kid" in record}
    assert list(scored) == [80, 160, 240]
    assert all("score" in record for record in records if "kid" in record)
    files = sorted((tmp_path / "run" / "evaluations").iterdir())
    found = [json.loads(file.read_text()) for file in files]
    assert [each["checkpoint"]["nimg"] for each in found] == [80, 160, 240]
    assert [each["scores"]["kid"]["value"] for each in found] == list(scored.values())
    assert found[0]["checkpoint"]["seconds"] == records[[r["nimg"] for r in records].index(80)]["seconds"]
    assert run.checkpoints.best() == min(scored, key=scored.__getitem__)
    own = evaluate(tmp_path / "run", "last", n=100, device="cpu")
    assert found[-1]["protocol"] == {**own["protocol"], "seed": CHECKPOINT_CHOICE.start} != own["protocol"]
    again = evaluate(tmp_path / "run", "last", n=100, seed=CHECKPOINT_CHOICE.start, device="cpu")
    assert again["key"] == found[-1]["key"]
    assert again["scores"] == found[-1]["scores"]
    assert again["checkpoint"] == found[-1]["checkpoint"]


def test_a_kill_between_a_checkpoint_and_its_evaluation_loses_neither(
    tiny: Callable[..., Recipe], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(data={"name": str(folder)}, train={"eval_every": 80, "eval_samples": 100, "keep": 9})
    list(train(recipe, tmp_path / "straight", device="cpu"))
    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_evaluation", lambda self, evaluation, writer: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(train(recipe, tmp_path / "killed", device="cpu"))
    assert not (tmp_path / "killed" / "evaluations").exists()
    list(train(recipe, tmp_path / "killed", device="cpu"))
    straight, killed = (
        [json.loads(file.read_text()) for file in Run(tmp_path / name).evaluation_files()]
        for name in ("straight", "killed")
    )
    assert [each["checkpoint"]["nimg"] for each in killed] == [80, 160, 240]
    assert [each["scores"] for each in killed] == [each["scores"] for each in straight]
    assert killed[0]["checkpoint"]["sha256"] == checkpoint.note(tmp_path / "killed" / "checkpoints", 80).sha256


def test_a_run_keeps_the_evaluator_that_it_began_with(
    tiny: Callable[..., Recipe], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(data={"name": str(folder)}, train={"eval_every": 80, "eval_samples": 100})
    for record in train(recipe, tmp_path / "run", device="cpu"):
        if record["nimg"] == 80:
            break
    began = Run(tmp_path / "run").info().evaluator
    assert began == evaluators.load("digits").sha256
    monkeypatch.setattr(evaluators, "choose_for", lambda *_: evaluators.load("cifar10"))  # somebody has trained another
    for record in train(recipe, tmp_path / "run", device="cpu"):
        if record["nimg"] == 160:
            break
    first, second = (json.loads(file.read_text()) for file in Run(tmp_path / "run").evaluation_files())
    assert first["key"] == second["key"]
    Run(tmp_path / "run").update_info(evaluator="of a file that is gone")
    monkeypatch.undo()
    with warned(match="is not here any more: from here on its scores are through 'digits'"):
        list(train(recipe, tmp_path / "run", device="cpu"))
    assert Run(tmp_path / "run").info().evaluator == began


def test_evaluations_do_not_touch_the_training(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    list(train(tiny(), tmp_path / "without", device="cpu"))
    list(train(tiny(train={"eval_every": 40, "eval_samples": 100}), tmp_path / "with", device="cpu"))
    states = [sample.load(tmp_path / name).method.modules["G"].state_dict() for name in ("without", "with")]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_best_that_will_never_be_measured_is_refused(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = tiny(train={"eval_every": 40, "eval_samples": 100, "best": "fid"})
    with pytest.raises(UserError, match="which these evaluations will lack: FID needs"):
        list(train(recipe, tmp_path / "run", device="cpu"))
    assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=r"set train\.eval_every as well"):
        tiny(train={"best": "kid"})
    with pytest.raises(UserError, match="did you mean 'recall'"):
        tiny(train={"eval_every": 40, "best": "recal"})


def test_higher_is_better_for_some(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = tiny(train={"eval_every": 80, "eval_samples": 100, "best": "vendi", "checkpoint_every": 240, "keep": 1})
    records = list(train(recipe, tmp_path / "run", device="cpu"))
    scored = {record["nimg"]: record["vendi"] for record in records if "vendi" in record}
    assert Run(tmp_path / "run").checkpoints.best() == max(scored, key=scored.__getitem__)


# -- copies -----------------------------------------------------------------------------------------------------------


def copy_rate(copies: Copies, pictures: np.ndarray) -> metrics.Score:
    return metrics.copy_rate(copies.nearness(evaluators.pixels(pictures)), copies.real)


@pytest.mark.parametrize("split", [True, False], ids=["with a test split", "without one"])
def test_copies_are_told_from_held_out_pictures(split: bool) -> None:
    data, held_out = toy(1_200), toy(3_000, seed=2)
    copies = Copies(data, toy(800, seed=1) if split else None)
    assert len(copies.real) == (800 if split else 600)
    assert copies.real.min() > 0  # no picture is its own neighbour
    nearness = copies.nearness(evaluators.pixels(data.images))
    assert (nearness == 0).all()  # whichever half a picture is in
    assert copy_rate(copies, data.images).value == 1
    assert copy_rate(copies, held_out.images).value < 0.005
    mixed = copy_rate(copies, np.concatenate([data.images[:500], held_out.images[:1_500]]))
    assert 0.25 <= mixed.value < 0.255


@pytest.mark.parametrize("split", [True, False], ids=["with a test split", "without one"])
def test_pictures_that_are_there_twice_do_not_hide_copies(split: bool) -> None:
    once, unseen = toy(600).images, toy(400, seed=1).images
    data = ImageSet("twice", np.concatenate([once, once[:60]]))
    copies = Copies(data, ImageSet("leaky", np.concatenate([unseen, once[:20]])) if split else None)
    assert copies.real.min() > 0.1
    assert copy_rate(copies, once[:300]).value == 1
    assert copy_rate(copies, toy(500, seed=2).images).value < 0.005


def test_test_pictures_that_are_all_training_pictures_tell_nothing() -> None:
    data = toy(300)
    assert Copies(data, ImageSet("leak", data.images[:100])).real is None


@pytest.mark.parametrize("flips", [True, False])
def test_mirror_images_are_copies_where_the_run_was_shown_them(flips: bool) -> None:
    data = toy(600)
    mirrored = np.ascontiguousarray(data.images[:300, ..., ::-1])
    for test in (toy(400, seed=1), None):
        copies = Copies(data, test, flips)
        assert copies.real.min() > 0
        assert copy_rate(copies, mirrored).value == (1 if flips else 0)
        assert copy_rate(copies, data.images).value == 1


def unlike_contrast(seed: int) -> np.ndarray:
    """450 grey pictures of 16x16, uint8: blocks of 4x4 with a little noise, some six times as strong as others."""
    rng = np.random.default_rng(seed)
    blocks = rng.standard_normal((450, 1, 4, 4)).repeat(4, axis=2).repeat(4, axis=3)
    pictures = blocks + 0.3 * rng.standard_normal((450, 1, 16, 16))
    contrast = np.exp(rng.uniform(np.log(10), np.log(60), (450, 1, 1, 1)))
    found: np.ndarray = (127.5 + contrast * pictures).round().clip(0, 255).astype(np.uint8)
    return found


@pytest.mark.parametrize("seed", [0, 3, 21])
def test_on_a_small_set_plain_pictures_are_no_copies_and_near_copies_are(seed: int) -> None:
    """With these seeds the mean picture is nearer than 99 % of the real pictures are: it takes the margin."""
    train, unseen = np.split(unlike_contrast(seed), [150])
    copies = Copies(ImageSet("few", train), None)
    mean = train.mean(0, keepdims=True).round().astype(np.uint8).repeat(100, axis=0)
    assert (copies.nearness(evaluators.pixels(mean)) < copies.real.quantile(0.01)).all()
    assert copy_rate(copies, mean).value == 0
    for pictures in (train, unseen):
        coarse = pictures.reshape(-1, 1, 2, 8, 2, 8).mean((3, 5)).round().astype(np.uint8)
        assert copy_rate(copies, coarse.repeat(8, axis=2).repeat(8, axis=3)).value < 0.05
    assert copy_rate(copies, unseen).value < 0.01
    noise = 4 * np.random.default_rng(0).standard_normal(train.shape)
    for copied in (train, (train + noise).round().clip(0, 255).astype(np.uint8)):
        assert copy_rate(copies, copied).value == 1


def test_nearness_is_a_quotient_of_two_distances() -> None:
    """Two training and two test pictures, all equally far apart, and samples a tenth of the way between two."""
    corners = 100 * np.eye(4, 64, dtype=np.uint8).reshape(4, 1, 8, 8)
    copies = Copies(ImageSet("seen", corners[:2]), ImageSet("unseen", corners[2:]))
    samples = 0.9 * corners + 0.1 * corners[[2, 3, 0, 1]]
    assert copies.real.tolist() == pytest.approx([1, 1])
    nearness = copies.nearness(evaluators.pixels(samples.round().astype(np.uint8)))
    assert nearness.tolist() == pytest.approx([1 / 9, 1 / 9, 9, 9])


def test_the_nearness_of_real_pictures_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Copies(toy(300), toy(200, seed=1))
    monkeypatch.setattr(metrics, "nearest_distances", None)  # it would have to be called
    again = Copies(toy(300), toy(200, seed=1))
    assert torch.equal(again.real, first.real)
    with pytest.raises(TypeError):
        Copies(toy(300), toy(200, seed=2))
    with pytest.raises(TypeError):
        Copies(toy(300), None)
