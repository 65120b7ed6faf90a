import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ganvas.core.errors import RunFailed
from ganvas.data import Batch, Batches
from ganvas.methods import METHODS, SmallSetGAN
from ganvas.recipes.recipe import Recipe
from ganvas.runs.guard_journal import GuardJournal
from ganvas.runs.model import load
from ganvas.runs.run import Run
from ganvas.training import guard, rollback
from ganvas.training.disk_budget import sizes
from ganvas.training.monitor import CheckpointScore, Watch
from ganvas.training.train import train
from tests.conftest import MESSAGES, same_tensors, warned
from tests.training.stopping import train_until

SEED_003 = [  # what the seed's run logged: stage, D loss, G loss
    *((1350, 1.3594, 0.7399), (1375, 1.3683, 0.7343), (1400, 0.0172, 8.4761)),
    *((1425, 0.0142, 10.7213), (1450, 0.0271, 12.2959)),
]


def log(**columns: Sequence[float | None]) -> list[dict[str, Any]]:
    length = len(next(iter(columns.values())))
    rows = ({"nimg": 100 * (i + 1), **{name: values[i] for name, values in columns.items()}} for i in range(length))
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def first_alarm(records: list[dict[str, Any]], classifies: bool = False) -> tuple[int, guard.Alarm] | None:
    for count in range(1, len(records) + 1):
        if alarm := guard.check(records[:count], classifies=classifies):
            return records[count - 1]["nimg"], alarm
    return None


def test_the_failure_of_seed_003_is_seen_two_records_after_it_began() -> None:
    before = [(100 + 25 * i, 1.36, 0.74) for i in range(6)]
    records = log(
        **dict(zip(("d_loss", "g_loss"), ([row[i] for row in [*before, *SEED_003]] for i in (1, 2)), strict=True))
    )
    found = first_alarm(records)
    assert found is not None
    at, alarm = found
    assert (at, alarm.kind, alarm.side, alarm.since) == (1000, "domination", "D", 800)
    assert "discriminator suddenly dominates: its loss fell from 1.36 to 0.0142" in alarm.said


def test_domination_shows_in_minimax_losses_too() -> None:
    """G's loss is log(1 - D(G(z))) there, so D(G(z)) falls from 0.48 to 0.0002."""
    records = log(d_loss=[1.36] * 6 + [0.0172, 0.0142], g_loss=[math.log(1 - 0.48)] * 6 + [math.log(1 - 2e-4)] * 2)
    found = first_alarm(records)
    assert found is not None and found[0] == 800
    assert "that of the other rose from 0.734 to 8.52" in found[1].said
    found = first_alarm(log(d_loss=[1.36] * 6 + [1e-20] * 2, g_loss=[-0.69] * 6 + [-0.0] * 2))
    assert found is not None and "that of the other rose from 0.696 to 104" in found[1].said
    assert first_alarm(log(d_loss=[1.4, 1.3] * 8, g_loss=[math.log(1 - d) for d in (0.5, 0.4)] * 8)) is None


def test_domination_of_either_side_sudden_not_slow_and_not_for_one_record() -> None:
    steady = [1.0] * 8
    assert guard.domination(log(d_loss=[*steady, 0.01, 0.01], g_loss=[*steady, 9.0, 9.0]))
    other = guard.domination(log(d_loss=[*steady, 9.0, 9.0], g_loss=[*steady, 0.01, 0.01]))
    assert other is not None and other.side == "G" and "the generator suddenly dominates" in other.said
    assert not guard.domination(log(d_loss=[*steady, 0.01, 0.9], g_loss=[*steady, 9.0, 1.1]))
    slow = [0.9**i for i in range(60)]
    assert first_alarm(log(d_loss=slow, g_loss=[1 / value for value in slow])) is None
    assert not guard.domination(log(d_loss=[*steady, 0.01, 0.01], g_loss=[*steady, 1.5, 1.5]))
    critic = [-3.0] * 8
    assert not guard.domination(log(d_loss=[*critic, 0.01, 0.01], g_loss=[*critic, 90.0, 90.0]))
    assert not guard.domination(log(d_loss=[1.0, 0.01, 0.01], g_loss=[1.0, 9.0, 9.0]))  # too early to tell


