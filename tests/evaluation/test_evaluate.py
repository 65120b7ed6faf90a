"""Evaluations of real (tiny) runs: provenance, reference rows, and what they share with training."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from ganvas.compute.device import choose
from ganvas.core import files
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError
from ganvas.core.images import ImageSpec, from_uint8, to_uint8
from ganvas.core.seeds import CHECKPOINT_CHOICE
from ganvas.data import DataSettings, ImageSet, load
from ganvas.evaluation import document, evaluators, references
from ganvas.evaluation.document import read
from ganvas.evaluation.evaluate import RunScorer, evaluate
from ganvas.methods import METHODS, Method, SmallSetGAN
from ganvas.recipes.recipe import Recipe
from ganvas.runs import checkpoint
from ganvas.runs import model as sample
from ganvas.runs.run import Run
from ganvas.training.train import train
from tests.conftest import warned
from tests.lite0 import install_small_lite0

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
    assert file.name == f"000000240-{found.key}.json"
    assert read(file) == found
    train_set, test_set = (load(DataSettings(name=str(folder), size=16, channels=1), s) for s in ("train", "test"))
    protocol = found.protocol
    assert protocol.evaluator.name == str(folder)
    assert protocol.evaluator.resize == "none"
    assert protocol.data.sha256 == protocol.data.trained_on == train_set.fingerprint
    assert (protocol.n, protocol.split, protocol.seed) == (120, "train", 1_000_000)
    assert protocol.labels == "as in the data"
    assert set(protocol.metrics) >= {"fid", "kid", "copy_rate"}
    assert found.checkpoint.nimg == 240
    assert found.checkpoint.sha256 == json.loads((run / "checkpoints" / "000000240.json").read_text())["sha256"]
    assert (found.run.recipe, found.run.seed) == ("tiny", 1)
    assert list(found.scores) == [
        *("kid", "inception_score", "precision", "recall", "density", "coverage", "vendi", "class_kl"),
        *("classes_present", "label_accuracy", "copy_rate"),
    ]
    assert "2,000" in found.refused["fid"] and "KID" in found.refused["fid"]
    assert sum(found.counts) == 120
    real, noise, mean = (found.references[kind] for kind in ("real", "noise", "mean"))
    assert real.what == f"{len(test_set)} test images"
    assert real.scores["label_accuracy"].value > 0.9
    assert real.scores["kid"].value < 0.1 * noise.scores["kid"].value
    assert real.scores["coverage"].value > 0.8
    assert mean.scores["vendi"].value == pytest.approx(1, abs=1e-3)
    assert mean.scores["inception_score"].value == pytest.approx(1)
    assert noise.scores["coverage"].value < 0.3
    assert real.scores["copy_rate"].value <= 0.01


def test_labels_of_a_run_with_an_encoder_are_those_of_redrawn_pictures(
    tiny: Callable[..., Recipe], folder: Path, tmp_path: Path
) -> None:
    own_evaluator(folder)
    network = {"name": "cppn", "width": 4, "blocks": 1, "encoder_width": 16, "std": 0.2}
    recipe = tiny(data={"name": str(folder)}, network=network, method={"name": "residual_cppn", "latent_size": 4})
    list(train(recipe, tmp_path / "run", device="cpu"))
    found = evaluate(tmp_path / "run", "last", n=100, device="cpu")
    assert found.protocol.labels == "none" and "label_accuracy" not in found.scores
    assert list(found.scores)[-2:] == ["redrawn_accuracy", "copy_rate"]
    model = sample.load(tmp_path / "run", device="cpu")
    test = load(DataSettings(name=str(folder), size=16, channels=1), "test")
    redrawn = to_uint8(model.method.decode(model.method.encode(from_uint8(torch.tensor(test.images)))))
    predicted = evaluators.load(str(folder), "cpu").measure(np.moveaxis(redrawn, -1, 1)).probabilities.argmax(1).numpy()
    assert found.scores["redrawn_accuracy"].value == pytest.approx((predicted == test.labels).mean(), abs=0.011)


def test_a_second_evaluation_is_the_same_and_faster(run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, measured = references._real_row, []
    monkeypatch.setattr(references, "_real_row", lambda *words: (measured.append(1), plain(*words))[1])
    first = evaluate(run, "last", n=120, device="cpu")
    assert measured == [1]
    second = evaluate(run, "last", n=120, device="cpu")
    assert measured == [1]  # the cache has it
    assert second.scores == first.scores
    assert second.key == first.key
    assert len(list((run / "evaluations").iterdir())) == 1


def test_another_seed_split_or_count_is_another_protocol(run: Path, folder: Path) -> None:
    keys = {
        evaluate(run, "last", device="cpu", **{"n": 100, **changes}).key  # type: ignore[arg-type]
        for changes in ({}, {"n": 101}, {"seed": 5}, {"split": "test"})
    }
    assert len(keys) == 4


def test_foreign_classes_have_no_class_scores(run: Path) -> None:
    found = evaluate(run, "last", n=100, device="cpu")
    assert found.protocol.evaluator.name == "digits"
    assert found.protocol.evaluator.resize == "bilinear, antialiased"
    assert list(found.scores) == ["kid", "precision", "recall", "density", "coverage", "vendi", "copy_rate"]
    assert "does not know the classes" in found.refused["inception_score"]
    assert found.counts is None


def test_without_a_test_split_the_ceiling_is_one_half_against_the_other(
    tiny: Callable[..., Recipe], tmp_path: Path, folder: Path
) -> None:
    only_train = folder / "train"
    list(train(tiny(data={"name": str(only_train)}), tmp_path / "alone", device="cpu"))
    found = evaluate(tmp_path / "alone", "last", n=100, device="cpu")
    assert found.references["real"].what == "100 training images against the other 100"
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
    kept = list((cache_dir() / "evaluations").iterdir())
    assert kept
    for file in kept:
        file.write_bytes(b"rubbish")
    assert evaluate(run, "last", n=100, device="cpu").scores == first.scores


def toy(count: int, seed: int = 0) -> ImageSet:
    images = np.random.default_rng(seed).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
    return ImageSet("toy", images)


@pytest.fixture
def method(tiny: Callable[..., Recipe]) -> Method:
    return tiny(method={"conditional": False}).build(ImageSpec(1, 16, 16, 0), choose("cpu"))


def test_few_real_pictures_have_few_scores(method: Method) -> None:
    scorer = RunScorer(toy(20), None, evaluators.load("digits", "cpu"), n=100)
    assert "real" not in scorer.rows
    assert list(scorer.rows["noise"].scores) == ["vendi", "copy_rate"]
    assert "40 real images, not 20" in scorer.refusals(method)["kid"]


def test_fid_and_its_extrapolation_where_there_are_enough(method: Method) -> None:
    data = toy(2_000)
    scorer = RunScorer(data, toy(2_000, 1), evaluators.load("digits", "cpu"), n=2_000, infinity=True)
    real = scorer.rows["real"].scores
    assert real["fid_infinity"].value < real["fid"].value < scorer.rows["mean"].scores["fid"].value
    assert "fid" not in scorer.refusals(method)
    assert "fid_infinity" not in scorer.refusals(method)
    assert "class_kl" in scorer.refusals(method)
    assert "label_accuracy" in scorer.refusals(method)


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
    found = [read(file) for file in files]
    assert [each.checkpoint.nimg for each in found] == [80, 160, 240]
    assert [each.scores["kid"].value for each in found] == list(scored.values())
    assert found[0].checkpoint.seconds == records[[r["nimg"] for r in records].index(80)]["seconds"]
    assert run.checkpoints.best() == min(scored, key=scored.__getitem__)
    own = evaluate(tmp_path / "run", "last", n=100, device="cpu")
    seed = CHECKPOINT_CHOICE.start
    assert found[-1].protocol == own.protocol.model_copy(update={"seed": seed}) != own.protocol
    again = evaluate(tmp_path / "run", "last", n=100, seed=CHECKPOINT_CHOICE.start, device="cpu")
    assert again.key == found[-1].key
    assert again.scores == found[-1].scores
    assert again.checkpoint == found[-1].checkpoint


def test_a_kill_between_a_checkpoint_and_its_evaluation_loses_neither(
    tiny: Callable[..., Recipe], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny(data={"name": str(folder)}, train={"eval_every": 80, "eval_samples": 100, "keep": 9})
    list(train(recipe, tmp_path / "straight", device="cpu"))
    with monkeypatch.context() as patch:
        patch.setattr(document, "keep", lambda run, evaluation, writer: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            list(train(recipe, tmp_path / "killed", device="cpu"))
    assert not (tmp_path / "killed" / "evaluations").exists()
    list(train(recipe, tmp_path / "killed", device="cpu"))
    straight, killed = (
        [read(file) for file in Run(tmp_path / name).evaluation_files()] for name in ("straight", "killed")
    )
    assert [each.checkpoint.nimg for each in killed] == [80, 160, 240]
    assert [each.scores for each in killed] == [each.scores for each in straight]
    assert killed[0].checkpoint.sha256 == checkpoint.note(tmp_path / "killed" / "checkpoints", 80).sha256


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
    first, second = (read(file) for file in Run(tmp_path / "run").evaluation_files())
    assert first.key == second.key
    Run(tmp_path / "run").update_info(evaluator="of a file that is gone")
    monkeypatch.undo()
    with warned(match="no longer exists: from here on it is scored by 'digits'"):
        list(train(recipe, tmp_path / "run", device="cpu"))
    assert Run(tmp_path / "run").info().evaluator == began


def test_a_method_is_not_judged_by_the_features_that_it_trains_on(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnFeatures(SmallSetGAN.Settings):
        name: Literal["toy"] = "toy"

        @property
        def unfit_evaluators(self) -> tuple[str, ...]:
            return ("imagenet",)

    class Toy(SmallSetGAN):
        Settings = OnFeatures

    install_small_lite0(tmp_path, monkeypatch)
    monkeypatch.setitem(METHODS, "toy", Toy)
    scored = {"eval_every": 120, "eval_samples": 100, "best": "kid"}
    for name, evaluator in (("gan", "imagenet"), ("toy", "cifar10")):
        list(train(tiny(data={"channels": 3}, method={"name": name}, train=scored), tmp_path / name, device="cpu"))
        (_, last) = (read(file) for file in Run(tmp_path / name).evaluation_files())
        assert (last.protocol.evaluator.name, last.unfit) == (evaluator, "")
        assert evaluate(tmp_path / name, n=100, device="cpu").protocol.evaluator.name == evaluator
    insisted = evaluate(tmp_path / "toy", n=100, evaluator="imagenet", device="cpu")
    assert insisted.scores["kid"]
    assert insisted.unfit == "trained on the features of 'imagenet', so that this does not rank it: " + (
        "score it by another --evaluator"
    )


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


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_a_test_split_of_a_few_images_is_no_hindrance(run: Path, folder: Path, count: int) -> None:
    """There is no row of real images then; everything else can be computed."""
    for i, file in enumerate(sorted((folder / "test").rglob("*.png"))):
        if i >= count:
            file.unlink()
    found = evaluate(run, n=120, device="cpu")
    assert set(found.references) == {"noise", "mean"}
    assert {"kid", "vendi"} <= found.scores.keys()


@pytest.mark.parametrize("count", [1, 8])
def test_training_evaluates_with_a_test_split_of_a_few_images(
    tiny: Callable[..., Recipe], folder: Path, tmp_path: Path, count: int
) -> None:
    for file in sorted((folder / "test").rglob("*.png"))[count:]:
        file.unlink()
    train_settings = {"images": 40, "eval_every": 40, "eval_samples": 100}
    records = list(train(tiny(data={"name": str(folder)}, train=train_settings), tmp_path / "run", device="cpu"))
    assert np.isfinite([records[-1]["kid"], records[-1]["vendi"]]).all()


def test_the_training_images_are_found_from_anywhere(
    tiny: Callable[..., Recipe], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    list(train(tiny(data={"name": folder.name}), tmp_path / "run", device="cpu"))
    (tmp_path / "elsewhere" / folder.name).mkdir(parents=True)  # another folder of that name
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert evaluate(tmp_path / "run", n=120, device="cpu").protocol.data.trained_on
    folder.rename(tmp_path / "moved")
    (tmp_path / "elsewhere" / folder.name).rmdir()
    with pytest.raises(UserError, match=f"neither in '{folder}', where they were during training, nor in 'set'"):
        evaluate(tmp_path / "run", n=120, device="cpu")
    (tmp_path / "moved").rename(tmp_path / "elsewhere" / folder.name)
    assert evaluate(tmp_path / "run", n=120, device="cpu")


def test_a_cache_that_cannot_be_written_to_is_no_hindrance(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = files.write

    def refuse(path: Path, data: bytes) -> None:
        if cache_dir() in path.parents:
            raise OSError(errno.EROFS, "Read-only file system")
        write(path, data)

    monkeypatch.setattr(files, "write", refuse)
    assert evaluate(run, n=120, device="cpu").scores["kid"]
