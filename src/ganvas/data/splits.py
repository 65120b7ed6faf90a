"""Recognising the training and test splits by the usual names of folders and files."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from ganvas.core.errors import UserError

Split = Literal["train", "test"]
Kind = Literal["train", "test", "validation", ""]

KINDS: dict[str, Kind] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("test", "testing"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), "validation"),
}
_SUFFIX = re.compile(r"(?<=[a-z])[-_ ]?(set|split|data|images?)$")


class NoSplit(UserError):
    """The set exists, but not the requested split."""


def of_folder(name: str) -> Kind:
    """The split of a folder with this name (`train`, `Training`, `TestSet`, `val_images`); "" for any other name."""
    plain = name.strip().lower()
    return KINDS.get(plain) or KINDS.get(_SUFFIX.sub("", plain), "")


def of_file(path: Path) -> Kind:
    """The split of a file, from the first such word in its name, or from the name of a folder that contains it."""
    words = re.split(r"[^a-z]+", path.stem.lower())
    found = [KINDS[word] for word in words if word in KINDS]
    found += [kind for part in reversed(path.parts[:-1]) if (kind := of_folder(part))]
    return found[0] if found else ""


def held_out(kinds: Iterable[Kind]) -> Kind:
    """The split to test on: the test split, else the validation split, else none."""
    there = set(kinds)
    return "test" if "test" in there else "validation" if "validation" in there else ""


def of_split(files: Sequence[Path], split: Split) -> list[Path]:
    """The files of a split; if no file names a split, all are for training. Hidden files belong to none."""
    kinds = {path: of_file(path) for path in files if not any(part.startswith(".") for part in path.parts)}
    if not any(kinds.values()):
        return list(kinds) if split == "train" else []
    wanted = "train" if split == "train" else held_out(kinds.values())
    return [path for path, kind in kinds.items() if kind and kind == wanted]
