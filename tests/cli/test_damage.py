"""Files that were damaged or made up: every command ends with one line, or goes another way; never with a traceback."""

import json
import os
import random
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganvas.painting import image_files, video_files
from tests.cli.campaign import SEED, Campaign, Words, damaged, deadline, odd_document, sizes
from tests.cli.test_cli import ganvas

EVERYDAY, DOCUMENTS, RECIPES, CACHES, LATENTS = 12, 1500, 600, 150, 300  # files that are tried


COMMANDS: list[Words] = [
    lambda place: ["runs", place],
    lambda place: ["sample", place / "a", "--n", 2, "--out", place / "new.png"],
    lambda place: ["plot", place / "a"],
    lambda place: ["plot", place / "a", place / "b"],
    lambda place: ["compare", place / "a", place / "b", "--html", place / "new.html"],
    lambda place: ["evaluate", place / "a", "--n", 100, "--device", "cpu"],
    lambda place: ["neighbours", place / "a", "--n", 10, "--device", "cpu", "--out", place / "new.png"],
    lambda place: ["train", "strokes-cdcgan", "--out", place / "a", "--images", 280, "--device", "cpu"],
    lambda place: ["recipes", place / "a" / "recipe.toml"],
    lambda place: ["paint", place / "b", "--seed", 2, "--size", 10, "--out", place / "new.png"],
    lambda place: ["paint", place / "b", "--like", place / "painting.png", "--out", place / "new.png"],
    lambda place: ["morph", place / "b", "--like", place / "film.gif", "--size", 8, "--out", place / "new.gif"],
]


