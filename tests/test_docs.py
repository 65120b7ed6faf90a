"""What the README and the pages show works: links lead somewhere, commands are taken from the text and run or read."""

import contextlib
import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest
from cyclopts import MissingArgumentError
from PIL import Image

import ganvas
from ganvas.cli import app
from ganvas.core.settings import parse_assignments
from ganvas.core.version import VERSION
from ganvas.methods import METHODS
from ganvas.networks import NETWORKS
from ganvas.recipes import library
from tests.cli import test_cli

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("[!_]*.md")),
    *sorted((ROOT / "docs").glob("[!_]*/*.md")),
]
LINKED = [*PAGES, ROOT / "dev" / "LOG.md"]
RECIPES = {*library.names()}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a page, without the indentation that those in lists have."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def commands(page: Path, program: str) -> list[list[str]]:
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith(f"{program} ")]


def mentioned(page: Path) -> list[list[str]]:
    """Commands within sentences, which may leave out what a command needs."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return [shlex.split(" ".join(words.split())) for words in re.findall(r"`ganvas ([^`]*)`", text)]


def links(page: Path) -> list[str]:
    """Where links and images of a page lead."""
    found = re.findall(r"\]\(([^)]+)\)|<img src=\"([^\"]+)\"", page.read_text())
    return [link or image for link, image in found]


def named_files(page: Path) -> list[str]:
    return re.findall(r"`((?:benchmarks|dev|docs|src|tests)/[\w./-]+)`", page.read_text())


def expanded(words: str) -> list[str]:
    """`a-{b,c}` -> a-b, a-c"""
    choice = re.search(r"\{([^}]*)\}", words)
    if not choice:
        return [words]
    return [each for part in choice[1].split(",") for each in expanded(words.replace(choice[0], part, 1))]


def test_something_is_read_from_the_pages() -> None:
    """Otherwise the tests below would pass over all of it."""
    assert len([words for page in PAGES for words in commands(page, "ganvas")]) > 40
    assert len([words for page in PAGES for words in mentioned(page)]) > 30
    assert len([link for page in LINKED for link in links(page)]) > 100
    assert len([path for page in PAGES for path in named_files(page)]) > 20
    assert {page.name for page in PAGES if blocks(page, "python")} >= {"README.md"}


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {words[1] for page in PAGES for words in commands(page, "make")}
    assert {"demo", "test", "docs", "check", "format"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_commands_of_the_readme(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one, in order, with the data and the length replaced by small ones."""
    monkeypatch.chdir(tmp_path)
    shown = commands(README, "ganvas")
    assert len(shown) == 17
    shutil.copy(next((pictures / "down").iterdir()), "own.png")
    for words in shown:
        if words[1] == "explore":  # which serves until it is interrupted
            continue
        words = [str(pictures) if word.startswith("~/") else word for word in words[1:]]
        if words[0] == "train":
            words += [] if "--data" in words else ["--data", str(pictures)]
            words = [word for word in words if word not in ("--epochs", "25")] + ["--images", "120", "--device", "cpu"]
            small = ["network.width=3", "network.blocks=2"] if "cppn" in words[1] else ["network.base=4"]
            words += [*test_cli.NO_FIGURES, "--set", *small, "train.batch_size=20"]
        if words[0] in ("evaluate", "neighbours"):
            words += ["--n", "100", "--device", "cpu"]
        if words[0] == "paint":
            words = [{"3240": "40", "3": "1"}.get(word, word) for word in words]
        if words[0] == "sample":
            words = [{"100": "40", "3": "2"}.get(word, word) for word in words]
        if words[0] == "morph":
            words = [{"3,7": "0,2", "280": "32"}.get(word, word) for word in words] + ["--frames", "3"]
        if words[0] == "encode":
            words += ["--search", "2"]
        assert test_cli.ganvas(*words) == 0, words
    made = {file.name for file in tmp_path.iterdir()}
    assert {"threes.png", "three.png", "neighbours.png", "runs", "report.html"} <= made
    assert {"film.gif", "latents.npz", "latents-redrawn.png", "mnist-cdcgan.onnx"} <= made
    assert (tmp_path / "runs" / "mnist-cdcgan" / "figures").is_dir()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_can_be_read(page: Path) -> None:
    """Commands and options exist; recipes exist and take the settings that are shown."""
    for words in commands(page, "ganvas"):
        app.parse_args(words[1:], exit_on_error=False, print_error=False)
        if words[1] in ("train", "sweep"):
            assert words[2] in RECIPES or words[2].endswith(".toml"), words
            # Of a list or a range of values, the first.
            changes = [re.split(r",|\.\.", word)[0] for word in words if re.match(r"[a-z]+\.[\w.]+=", word)]
            ganvas.load_recipe(words[2], parse_assignments(changes))
    for words in mentioned(page):
        if words[0] not in ("COMMAND", "..."):
            with contextlib.suppress(MissingArgumentError):
                app.parse_args(words, exit_on_error=False, print_error=False)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name)
