"""Uploading a published model to the Hugging Face hub. `runs.places` downloads it again."""

from pathlib import Path

from ganvas.core import hub
from ganvas.core.errors import UserError
from ganvas.publishing.folder import SAMPLES_FILE
from ganvas.runs import places


def upload(folder: Path, repo: str, private: bool = False) -> str:
    """Upload a published model to the repository `repo` (owner/name), created if needed; returns its address.

    Uses the token of `hf auth login`, or $HF_TOKEN. Raises UserError if the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi  # imported here: slow to import
    from huggingface_hub.errors import LocalTokenNotFoundError

    api = HfApi(endpoint=hub.endpoint())
    try:
        api.create_repo(repo, repo_type="model", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo,
            repo_type="model",
            folder_path=folder,
            commit_message="Publish a model of ganvas",
            allow_patterns=[*places.PUBLISHED, SAMPLES_FILE],
            delete_patterns=list(places.PUBLISHED),
        )
    except LocalTokenNotFoundError:
        raise UserError("the hub needs to know who you are: run `hf auth login`, or set HF_TOKEN") from None
    except Exception as error:  # no network, no permission, server errors: the library raises many kinds of errors
        raise UserError(f"cannot upload to '{repo}': {hub.first_line(error)}") from None
    return str(getattr(commit, "repo_url", "") or repo)