def test_overshoot_of_the_steps_of_images() -> None:
    found = first_alarm(log(rise=[0.57, 0.4, 0.2, 0.09, 0.2, 0.09, 0.04, 0.02]))
    assert found is not None and (found[0], found[1].kind, found[1].since) == (700, "overshoot", 500)
    assert "D rises by 4% of what its gradient promises, once by 57%" in found[1].said
    assert first_alarm(log(rise=[-2.0, 0.05, 0.2, 0.05, -1.0, -3.0])) is None  # it never was better
    assert first_alarm(log(rise=[0.6, 0.2, 0.11, 0.09, 0.11])) is None


def test_collapse_of_diversity() -> None:
    found = first_alarm(log(diversity=[0.1, 0.5, 0.9, 0.95, 0.9, 0.3, 0.9, 0.3, 0.2, 0.2]))
    assert found is not None and (found[0], found[1].kind, found[1].since) == (900, "collapse", 700)
    slow = first_alarm(log(diversity=[0.1, 0.9, 0.95, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2]))
    assert slow is not None and (slow[1].since, slow[1].sound) == (700, 400)
    assert first_alarm(log(diversity=[0.05, 0.2, 0.01, 0.01, 0.01])) is None  # it never had any
    assert first_alarm(log(diversity=[0.77, 0.78, 0.6, 0.4, 0.25, 0.2, 0.2, 0.25])) is None  # it was born with it
    found = first_alarm(log(diversity=[0.77, 0.4, 0.2, 0.1, 0.2, 0.5, 0.8, 0.2, 0.1]))
    assert found is not None and (found[0], found[1].since) == (900, 700)
    assert first_alarm(log(diversity=[0.9, 0.8, 0.7, 0.6, 0.5, 0.5])) is None
    assert first_alarm(log(diversity=[0.5, 13.0, 9.0, 4.0, 1.1, 1.0, 0.9])) is None  # more than the data have


def test_lost_classes_and_stagnation() -> None:
    found = first_alarm(log(classes=[0.12, None, 0.91, 0.85, None, 0.30, 0.31]))
    assert found is not None and (found[0], found[1].kind, found[1].since) == (700, "collapse", 400)
    slow = first_alarm(log(classes=[0.12, 0.78, 0.72, 0.49, 0.41, 0.51, 0.2, 0.3, 0.48, 0.2, 0.2]))
    assert slow is not None and (slow[1].since, slow[1].sound) == (900, 300)
    assert "the samples have 31% of the classes of real images, after 91% at 300 images" in found[1].said
    assert (
        first_alarm(log(classes=[0.24, 0.36, 0.45, 0.33, 0.2, 0.14, 0.13])) is None
    )  # as of noise that a GAN tidies up
    assert first_alarm(log(classes=[0.12, 0.91, 0.30, 0.33, 0.30, 0.50])) is None
    found = first_alarm(log(movement=[0.3, 0.2, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]))
    assert found is not None and (found[0], found[1].kind, found[1].since) == (900, "stagnation", 300)
    assert first_alarm(log(movement=[0.3, *[0.001] * 20])) is None


def test_a_generator_whose_images_no_longer_pass() -> None:
    def seen(*shares: float) -> tuple[int, guard.Alarm] | None:
        return first_alarm(log(accuracy_generated=shares), classifies=True)

    lost = [0.2, 0.54, 0.48, 0.16, 0.045, 0.05, *[0.01] * 8]
    found = seen(*lost)
    assert found is not None
    at, alarm = found
    assert (at, alarm.kind, alarm.side, alarm.since, alarm.sound) == (1000, "collapse", "G", 400, 300)
    assert "1.0% of its images pass as their class, after 54% at 200 images" in alarm.said
    assert seen(0.6, 0.16, *[0.05] * 5, 0.37, *[0.05] * 5) is None  # it came back
    assert seen(0.25, *[0.01] * 20) is None  # it never could
    assert first_alarm(log(accuracy_generated=lost)) is None  # of a D that has no classes
    assert [name for name, method in METHODS.items() if method.classifies] == ["residual_cppn"]


