"""The command line as a user meets it: in this process for speed, and as a real process where that matters."""

import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from cyclopts import App
from PIL import Image
from rich.console import Console

from ganvas import cli
from ganvas.cli import common
from ganvas.core import images
from ganvas.networks.kernels import SWITCH
from ganvas.painting import video_files
from ganvas.painting.paint import load_painting
from ganvas.runs.run import Run
from tests.evaluated import make_run

NO_FIGURES = ["--disk-budget", "20MB"]  # has no room for them, and they take longer than a short training
TINY = ["network.base=8", "train.batch_size=20", "train.log_every=40"]


def ganvas(*words: object) -> int:
    """Run the command line in this process; the exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in words])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "run"
    words = ["train", "strokes-cdcgan", "--data", pictures, "--out", path, "--images", 240, "--device", "cpu"]
    assert ganvas(*words, "--set", *TINY) == 0
    return path


def test_train_names_pictures_that_exist(pictures: Path, tmp_path: Path) -> None:
    words = ["train", "strokes-cdcgan", "--data", str(pictures), "--out", str(tmp_path / "run"), "--epochs", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "ganvas", *words, "--seed", "3", "--device", "cpu", "--set", *TINY],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    named = [Path(line.split("  (")[0].strip()) for line in done.stdout.splitlines() if line.startswith("  ")]
    assert len(named) >= 4
    assert all(file.is_file() for file in named)
    recipe = Run(tmp_path / "run").recipe()
    assert (recipe.train.epochs, recipe.train.seed, recipe.network.model_dump()["base"]) == (2, 3, 8)


def test_the_same_command_again_says_finished(pictures: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "strokes-cdcgan", "--data", pictures, "--out", run, "--images", 240, "--device", "cpu"]
    assert ganvas(*words, "--set", *TINY) == 0
    shown = capsys.readouterr().out
    assert "is already finished (240 images): to continue, give a larger --epochs or --images." in shown


def test_samples_as_grid_arrays_and_files(run: Path, tmp_path: Path) -> None:
    assert ganvas("sample", run, "--n", 7, "--seed", 5, "--out", tmp_path / "grid.png") == 0
    assert ganvas("sample", run, "--n", 7, "--seed", 5, "--out", tmp_path / "a.npz") == 0
    assert ganvas("sample", run, "--n", 7, "--seed", 5, "--label", "slanted", "--out", tmp_path / "folder") == 0
    with np.load(tmp_path / "a.npz") as file:
        arrays = dict(file)
    assert arrays["images"].shape == (7, 16, 16, 1)
    assert arrays["images"].dtype == np.uint8
    assert arrays["labels"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert arrays["seeds"].tolist() == list(range(5, 12))
    assert json.loads(str(arrays["recipe"]))["checkpoint"]
    _, recipe = images.load_png(tmp_path / "grid.png")
    assert recipe is not None
    assert recipe["seeds"] == list(range(5, 12))
    assert recipe["nimg"] == 240
    files = sorted((tmp_path / "folder").iterdir())
    assert [file.name for file in files] == [f"{seed:06d}-slanted.png" for seed in range(5, 12)]
    assert (images.load_png(files[2])[0] == arrays["images"][2]).all()  # seed 7, whose turn is class 2


def test_steps_of_functional_gradients(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = [
        "network.base=4",
        "method.steps=3",
        "method.pool=40",
        "train.batch_size=20",
        "train.schedule={}",
        "data.size=16",
    ]
    words = ["--data", pictures, "--images", 120, "--device", "cpu", "--guard", "stop", *NO_FIGURES, "--set", *small]
    assert ganvas("train", "mnist-cfg-dcgan", "--out", tmp_path / "run", *words) == 0
    assert Run(tmp_path / "run").recipe().train.guard == "stop"
    for steps, shape in (("0-3", (4 * 18 + 2, 5 * 18 + 2)), ("2", None)):
        assert ganvas("sample", tmp_path / "run", "--n", 5, "--steps", steps, "--out", tmp_path / "s.png") == 0
        recipe = images.load_png(tmp_path / "s.png")[1]
        assert recipe["steps"] == ([0, 1, 2, 3] if shape else 2)
    for words, message in (
        (["--steps", "4"], "0 to 3"),
        (["--steps", "x"], "cannot read the steps"),
        (["--steps", "0-3", "--out", tmp_path / "s.npz"], ".png"),
    ):
        assert ganvas("sample", tmp_path / "run", *words) == 2
        assert message in capsys.readouterr().err


def test_plot_draws_png_and_svg(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ganvas("plot", run) == 0
    named = [Path(line) for line in capsys.readouterr().out.split()]
    assert {file.name for file in named} == {
        f"{figure}.{ending}"
        for figure in ("losses", "monitors", "confidence", "score", "epochs")
        for ending in ("png", "svg")
    }
    assert all(file.stat().st_size > 1000 for file in named)


def test_plot_draws_several_runs_together(
    run: Path, painter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ganvas("plot", run, painter, "--at", "60,240", "--out", tmp_path / "both") == 0
    named = [Path(line) for line in capsys.readouterr().out.split()]
    assert named == [
        tmp_path / "both" / f"{name}.{kind}" for name in ("balance", "quantities", "sheets") for kind in ("png", "svg")
    ]
    assert all(file.stat().st_size > 1000 for file in named)


def test_a_missing_extra_is_named(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ["--data", pictures, "--grid", "method.lr=1", "--on", "ray", "--out", tmp_path / "s"]
    assert ganvas("sweep", "strokes-cdcgan", *words) == 2
    assert "pip install 'ganvas[ray]'" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_runs_lists_state_and_score(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ganvas("runs", run.parent) == 0
    shown = capsys.readouterr().out
    assert "finished" in shown
    assert "240" in shown
    assert f"{Run(run).records()[-1]['score']:.4f}" in shown


def test_recipes_are_listed_and_shown_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert ganvas("recipes") == 0
    assert "mnist-mlp-gan" in capsys.readouterr().out
    assert ganvas("recipes", "mnist-cdcgan") == 0
    shown = capsys.readouterr().out
    assert "method.beta1" in shown
    assert re.search(r"method\.d_lr +none ", shown) and re.search(r"method\.conditional +true ", shown)
    assert "learning rate of G, and" in shown


def test_info_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert ganvas("info", "--device", "cpu") == 0
    shown = capsys.readouterr().out
    assert "bf16" in shown
    assert "fused Adam" in shown


def test_data_check_counts_classes(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ganvas("data", "check", pictures) == 0
    shown = capsys.readouterr().out
    assert "across" in shown
    assert "60" in shown


def test_data_check_of_many_classes_prints_first_and_times_a_network_without_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The label planes of thousands of classes would take minutes and gigabytes."""
    for number in range(1_200):
        folder = tmp_path / "set" / f"person {number}"
        folder.mkdir(parents=True)
        Image.new("L", (8, 8), number % 256).save(folder / "1.png")
    printed, classes = "", None

    def seconds_per_image(_: object, spec: images.ImageSpec) -> float:
        nonlocal printed, classes
        printed, classes = capsys.readouterr().out, spec.num_classes
        return 0.001

    monkeypatch.setattr("ganvas.training.timing.seconds_per_image", seconds_per_image)
    assert ganvas("data", "check", tmp_path / "set") == 0
    assert "1,200 images, used as 8 x 8 grey" in printed and "... 1,170 more" in printed
    assert classes == 0
    assert capsys.readouterr().out == "one epoch: about 1 s, with a DCGAN of 64 base filters on this machine\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], 'Did you mean "train"?'),
        (["train"], "recipe"),
        (["train", "mnist-cdcgam"], "did you mean 'mnist-cdcgan'?"),
        (["train", "nowhere.toml"], "cannot read the recipe 'nowhere.toml'"),
        (["train", "strokes-cdcgan", "--seeed", "1"], "--seed"),
        (["train", "strokes-cdcgan", "--epochs", "many"], "--epochs"),
        (["train", "strokes-cdcgan", "--epochs", "0"], "train.epochs"),
        (["train", "strokes-cdcgan", "--images", "-5"], "train.images"),
        (["train", "strokes-cdcgan", "--set", "method.lrr=1"], "did you mean 'lr'?"),
        (["train", "strokes-cdcgan", "--set", "methd.lr=1"], "did you mean 'method'?"),
        (["train", "strokes-cdcgan", "--set", "method.lr"], "section.key=value"),
        (["train", "strokes-cdcgan", "--set", "method=3"], "'method' is a section"),
        (["train", "strokes-cdcgan", "--set", f"train.seed={'9' * 5000}"], "setting 'train.seed'"),
        (["train", "mnist-residual-cppn", "--set", "network.blocks=1000000000"], "setting 'network.blocks'"),
        (["train", "cifar10-wgan-gp-resnet", "--set", "network.g_blocks=1000000000"], "setting 'network.g_blocks'"),
        (["paint", "--random", "tanh:999999x64"], "random.layers' is 999999"),
        *(
            ([*words, "~nobodyhasthis/x"], "~nobodyhasthis/x")
            for words in (["sample"], ["paint"], ["plot"], ["compare"], ["evaluate"], ["neighbours"], ["runs"])
        ),
        (["train", "~nobodyhasthis/x.toml"], "cannot read the recipe '~nobodyhasthis/x.toml'"),
        (["train", "strokes-cdcgan", "--data", "~nobodyhasthis/x"], "~nobodyhasthis/x"),
        (["train", "strokes-cdcgan", "--data-dir", "~nobodyhasthis/x"], "~nobodyhasthis/x"),
        (["paint", "--like", "~nobodyhasthis/x.png"], "~nobodyhasthis/x.png"),
        (["morph", "--like", "~nobodyhasthis/x.gif"], "~nobodyhasthis/x.gif"),
        (["data", "check", "~nobodyhasthis/x"], "~nobodyhasthis/x"),
        (["train", "strokes-cdcgan", "--set", "data=mnist"], "'data' is a section"),
        (["train", "strokes-cdcgan", "--set", "network.name=[1]"], "unknown network '[1]'"),
        (["train", "strokes-cdcgan", "--set", "method.beta1=1"], "method.beta1"),
        (["train", "strokes-cdcgan", "--seed", "-3"], "train.seed"),
        (["train", "strokes-cdcgan", "--data-dir", "nowhere"], "nowhere"),
        (["data", "check", "strokes", "--set", "data=3"], "'data' is a section"),
        (["train", "strokes-cdcgan", "--set", "method.lr=fast"], "method.lr"),
        (["train", "strokes-cdcgan", "--set", "method.name=gam"], "did you mean 'gan'?"),
        (["train", "strokes-cdcgan", "--set", "network.name=dcgam"], "did you mean 'dcgan'?"),
        (["train", "strokes-cdcgan", "--data", "strks"], "did you mean 'strokes'?"),
        (["train", "strokes-cdcgan", "--data", "no/such/folder/"], "no/such/folder"),
        (["train", "strokes-cdcgan", "--device", "gpu9"], "gpu9"),
        (["train", "strokes-cdcgan", "--precision", "fp8"], "fp8"),
        (["sweep", "strokes-cdcgan"], "either --grid method.g_steps=1,2,4 or --search"),
        (["sweep", "strokes-cdcgan", "--grid", "method.lr=1", "--search", "method.lr=1..2"], "either --grid"),
        (["sweep", "strokes-cdcgan", "--grid", "method.g_step=1,2"], "did you mean 'g_steps'?"),
        (["sweep", "strokes-cdcgan", "--grid", "method.lr=1e-5..1e-3"], "ranges are for --search"),
        (["sweep", "strokes-cdcgan", "--grid", "method.lr=1", "--trials", "3"], "--trials is for --search"),
        (["sweep", "strokes-cdcgan", "--search", "method.lr=1..2", "--trials", "0"], "--trials is 0"),
        (["sweep", "strokes-cdcgan", "--grid", "method.lr=1", "--samples", "5"], "--samples is 5"),
        (["sweep", "strokes-cdcgan", "--grid", "method.lr=1", "--data", "strks"], "did you mean 'strokes'?"),
        (["sample", "no-run"], "does not exist"),
        (["plot", "no-run"], "does not exist"),
        (["plot"], "name the folder of a run, or of several"),
        (["plot", "no-run", "--at", "100"], "--at and --out are for the figures of several runs"),
        (["plot", "no-run", "none", "--at", "x"], "cannot read the images seen 'x'"),
        (["runs", "no-folder"], "no-folder"),
        (["recipes", "faces"], "choose one of: cifar10-cfg-dcgan, cifar10-cfg-resnet"),
        (["data", "check", "strokse"], "did you mean 'strokes'?"),
        (["data", "chek", "strokes"], "check"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ganvas(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--label", "9"], "there is no label '9': this run has across, down, slanted"),
        (["--checkpoint", "77"], "last, best or one of"),
        (["--n", "0"], "1 or more"),
        (["--n", "99999999999"], "99,999,999,999 samples take"),
        (["--seed", "-1"], "a seed of 0 or more"),
        (["--label", "²"], "there is no label"),
        (["--checkpoint", "²"], "last, best or one of"),
        (["--out", "x.gif"], "'.gif'"),
    ],
)
def test_a_mistake_in_sampling_is_one_line(
    run: Path,
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ganvas("sample", run, *words) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_log_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "run"
    empty.mkdir()
    for name in ("run.json", "recipe.toml"):
        (empty / name).write_bytes((run / name).read_bytes())
    assert ganvas("plot", empty) == 2
    assert ganvas("sample", empty) == 2
    (empty / "run.json").write_text("{")
    assert ganvas("sample", empty) == 2
    assert capsys.readouterr().err.count("\n") == 3


def commands(app: App, *before: str) -> Iterator[list[str]]:
    """The words of every command of a program, of those with sub-commands as well."""
    for word in app:
        if not word.startswith("-"):
            yield from [[*before, word]] if app[word].default_command else commands(app[word], *before, word)


def test_every_command_is_found() -> None:
    found = [" ".join(words) for words in commands(cli.app)]
    assert {"train", "sample", "paint", "evaluate", "neighbours", "data check", "evaluator list"} <= {*found}


@pytest.mark.parametrize("command", list(commands(cli.app)), ids=" ".join)
def test_every_option_is_explained(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert ganvas(*command, "--help") == 0
    assert command[-1] in capsys.readouterr().out
    app = cli.app
    for word in command:
        app = app[word]
    for argument in app.assemble_argument_collection(parse_docstring=True):
        if argument.name != "*":  # a group, whose members come as well
            assert argument.parameter.help, f"{argument.name} has no help line"


def test_json_of_a_run_is_readable(run: Path) -> None:
    assert json.loads((run / "run.json").read_text())["recipe"] == "strokes-cdcgan"


# -- evaluate and compare ---------------------------------------------------------------------------------------------


def test_evaluate_shows_scores_beside_references(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        ganvas("evaluate", run, "--n", 100, "--checkpoint", "last", "--device", "cpu", "--json", tmp_path / "e.json")
        == 0
    )
    shown = capsys.readouterr().out
    for word in ("KID ↓", "recall ↑", "noise", "mean", "FID: FID needs 2,000 images", "100 samples"):
        assert word in shown, word
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["scores"]["kid"]["error"] > 0
    assert len(list((run / "evaluations").iterdir())) == 1


def test_compare_writes_every_format(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ganvas("evaluate", run, "--n", 100, "--checkpoint", "last", "--device", "cpu") == 0
    files = {kind: tmp_path / f"out.{kind}" for kind in ("html", "csv", "markdown", "json")}
    words = [word for kind, file in files.items() for word in (f"--{kind}", file)]
    capsys.readouterr()
    assert ganvas("compare", run, *words) == 0
    shown = capsys.readouterr().out
    assert "240" in shown and "KID" in shown
    assert all(str(file) in shown for file in files.values())
    assert files["html"].read_text().startswith("<!DOCTYPE html>")
    assert files["csv"].read_text().startswith("protocol,")
    assert "| run |" in files["markdown"].read_text()
    assert json.loads(files["json"].read_text())["tables"]


def test_mistakes_in_evaluations_are_one_line(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in (
        (["evaluate", run, "--n", "5"], "5 samples are too few to score"),
        (["evaluate", run, "--n", "99999999999"], "99,999,999,999 samples take"),
        (["evaluate", run, "--evaluator", "~nobodyhasthis/x.safetensors"], "~nobodyhasthis"),
        (["evaluate", run, "--n", "100", "--json", tmp_path], "is a folder: give the name of a file"),
        (["compare", run, "--csv", tmp_path / "new.csv", "--json", tmp_path], "is a folder: give the name of a file"),
        (["evaluate", run, "--evaluator", "cifar"], "did you mean 'cifar10'"),
        (["evaluate", run, "--split", "test", "--n", "100"], "has no test split"),
        (["compare"], "name the folders of one or more runs"),
        (["compare", tmp_path / "nothing"], "does not exist"),
        (["evaluator", "train", "--data", pictures / "across"], "has no labels"),
        (["evaluator", "train", "--data", pictures, "--set", "epoch=3"], "did you mean 'epochs'"),
    ):
        assert ganvas(*words) == 2
        error = capsys.readouterr().err
        assert message in error, error
        assert len(error.strip().splitlines()) == 1


def test_an_evaluator_of_ones_own(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bars.safetensors"
    quick = ["widths=[8,8,16]", "epochs=3", "batch_size=18", "shift=1"]
    words = ["evaluator", "train", "--data", pictures, "--device", "cpu", "--out", file]
    assert ganvas(*words, "--set", *quick) == 0
    shown = capsys.readouterr().out
    assert f"{file}: trained on 54 images" in shown and "held out" in shown
    assert ganvas(*words, "--set", *quick) == 0  # there already
    assert capsys.readouterr().out == shown
    assert ganvas("evaluator", "list") == 0
    assert "digits" in capsys.readouterr().out


# ---- painting ----

PAINTS = ["network.width=4", "network.blocks=2", "train.batch_size=20", "network.encoder_width=16"]


@pytest.fixture(scope="module")
def painter(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("painter") / "run"
    words = ["train", "mnist-residual-cppn", "--data", pictures, "--out", path, "--images", 60, "--device", "cpu"]
    assert ganvas(*words, "--set", *PAINTS) == 0
    for figure in ("accuracies", "kl", "steps", "losses"):
        assert (path / "figures" / f"{figure}.png").is_file()
    return path


def test_a_poster_a_sheet_and_a_folder(painter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ganvas("paint", painter, "--seed", 3, "--size", "60x40", "--out", tmp_path / "a.png") == 0
    assert "a.png  (60x40)" in capsys.readouterr().out
    assert ganvas("paint", painter, "--seeds", "0-3", "--size", 30, "--sheet", "--out", tmp_path / "sheet.png") == 0
    assert "sheet.png  (63x63)" in capsys.readouterr().out
    words = ["--labels", "down,across", "--seeds", "0-4", "--size", 30, "--sheet"]
    assert ganvas("paint", painter, *words, "--out", tmp_path / "classes.png") == 0
    assert "classes.png  (156x63)" in capsys.readouterr().out  # a row for each
    assert ganvas("paint", painter, "--label", "down,1", "--size", 8, "--out", tmp_path / "two") == 0
    assert sorted(file.name for file in (tmp_path / "two").iterdir()) == ["000-down-seed-0.png", "001-1-seed-0.png"]


def test_like_repeats_and_changes(painter: Path, tmp_path: Path) -> None:
    first, second, larger = (tmp_path / name for name in ("a.png", "b.png", "c.tif"))
    words = ["--scale", 12, "--center", "-1,0.5", "--zoom", 2, "--supersample", 2, "--palette", "magma"]
    assert ganvas("paint", painter, "--label", "across", "--size", 20, *words, "--out", first) == 0
    assert ganvas("paint", "--like", first, "--out", second) == 0
    assert first.read_bytes() == second.read_bytes()
    assert ganvas("paint", "--like", first, "--size", 39, "--bits", 16, "--out", larger) == 0
    view = load_painting(larger).view
    assert (view.width, view.scale, view.center, view.zoom) == (39, 12, (-1, 0.5), 2)


def test_a_run_in_a_folder_whose_name_is_no_utf8(painter: Path, pictures: Path, tmp_path: Path) -> None:
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/r\xff"))
    shutil.copytree(painter, place)
    image = place / "i\udcfe.png"
    shutil.copy(pictures / "down" / "00.png", image)
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    assert ganvas("paint", place, "--image", image, "--size", 9, "--out", a) == 0
    assert ganvas("paint", place, "--like", a, "--out", b) == 0
    assert a.read_bytes() == b.read_bytes()
    assert ganvas("encode", place, image, "--out", tmp_path / "z.npz") == 0
    assert ganvas("evaluate", place, "--n", 100, "--device", "cpu", "--json", tmp_path / "e.json") == 0
    assert ganvas("compare", place, *(w for kind in ("html", "csv", "markdown", "json") for w in (f"--{kind}", b))) == 0


def test_random_art(tmp_path: Path) -> None:
    art = ["paint", "--random", "tanh:8x64", "--std", 0.6, "--size", 20]
    assert ganvas(*art, "--seed", 3, "--out", tmp_path / "a.png") == 0
    assert ganvas(*art, "--seeds", "0-3", "--sheet", "--out", tmp_path / "sheet.png") == 0
    assert load_painting(tmp_path / "sheet.png").subjects[3].painter.origin.weights == 3


def test_morphs(painter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--frames", 6, "--size", 16, "--ease", "sine", "--loop", "--out", tmp_path / "a.gif"]
    assert ganvas("morph", painter, "--labels", "down,across", *words) == 0
    assert "a.gif  (6 frames of 16x16)" in capsys.readouterr().out
    words = ["--frames", 5, "--size", 16, "--zoom-from", 0.5, "--zoom-to", 8, "--out", tmp_path / "b.webp"]
    assert ganvas("morph", "--random", "tanh:3x8", "--seeds", "1,5", *words) == 0
    recipe = json.loads(video_files.read_recipe(tmp_path / "b.webp"))["morph"]
    assert (recipe["view"]["zoom"], recipe["zoom_to"], recipe["origin"]["weights"]) == (0.5, 8, 0)
    assert ganvas("morph", "--like", tmp_path / "a.gif", "--out", tmp_path / "again.gif") == 0
    views = ["--views", "0,0,1 -1.5,2,40"]
    assert (
        ganvas("morph", "--random", "tanh:3x8", "--seeds", "1,5", *words[:4], *views, "--out", tmp_path / "c.webp") == 0
    )
    recipe = json.loads(video_files.read_recipe(tmp_path / "c.webp"))["morph"]
    assert recipe["places"] == [{"center": [0, 0], "zoom": 1}, {"center": [-1.5, 2], "zoom": 40}]
    assert (tmp_path / "again.gif").read_bytes() == (tmp_path / "a.gif").read_bytes()
    assert ganvas("morph", "--like", tmp_path / "b.webp", "--size", 24, "--out", tmp_path / "larger.webp") == 0
    recipe = json.loads(video_files.read_recipe(tmp_path / "larger.webp"))["morph"]
    assert (recipe["view"]["width"], recipe["frames"]) == (24, 5)


def test_encoding_to_a_file_and_painting_from_it(painter: Path, pictures: Path, tmp_path: Path) -> None:
    chosen = [pictures / "down" / "00.png", pictures / "across" / "01.png"]
    assert ganvas("encode", painter, *chosen, "--out", tmp_path / "z.npz") == 0
    with np.load(tmp_path / "z.npz") as file:
        saved = dict(file)
    assert saved["z"].shape == (2, 32) and saved["files"].tolist() == [str(file) for file in chosen]
    assert ganvas("paint", painter, "--z", tmp_path / "z.npz", "--size", 9, "--out", tmp_path / "folder") == 0
    assert len(list((tmp_path / "folder").iterdir())) == 2
    assert ganvas("paint", painter, "--image", chosen[0], "--size", 9, "--out", tmp_path / "b.png") == 0


def test_films_and_latents_of_a_run_without_pixel_network(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--frames", 4, "--size", 32, "--ease", "sine", "--loop", "--spherical", "--out", tmp_path / "a.gif"]
    assert ganvas("morph", run, "--labels", "down,across", *words) == 0
    assert "a.gif  (4 frames of 32x32)" in capsys.readouterr().out
    assert ganvas("morph", run, "--training", "--out", tmp_path / "training.gif") == 0
    image = pictures / "down" / "00.png"
    assert ganvas("encode", run, image, "--search", 3, "--label", "down", "--out", tmp_path / "z.npz") == 0
    said = capsys.readouterr().out
    assert f"{image}  down  error 0." in said and "z-redrawn.png  (original | from its latent)" in said
    assert ganvas("sample", run, "--z", tmp_path / "z.npz", "--out", tmp_path / "one") == 0
    (drawn,) = (tmp_path / "one").iterdir()
    picture, factor = images.load_png(tmp_path / "z-redrawn.png")[0], 640 // 38 + 1
    np.testing.assert_array_equal(picture[::factor, ::factor][2:18, 20:36], images.load_png(drawn)[0])
    assert ganvas("morph", run, "--z", tmp_path / "z.npz") == 2
    assert "does not move" in capsys.readouterr().err


def test_mistakes_in_painting(
    run: Path, painter: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    art = tmp_path / "art.png"
    assert ganvas("paint", "--random", "tanh:2x4", "--size", 8, "--out", art) == 0
    for words, message in (
        (["paint", run], "network.name=cppn"),
        (["paint"], "--random tanh:8x64"),
        (["paint", painter, "--random", "tanh"], "--random tanh:8x64"),
        (["paint", painter, "--label", "up"], "there is no label 'up'"),
        (["paint", painter, "--label", "down", "--z", "z.npz"], "--label does nothing with --z"),
        (["paint", painter, "--seeds", "0-3"], "use --sheet, or --out with a folder"),
        (["paint", painter, "--zoom", 0], "a zoom of 0"),
        (["paint", painter, "--zoom", "inf"], "a zoom of inf"),
        (["paint", painter, "--size", "big"], "write 1080"),
        (["paint", painter, "--labels", ""], "there is no label ''"),
        (["paint", painter, "--columns", 0, "--sheet"], "1 or more"),
        (["paint", painter, "--like", art], "random network, which needs no run: leave out"),
        (["paint", "--random", "tanh:2x9999999999999999999"], "write it as tanh:8x64"),
        (["paint", painter, "--columns", 2], "--columns does nothing without --sheet"),
        (["paint", painter, "--seed", 1, "--data-dir", tmp_path], "--data-dir does nothing without --label"),
        (["morph", "--like", tmp_path / "a.gif", "--frames", 3], "change a film --like"),
        (["paint", painter, "--std", 0.5], "--std does nothing without --random"),
        (["paint", painter, "--invert"], "--invert does nothing without --image"),
        (["paint", "--like", "x.png", "--checkpoint", "best"], "--checkpoint does nothing with --like"),
        (["paint", "--random", "tanh", "--checkpoint", "last"], "--checkpoint does nothing with --random"),
        (["paint", painter, "--size", 0], "1 or more"),
        (["paint", "--like", "x.png", "--seed", 5], "--seed does nothing with --like"),
        (["paint", "--like", "x.png", "--truncation", 0], "--truncation does nothing with --like"),
        (["paint", painter, "--weights", 0], "--weights does nothing without --random"),
        (["paint", "--random", "tanh", "--label", 5], "--label does nothing with --random"),
        (["morph", painter, "--seed", 5], "does not move"),
        (["morph", painter, "--zoom-to", 0], "above 0"),
        (["morph", painter, "--zoom-from", 2, "--zoom", 3], "choose one"),
        (["paint", painter, "--palette", "inkk"], "did you mean 'ink'"),
        (["paint", painter, "--out", tmp_path / "a.jpg"], ".png"),
        (["paint", "--like", pictures / "down" / "00.png"], "was not painted by ganvas"),
        (["paint", painter, "--z", tmp_path / "none.npy"], "none.npy"),
        (["morph", painter, "--seeds", "1,2,3", "--frames", 2], "frames"),
        (["morph", painter, "--seeds", "1,2", "--views", "0,0,1"], "as many views, not 1"),
        (["morph", painter, "--seeds", "1,2", "--views", "0,0 1"], "write x,y,zoom, for example 1.5,-2,40"),
        (["morph", painter, "--seeds", "1,2", "--views", "0,0,1 0,0,2", "--zoom", 2], "leave out the other options"),
        (["morph", painter, "--seeds", "1,2", "--views", "0,0,1 0,0,0"], "the last number, is above 0"),
        (["morph", painter, "--seeds", "1,2", "--out", tmp_path / "a.avi"], ".mp4"),
        (["morph", run, "--seeds", "1,2", "--zoom", 2], "--zoom does nothing for"),
        (["morph", run, "--seeds", "1,2", "--views", "0,0,1 0,0,2"], "--views does nothing for"),
        (["morph", run, "--seeds", "1,2", "--size", 24], "a whole multiple as the size, such as 32x32, not 24x24"),
        (["morph", run, "--seeds", "1,2", "--steps", 2], "draws an image in one step"),
        (["morph", run, "--image", pictures / "down" / "00.png"], "`ganvas encode` searches for them"),
        (["morph", run, "--training", "--seed", 1], "--seed does nothing with --training"),
        (["morph", run, "--training", "--tile"], "--tile does nothing with --training"),
        (["morph", run, "--training", "--ease", "sine"], "--ease does nothing with --training"),
        (["morph", "--training"], "name the folder of the run"),
        (["sample", run, "--z", "z.npz", "--seed", 0], "do nothing with --z"),
        (["encode", run, pictures / "down" / "00.png", "--label", "up"], "there is no label 'up'"),
        (["encode", run, pictures / "down" / "00.png", "--search", 0], "ask for 1 or more"),
        (["encode", painter, pictures / "down" / "00.png", "--label", 1], "leave out --label"),
        (["encode", painter, tmp_path / "none.png"], "none.png"),
        (["encode", painter, pictures / "down" / "00.png", "--out", "z.txt"], ".npz"),
        (["train", "mnist-residual-cppn", "--data", pictures / "down", "--out", tmp_path / "r"], "cppn_vae_gan"),
    ):
        assert ganvas(*words) == 2, words
        said = [line for line in capsys.readouterr().err.strip().splitlines() if not line.startswith("note:")]
        assert len(said) == 1 and message in said[0], (words, said)
    assert list(tmp_path.iterdir()) == [art]


@pytest.mark.parametrize("kind", ["residual", "softplus"])
def test_a_missing_kernel_is_noted_where_it_would_serve(
    kind: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(SWITCH, "off")
    small = ["train.batch_size=20", "network.width=4", "network.encoder_width=16", f"network.kind={kind}"]
    words = ["--data", pictures, "--images", 20, "--device", "cpu", *NO_FIGURES, "--set", *small]
    assert ganvas("train", "mnist-residual-cppn", "--out", tmp_path / "run", *words) == 0
    assert ganvas("paint", tmp_path / "run", "--size", 9, "--device", "cpu", "--out", tmp_path / "a.png") == 0
    notes = [line for line in capsys.readouterr().err.splitlines() if "without the compiled kernel" in line]
    assert len(notes) == 2
    assert (
        ganvas("paint", "--random", f"{kind}:1x300", "--size", 9, "--device", "cpu", "--out", tmp_path / "b.png") == 0
    )
    wide = [line for line in capsys.readouterr().err.splitlines() if "without the compiled kernel" in line]
    assert not wide  # PyTorch is as fast


def test_what_strangers_write_is_shown_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('name = "[/]x"\ndescription = "[link=http://a.b]c[/link] \\u001b[31md\\ne"\n')
    assert ganvas("recipes", file) == 0
    assert r"[/]x: [link=http://a.b]c[/link] \x1b[31md\ne" in capsys.readouterr().out
    run = make_run(tmp_path / "a\x1b[31m\n[b]")
    assert ganvas("runs", tmp_path) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert r"\n[b]" in "".join(shown.split())
    assert ganvas("sample", run.path) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_what_strangers_write_does_not_reach_a_terminal(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither as markup, in the progress bar of training, nor as what controls the terminal."""
    said = io.StringIO()
    monkeypatch.setattr(common, "err", Console(file=said, force_terminal=True, width=200, highlight=False))
    (tmp_path / "recipe.toml").write_text('name = "[/][link=http://a.b]c\\u001b[31m"\n[network]\nname = "mlp"\n')
    words = ["train", tmp_path / "recipe.toml", "--data", pictures, "--images", 20, "--device", "cpu", *NO_FIGURES]
    assert ganvas(*words, "--out", tmp_path / "run", "--set", "train.batch_size=20") == 0
    shown = said.getvalue()
    assert "[/][link=http://a.b]c" in shown
    assert "\x1b]8" not in shown and "c\x1b[31m" not in shown


def test_names_of_classes_and_files_stay_on_their_line(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(pictures / "across", tmp_path / "set" / "a\x1b[31m\n[b]")
    shutil.copytree(pictures / "down", tmp_path / "set" / "b")
    (tmp_path / "set" / "b" / "c\x1b[31m\n.png").write_bytes(b"no image")
    assert ganvas("data", "check", tmp_path / "set") == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert r"a\x1b[31m\n[b] (20), b (20)" in shown
    assert r"c\x1b[31m\n.png: not an image" in shown


def test_a_damaged_run_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ganvas.cli.looking.out", Console(width=500, highlight=False))
    make_run(tmp_path / "sound")
    for name, content in (
        ("a", "{"),
        ("b", '{"started": "2026-11-22T10:00:00"}'),
        ("c", "[" * 5000),
        ("d", "9" * 5000),
    ):
        make_run(tmp_path / name).info_file.write_text(content)
    make_run(tmp_path / "e").log.file.write_text('{"nimg": "many"}\n{}\n')
    assert ganvas("runs", tmp_path) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    states = {Path(line.split()[0]).name: line.split()[-1] for line in lines}
    assert states == {**dict.fromkeys("abcde", "damaged"), "sound": "unknown"}


@pytest.mark.parametrize("name", ["../../x", "/abs/x", "..", "", "a\\nb"])
def test_a_recipe_does_not_choose_a_folder_elsewhere(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.toml").write_text(f'name = "{name}"\n')
    assert ganvas("train", "recipe.toml", "--images", 1) == 2
    assert "cannot be the name of a folder: give --out" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["recipe.toml"]


def test_a_stderr_that_is_full_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(common, "err", Console(file=Full()))
    common.say("[bold]note:[/]", "something")
    common.note("something else")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_training_goes_on_with_a_stderr_that_is_full(pictures: Path, tmp_path: Path) -> None:
    words = ["train", "strokes-cdcgan", "--data", pictures, "--out", tmp_path / "run", "--images", 40, *NO_FIGURES]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ganvas", *map(str, words), "--device", "cpu", "--set", *TINY],
            stdout=subprocess.PIPE, stderr=full, text=True, timeout=300,
        )  # fmt: skip
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "Trained on 40 images. Files:")
    assert Run(tmp_path / "run").state() == "finished"


def test_a_full_disk_while_figures_are_drawn_spoils_no_run(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ganvas.plotting.figures.draw_figures", full)
    words = [
        "train",
        "strokes-cdcgan",
        "--data",
        pictures,
        "--out",
        tmp_path / "run",
        "--images",
        40,
        "--device",
        "cpu",
    ]
    assert ganvas(*words, "--set", *TINY) == 0
    assert "complete, but not its figures (No space left on device): `ganvas plot" in capsys.readouterr().out
    assert Run(tmp_path / "run").state() == "finished"


@pytest.mark.parametrize(
    ("words", "made"),
    [
        (["--title", "</script>\x1b[31m[/] x/y"], "script-31m-x-y.html"),
        (["--title", "\udcff"], "untitled.html"),
        (["--title", "x" * 300], f"{'x' * 100}.html"),
        (["--to", "glsl"], "tanh-2x4.glsl"),
    ],
)
def test_exports_are_named_after_their_title(
    words: list[str], made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ganvas("export", "--random", "tanh:2x4", *words) == 0
    assert [file.name for file in tmp_path.iterdir()] == [made]
    assert "<title></script>" not in (tmp_path / made).read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--out", ""], "'.' is a folder: give the name of a file"),
        (["--out", "/"], "'/' is a folder: give the name of a file"),
        (["--palette", "nope"], "--palette does nothing with --to html, where whoever looks chooses them"),
        (["--to", "glsl", "--zoom", "3"], "--zoom does nothing with --to glsl, where whoever looks chooses them"),
    ],
)
def test_mistakes_in_exports(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ganvas("export", "--random", "tanh:2x4", *words) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert not list(tmp_path.iterdir())


def test_a_page_of_a_convolutional_generator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ganvas("export", "mnist-quick") == 0
    assert re.fullmatch(
        r"mnist-quick.html  \(\d+ kB, weights of 16 bits: pixels within 1/255 of those of ganvas\)\n",
        capsys.readouterr().out,
    )
    assert ganvas("export", "mnist-quick", "--to", "glsl") == 2
    assert "has no pixel network (network.name=cppn), which --to glsl needs: use --to onnx" in capsys.readouterr().err
