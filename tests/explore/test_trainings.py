"""Starting, continuing and stopping trainings."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ganvas.core.errors import UserError
from ganvas.explore import trainings as module
from ganvas.explore.folder import Folder
from ganvas.explore.trainings import Trainings
from ganvas.runs.run import Run
from tests.cli.test_cli import TINY
from tests.evaluated import make_run
from tests.processes import wait_for

LONG = 10_000_000  # images, which no test waits for


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganvas.explore.folder.FRESH", -1.0)


@pytest.fixture
def trainings(tmp_path: Path) -> Trainings:
    return Trainings(Folder(tmp_path), "cpu")


@pytest.fixture
def words(pictures: Path) -> Callable[[int], list[str]]:
    """The changes of a recipe that trains on a few pictures."""

    def make(images: int) -> list[str]:
        return [f"data.name={pictures}", f"train.images={images}", "train.disk_budget=20MB", *TINY]

    return make


def wait(trainings: Trainings, name: str) -> int:
    """Wait for the end of a training: its exit code."""
    return trainings._started[name].process.wait(300)


def test_a_training_is_started_stopped_and_continued(
    trainings: Trainings, words: Callable[[int], list[str]], tmp_path: Path
) -> None:
    trainings.start("one", "strokes-cdcgan", words(LONG))
    assert [(item["name"], item["state"]) for item in trainings.news()] == [("one", "starting")]
    with pytest.raises(UserError, match="already"):
        trainings.start("one", "strokes-cdcgan", words(LONG))
    run = Run(tmp_path / "one")
    wait_for(lambda: run.is_run() and bool(run.records()))
    assert trainings.news() == []
    with pytest.raises(UserError, match="already being trained"):
        trainings.resume("one")
    trainings.stop("one")
    assert wait(trainings, "one") == module.STOPPED
    assert run.state() == "stopped"
    assert trainings.news() == []
    with pytest.raises(UserError, match="is not being trained"):
        trainings.stop("one")

    seen = run.records()[-1]["nimg"]
    with pytest.raises(UserError, match=f"already seen {seen:,} images"):
        trainings.resume("one", seen)
    trainings.resume("one", seen + 40)
    assert wait(trainings, "one") == 0, (tmp_path / "one.log").read_text()
    assert run.state() == "finished"
    assert run.records()[-1]["nimg"] == seen + 40
    assert (tmp_path / "one.log").read_text().count("$ ganvas train") == 2


def test_a_training_that_fails_says_why(
    trainings: Trainings, pictures: Path, words: Callable[[int], list[str]], tmp_path: Path
) -> None:
    shutil.copytree(pictures / "across", tmp_path / "unlabelled")
    trainings.start("two", "strokes-cdcgan", [*words(240), f"data.name={tmp_path / 'unlabelled'}"])
    assert wait(trainings, "two") == 2
    (failed,) = trainings.news()
    assert (failed["name"], failed["state"], failed["log"]) == ("two", "failed", "two.log")
    assert failed["reason"].startswith("method.conditional needs labelled data")
    assert not (tmp_path / "two").exists()
    trainings.dismiss("two")
    assert trainings.news() == []


@pytest.fixture
def launched(trainings: Trainings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of trainings that would have been started."""
    names: list[str] = []
    monkeypatch.setattr(trainings, "_launch", lambda name, *_: names.append(name))
    return names


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../up", "a/b", "a\\b", "/tmp/x", "~", "-x", ".hidden", "a.", "a ", "a\nb", "a\0b", "con"),
        *("NUL.txt", "x" * 81, "<b>", "a:b", "a*", "\u202eabc", "`id`", "$(id)", "a;b", "there"),
    ],
)
def test_names_that_are_none_of_a_new_folder(
    trainings: Trainings, launched: list[str], words: Callable[[int], list[str]], tmp_path: Path, name: str
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError) as refused:
        trainings.start(name, "strokes-cdcgan", words(240))
    assert "\n" not in str(refused.value)
    assert not launched


@pytest.mark.parametrize("name", ["run", "größe 2", "a.b-c_d+e=f", "0"])
def test_names_of_new_folders(
    trainings: Trainings, launched: list[str], words: Callable[[int], list[str]], name: str
) -> None:
    trainings.start(name, "strokes-cdcgan", words(240))
    assert launched == [name]


def test_what_is_wrong_is_said_before_anything_starts(
    trainings: Trainings, launched: list[str], words: Callable[[int], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    for word, message in (
        ("method.lr=-1", "setting 'method.lr' is -1"),
        (f"data.name={tmp_path / 'nowhere'}", "there is no folder or file"),
        (f"data.name={tmp_path / 'empty'}", "empty"),
        ("data.name=mnits", "did you mean 'mnist'"),
    ):
        with pytest.raises(UserError, match=message):
            trainings.start("new", "strokes-cdcgan", [*words(240), word])
    assert not launched


def test_a_folder_that_is_a_run_takes_no_others(tmp_path: Path, words: Callable[[int], list[str]]) -> None:
    make_run(tmp_path / "run")
    with pytest.raises(UserError, match="is itself a run"):
        Trainings(Folder(tmp_path / "run")).start("new", "strokes-cdcgan", words(240))


def test_only_a_few_at_a_time(
    trainings: Trainings, words: Callable[[int], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 0)
    with pytest.raises(UserError, match="stop one, or wait"):
        trainings.start("one", "strokes-cdcgan", words(240))


def test_the_output_never_goes_through_a_link(
    trainings: Trainings, words: Callable[[int], list[str]], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "one.log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"one\.log"):
        trainings.start("one", "strokes-cdcgan", words(240))
    assert (tmp_path / "elsewhere").read_text() == "mine"


def test_unknown_runs_are_neither_stopped_nor_continued(trainings: Trainings) -> None:
    for name in ("nothing", "../up", "/"):
        with pytest.raises(UserError, match="there is no run"):
            trainings.stop(name)
        with pytest.raises(UserError, match="there is no run"):
            trainings.resume(name)
