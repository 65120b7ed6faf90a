"""Checkpoint files: safetensors plus a JSON note that vouches for them. Nothing is ever unpickled.

`000060000.safetensors` holds every tensor and, in its header, the plain values (JSON). `000060000.json` is written
after it and holds its sha256, so a checkpoint exists only once all of it is on the disk.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from ganvas.core import files


class Damaged(Exception):
    """A checkpoint that is truncated, altered or unreadable; the text says which and how."""


class Checkpoint(NamedTuple):
    tensors: dict[str, Tensor]  # on the CPU
    values: dict[str, Any]  # plain JSON values
    sha256: str


NOTE_BYTES = 1_000  # at most


def save(
    folder: Path,
    nimg: int,
    tensors: Mapping[str, Tensor],
    values: Mapping[str, Any],
    note: Mapping[str, Any],
    room: Callable[[Path, int], None] = lambda file, size: None,
) -> str:
    """Write the checkpoint after `nimg` images, whole or not at all; returns its sha256.

    `note` (the score, say) goes into the JSON beside the hash, to be read without opening the tensors. `room` is told
    how many bytes both files will take before they are written.
    Raises OSError when the disk is full; what was there before stays as it was.
    """
    on_cpu = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    data = save_tensors(on_cpu, metadata={"values": json.dumps(values)})
    digest = hashlib.sha256(data).hexdigest()
    tensor_file, note_file = _files(folder, nimg)
    room(tensor_file, len(data) + NOTE_BYTES)
    files.write(tensor_file, data)
    vouch = {"nimg": nimg, "sha256": digest, "bytes": len(data), **note}
    files.write(note_file, (json.dumps(vouch, indent=1) + "\n").encode())
    return digest


def load(folder: Path, nimg: int) -> Checkpoint:
    """Read and verify the checkpoint after `nimg` images; raises Damaged."""
    tensor_file, _ = _files(folder, nimg)
    try:
        expected = note(folder, nimg)["sha256"]
        data = tensor_file.read_bytes()
    except (OSError, KeyError) as error:
        raise Damaged(f"{tensor_file.name} cannot be read ({error})") from None
    digest = hashlib.sha256(data).hexdigest()
    if digest != expected:
        raise Damaged(f"{tensor_file.name} is truncated or altered (its sha256 is not the one written down)")
    try:
        tensors = load_tensors(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        values = json.loads(header["__metadata__"]["values"])
    except (SafetensorError, ValueError, KeyError) as error:
        raise Damaged(f"{tensor_file.name} cannot be understood ({error})") from None
    return Checkpoint(tensors, values, digest)


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, by the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def available(folder: Path) -> list[int]:
    """The images seen of every checkpoint in `folder`, oldest first; they may still turn out damaged."""
    return sorted(int(file.stem) for file in folder.glob("*.json") if file.stem.isdigit())


def note(folder: Path, nimg: int) -> dict[str, Any]:
    """The JSON beside a checkpoint; raises Damaged."""
    _, note_file = _files(folder, nimg)
    try:
        read = json.loads(note_file.read_text())
    except (OSError, ValueError) as error:
        raise Damaged(f"{note_file.name} cannot be read ({error})") from None
    if not isinstance(read, dict):
        raise Damaged(f"{note_file.name} cannot be understood")
    return read


def remove(folder: Path, nimg: int) -> None:
    """Delete one checkpoint, its note first, so that no note ever vouches for a missing file."""
    for file in reversed(_files(folder, nimg)):
        file.unlink(missing_ok=True)


def strays(folder: Path) -> list[Path]:
    """Files that belong to no checkpoint: those set aside, and tensors that a kill left without their note."""
    known = {file for nimg in available(folder) for file in _files(folder, nimg)}
    return sorted(file for file in folder.glob("*") if file.is_file() and file not in known)


def set_aside(folder: Path, nimg: int) -> None:
    """Rename a damaged checkpoint, so that it is neither counted nor lost."""
    for file in reversed(_files(folder, nimg)):
        if file.exists():
            file.replace(file.with_name(f"{file.name}.damaged"))


def _files(folder: Path, nimg: int) -> tuple[Path, Path]:
    return folder / f"{nimg:09d}.safetensors", folder / f"{nimg:09d}.json"


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimiser as named tensors: `<index of the parameter>.<name>`."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{key}": torch.as_tensor(value) for index, slots in state.items() for key, value in slots.items()}


def optimizer_groups(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """The settings of an optimiser (learning rate, betas, ...) as plain values, without its parameters."""
    return [
        {k: float(v) if isinstance(v, Tensor) else v for k, v in group.items() if k != "params"}
        for group in optimizer.param_groups
    ]


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """Put back what `optimizer_tensors` and `optimizer_groups` returned, perhaps on another device."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value.clone()  # it will be changed in place
    fresh, rates = optimizer.state_dict()["param_groups"], [group["lr"] for group in optimizer.param_groups]
    own = [{name: group[name] for name in ("params", "capturable") if name in group} for group in fresh]
    optimizer.load_state_dict(
        {
            "state": state,
            "param_groups": [{**saved, **kept} for saved, kept in zip(groups, own, strict=True)],
        }
    )
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(rate, Tensor):
            group["lr"] = rate.fill_(group["lr"])
        for parameter in group["params"]:
            for name, value in optimizer.state[parameter].items():
                if value.shape == parameter.shape:  # moments lie in memory as their weights do
                    optimizer.state[parameter][name] = torch.empty_like(parameter).copy_(value)