def test_python_examples(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They run, with less training on fewer images, and print what they say."""
    monkeypatch.chdir(tmp_path)
    short = '{"images": 128}, "data": {"limit": 1000}}'
    for number, example in enumerate(blocks(page, "python")):
        file = tmp_path / f"example{number}.py"
        file.write_text(example.replace('{"images": 2560}}', short).replace("n=1000", "n=100"))
        runpy.run_path(str(file))
        printed = capsys.readouterr().out
        for value in re.findall(r"^print\(.*\)  # ([^#\n]*?)(?:, uint8)?$", example, re.MULTILINE):
            assert value in printed.splitlines()


@pytest.mark.parametrize("page", LINKED, ids=name)
def test_images_and_links_are_there(page: Path) -> None:
    """Sphinx checks the places within pages that links lead to."""
    for target in links(page):
        link = target.split("#")[0]
        place = page.parent / link
        assert not link or link.startswith("https://") or place.is_file(), link
        if place.suffix in (".png", ".webp"):
            with Image.open(place) as image:
                assert min(image.size) > 150, link


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_are_named_are_there(page: Path) -> None:
    for path in named_files(page):
        assert path.endswith("/yours.py") or (ROOT / path).exists(), path


def test_every_recipe_is_on_the_page_of_its_method() -> None:
    pages = [page.read_text() for page in (ROOT / "docs" / "methods").glob("*.md") if page.stem != "index"]
    for recipe in RECIPES:
        method = ganvas.load_recipe(recipe).method.name
        assert any(f"`{recipe}`" in page and f"method-{method.replace('_', '-')}" in page for page in pages), recipe
    index = re.findall(r"`([\w.,{}-]+)`", (ROOT / "docs" / "methods" / "index.md").read_text())
    assert {each for words in index for each in expanded(words)} >= RECIPES


def test_settings_of_every_method_and_network_are_shown() -> None:
    text = "".join(page.read_text() for page in PAGES)
    shown = set(re.findall(r"```\{settings\} ([\w.]+)", text))
    assert shown == {"data", "train"} | {f"method.{m}" for m in METHODS} | {f"network.{n}" for n in NETWORKS}


def test_everything_that_is_exported_is_described() -> None:
    described = re.findall(r"auto\w+:: ganvas\.(\w+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert set(ganvas.__all__) <= {*described}


def test_the_architecture_names_every_wing() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text()
    wings = {path.parent.name for path in (ROOT / "src" / "ganvas").glob("*/__init__.py")}
    assert {f"`{wing}/`" for wing in wings} == set(re.findall(r"^\| (`\w+/`) \|", table, re.MULTILINE))


def test_the_citation_has_the_version() -> None:
    assert f"\nversion: {VERSION}\n" in (ROOT / "CITATION.cff").read_text()
