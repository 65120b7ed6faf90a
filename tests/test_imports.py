"""What `import ganvas` gives, and what it and quick commands do not import."""

import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

import ganvas
from ganvas.recipes.recipe import Recipe
from ganvas.training.train import train
from tests.evaluated import make_run

HEAVY = {"torch", "numpy", "matplotlib", "pandas", "scipy", "pyarrow", "PIL", "huggingface_hub"}


def imported_by(code: str, folder: Path) -> set[str]:
    """The modules that a fresh Python has imported after `code`."""
    program = f"{code}\nimport sys; print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=folder)
    found = set(done.stderr.split("\n")[-2].split())
    assert {"sys", "ganvas"} <= found
    return found


def test_importing_ganvas_imports_nothing_heavy(tmp_path: Path) -> None:
    assert not HEAVY & imported_by("import ganvas", tmp_path)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["recipes"], 0),
        (["trian"], 2),
        (["train", "strokes-cdcgan", "--ep", "1"], 2),
    ],
)
def test_quick_commands_import_nothing_heavy(tmp_path: Path, words: list[str], code: int) -> None:
    program = f"""
from ganvas.cli import main
try:
    main({words})
except SystemExit as end:
    assert end.code == {code}, end.code
else:
    raise AssertionError("it did not end")"""
    assert not HEAVY & imported_by(program, tmp_path)


def test_the_list_of_runs_imports_no_pytorch(tmp_path: Path) -> None:
    make_run(tmp_path / "runs" / "one")
    assert not HEAVY & imported_by("from ganvas.cli.looking import runs; runs()", tmp_path)


def test_sampling_does_without_the_compiler_that_optimisers_import(tiny: Callable[..., Recipe], tmp_path: Path) -> None:
    list(train(tiny(), tmp_path / "run", device="cpu"))
    sample = f"import ganvas; ganvas.load({str(tmp_path / 'run')!r}, device='cpu').sample(2)"
    imported = imported_by(sample, tmp_path)
    assert "torch" in imported and not {"torch._dynamo", "matplotlib"} & imported


@pytest.mark.parametrize("name", ganvas.__all__)
def test_every_name_is_there_and_none_is_a_module(name: str) -> None:
    assert not isinstance(getattr(ganvas, name), types.ModuleType)
    assert name in dir(ganvas)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        ganvas.trian  # noqa: B018
