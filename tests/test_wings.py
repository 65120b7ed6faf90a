"""The house has wings: a wing imports only from wings below it."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "ganvas"
WINGS = [  # lowest first; those of one line do not import each other
    {"core"},
    {"compute", "metrics"},
    {"networks", "data"},
    {"methods"},
    {"recipes"},
    {"runs"},
    {"plotting", "painting"},
    {"evaluation", "export"},
    {"training", "publishing"},
    {"sweeps"},
    {"explore"},
    {"cli"},
]


def wing(file: Path) -> str:
    """The folder below `ganvas` that a file belongs to; the package itself and `python -m ganvas` are on top."""
    parts = file.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else "cli"


def imports(file: Path) -> set[str]:
    """The wings that a file imports from."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("ganvas.")}
        elif isinstance(node, ast.ImportFrom) and node.module == "ganvas":
            found |= {f"ganvas.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ganvas."):
            found.add(node.module)
    return {name.split(".")[1] for name in found}


def height(name: str) -> int:
    return next(i for i, names in enumerate(WINGS) if name in names)


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: str(file.relative_to(SOURCE)))
def test_a_wing_imports_only_from_wings_below_it(file: Path) -> None:
    own = wing(file)
    for other in imports(file) - {own}:
        assert height(other) < height(own), f"{own} imports {other}, which is not below it"


def test_imports_are_seen() -> None:
    assert imports(SOURCE / "training" / "train.py") >= {"core", "compute", "data", "evaluation", "recipes", "runs"}
    assert imports(SOURCE / "__main__.py") == {"cli"}


def test_every_folder_is_a_wing() -> None:
    assert {wing(file) for file in SOURCE.rglob("*.py")} == set().union(*WINGS)
