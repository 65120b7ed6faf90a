"""A module imports only from floors below its own."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ganvas"
FLOORS = [
    {"errors", "version", "files"},
    {"config", "images", "palette", "latents", "device", "replay", "checkpoint", "cache"},
    {"canvas", "film", "fused"},
    {"data", "backbones", "metrics"},
    {"methods", "classifier"},
    {"recipe", "recipes", "features"},
    {"run"},
    {"sample", "plot"},
    {"evaluate", "compare", "paint", "schedule", "guard"},
    {"budget"},
    {"monitor", "board"},
    {"train", "report", "morph", "neighbours"},
    {"sweep"},
    {"cli", "__init__", "__main__"},
]


def floor(module: str) -> int:
    return next(i for i, names in enumerate(FLOORS) if module in names)


def room(file: Path) -> str:
    """The module or package below `ganvas` that a file belongs to."""
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("ganvas.")}
        elif isinstance(node, ast.ImportFrom) and node.module == "ganvas":
            found |= {f"ganvas.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ganvas."):
            found.add(node.module)
    return {name.split(".")[1] for name in found}


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE)))
def test_imports_only_from_lower_floors(file: Path) -> None:
    own = room(file)
    for other in imports(file) - {own}:
        assert floor(other) < floor(own) or own == "__main__", f"{own} imports {other}, which is not on a lower floor"


def test_floors_know_every_module() -> None:
    assert {room(file) for file in SOURCE.rglob("*.py")} == set().union(*FLOORS)
