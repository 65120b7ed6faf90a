"""Where a run is: in a folder of the user, among the models that come with ganvas, or on the Hugging Face hub."""

import re
from importlib import resources
from pathlib import Path

from ganvas.core import files, hub
from ganvas.core.errors import UserError

HUB = "hub:"
PUBLISHED = ("recipe.toml", "run.json", "latents.safetensors", "checkpoints/*", "evaluations/*", "README.md")
_REPO = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


def names() -> list[str]:
    """The names of the models that come with ganvas."""
    return sorted(folder.name for folder in _models().iterdir() if (folder / "run.json").is_file())


def built_in(name: str) -> Path:
    """The folder of a model that comes with ganvas."""
    return _models() / name


def find(run: Path | str) -> Path:
    """The folder of a run: `run` itself, unless it is the name of a model that comes with ganvas, or hub:owner/name.

    A folder of the user comes first. Models of the hub are downloaded into the cache, and then work without a network.
    Raises UserError for a model of the hub that does not exist or cannot be downloaded.
    """
    path, name = files.expanded(run), str(run)
    if path.exists():
        return path
    if is_on_hub(name):
        return _download(name)
    return built_in(name) if name in names() else path


def is_on_hub(name: str) -> bool:
    return name.startswith(HUB)


def repo(name: str) -> tuple[str, str | None]:
    """The repository and the revision in hub:owner/name or hub:owner/name@revision; raises UserError for other text."""
    place, _, revision = name.removeprefix(HUB).partition("@")
    if not _REPO.fullmatch(place) or (not revision and "@" in name):
        raise UserError(f"'{name}' is not a model of the hub: write it as hub:owner/name, or hub:owner/name@revision")
    return place, revision or None


def _models() -> Path:
    return Path(str(resources.files("ganvas.runs"))) / "models"


def _download(name: str) -> Path:
    """Download a model; only the files of a published model are taken, and nothing in them is ever executed."""
    from huggingface_hub import snapshot_download  # imported here: slow to import
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    place, revision = repo(name)
    try:
        folder = Path(
            snapshot_download(
                place,
                revision=revision,
                allow_patterns=list(PUBLISHED),
                cache_dir=hub.cache(),
                endpoint=hub.endpoint(),
            )
        )
    except GatedRepoError:
        raise UserError(f"'{name}' has terms to accept first: do so on its page, then run `hf auth login`") from None
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise UserError(f"there is no public model '{name}' on the hub: check its name") from None
    except Exception as error:  # no network, server errors, a full disk: the library raises many kinds of errors
        raise UserError(f"cannot download '{name}': {hub.first_line(error)}") from None
    if not (folder / "run.json").is_file():
        raise UserError(f"'{name}' is no model of ganvas: it has no run.json")
    return folder
