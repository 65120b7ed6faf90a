from collections.abc import Callable
from pathlib import Path

import pytest

from ganvas.core.errors import UserError
from ganvas.core.settings import parse_assignments
from ganvas.recipes import library
from ganvas.recipes.recipe import Recipe, from_dict
from ganvas.recipes.train_settings import Rule
from ganvas.runs.model import load
from ganvas.runs.run import Run
from ganvas.training.monitor import CheckpointScore
from ganvas.training.schedule import Schedule
from ganvas.training.train import train
from tests.conftest import same_tensors


def test_an_even_change() -> None:
    schedule = Schedule({"lr": Rule(factor=0.2, start=100, end=200), "eta": Rule(factor=0, least=0.25)}, total=400)
    assert [round(schedule.factors(n)["lr"], 3) for n in (0, 100, 150, 200, 900)] == [1, 1, 0.6, 0.2, 0.2]
    assert [schedule.factors(n)["eta"] for n in (0, 200, 400)] == [1, 0.5, 0.25]
    at_once, never = (Schedule({"lr": rule}, total=400) for rule in (Rule(start=100, end=101), Rule(start=400)))
    assert [at_once.factors(n)["lr"] for n in (100, 101)] == [1, 0.5]
    assert never.factors(400) == {"lr": 1}  # the run ends before the change begins


def test_a_plateau_is_waited_for_and_bounded() -> None:
    rule = Rule(on="inception_score", factor=0.5, patience=2, least=0.25)
    schedule = Schedule({"lr": rule}, total=1)
    lowered = [schedule.see({"inception_score": value}) for value in (1, 2, 2, 1.9, 2.1, 1, 1, 1, 1, 1, 1)]
    assert lowered == [[], [], [], ["lr"], [], [], ["lr"], [], [], [], []]
    assert schedule.factors(0) == {"lr": 0.25}
    assert schedule.see({"g_loss": 3}) == []
    falling = Schedule({"lr": Rule(on="score", patience=1)}, total=1)
    assert falling.factors(0) == {"lr": 1}
    assert [falling.see({"score": value}) for value in (3, 2, 2.5)] == [[], [], ["lr"]]  # lower is better
    falling = Schedule({"eta": Rule(), "lr": Rule(on="fid", patience=1)}, total=1)
    assert [falling.see({"fid": value}) for value in (3, 2, 2.5)] == [[], [], ["lr"]]
    flat = Schedule({"lr": Rule(on="score", patience=2)}, total=1)
    assert [flat.see({"score": 1}) for _ in range(5)] == [[], [], ["lr"], [], ["lr"]]
    again = Schedule({"lr": rule}, total=1)
    again.load_state(schedule.state())
    assert again.state() == schedule.state() and again.factors(0) == {"lr": 0.25}


def test_each_rule_waits_for_its_own_score() -> None:
    rules = {field: Rule(on=score, patience=1) for field, score in (("eta", "kid"), ("lr", "fid"), ("d_lr", "score"))}
    schedule = Schedule(rules, total=1)
    records = ({"fid": 3, "score": 3}, {"fid": 2, "score": 4}, {"fid": 4, "score": 5}, {"score": 6})
    assert [schedule.see(record) for record in records] == [[], ["d_lr"], ["lr", "d_lr"], ["d_lr"]]


def test_rules_of_a_recipe(tiny: Callable[..., Recipe]) -> None:
    recipe = tiny(train={"schedule": {"lr": {"factor": 0.1}}})
    assert from_dict(recipe.as_dict()) == recipe
    for rules, message in (
        ({"rate": {}}, "'rate' of method 'gan': choose one of: augment_p"),
        ({"beta1": {}}, "'beta1' of method 'gan'"),
        ({"augment_target": {}}, "'augment_target'"),
        ({"d_outputs": {}}, "'d_outputs' of method 'gan'"),
        ({"augment_p": {"factor": 1.5}}, r"schedule\.augment_p' goes too far .*'method\.augment_p' is 1\.5"),
        ({"augment_p": {"on": "score", "factor": 1.1}}, r"raise train\.schedule\.augment_p\.least"),
        ({"d_lr": {}}, r"'d_lr', which has no value: set method\.d_lr"),
        ({"conditional": {}}, "'conditional' of method"),
        ({"lr": {"start": 50, "end": 40}}, "ends before it starts"),
        ({"lr": {"on": "score", "end": 40}}, "no effect when a metric decides"),
        ({"lr": {"on": "luck"}}, "no metric of that name"),
        ({"lr": {"on": "fid"}}, r"set train\.eval_every"),
        ({"lr": {"factor": -2}}, "greater than or equal to 0"),
    ):
        with pytest.raises(UserError, match=message):
            tiny(train={"schedule": rules})