def test_the_horizon_is_before_what_an_alarm_can_say() -> None:
    d_loss = [value for loss in [*[1.36] * 8, 0.01, 0.01] for value in (loss, None, None, None, None)][:-4]
    records = log(d_loss=d_loss, g_loss=[0.7] * 40 + [9.0] * 6)
    found = first_alarm(records)
    assert found is not None and (found[0], found[1].since) == (4600, 3600)
    assert guard.horizon(records) <= 3600
    whole = log(d_loss=[1.0] * 20)
    assert guard.horizon(whole) == 1400 and guard.horizon(whole[:6]) == 0
    stops = [{**record, "stopped": True} for record in whole[-3:]]
    assert guard.horizon([*whole, *stops]) == 1400


def test_a_generator_that_never_begins() -> None:
    lost = {"d_loss": [0.1, *[1e-3] * 8], "g_loss": [3.0, *[9.0] * 8]}
    found = first_alarm(log(**lost, diversity=[0.02] * 9))
    assert found is not None and (found[0], found[1].kind, found[1].side, found[1].since) == (
        700,
        "domination",
        "D",
        100,
    )
    assert (
        "for 6 records the discriminator has known every image (loss 0.001) and the samples are alike" in found[1].said
    )
    found = first_alarm(log(d_loss=[1e-3] * 6, g_loss=[9.0] * 6, diversity=[0.02] * 6))
    assert found is not None and found[1].since == 0
    assert first_alarm(log(**lost, diversity=[0.02] * 5 + [0.2] + [0.02] * 3)) is None  # it stirs
    assert first_alarm(log(d_loss=[0.02] * 9, g_loss=[3.0] * 9, diversity=[0.02] * 9)) is None
    assert guard.check(log(d_loss=[-5.0] * 9, g_loss=[5.0] * 9, diversity=[0.02] * 9), logistic=False) is None


# -- where exactly ----------------------------------------------------------------------------------------------------


def test_losses_have_to_fall_below_an_eighth_and_rise_above_four_times() -> None:
    steady = [1.0] * 8

    def dominates(d_loss: float, g_loss: float, past: list[float] = steady) -> str | None:
        found = guard.domination(log(d_loss=[*past, d_loss, d_loss], g_loss=[*past, g_loss, g_loss]))
        return found and found.side

    assert dominates(0.124, 4.1) == "D"
    assert dominates(0.125, 4.1) is None
    assert dominates(0.124, 4.0) is None
    assert dominates(0.0, 9.0) == "D"
    assert dominates(-0.1, 9.0) is None
    assert dominates(9.0, 0.0) == "G"
    assert dominates(0.01, 9.0, steady[:3]) == "D"
    assert dominates(0.01, 9.0, steady[:2]) is None  # too early to tell


def test_losses_are_compared_with_the_median_of_eight_records() -> None:
    records = log(d_loss=[0.5, *[1.0] * 4, *[100.0] * 4, 6.0, 6.0], g_loss=[1.0] * 9 + [9.0] * 2)
    found = guard.domination(records)
    assert found is not None and "fell from 50.5 to 6," in found.said
    assert (found.since, found.sound) == (900, 0)


@pytest.mark.parametrize(("before", "after"), [(0.7, 9.0), (-0.7, -1e-4)], ids=["non-saturating", "minimax"])
def test_domination_of_a_g_that_pauses(before: float, after: float) -> None:
    pauses = [value for loss in [*[before] * 6, after, after] for value in (None, loss)]
    assert guard.domination(log(d_loss=[1.36] * 12 + [0.01] * 4, g_loss=pauses))


def test_a_rise_of_three_tenths_promised_and_one_of_a_tenth_is_empty() -> None:
    found = guard.overshoot(log(rise=[0.3, 0.1, 0.1]))
    assert found is not None and found[:2] == ("overshoot", "D") and found[3:] == (100, 0)
    assert guard.overshoot(log(rise=[0.29, 0.1, 0.1])) is None
    assert guard.overshoot(log(rise=[0.3, 0.11, 0.1])) is None


