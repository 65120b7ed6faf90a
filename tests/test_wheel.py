"""The package as users install it: built, and installed where there is neither a compiler nor the source tree."""

import os
import site
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program `ganvas` of an environment with the wheel, with what it needs from the environment of the tests."""
    place = tmp_path_factory.mktemp("installed") / "env"
    venv.create(place, with_pip=False, symlinks=os.name != "nt")
    programs = place / ("Scripts" if os.name == "nt" else "bin")
    (wheel,) = built.glob("*.whl")
    install = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "install", "--no-deps", "--quiet"]
    subprocess.run([*install, "--disable-pip-version-check", "--no-index", str(wheel)], check=True, capture_output=True)
    (packages,) = place.glob("lib/python*/site-packages") if os.name != "nt" else [place / "Lib" / "site-packages"]
    # Only the folders: a `.pth` file in them, such as that of an editable ganvas, is not read.
    (packages / "others.pth").write_text("\n".join([*site.getsitepackages(), site.getusersitepackages()]))
    return programs / "ganvas"


def run(program: Path, *words: object, folder: Path) -> str:
    """The output of a command, without a compiler and with an empty cache."""
    environment = {"PATH": str(program.parent), "HOME": str(folder), "GANVAS_CACHE": str(folder / "cache")}
    environment |= {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [program, *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_the_wheel_has_every_file_of_the_package(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("ganvas/")}
    source = ROOT / "src"
    files = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    wanted = [ROOT / name for name in files] or [file for file in source.rglob("*") if "__pycache__" not in file.parts]
    assert {file.relative_to(source).as_posix() for file in wanted if file.is_file()} <= packed
    assert sum(file.stat().st_size for file in built.glob("*.whl")) < 12_000_000


def test_the_sdist_can_be_tested(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "constraints.txt", "tests/conftest.py"} <= names


def test_it_runs_where_it_was_installed(installed: Path, tmp_path: Path) -> None:
    """From the first picture to a training and a sweep, as in the README; a grid needs no extra."""
    assert "Usage: ganvas" in run(installed, "--help", folder=tmp_path)
    assert "mnist-quick" in run(installed, "models", folder=tmp_path)
    said = run(installed, "paint", "mnist-residual-cppn-tamed", "--label", 3, "--size", 40, folder=tmp_path)
    assert "(40x40)" in said and "slower without the compiled kernel" in said
    run(installed, "sample", "mnist-quick", "--n", 10, "--out", "digits.png", folder=tmp_path)
    small = ["--images", 256, "--device", "cpu", "--set", "network.base=4", "data.limit=200"]
    run(installed, "train", "strokes-cdcgan", "--out", "run", *small, folder=tmp_path)
    assert {file.name for file in tmp_path.iterdir()} >= {"digits.png", "run"}
