"""A folder of image files, with or without class sub-folders."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ganvas.core.errors import UserError
from ganvas.core.text import writable
from ganvas.data import splits
from ganvas.data.decoding import Source, open_image
from ganvas.data.splits import NoSplit, Split

# Pillow needs a plug-in for the last row: such files are listed here to be reported as unreadable instead of ignored.
# fmt: off
EXTENSIONS = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".avif",
    ".jp2", ".j2k", ".jpx", ".qoi", ".psd", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga", ".ico", ".icns", ".pcx",
    ".dds", ".sgi", ".xbm", ".xpm", ".fits",
    ".heic", ".heif", ".jxl",
))
# fmt: on


# Folders that operating systems add: thumbnails, deleted files, parts of archives.
NOT_LOOKED_INTO = frozenset(
    ("@eadir", "#recycle", "$recycle.bin", "system volume information", "__macosx", "lost+found")
)


class Layout(NamedTuple):
    """The folders of each split, relative to the set's folder, and notes for the user."""

    files: dict[Split, list[Path]]
    roots: dict[Split, Path]
    notes: tuple[str, ...] = ()


def load(name: str, folder: Path, split: Split) -> Source:
    """The images under `folder`, sorted by path; hidden files and other kinds of files are ignored.

    Sub-folders named after splits (`train`, `Test`, `validation`, ...) are the splits; see `_layout`. Within a split,
    the sub-folders that contain images (at any depth) are the classes; a single sub-folder is not a class.
    Raises UserError for a folder without images, a missing split, sub-folders that may be splits or classes, and images
    next to class folders.
    """
    files = image_files(folder)
    if not files:
        raise UserError(f"there are no images in {folder}: it has {_contents(folder)}")
    layout = _layout(name, files)
    if not layout.files[split]:
        raise NoSplit(f"'{name}' has no {split} split: it has no folder '{split}' with images")

    within = {
        of: [Path(writable(path.relative_to(layout.roots[of]))) for path in paths] for of, paths in layout.files.items()
    }
    everywhere = within["train"] + within["test"]  # so that a label means the same in both splits
    classes = in_order({path.parts[0] for path in everywhere if len(path.parts) > 1})
    beside = [path for path in everywhere if len(path.parts) == 1]
    if len(classes) > 1 and beside:
        raise UserError(
            f"'{name}' has {len(beside)} images (such as {beside[0]}) next to its class folders ({classes[0]}, ...): "
            "move them into a class folder, or put all images into one folder to train without classes"
        )
    number = {name: i for i, name in enumerate(classes)} if len(classes) > 1 else {}
    labels = np.array([number[path.parts[0]] for path in within[split]], dtype=np.int64) if number else None
    paths = [folder / path for path in layout.files[split]]
    return Source(
        name,
        len(paths),
        lambda i: open_image(paths[i]),
        lambda i: writable(paths[i]),
        labels,
        tuple(number),
        notes=layout.notes,
    )


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names of classes: by number if all are numbers (2 before 10), else by name."""
    names = sorted(names)
    return sorted(names, key=int) if all(name.isascii() and name.isdecimal() for name in names) else names


def _layout(name: str, files: Sequence[Path]) -> Layout:
    """Determine which sub-folders are splits.

    A folder with the name of a split is a split, unless it is one class among others: it contains images directly, it
    is the only folder with such a name, and there are other class folders next to it. Ambiguous folders are refused.
    """
    if wrapped := _wrapped(files):
        inside = _layout(name, [path.relative_to(wrapped) for path in files])
        return Layout(
            {split: [wrapped / path for path in paths] for split, paths in inside.files.items()},
            {split: wrapped / root for split, root in inside.roots.items()},
            inside.notes,
        )
    tops: dict[str, list[Path]] = {}
    for path in files:
        tops.setdefault(path.parts[0] if len(path.parts) > 1 else "", []).append(path)
    loose = tops.pop("", [])
    kinds = splits.together(tops) or {top: kind for top in tops if (kind := splits.of_folder(top))}
    others = [top for top in tops if top not in kinds]
    everything = Layout({"train": list(files), "test": []}, {"train": Path(), "test": Path()})
    if not kinds:
        return everything
    training = [top for top, kind in kinds.items() if kind == "train"]
    held_out = [top for top, kind in kinds.items() if kind == splits.held_out(kinds.values())]
    if len(training) > 1 or len(held_out) > 1:
        same = training if len(training) > 1 else held_out
        raise UserError(f"'{name}' has the folders {_list(same)}, which are the same split by their names: join them")

    if len(kinds) == 1:
        (only,) = kinds
        classes = _classes(tops[only])
        if others and not loose and not classes and (training or len(others) > 1):
            return everything._replace(notes=(f"'{only}' is a class, not a split: {_list(others)} lie beside it",))
        # A test split of the images beside it: of all of them, or of the same classes.
        same_classes = bool(classes) and classes <= set(others)
        if held_out and (same_classes if others else loose):
            rest = [path for path in files if path.parts[0] != only]
            return _split("", rest, only, tops[only], [])
    if others or not training:
        why = f"images in {_list(others)} beside them" if others else "no 'train' among them"
        raise UserError(
            f"'{name}' has folders with the names of splits ({_list(list(kinds))}), and {why}: rename them, put the "
            "training images into a folder 'train', or name one of the folders instead"
        )
    left_out = [f"{top} ({_images(tops[top])})" for top in kinds if top not in training + held_out]
    left_out += [f"{_images(loose)} beside the folders"] if loose else []
    test = held_out[0] if held_out else ""
    return _split(training[0], tops[training[0]], test, tops.get(test, []), left_out)


def _wrapped(files: Sequence[Path]) -> Path | None:
    """The folder that everything is in, if the splits are inside it, as in unpacked archives."""
    outer = {path.parts[0] for path in files}
    inner = {path.parts[1] if len(path.parts) > 2 else "" for path in files if len(path.parts) > 1}
    return Path(outer.pop()) if len(outer) == 1 and splits.together(inner) else None


def _split(train: str, train_files: list[Path], test: str, test_files: list[Path], left_out: Sequence[str]) -> Layout:
    """The layout with two folders as splits; `train` may be "", which is everything except `test`."""
    parts = [f"training images: {train or 'all others'} ({_images(train_files)})"]
    parts += [f"test images: {test} ({_images(test_files)})"] if test else []
    parts += [f"left out: {', '.join(left_out)}"] if left_out else []
    roots: dict[Split, Path] = {"train": Path(train), "test": Path(test)}
    return Layout({"train": train_files, "test": test_files}, roots, ("; ".join(parts),))


def _classes(files: Sequence[Path]) -> set[str]:
    """The class folders in a split's folder."""
    return {path.parts[1] for path in files if len(path.parts) > 2}


