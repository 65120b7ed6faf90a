"""Data sets from the Hugging Face hub: the named ones, and any other by its id."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ganvas.core import hub
from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError
from ganvas.core.files import expanded
from ganvas.data import idx, splits
from ganvas.data.decoding import Source, from_array
from ganvas.data.splits import NoSplit, Split

SPLITS: tuple[Split, ...] = ("train", "test")
CONVERTED = "refs/convert/parquet"  # the branch with public sets as Parquet files: part/split/0000.parquet


class Unreachable(UserError):
    """The hub could not be reached, and the set is not in the cache."""


class Published(NamedTuple):
    """A named set and where it is published."""

    repo: str  # owner/name on the hub
    folder: str  # its Parquet files are <folder>/train-00000-of-00001.parquet and <folder>/test-...
    side: int  # of every image, in pixels
    classes: tuple[str, ...]
    idx: bool = False  # whether it also exists as four IDX files


def homes(data_dir: Path | None) -> list[Path]:
    """The folders with the user's data sets, each in a folder of its name: `data_dir`, then $GANVAS_DATA."""
    return [expanded(root) for root in (data_dir, os.environ.get("GANVAS_DATA")) if root]


def named(name: str, published: Published, split: Split, data_dir: Path | None) -> Source:
    """A named set from `data_dir`, $GANVAS_DATA or the cache (there, or in a folder of its name), or else downloaded.

    A folder of the user with some of its files has to have those of the split: a set is never put together from two
    places. Raises UserError if it has not, and if the set is not found and cannot be downloaded; the message says which
    files to put where.
    """
    parquet_file = _parquet_file(split)
    home = cache_dir() / "data" / name
    for root in (*homes(data_dir), home.parent):
        places = (root / name, root)
        for place in places:
            if published.idx and _is_for(name, place) and (pair := idx.find(place, split)):
                return from_array(name, *idx.load(*pair), published.classes)
            for file in (place / parquet_file, place / published.folder / parquet_file):
                if file.is_file():
                    return _from_parquet(name, published, file)
        for place in places if root != home.parent else ():
            if missing := _missing(name, published, split, place):
                raise UserError(f"'{place}' has only a part of '{name}': put {' and '.join(missing)} there as well")

    from huggingface_hub import hf_hub_download  # imported here: slow to import

    remote = f"{published.folder}/{parquet_file}"
    try:
        found = hf_hub_download(published.repo, remote, repo_type="dataset", local_dir=home, endpoint=hub.endpoint())
    except Exception as error:  # no network, server errors, a full disk: the library raises many kinds of errors
        official = " and ".join(f"{stem}.gz" for stem in idx.stems(split))
        files = f"{official}, or {parquet_file}," if published.idx else parquet_file
        raise UserError(f"cannot download '{name}' ({hub.first_line(error)}): put {files} into {home}") from None
    return _from_parquet(name, published, Path(found))


def _parquet_file(split: str) -> str:
    return f"{split}-00000-of-00001.parquet"


def _is_for(name: str, place: Path) -> bool:
    """Whether IDX files in a place can be of this set: Fashion-MNIST's have the names of MNIST's."""
    return name == "mnist" or name in place.parts


def _missing(name: str, published: Published, split: Split, place: Path) -> list[str]:
    """The files of a split that a place lacks, if it has others of the set; none if it has no file of it."""
    others = [place / published.folder / _parquet_file(other) for other in SPLITS]
    if name in place.parts:
        others += [place / file.name for file in others]
    if any(file.is_file() for file in others):
        return [_parquet_file(split)]
    if not (published.idx and _is_for(name, place)):
        return []
    found = {stem: idx.has(place, stem) for other in SPLITS for stem in idx.stems(other)}
    return [f"{stem}.gz" for stem in idx.stems(split) if not found[stem]] if any(found.values()) else []


def _from_parquet(name: str, published: Published, path: Path) -> Source:
    from ganvas.data import parquet

    source = parquet.from_files(name, [path])
    # Sets share file names, so the classes are compared to detect another set.
    if [_key(c) for c in source.classes] != [_key(c) for c in published.classes]:
        raise UserError(f"{path} is not '{name}': its classes are {', '.join(source.classes) or 'missing'}")
    return replace(source, side=published.side)


def _key(name: str) -> str:
    return "".join(name.lower().split())


def by_id(name: str, split: Split) -> Source:
    """The set 'owner/name', or 'owner/name:part' if it has several parts, from its Parquet files on the hub.

    The hub converts public sets to Parquet; of other sets, their own Parquet files are read. Downloads are kept in the
    cache and then work without a network.
    Raises UserError if the hub cannot be reached, or has no such set, part or split.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    from ganvas.data import parquet

    repo, _, part = name.partition(":")
    try:
        revision, files = _parquet_files(repo)
        chosen = splits.of_split(_of_part(repo, files, part), split)
        if not chosen:
            raise NoSplit(f"'{name}' has no {split} split on the hub")
        folder = _download(repo, revision, [file.as_posix() for file in chosen])
    except UserError:
        raise
    except GatedRepoError:
        raise UserError(f"'{name}' has terms to accept first: do so on its page, then run `hf auth login`") from None
    except RepositoryNotFoundError:
        raise UserError(f"'{name}' is neither a folder here nor a public set on the hub: check it") from None
    except Exception as error:  # no network, server errors, a full disk: the library raises many kinds of errors
        raise Unreachable(f"no folder '{name}' here, and the hub download failed: {hub.first_line(error)}") from None
    return parquet.from_files(name, [folder / file for file in chosen])


def _of_part(repo: str, files: Sequence[Path], part: str) -> list[Path]:
    """The files of a part; the part of a file is its first folder, unless that is a split. The only part is default."""

    def part_of(file: Path) -> str:
        first, *others = file.parts
        return first if others and not splits.of_folder(first) else "default"

    parts = sorted(set(map(part_of, files)))
    if not parts:
        raise UserError(f"'{repo}' has no Parquet files on the hub: download its images and name their folder")
    part = part or (parts[0] if len(parts) == 1 else "default")
    if part not in parts:
        raise UserError(f"'{repo}' comes in parts: name one of them, {' or '.join(f'{repo}:{each}' for each in parts)}")
    return [file for file in files if part_of(file) == part]


def _parquet_files(repo: str) -> tuple[str, list[Path]]:
    """The revision of a set that has Parquet files, and those files."""
    from huggingface_hub.errors import LocalEntryNotFoundError, RevisionNotFoundError

    try:
        files = _listed(repo, CONVERTED)
    except (RevisionNotFoundError, LocalEntryNotFoundError):  # not converted; or not downloaded before, and no network
        files = []
    partial = any(part.startswith("partial-") for file in files for part in file.parts)  # large sets are truncated
    if files and not partial:
        return CONVERTED, files
    return "main", _listed(repo, "main")


def _listed(repo: str, revision: str) -> list[Path]:
    from huggingface_hub import get_cached_repo_tree

    _download(repo, revision, [".gitattributes"])  # a small file that every set has; the listing is cached with it
    tree = get_cached_repo_tree(repo, repo_type="dataset", revision=revision, cache_dir=hub.cache())
    return sorted(Path(file.path) for file in tree if file.path.endswith(".parquet"))


def _download(repo: str, revision: str, files: list[str]) -> Path:
    """Download files of a set and return their folder. Without a network, they may come from the cache."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            repo,
            repo_type="dataset",
            revision=revision,
            allow_patterns=files,
            cache_dir=hub.cache(),
            endpoint=hub.endpoint(),
        )
    )