def test_diversity_has_to_fall_to_35_percent_of_its_best_or_of_that_of_the_data() -> None:
    found = guard.collapse(log(diversity=[0.5, 13.0, 1.2, 0.7, 0.36, 0.35, 0.34]))
    assert found is not None and found[:2] == ("collapse", "G") and found[3:] == (500, 300)
    assert "mean distance is 34% of that of real images, after 1300% at 200 images" in found.said
    assert guard.collapse(log(diversity=[0.5, 13.0, 0.7, 0.36, 0.36, 0.35])) is None
    assert guard.collapse(log(diversity=[0.1, 0.3, 0.1, 0.1]))
    assert guard.collapse(log(diversity=[0.1, 0.29, 0.1, 0.1])) is None


def test_diversity_is_learned_once_it_has_grown_by_a_tenth_or_after_that_of_noise_is_gone() -> None:
    assert guard.collapse(log(diversity=[0.5, 0.56, 0.1, 0.1]))
    assert guard.collapse(log(diversity=[0.5, 0.55, 0.1, 0.1])) is None
    assert guard.collapse(log(diversity=[1.0, 0.35, 0.4, 0.1, 0.1]))  # of the noise nothing was left after 200 images
    assert guard.collapse(log(diversity=[1.0, 0.36, 0.4, 0.1, 0.1])) is None
    assert guard.collapse(log(diversity=[1.0, 0.35, 0.1, 0.1, 0.1])) is None
    assert guard.collapse(log(diversity=[2.0, 0.6, 0.5, 0.1, 0.1])) is None  # noise, more diverse than the data
    assert guard.collapse(log(diversity=[0.9, 0.98, 0.32, 0.32]))  # 36 % of the first, 33 % of the best


def test_classes_are_lost_from_60_percent_to_35_percent_of_the_best() -> None:
    found = guard.lost_classes(log(classes=[0.8, 0.6, 0.5, 0.3, 0.2, 0.2]))
    assert found is not None and found[:2] == ("collapse", "G") and found[3:] == (400, 200)
    assert guard.lost_classes(log(classes=[1.0, 0.35, 0.35]))
    assert guard.lost_classes(log(classes=[1.0, 0.36, 0.35])) is None
    assert guard.lost_classes(log(classes=[0.6, 0.2, 0.2]))
    assert guard.lost_classes(log(classes=[0.59, 0.2, 0.2])) is None


def test_six_records_below_a_tenth_of_what_once_passed() -> None:
    found = guard.unrecognised(log(accuracy_generated=[0.5, 0.35, 0.06, *[0.05] * 5, 0.04]))
    assert found is not None and (found.since, found.sound) == (300, 100)
    assert "4.0% of its images" in found.said
    assert guard.unrecognised(log(accuracy_generated=[0.5, 0.35, 0.06, *[0.05] * 5])) is None
    assert guard.unrecognised(log(accuracy_generated=[0.3, *[0.02] * 6]))
    assert guard.unrecognised(log(accuracy_generated=[0.29, *[0.02] * 6])) is None


def test_samples_are_still_for_six_records_after_another() -> None:
    found = guard.stagnation(log(movement=[0.0, *[1e-4] * 6]))
    assert found is not None and found[:2] == ("stagnation", "D") and found[3:] == (100, 0)
    assert "have not changed for 500 images" in found.said
    assert guard.stagnation(log(movement=[0.0] * 6)) is None
    assert guard.stagnation(log(movement=[0.0, *[1.1e-4] * 6])) is None


def test_a_generator_is_beaten_at_a_loss_of_a_hundredth_and_a_diversity_of_a_tenth() -> None:
    def beaten(d_loss: float, diversity: float, count: int = 6) -> guard.Alarm | None:
        return guard.beaten(log(d_loss=[0.001] * (count - 1) + [d_loss], diversity=[diversity] * count))

    found = beaten(0.01, 0.1)
    assert found is not None and "(loss 0.01)" in found.said
    assert beaten(0.011, 0.1) is None
    assert beaten(0.01, 0.11) is None
    assert beaten(0.01, 0.1, count=5) is None


def test_what_a_check_leaves_out() -> None:
    losses = {"d_loss": [1.0] * 8 + [0.01] * 2, "g_loss": [1.0] * 8 + [9.0] * 2}
    records = log(**losses)
    assert guard.check(records)
    assert guard.check(records, logistic=False) is None
    assert guard.check([*records[:-1], {**records[-1], "stopped": True}]) is None
    assert guard.check(log(accuracy_generated=[0.5, *[0.01] * 6])) is None  # D has no classes unless it is said
    assert guard.check([]) is None