def _images(files: Sequence[Path]) -> str:
    return f"{len(files):,} image{'' if len(files) == 1 else 's'}"


def _list(names: Sequence[str]) -> str:
    """Names for a message, such as: 'a', 'b' and 2 more."""
    shown = [f"'{name}'" for name in names[:3]] + ([f"{len(names) - 3} more"] if len(names) > 3 else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]


def image_files(root: Path) -> list[Path]:
    """All image files under `root`, relative to it, in the same order on every system.

    Each folder is read once, even if several links lead to it. Pipes and devices are ignored, as opening them may block
    forever.
    """
    found: list[Path] = []
    seen = {root.resolve()}
    for place, folders, files in os.walk(root, followlinks=True):
        folders[:] = [name for name in sorted(folders) if _is_new(Path(place, name), seen)]
        named = [Path(place, name) for name in files if name[0] != "." and _is_image(name)]
        found += [path.relative_to(root) for path in named if path.is_file() or not path.exists()]
    return sorted(found, key=Path.as_posix)


def _is_new(folder: Path, seen: set[Path]) -> bool:
    """Whether to read a folder: not if it belongs to the operating system, or was `seen` under another path."""
    if folder.name.startswith(".") or folder.name.lower() in NOT_LOOKED_INTO:
        return False
    real = folder.resolve()
    if real in seen:
        return False
    seen.add(real)
    return True


def _is_image(file: str) -> bool:
    return Path(file).suffix.lower() in EXTENSIONS


def _contents(root: Path) -> str:
    """Such as '3 .txt, 1 .zip files', for the message about a folder without images."""
    kinds = Counter(Path(f).suffix.lower() or "nameless" for _, _, files in os.walk(root) for f in files)
    return f"{', '.join(f'{n} {kind}' for kind, n in kinds.most_common(3))} files" if kinds else "no files"