def test_settings_follow_the_schedule_and_stay_with_the_checkpoint(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    rules = {"lr": {"factor": 0}, "g_steps": {"factor": 3, "end": 120}}
    recipe = tiny(train={"schedule": rules, "log_every": 20})
    records = list(train(recipe, tmp_path / "run", device="cpu"))
    rates = [record["lr"] for record in records[1:]]
    assert rates == pytest.approx([2e-4 * (1 - (nimg - 20) / 240) for nimg in range(40, 241, 20)])
    assert [record.get("g_steps", 1) for record in records] == [1, 1, 2, 2, 2, 3, *[3] * 6]
    assert load(tmp_path / "run", device="cpu").method.settings.lr == pytest.approx(rates[-1])  # type: ignore[attr-defined]
    assert Run(tmp_path / "run").recipe() == recipe


def test_a_whole_number_that_is_none_stays_none(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    method = {"name": "cppn_vae_gan", "vae_steps": 0}
    network = {"name": "cppn", "kind": "softplus", "width": 4, "std": 0.2, "encoder_width": 8}
    recipe = tiny(network=network, method=method, train={"schedule": {"vae_steps": {}}, "images": 40})
    list(train(recipe, tmp_path / "run", device="cpu"))
    assert load(tmp_path / "run", device="cpu").method.settings.vae_steps == 0  # type: ignore[attr-defined]


def test_what_a_schedule_depends_on_is_part_of_a_run(tiny: Callable[..., Recipe]) -> None:
    def alike(rule: dict[str, object], **changes: int) -> bool:
        one, other = (tiny(train={"schedule": {"lr": rule}, **more}) for more in ({}, changes))
        return one.identity() == other.identity()

    assert not alike({}, images=480)
    assert alike({"end": 240}, images=480) and alike({"end": 240}, checkpoint_every=20)
    assert not alike({"on": "score"}, checkpoint_every=20)


@pytest.mark.parametrize(
    ("word", "left"), [("train.schedule.eta=none", {"d_lr", "g_lr"}), ("train.schedule=none", set())]
)
def test_none_takes_a_rule_of_a_recipe_away(word: str, left: set[str]) -> None:
    recipe = library.load("mnist-cfg-dcgan-2018", parse_assignments([word]))
    assert set(recipe.train.schedule) == left


def test_a_run_that_is_extended_ends_as_one_that_was_as_long_from_the_start(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first end was between two checkpoints; what it scored there is no business of the schedule."""
    monkeypatch.setattr(CheckpointScore, "__call__", lambda self, method: 1.0)  # never better
    settings = {"checkpoint_every": 60, "schedule": {"lr": {"on": "score", "patience": 1}}}
    for name, lengths in (("straight", [240]), ("extended", [100, 240])):
        for images in lengths:
            list(train(tiny(train={**settings, "images": images}), tmp_path / name, device="cpu"))
    ends = [Run(tmp_path / name).checkpoints.newest()[0] for name in ("straight", "extended")]
    assert all(end is not None and end.values["changed"]["lr"] == pytest.approx(5e-5) for end in ends)
    assert same_tensors(ends[0].tensors, ends[1].tensors)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("method", "idle"),
    [
        ({"name": "gan", "augment": "colour", "augment_target": 0.6}, "augment_p"),
        ({"name": "wgan_gp", "clip": 0.01}, "penalty"),
    ],
)
def test_what_another_setting_takes_the_place_of_cannot_change(
    method: dict[str, object], idle: str, tiny: Callable[..., Recipe]
) -> None:
    with pytest.raises(UserError, match=f"cannot change '{idle}': method.* takes its place"):
        tiny(method=method, network={"d_norm": "none"}, train={"schedule": {idle: {"factor": 0.5}}})
