"""A published model: a run directory with what sampling, painting and scoring need, and nothing of its machine.

It has the recipe, the facts of the run, one checkpoint without what only training needs, the latents of some training
images of each class if there is an encoder, the evaluations of that checkpoint, samples, and a model card. It works
wherever a run does, but it cannot be trained further, and it has no records whose curves could be drawn.
"""

from pathlib import Path

from ganvas.core import files
from ganvas.core.errors import UserError
from ganvas.core.settings import to_toml
from ganvas.evaluation import document
from ganvas.publishing import card
from ganvas.runs import checkpoint, class_latents, samples
from ganvas.runs.info import RunInfo
from ganvas.runs.model import Model
from ganvas.runs.run import Run
from ganvas.runs.state import pack_for_sampling

SAMPLES = 64  # on the sheet
SAMPLES_FILE = "samples.png"


def publish(
    model: Model, out: Path, licence: str, *, name: str | None = None, half: bool = False, data_dir: Path | None = None
) -> Run:
    """Write `model` as a published model into the folder `out`, which must be new or empty.

    `name` is what the card calls it (default: the recipe's name). `half` stores the weights in half precision. A run
    with an encoder and classes needs its training images, or a published model's latents. Raises UserError.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"'{out}' already exists: give --out a new folder")
    latents = _latents(model, data_dir)
    published, info = Run(out), model.run.info()
    files.make_folders(out)
    values = model.run.recipe().as_dict()
    data_name = info.data.name if info.data.place is None else Path(info.data.place).name
    values["data"]["name"] = data_name
    files.write(published.recipe_file, to_toml(values).encode())
    tensors, kept = pack_for_sampling(model.method, half)
    kept |= {"nimg": model.nimg, "seconds": model.seconds}
    files.make_folders(published.checkpoints.folder)
    checkpoint.save(published.checkpoints.folder, model.nimg, tensors, kept)
    if latents:
        files.write(published.latents_file, class_latents.to_file(latents))
    for file in model.run.evaluation_files(model.nimg):
        files.make_folders(published.evaluations)
        document.keep(published, document.read(file).model_copy(update={"data_name": data_name}))
    published.write_info(_without_machine(info, data_name, licence))
    samples.save(model.sample(SAMPLES), out / SAMPLES_FILE, model.provenance())
    files.write(out / "README.md", card.text(published, name or model.run.recipe().name).encode())
    return published


def _latents(model: Model, data_dir: Path | None) -> dict[int, class_latents.ClassLatents]:
    """The latents of every class by number, for a run with an encoder."""
    if not (model.method.has_encoder() and model.classes):
        return {}
    encoded = class_latents.LatentsOfClasses(model, data_dir)
    return {index: encoded(name) for index, name in enumerate(model.classes)}


def _without_machine(info: RunInfo, data_name: str, licence: str) -> RunInfo:
    """The facts of a run for strangers: without names of folders, files and machines, and without commands."""
    sessions = [
        session.model_copy(update={"host": "", "pid": None, "command": (), "git": None}) for session in info.sessions
    ]
    data = info.data.model_copy(update={"name": data_name, "place": None, "skipped": ()})
    begun = info.begun_from and info.begun_from.model_copy(update={"run": Path(info.begun_from.run).name})
    facts = {
        "begun_from": begun,
        "data": data,
        "state": "published",
        "reason": None,
        "sessions": tuple(sessions),
        "licence": licence,
    }
    return info.model_copy(update=facts)
