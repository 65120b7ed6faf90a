"""Sets from the Hugging Face hub: any by its id through `datasets`, and the named ones as plain downloads."""

import os
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError
from ganvas.data import idx
from ganvas.data.decoding import Source, from_array
from ganvas.data.fetch import Unreachable, fetch


class Published(NamedTuple):
    """A named set and where it is published."""

    repo: str  # owner/name on the hub
    folder: str  # its Parquet files are <folder>/train-00000-of-00001.parquet and <folder>/test-...
    side: int  # of every picture, in pixels
    classes: tuple[str, ...]
    idx: bool = False  # whether it is also known as four IDX files


def homes(data_dir: Path | None) -> list[Path]:
    """Where the user keeps sets, each in a folder of its name: `data_dir`, then $GANVAS_DATA."""
    return [Path(root).expanduser() for root in (data_dir, os.environ.get("GANVAS_DATA")) if root]


def named(name: str, published: Published, split: str, data_dir: Path | None) -> Source:
    """A named set: from `data_dir`, $GANVAS_DATA or the cache, in a sub-folder of its name or directly; else fetched.

    Raises UserError, which says what to put where, when it is nowhere and cannot be fetched.
    """
    parquet_file = f"{split}-00000-of-00001.parquet"
    home = cache_dir() / "data"
    for place in (place for root in (*homes(data_dir), home) for place in (root / name, root)):
        # Fashion-MNIST's files have MNIST's names: only their folder tells them apart.
        told_apart = name == "mnist" or name in place.parts
        if published.idx and told_apart and (pair := idx.find(place, split)):
            return from_array(name, *idx.load(*pair), published.classes)
        if (place / parquet_file).is_file():
            return _from_parquet(name, published, place / parquet_file)

    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    url = f"{endpoint.rstrip('/')}/datasets/{published.repo}/resolve/main/{published.folder}/{parquet_file}"
    try:
        return _from_parquet(name, published, fetch(url, home / name / parquet_file))
    except (Unreachable, OSError) as error:
        official = " and ".join(f"{stem}.gz" for stem in idx.stems(split))
        files = f"{official}, or {parquet_file}," if published.idx else parquet_file
        raise UserError(f"cannot fetch '{name}' from {endpoint} ({error}): put {files} into {home / name}") from None


def _from_parquet(name: str, published: Published, path: Path) -> Source:
    from ganvas.data import parquet

    source = parquet.from_files(name, [path])
    # Sets share file names: a look at the classes keeps one from passing for another.
    if [_key(c) for c in source.classes] != [_key(c) for c in published.classes]:
        raise UserError(f"{path} is not '{name}': its classes are {', '.join(source.classes) or 'missing'}")
    return replace(source, side=published.side)


def _key(name: str) -> str:
    return "".join(name.lower().split())


def by_id(name: str, split: str) -> Source:
    """The set 'owner/name', or 'owner/name:part' where it has parts, through the library `datasets` and its cache.

    Raises UserError when the library is missing, the hub cannot be reached, or it has no such set, part or split.
    """
    try:
        import datasets  # imported here: an extra, and slow to import
    except ImportError:
        raise UserError(
            f"there is no folder '{name}' here; a hub id needs the extra 'hub': pip install 'ganvas[hub]'"
        ) from None
    repo, _, part = name.partition(":")
    try:
        data = datasets.load_dataset(repo, part or None, split=split)
    except ConnectionError:
        raise UserError(f"cannot reach the hub for '{name}', which is neither in its cache nor a folder here") from None
    except FileNotFoundError:
        raise UserError(f"'{name}' is neither a folder here nor a public set of files on the hub: check it") from None
    except Exception as error:  # a missing part or split, a set that needs code, a server at fault: each has its own
        lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise UserError(f"'{name}' cannot be loaded from the hub: {lines[0]}") from None
    from ganvas.data import parquet

    # Pictures stay encoded in the table, as in a Parquet file: `datasets` would decode them one by one.
    table = data.with_format("arrow")[:]
    return parquet.from_table(name, table.replace_schema_metadata(data.features.arrow_schema.metadata))
