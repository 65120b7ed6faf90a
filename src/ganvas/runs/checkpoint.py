"""Checkpoint files: safetensors, each with a JSON note. Nothing is ever unpickled.

`000060000.safetensors` holds all tensors and, in its header, the plain values (JSON). `000060000.json` is written after
it and holds its sha256, so a checkpoint exists only once all of it is on the disk.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ganvas.core import files
from ganvas.core.documents import Document
from ganvas.core.errors import UserError
from ganvas.recipes.train_settings import SCORE
from ganvas.runs.writer import UNLIMITED, Writer


class Damaged(Exception):
    """A checkpoint is truncated, altered or unreadable; the text says which one and how."""


class Checkpoint(NamedTuple):
    tensors: dict[str, Tensor]  # on the CPU
    values: dict[str, Any]  # plain JSON values
    sha256: str


class Note(Document):
    """The JSON file next to a checkpoint, which can be read without loading the tensors."""

    KIND: ClassVar[str] = "the note of a checkpoint"

    nimg: int
    """images seen"""
    sha256: str
    """hash of the file with the tensors"""
    bytes: int
    """size of that file"""
    score: float | None = None
    by: str = SCORE
    """the kind of score: `score` or the name of a metric"""
    stopped: bool = False
    """whether the run was stopped here, between two regular checkpoints"""


NOTE_BYTES = 1_000  # at most


def save(
    folder: Path,
    nimg: int,
    tensors: Mapping[str, Tensor],
    values: Mapping[str, Any],
    *,
    score: float | None = None,
    by: str = SCORE,
    stopped: bool = False,
    writer: Writer = UNLIMITED,
) -> str:
    """Write the checkpoint after `nimg` images, atomically; returns its sha256.

    Raises OSError when the disk is full; existing files then stay as they were.
    """
    on_cpu = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    data = save_tensors(on_cpu, metadata={"values": json.dumps(values)})
    written = Note(
        nimg=nimg, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), score=score, by=by, stopped=stopped
    )
    tensor_file, note_file = _files(folder, nimg)
    writer.reserve(tensor_file, len(data) + NOTE_BYTES)
    files.write(tensor_file, data)
    files.write(note_file, (written.to_json(indent=1) + "\n").encode())
    return written.sha256


def load(folder: Path, nimg: int) -> Checkpoint:
    """Read and verify the checkpoint after `nimg` images; raises Damaged."""
    tensor_file, _ = _files(folder, nimg)
    expected = note(folder, nimg).sha256
    try:
        data = files.read(tensor_file)
    except OSError as error:
        raise Damaged(f"{tensor_file.name} cannot be read ({error})") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise Damaged(f"{tensor_file.name} is truncated or altered (its sha256 has changed)")
    try:
        tensors = load_tensors(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        values = json.loads(header["__metadata__"]["values"])
    except (SafetensorError, ValueError, KeyError) as error:
        raise Damaged(f"{tensor_file.name} cannot be understood ({error})") from None
    return Checkpoint(tensors, values, digest)


def available(folder: Path) -> list[int]:
    """The images seen of every checkpoint in `folder`, oldest first; some may turn out to be damaged."""
    return sorted(int(file.stem) for file in folder.glob("*.json") if file.stem.isdigit())


def note(folder: Path, nimg: int) -> Note:
    """Read the note of a checkpoint; raises Damaged."""
    _, note_file = _files(folder, nimg)
    try:
        return Note.from_json(files.read(note_file), note_file.name)
    except (OSError, UserError) as error:
        raise Damaged(f"{note_file.name} cannot be read ({error})") from None


def remove(folder: Path, nimg: int) -> None:
    """Delete a checkpoint, its note first, so that there is never a note without its checkpoint."""
    for file in reversed(_files(folder, nimg)):
        file.unlink(missing_ok=True)


def remove_unvouched(folder: Path) -> None:
    """Delete tensors without a note, which a kill leaves between writing or deleting the two files of a checkpoint."""
    for file in strays(folder):
        if file.suffix == ".safetensors" and file.stem.isdigit():
            file.unlink(missing_ok=True)


def strays(folder: Path) -> list[Path]:
    """Files that belong to no checkpoint: damaged ones, and tensors that a kill left without their note."""
    known = {file for nimg in available(folder) for file in _files(folder, nimg)}
    return sorted(file for file in folder.glob("*") if file.is_file() and file not in known)


def set_aside(folder: Path, nimg: int) -> None:
    """Rename a damaged checkpoint, so that it is kept but no longer counted."""
    for file in reversed(_files(folder, nimg)):
        if file.exists():
            file.replace(file.with_name(f"{file.name}.damaged"))


def _files(folder: Path, nimg: int) -> tuple[Path, Path]:
    return folder / f"{nimg:09d}.safetensors", folder / f"{nimg:09d}.json"
