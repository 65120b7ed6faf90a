"""The memory and the disk space of a run: its budget, and a forecast as text."""

from torch import nn

from ganvas.core import images
from ganvas.core.files import say_size
from ganvas.core.memory import FLOAT_BYTES, refuse_large_networks, refuse_more
from ganvas.core.spec import ImageSpec
from ganvas.data import ImageSet
from ganvas.methods import Method
from ganvas.networks.cppn import CPPN
from ganvas.recipes.recipe import Recipe
from ganvas.runs.run import Run
from ganvas.training import disk_budget, guard
from ganvas.training.disk_budget import Budget
from ganvas.training.intervals import Intervals
from ganvas.training.monitor import WATCHED
from ganvas.training.sheets import sheet_of_real

SHEET_RECIPE_BYTES = 4_000  # maximum, in the file of a sheet
STEP_BYTES = 500  # maximum for the scalars of a step, in the checkpoint of a stop


def budget_of(run: Run, recipe: Recipe, data: ImageSet, method: Method) -> Budget | None:
    """The disk budget of a run, or None if it has none; raises UserError if it is too small."""
    limit = recipe.train.disk_limit()
    if limit is None:
        return None
    steps = -(-recipe.train.log_every // recipe.train.batch_size)
    under_way = WATCHED * method.spec.channels * method.spec.height * method.spec.width + steps * STEP_BYTES
    saved = [disk_budget.checkpoint_size(method) + under_way]  # a checkpoint between two records is the largest
    saved += [file.stat().st_size for file in run.checkpoints.folder.glob("*.safetensors")]
    return Budget(
        run,
        limit,
        checkpoint=max(saved),
        sheet=sheet_of_real(method, data).nbytes + SHEET_RECIPE_BYTES,  # a PNG is never larger than its pixels
        keep=recipe.train.keep,
        horizon=lambda: None if recipe.train.guard == "off" else guard.horizon(run.records()),
    )


def refuse_what_cannot_fit(recipe: Recipe, spec: ImageSpec) -> None:
    """Raise UserError for images of a batch or a step, or for networks, that are larger than the memory."""
    network, method, batch = recipe.network, recipe.method, recipe.train.batch_size
    image = spec.channels * spec.height * spec.width * FLOAT_BYTES
    refuse_more(batch * image, f"a batch of {batch:,} images takes", "lower train.batch_size")
    step = method.images_at_once(batch)
    refuse_more(step * image, f"the {step:,} images of a step take", f"lower the numbers of '{method.name}'")

    def build() -> list[nn.Module]:
        encoder = [network.encoder(spec, method.latent_size)] if isinstance(network, CPPN) else []
        return [network.generator(spec, method.latent_size), network.discriminator(spec), *encoder]

    refuse_large_networks(build, "make them smaller, for example with network.base or network.width")


def expected_space(recipe: Recipe, method: Method, data: ImageSet) -> str:
    """A forecast of the size of the run directory, as text."""
    total, intervals = recipe.total_images(len(data)), Intervals.of(recipe.train, len(data))

    def count(every: int) -> int:
        return -(-total // max(every, recipe.train.batch_size))

    evaluations = total // intervals.evaluation if intervals.evaluation else 0
    one = disk_budget.checkpoint_size(method)
    size = disk_budget.expected_size(
        one,
        len(images.png(sheet_of_real(method, data))),
        checkpoints=min(count(intervals.checkpoint) + evaluations, recipe.train.keep + 2),
        sheets=count(intervals.sheet),
        records=count(intervals.record),
        evaluations=evaluations,
    )
    limit = recipe.train.disk_limit()
    forecast = f"disk: {say_size(one)} per checkpoint, about {say_size(size)} in total at the end; "
    if limit is None:
        return f"{forecast}no budget"
    return f"{forecast}budget {say_size(limit)}" + (": older files will be thinned out" if size > limit else "")