def test_the_horizon_of_a_short_run() -> None:
    assert guard.horizon([]) == 0
    assert guard.horizon(log(d_loss=[1.0] * 6)) == 0
    assert guard.horizon(log(d_loss=[1.0] * 7)) == 100


def test_the_records_that_have_to_be_remembered() -> None:
    """The last fifteen; the best, the last ones above each limit, and what tells noise from what is learned."""
    falling = [0.1] * 10 + [0.9] + [0.8] * 10 + [0.5] * 10 + [0.2] * 40
    latest = {*range(56, 71)}
    assert guard.remembered(log(score=[1.0] * 71)) == latest
    assert guard.remembered(log(diversity=falling)) == latest | {0, 10, 20, 30}
    assert guard.remembered(log(diversity=[0.9, 0.89, *[0.8] * 69])) == latest | {0}
    assert guard.remembered(log(diversity=[0.9, 0.2, *[0.1] * 20, 0.3, *[0.12] * 48])) == latest | {0, 1, 22}
    assert guard.remembered(log(diversity=[0.1, 9.0, 0.71, 0.4, *[0.2] * 67])) == latest | {0, 1, 2, 3}
    assert guard.remembered(log(classes=[1.5, 1.1, 1.0, 0.6, 0.5, *[0.2] * 66])) == latest | {0, 1, 3}
    assert guard.remembered(log(accuracy_generated=[0.9, 0.7, 0.6, 0.1, 0.08, *[0.01] * 66])) == latest | {0, 1, 3}
    assert guard.remembered(log(rise=[0.9, 0.25, 0.2, 0.11, 0.1, *[0.01] * 66])) == latest | {0, 1, 3}
    seldom = [(0.9 if i == 30 else 0.5) if i % 10 == 0 else None for i in range(71)]
    assert guard.remembered(log(score=[1.0] * 71, accuracy_generated=seldom)) == latest | {*range(10, 71, 10)}
    assert guard.remembered(log(score=[1.0] * 71, d_loss=seldom)) == latest | {*range(0, 71, 10)}


def test_what_a_stop_has_recorded_need_not_be_remembered() -> None:
    records = log(diversity=[0.1] * 10 + [0.9] + [0.8] * 60)
    for i in (5, 12, 60):
        records[i] |= {"stopped": True, "diversity": 2.0}
    assert guard.remembered(records) == {0, 10, *range(55, 71)} - {60}


# -- in training -------------------------------------------------------------------------------------------------------


def sick(monkeypatch: pytest.MonkeyPatch, healthy_lr: float, at: int = 160) -> None:
    """GAN steps whose losses show domination after `at` images, unless D's learning rate is at most `healthy_lr`."""
    plain_step = SmallSetGAN.step

    def step(self: SmallSetGAN, batches: Any) -> dict[str, torch.Tensor]:
        scalars = plain_step(self, batches)
        rate = self.optimizers["D"].param_groups[0]["lr"]
        bad = batches.nimg > at and rate > healthy_lr
        return {**scalars, "d_loss": torch.tensor(0.01 if bad else 1.4), "g_loss": torch.tensor(9.0 if bad else 0.7)}

    monkeypatch.setattr(SmallSetGAN, "step", step)


@pytest.fixture
def watched(tiny: Callable[..., Recipe]) -> Callable[..., Recipe]:
    def make(**changes: Any) -> Recipe:
        method = {"lr": 1e-3}
        return tiny(method=method, train={"images": 400, "log_every": 20, "checkpoint_every": 60, **changes})

    return make


