"""A folder of image files, with or without class sub-folders."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from ganvas.core.errors import UserError
from ganvas.data.decoding import Source

# Pixel formats. Pillow needs a plug-in for the last row: named here, they are reported as unreadable, not passed over.
# fmt: off
EXTENSIONS = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".avif",
    ".jp2", ".j2k", ".jpx", ".qoi", ".psd", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".tga", ".ico", ".icns", ".pcx",
    ".dds", ".sgi", ".xbm", ".xpm", ".fits",
    ".heic", ".heif", ".jxl",
))
# fmt: on


def load(name: str, folder: Path, split: str) -> Source:
    """The images under `folder`, sorted by path; hidden files and files of other kinds are passed over.

    Sub-folders `train` and `test` are the splits; without `train`, all but `test` is for training. Within a split the
    sub-folders that hold images, at any depth, are the classes; a single one is no class.
    Raises UserError for a folder without images, a missing split, and images beside class folders.
    """
    roots = {"train": folder / "train" if (folder / "train").is_dir() else folder, "test": folder / "test"}
    files = {of: image_files(root) for of, root in roots.items()}
    if roots["train"] == folder:
        files["train"] = [path for path in files["train"] if path.parts[0] != "test"]
    if split == "test" and not files["test"]:
        raise UserError(f"'{name}' has no test split: there are no images in {roots['test']}")
    if not files[split]:
        raise UserError(f"there are no images in {roots[split]}: it has {_contents(roots[split])}")

    everywhere = files["train"] + files["test"]  # so that a label means the same in both splits
    classes = sorted({path.parts[0] for path in everywhere if len(path.parts) > 1})
    beside = [path for path in everywhere if len(path.parts) == 1]
    if len(classes) > 1 and beside:
        raise UserError(
            f"'{name}' has {len(beside)} images (such as {beside[0]}) beside its class folders ({classes[0]}, ...): "
            "move them into a class folder, or keep all images in one folder to do without classes"
        )
    number = {name: i for i, name in enumerate(classes)} if len(classes) > 1 else {}
    labels = np.array([number[path.parts[0]] for path in files[split]], dtype=np.int64) if number else None
    paths = [roots[split] / path for path in files[split]]
    return Source(name, len(paths), lambda i: Image.open(paths[i]), lambda i: str(paths[i]), labels, tuple(number))


def image_files(root: Path) -> list[Path]:
    """Every image file under `root`, relative to it, in the same order on every system."""
    found: list[Path] = []
    for place, folders, files in os.walk(root, followlinks=True):
        folders[:] = [f for f in folders if not (f.startswith(".") or _leads_back(Path(place, f), root))]
        found += [Path(place, f).relative_to(root) for f in files if f[0] != "." and _is_image(f)]
    return sorted(found, key=Path.as_posix)


def _leads_back(folder: Path, root: Path) -> bool:
    """Whether this is a link to a folder that it lies in."""
    if not folder.is_symlink():
        return False
    above = [parent for parent in folder.parents if parent == root or root in parent.parents]
    return folder.resolve() in {parent.resolve() for parent in above}


def _is_image(file: str) -> bool:
    return Path(file).suffix.lower() in EXTENSIONS


def _contents(root: Path) -> str:
    """'3 .txt, 1 .zip files' for the message about a folder without images."""
    kinds = Counter(Path(f).suffix.lower() or "nameless" for _, _, files in os.walk(root) for f in files)
    return f"{', '.join(f'{n} {kind}' for kind, n in kinds.most_common(3))} files" if kinds else "no files"