@sizes(EVERYDAY, DOCUMENTS)
def test_a_damaged_file_is_one_line(count: int, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One file of the runs is damaged, then a command given."""
    chance, campaign = random.Random(SEED), Campaign("mutated documents", capsys)
    endings = (".json", ".jsonl", ".toml", ".safetensors", ".png", ".gif")
    files = [file.relative_to(runs) for file in sorted(runs.rglob("*")) if file.suffix in endings]
    files = [file for file in files if "figures" not in file.parts]  # which nobody reads
    for attempt in range(count):
        place = tmp_path / str(attempt)
        shutil.copytree(runs, place)
        victim = chance.choice(files)
        content = (place / victim).read_bytes()
        (place / victim).write_bytes(damaged(content, victim.suffix, chance))
        campaign.give(chance.choice(COMMANDS)(place), f"{attempt} with a damaged {victim}", place)
        shutil.rmtree(place)
    campaign.end()


# -- recipes inside images and films ----------------------------------------------------------------------------------


def painting_with(recipe: str, file: Path) -> None:
    image_files.save(file, [np.full((8, 8, 1), 90, np.uint8)], 8, 8, 1, 8, recipe)


def film_with(recipe: str, file: Path) -> None:
    video_files.save(file, [np.full((8, 8, 1), 90, np.uint8)] * 3, 8, 8, 25, True, recipe)


@sizes(EVERYDAY, RECIPES)
def test_a_foreign_recipe_is_one_line(
    count: int, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Paintings and films whose recipes are odd, or whose files are damaged."""
    chance, campaign = random.Random(SEED), Campaign("foreign recipes", capsys)
    recipes = {
        "paint": [image_files.read_recipe(runs / name) for name in ("painting.png", "random.tiff")],
        "morph": [video_files.read_recipe(runs / name) for name in ("film.gif", "random.webp")],
    }
    endings = {"paint": (".png", ".webp", ".tiff", ".dzi"), "morph": (".gif", ".webp", ".mp4", ".webm")}
    for attempt in range(count):
        kind = chance.choice(["paint", "morph"])
        recipe, place = chance.choice(recipes[kind]), tmp_path / str(attempt)
        file = place / f"foreign{chance.choice(endings[kind])}"
        place.mkdir()
        if odd := chance.random() < 0.75:
            recipe = odd_document(json.loads(recipe), chance)
        (painting_with if kind == "paint" else film_with)(recipe, file)
        if not odd:
            file.write_bytes(damaged(file.read_bytes(), file.suffix, chance))
        command = chance.choice([kind] * 9 + ["paint", "morph"])  # now and then the other one
        run = [runs / "b"] if chance.random() < 0.3 else []
        size = ["--size", 8] if chance.random() < 0.8 else []
        new = place / ("new.png" if command == "paint" else "new.gif")
        campaign.give([command, *run, "--like", file, *size, "--out", new], f"{attempt} {recipe[:300]}", place)
        shutil.rmtree(place)
    campaign.end()


# -- latents ----------------------------------------------------------------------------------------------------------


def odd_latents(file: Path, chance: random.Random) -> Path:
    """A file of latents that is odd or damaged."""
    rows = np.random.default_rng(0).normal(size=(2, 32)).astype(np.float32)
    match chance.choice(["array", "zip", "text", "header"]):
        case "array":
            arrays: list[Any] = [
                *(rows.astype("c16"), rows.astype("M8[s]"), rows.astype("U9"), rows.astype(object), rows > 0),
                *(rows[None], rows[:0], rows[:, :5], rows[0], np.float32(1), rows * np.nan, rows.astype("f8") * 1e300),
                *(np.zeros(2, "V8"), np.zeros(2, [("a", "f4")]), rows.astype("i8"), rows.T, np.zeros((2, 32), "S3")),
            ]
            array, ending = chance.choice(arrays), chance.choice([".npy", ".npz"])
            with file.with_suffix(ending).open("wb") as opened:
                if ending == ".npy":
                    np.save(opened, array)
                else:
                    np.savez(opened, **{chance.choice(["z", "latents", "../../z"]): array})
            return file.with_suffix(ending)
        case "zip":
            file = file.with_suffix(".npz")
            with zipfile.ZipFile(file, "w") as archive:
                archive.writestr(
                    "z.npy", chance.choice([b"", b"text", b"\x93NUMPY\x09\0", _npy("'descr': '<f4'", "(2,)")])
                )
            content = bytearray(file.read_bytes())
            flags, method, version = content.find(b"PK\x01\x02") + 8, content.find(b"PK\x01\x02") + 10, 4
            content[chance.choice([flags, method, version])] |= chance.choice(
                [1, 64, 99]
            )  # encrypted, or of the future
            file.write_bytes(bytes(content))
        case "text":
            texts = [
                *(
                    "",
                    "nan " * 32,
                    "1 " * 32 + "\n1",
                    "1e999 " * 32,
                    "9" * 5000,
                    "\0" * 64,
                    "[" * 3000,
                    "x",
                    "1_0 " * 32,
                ),
                *("{}", "[[]]", '{"z": [1]}', "[[1, [2]]]", '"text"', "7", "null"),
                *(f"[{', '.join([value] * 32)}]" for value in ("null", "true", "1e400", '"1"', "9" * 999, "{}")),
            ]
            file = file.with_suffix(chance.choice([".txt", ".json"]))
            file.write_text(chance.choice(texts))
        case "header":
            file = file.with_suffix(".npy")
            description = chance.choice(
                ["'descr': '<f4'", "'descr': '|O'", "'descr': 'x'", "'descr': [('a', '<f4')]", ""]
            )
            shapes = [
                "(2, 32)",
                "(999999999999, 32)",
                "(-1, 32)",
                "(2, 'x')",
                "2",
                "(" * 200,
                "(9**9**9,)",
                "()",
                "(0, 32)",
            ]
            file.write_bytes(_npy(description, chance.choice(shapes)))
    if chance.random() < 0.3:
        file.write_bytes(damaged(file.read_bytes(), file.suffix, chance))
    return file


def _npy(description: str, shape: str) -> bytes:
    header = f"{{{description}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header + b"\0" * 256


@sizes(EVERYDAY, LATENTS)
def test_odd_latents_are_one_line(count: int, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chance, campaign = random.Random(SEED), Campaign("latents", capsys)
    for attempt in range(count):
        place = tmp_path / str(attempt)
        place.mkdir()
        file = odd_latents(place / "z", chance)
        about = f"{attempt} {file.read_bytes()[:120]!r}"
        campaign.give(["paint", runs / "b", "--z", file, "--size", 8, "--out", place / "new"], about, place)
        shutil.rmtree(place)
    campaign.end()


# -- the cache --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(runs: Path, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with an evaluator, features and reference rows."""
    folder = tmp_path_factory.mktemp("caches") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANVAS_CACHE", str(folder))
        quick = ["widths=[8,8,16]", "epochs=1", "batch_size=18", "shift=1"]
        assert ganvas("evaluator", "train", "--data", pictures, "--device", "cpu", "--set", *quick) == 0
        assert ganvas("evaluate", runs / "a", "--n", 100, "--device", "cpu") == 0
    assert any((folder / "evaluations").iterdir()) and any((folder / "evaluators").iterdir())
    return folder


@sizes(EVERYDAY, CACHES)
def test_a_damaged_cache_is_made_again(
    count: int,
    runs: Path,
    cache: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance, campaign = random.Random(SEED), Campaign("caches", capsys)
    files = [file.relative_to(cache) for file in sorted(cache.rglob("*")) if file.is_file()]
    for attempt in range(count):
        place = tmp_path / str(attempt)
        shutil.copytree(cache, place / "cache")
        shutil.copytree(runs / "a", place / "a")
        victim = chance.choice(files)
        file = place / "cache" / victim
        match chance.choice(["damaged"] * 6 + ["facts"] * 4 + ["folder", "loop"]):
            case "damaged":
                file.write_bytes(damaged(file.read_bytes(), file.suffix, chance))
            case "facts":
                victim = next(each for each in files if each.parts[0] == "evaluators")
                data = (cache / victim).read_bytes()
                header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
                facts = odd_document(json.loads(header["__metadata__"]["ganvas"]), chance)
                header = json.dumps({**header, "__metadata__": {"ganvas": facts}}).encode()
                rest = data[8 + int.from_bytes(data[:8], "little") :]
                file = place / "cache" / victim
                file.write_bytes(len(header).to_bytes(8, "little") + header + rest)
            case kind:
                file.unlink()
                file.mkdir() if kind == "folder" else file.symlink_to(file)
        monkeypatch.setenv("GANVAS_CACHE", str(place / "cache"))
        words = chance.choice(
            [
                ["evaluate", place / "a", "--n", 100, "--device", "cpu"],
                ["evaluate", place / "a", "--n", 100, "--device", "cpu", "--evaluator", place / "cache" / victim],
                ["evaluator", "list"],
                ["neighbours", place / "a", "--n", 10, "--device", "cpu", "--out", place / "new.png"],
                ["evaluate", place / "a", "--n", 100, "--device", "cpu", "--evaluator", "nowhere"],
            ]
        )
        about = f"{attempt} with {victim} as {file.read_bytes()[:300]!r}" if file.is_file() else f"{attempt} {victim}"
        campaign.give(words, about, place)
        shutil.rmtree(place)
    campaign.end()


def test_pipes_in_the_cache_are_passed_by(
    runs: Path, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path / "cache"))
    shutil.copytree(runs / "a", tmp_path / "a")
    for file in [file for file in cache.rglob("*") if file.is_file()]:
        pipe = tmp_path / "cache" / file.relative_to(cache)
        pipe.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(pipe)
    with deadline():
        assert ganvas("evaluate", tmp_path / "a", "--n", 100, "--device", "cpu") == 0
        assert ganvas("evaluator", "list") == 0


# -- pipes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["train", "{pipe}.toml"],
        ["train", "strokes-cdcgan", "--data", "{pipe}.parquet"],
        ["paint", "{runs}/b", "--z", "{pipe}.npy"],
        ["paint", "{runs}/b", "--z", "{pipe}.json"],
        ["paint", "{runs}/b", "--image", "{pipe}.png"],
        *(["paint", "--like", f"{{pipe}}.{ending}"] for ending in ("png", "webp", "tiff", "dzi")),
        *(["morph", "--like", f"{{pipe}}.{ending}"] for ending in ("gif", "webp", "mp4")),
        ["evaluate", "{runs}/a", "--evaluator", "{pipe}.safetensors"],
        ["sample", "{pipe}"],
    ],
)
def test_pipes_are_refused(words: list[str], runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = {word.partition("{pipe}")[2] for word in words if "{pipe}" in word}
    for ending in made:
        os.mkfifo(tmp_path / f"pipe{ending}")
    capsys.readouterr()
    with deadline():
        assert ganvas(*(word.format(pipe=tmp_path / "pipe", runs=runs) for word in words)) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