def test_a_rollback_restores_lowers_and_goes_on(
    watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick(monkeypatch, healthy_lr=5e-4)
    with warned(match=r"at 200 images the discriminator suddenly dominates.*Back to 120 images"):
        list(train(watched(), tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    records = run.records()
    assert [record["nimg"] for record in records] == list(range(20, 401, 20))
    assert all(record["d_loss"] > 1 for record in records)
    assert [record.get("d_lr") for record in records[5:7]] == [None, 5e-4]
    (event,) = run.events()
    assert (event.nimg, event.back_to, event.factors, event.done) == (200, 120, {"d_lr": 0.5}, True)
    assert [record["nimg"] for record in event.records] == [140, 160, 180, 200]
    assert run.recipe().method.d_lr is None  # type: ignore[attr-defined]


def test_after_a_rollback_the_pictures_come_in_another_order(
    watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_next, seen = Batches.next, {}

    def remembered(self: Batches) -> Batch:
        batch = plain_next(self)
        seen[self.reshuffles, self.nimg] = batch.images.clone()
        return batch

    monkeypatch.setattr(Batches, "next", remembered)
    sick(monkeypatch, healthy_lr=5e-4)
    with warned(match="guard"):
        list(train(watched(), tmp_path / "run", device="cpu"))
    assert not any(torch.equal(seen[0, nimg], seen[1, nimg]) for nimg in range(140, 201, 20))


def test_a_stop_while_a_loss_is_no_number_leaves_the_rest_to_the_guard(
    watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_step = SmallSetGAN.step

    def step(self: SmallSetGAN, batches: Any) -> dict[str, torch.Tensor]:
        scalars = plain_step(self, batches)
        bad = batches.nimg > 140 and not batches.reshuffles
        return {**scalars, "d_loss": torch.tensor(float("nan"))} if bad else scalars

    monkeypatch.setattr(SmallSetGAN, "step", step)
    recipe = watched(log_every=100)
    with warned(match="d_loss became nan .* the checkpoint of 120 images is kept; the same command"):
        train_until(160, recipe, tmp_path / "run")
    assert Run(tmp_path / "run").state() == "stopped"
    with warned(match="guard: d_loss became nan"):
        list(train(recipe, tmp_path / "run", device="cpu"))
    assert Run(tmp_path / "run").state() == "finished"


def test_what_is_measured_is_recorded_and_not_the_setting_of_the_same_name(
    watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CFG-GAN has an eta that the line search finds, and a setting that is the longest."""
    plain_step = SmallSetGAN.step
    monkeypatch.setattr(
        SmallSetGAN, "step", lambda self, batches: plain_step(self, batches) | {"lr": torch.tensor(7.0)}
    )
    records = list(train(watched(schedule={"lr": {"factor": 0.5}}), tmp_path / "run", device="cpu"))
    assert records[-1]["lr"] == 7
    assert load(tmp_path / "run", device="cpu").method.changed["lr"] < 1e-3


def test_going_back_stays_within_the_disk_budget(
    tiny: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, often = 700_000, dict.fromkeys(("log_every", "sample_every", "checkpoint_every"), 20)
    recipe = tiny(
        network={"name": "mlp", "hidden": [8]},
        method={"lr": 1e-3},
        train={"images": 2400, "disk_budget": limit, "keep": 4, **often},
    )
    sick(monkeypatch, healthy_lr=5e-4, at=2000)
    with warned(match="guard: at 2,040 images .* Back to"):
        for _ in train(recipe, tmp_path / "run", device="cpu"):
            assert sum(sizes(tmp_path / "run").values()) <= limit
    run = Run(tmp_path / "run")
    assert [event.done for event in run.events()] == [True]
    assert run.state() == "finished" and len(run.sheets()) < 100


def test_a_long_way_back_leaves_a_curve_but_not_every_record(
    watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollback, "LOST_RECORDS", 2)
    sick(monkeypatch, healthy_lr=5e-4)
    with warned(match="guard"):
        list(train(watched(), tmp_path / "run", device="cpu"))
    (event,) = Run(tmp_path / "run").events()
    assert [record["nimg"] for record in event.records] == [160, 200]


@pytest.mark.parametrize("killed_at", [None, 180])
def test_tensorboard_forgets_what_was_lost(
    killed_at: int | None, watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the guard goes back behind the beginning of a session, killed one record before the alarm."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sick(monkeypatch, healthy_lr=5e-4)
    with warned(match="guard"):
        for _ in range(2):
            for record in train(watched(), tmp_path / "run", device="cpu"):
                if record["nimg"] == killed_at and not Run(tmp_path / "run").events():
                    break
    assert [event.back_to for event in Run(tmp_path / "run").events()] == [120]
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload().Scalars("d_loss")
    assert [event.step for event in events] == list(range(20, 401, 20))
    assert all(event.value > 1 for event in events)


def test_a_run_that_is_killed_after_a_rollback_ends_the_same(
    watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick(monkeypatch, healthy_lr=5e-4)
    with warned(match="guard"):
        list(train(watched(), tmp_path / "a", device="cpu"))
        for record in train(watched(), tmp_path / "b", device="cpu"):
            if Run(tmp_path / "b").events() and record["nimg"] == 140:
                break
    list(train(watched(), tmp_path / "b", device="cpu"))
    ends = [Run(tmp_path / name).checkpoints.newest()[0] for name in "ab"]
    assert same_tensors(ends[0].tensors, ends[1].tensors)  # type: ignore[union-attr]
    assert ends[0].values["changed"] == ends[1].values["changed"] == {"d_lr": 5e-4}  # type: ignore[union-attr]


def test_attempts_are_counted_and_go_back_further(
    watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick(monkeypatch, healthy_lr=0.0)
    with (
        warned(match="guard"),
        pytest.raises(RunFailed, match=r"after going back 2 times: lower method\.d_lr, or continue with --guard off"),
    ):
        list(train(watched(rollbacks=2, keep=4), tmp_path / "run", device="cpu"))
    events = Run(tmp_path / "run").events()
    assert [event.back_to for event in events] == [120, 60, None]
    assert Run(tmp_path / "run").state().startswith("failed: at 200 images the discriminator")
    list(train(watched(guard="off"), tmp_path / "run", device="cpu"))  # its owner wants it so
    assert Run(tmp_path / "run").state() == "finished"


def test_stop_keeps_the_checkpoint_and_the_log(
    watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick(monkeypatch, healthy_lr=5e-4)
    with pytest.raises(RunFailed, match="at 200 images the discriminator suddenly dominates"):
        list(train(watched(guard="stop"), tmp_path / "run", device="cpu"))
    run = Run(tmp_path / "run")
    assert run.records()[-1]["nimg"] == 200 and json.loads(run.journal.file.read_text())[0]["back_to"] is None


def test_before_the_first_checkpoint_it_starts_again(
    watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain_step, fresh = SmallSetGAN.step, {}

    def step(self: SmallSetGAN, batches: Any) -> dict[str, torch.Tensor]:
        if batches.nimg == 0:
            fresh[batches.reshuffles] = {key: value.clone() for key, value in self.G.state_dict().items()}
        scalars = plain_step(self, batches)
        return (
            {**scalars, "g_loss": torch.tensor(float("nan"))}
            if batches.nimg == 40 and not batches.reshuffles
            else scalars
        )

    monkeypatch.setattr(SmallSetGAN, "step", step)
    with warned(match=r"g_loss became nan .*Back to 0 images, with lr × 0.5, d_lr × 0.5"):
        list(train(watched(), tmp_path / "run", device="cpu"))
    assert same_tensors(fresh[0], fresh[1])
    assert Run(tmp_path / "run").records()[-1]["lr"] == 5e-4


def test_a_checkpoint_from_before_the_trouble_is_kept(
    watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stagnation takes six records to be seen, and there is a checkpoint with every record."""
    plain_call = Watch.__call__

    def still(self: Watch, method: SmallSetGAN) -> dict[str, float]:
        halves = method.settings.d_lr is not None
        looks.append(1)
        return {**plain_call(self, method), "movement": 0.0 if len(looks) > 10 and not halves else 0.3}

    looks: list[int] = []
    monkeypatch.setattr(Watch, "__call__", still)
    monkeypatch.setattr(CheckpointScore, "__call__", lambda self, method: float(len(looks)) ** -1)
    with warned(match=r"have not changed for 100 images.* Back to 180 images"):
        list(train(watched(checkpoint_every=20), tmp_path / "run", device="cpu"))
    assert Run(tmp_path / "run").records()[-1]["nimg"] == 400


@pytest.mark.parametrize(("keep", "back_to"), [(2, 180), (6, 100)])
def test_a_slow_slide_is_gone_back_to_the_top_of(
    keep: int, back_to: int, watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as the newest checkpoints reach: diversity slides from 100 images on, and is gone at 200."""
    plain_call = Watch.__call__
    slide = {20: 0.5, 120: 0.6, 140: 0.55, 160: 0.5, 180: 0.4, 200: 0.2, 220: 0.1}

    def sliding(self: Watch, method: SmallSetGAN) -> dict[str, float]:
        looks.append(1)
        return {**plain_call(self, method), "diversity": slide.get(20 * (len(looks) - 1), 0.9)}

    looks: list[int] = []
    monkeypatch.setattr(Watch, "__call__", sliding)
    monkeypatch.setattr(CheckpointScore, "__call__", lambda self, method: float(len(looks)) ** -1)
    with warned(match=rf"samples have become alike.* Back to {back_to} images"):
        list(train(watched(checkpoint_every=20, keep=keep), tmp_path / "run", device="cpu"))


def test_each_side_has_its_own_brake_and_keeps_its_schedule(
    watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick(monkeypatch, healthy_lr=4e-4)
    with warned(match="guard"):
        list(train(watched(schedule={"lr": {"factor": 0}}), tmp_path / "run", device="cpu"))
    last = Run(tmp_path / "run").records()[-1]
    assert (last["lr"], last["d_lr"]) == pytest.approx((5e-5, 2.5e-5))
    assert load(tmp_path / "run", device="cpu").method.changed["lr"] == pytest.approx(5e-5)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_kill_while_going_back_changes_nothing(
    at: int, watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time, to an older checkpoint: killed before, between and after its three parts."""
    sick(monkeypatch, healthy_lr=2.6e-4)
    recipe = watched(keep=4)
    with warned(match="guard"):
        list(train(recipe, tmp_path / "a", device="cpu"))
    assert [event.back_to for event in Run(tmp_path / "a").events()] == [120, 60]

    calls = iter(range(100))

    def killed(owner: type, name: str) -> Callable[..., None]:
        plain: Callable[..., None] = getattr(owner, name)

        def call(self: Any, *args: Any) -> None:
            if next(calls) == 3 + at - 1:
                raise KeyboardInterrupt
            plain(self, *args)

        return call

    with monkeypatch.context() as patch, warned(match="guard"):
        for owner, name in ((GuardJournal, "write"), (Run, "forget_after")):
            patch.setattr(owner, name, killed(owner, name))
        with pytest.raises(KeyboardInterrupt):
            list(train(recipe, tmp_path / "b", device="cpu"))
    list(train(recipe, tmp_path / "b", device="cpu"))
    MESSAGES.texts.clear()  # it may or may not have gone back once more
    assert [event.back_to for event in Run(tmp_path / "b").events()] == [120, 60]
    ends = [Run(tmp_path / name).checkpoints.newest()[0] for name in "ab"]
    assert same_tensors(ends[0].tensors, ends[1].tensors)  # type: ignore[union-attr]


def test_where_a_run_was_stopped_is_nowhere_to_go_back_to(
    watched: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sick(monkeypatch, healthy_lr=5e-4)
    for record in train(watched(), tmp_path / "run", device="cpu"):
        if record["nimg"] == 140:
            break
    assert Run(tmp_path / "run").checkpoints.regular() == [60, 120]
    with warned(match="Back to 120 images"):
        list(train(watched(), tmp_path / "run", device="cpu"))


def test_a_healthy_run_is_not_touched(watched: Callable[..., Recipe], tmp_path: Path) -> None:
    list(train(watched(), tmp_path / "on", device="cpu"))
    list(train(watched(guard="off"), tmp_path / "off", device="cpu"))
    ends = [Run(tmp_path / name).checkpoints.newest()[0] for name in ("on", "off")]
    assert same_tensors(ends[0].tensors, ends[1].tensors)  # type: ignore[union-attr]
    assert not Run(tmp_path / "on").events()
    record = Run(tmp_path / "on").records()[-1]
    assert record.keys() >= {"g_norm", "d_norm", "g_grad_norm", "d_grad_norm", "diversity", "movement"}
