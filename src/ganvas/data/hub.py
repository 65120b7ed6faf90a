"""Sets from the Hugging Face hub: the named ones, and any other by its id."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ganvas.core.cache import cache_dir
from ganvas.core.errors import UserError
from ganvas.data import idx, splits
from ganvas.data.decoding import Source, from_array
from ganvas.data.splits import NoSplit, Split

CONVERTED = "refs/convert/parquet"  # the branch where the hub keeps public sets as Parquet: part/split/0000.parquet


class Unreachable(UserError):
    """The hub could not be reached, and nothing of the set is here."""


class Published(NamedTuple):
    """A named set and where it is published."""

    repo: str  # owner/name on the hub
    folder: str  # its Parquet files are <folder>/train-00000-of-00001.parquet and <folder>/test-...
    side: int  # of every image, in pixels
    classes: tuple[str, ...]
    idx: bool = False  # whether it is also known as four IDX files


def homes(data_dir: Path | None) -> list[Path]:
    """Where the user keeps sets, each in a folder of its name: `data_dir`, then $GANVAS_DATA."""
    return [Path(root).expanduser() for root in (data_dir, os.environ.get("GANVAS_DATA")) if root]


def named(name: str, published: Published, split: Split, data_dir: Path | None) -> Source:
    """A named set: in `data_dir`, $GANVAS_DATA or the cache, in a folder of its name or directly; else downloaded.

    Raises UserError, which says what to put where, when it is nowhere and cannot be downloaded.
    """
    parquet_file = f"{split}-00000-of-00001.parquet"
    home = cache_dir() / "data" / name
    for place in (place for root in (*homes(data_dir), home.parent) for place in (root / name, root)):
        # Fashion-MNIST's files have MNIST's names: only their folder tells them apart.
        told_apart = name == "mnist" or name in place.parts
        if published.idx and told_apart and (pair := idx.find(place, split)):
            return from_array(name, *idx.load(*pair), published.classes)
        for file in (place / parquet_file, place / published.folder / parquet_file):
            if file.is_file():
                return _from_parquet(name, published, file)

    from huggingface_hub import hf_hub_download  # imported here: slow to import

    remote = f"{published.folder}/{parquet_file}"
    try:
        file = Path(hf_hub_download(published.repo, remote, repo_type="dataset", local_dir=home, endpoint=_endpoint()))
    except Exception as error:  # no network, a server at fault, a full disk: the library and its transport have many
        official = " and ".join(f"{stem}.gz" for stem in idx.stems(split))
        files = f"{official}, or {parquet_file}," if published.idx else parquet_file
        raise UserError(f"cannot download '{name}' ({_first_line(error)}): put {files} into {home}") from None
    return _from_parquet(name, published, file)


def _from_parquet(name: str, published: Published, path: Path) -> Source:
    from ganvas.data import parquet

    source = parquet.from_files(name, [path])
    # Sets share file names: a look at the classes keeps one from passing for another.
    if [_key(c) for c in source.classes] != [_key(c) for c in published.classes]:
        raise UserError(f"{path} is not '{name}': its classes are {', '.join(source.classes) or 'missing'}")
    return replace(source, side=published.side)


def _key(name: str) -> str:
    return "".join(name.lower().split())


def by_id(name: str, split: Split) -> Source:
    """The set 'owner/name', or 'owner/name:part' where it has several parts, from its Parquet files on the hub.

    The hub converts public sets to Parquet; of others, their own Parquet files are read. What was downloaded is kept in
    the cache and is found there without a network.
    Raises UserError when the hub cannot be reached, or has no such set, part or split.
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
    except Exception as error:  # no network, a server at fault, a full disk: the library and its transport have many
        raise Unreachable(f"no folder '{name}' here, and the hub does not give it: {_first_line(error)}") from None
    return parquet.from_files(name, [folder / file for file in chosen])


def _of_part(repo: str, files: Sequence[Path], part: str) -> list[Path]:
    """The files of a part, which is their first folder unless that is a split; of the only part when none is named."""

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
    """The revision of a set that has Parquet files, and these files."""
    from huggingface_hub.errors import LocalEntryNotFoundError, RevisionNotFoundError

    try:
        files = _listed(repo, CONVERTED)
    except (RevisionNotFoundError, LocalEntryNotFoundError):  # not converted; or never downloaded, and no network now
        files = []
    if files and not any(part.startswith("partial-") for file in files for part in file.parts):  # large sets are cut
        return CONVERTED, files
    return "main", _listed(repo, "main")


def _listed(repo: str, revision: str) -> list[Path]:
    from huggingface_hub import get_cached_repo_tree

    _download(repo, revision, [".gitattributes"])  # a small file of every set: the listing is kept with it
    tree = get_cached_repo_tree(repo, repo_type="dataset", revision=revision, cache_dir=_cache())
    return sorted(Path(file.path) for file in tree if file.path.endswith(".parquet"))


def _download(repo: str, revision: str, files: list[str]) -> Path:
    """Some files of a set; the folder that holds them. Without a network: from the cache, if all are there."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            repo,
            repo_type="dataset",
            revision=revision,
            allow_patterns=files,
            cache_dir=_cache(),
            endpoint=_endpoint(),
        )
    )


def _cache() -> Path:
    return cache_dir() / "hub"


def _endpoint() -> str | None:
    """Another server that speaks the hub's language; None: the hub itself."""
    return os.environ.get("HF_ENDPOINT")


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
