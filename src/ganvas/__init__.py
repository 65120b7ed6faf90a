"""Train generative adversarial networks on small sets of images, measure them, and paint from them.

import ganvas

recipe = ganvas.load_recipe("strokes-cdcgan", {"train": {"epochs": 1}})
for record in ganvas.train(recipe, "runs/digits"):
    print(record["nimg"], record["d_loss"])
images = ganvas.load("runs/digits").sample(16, label=3).images
scores = ganvas.evaluate("runs/digits").scores
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ganvas.core.errors import RunFailed, UserError
    from ganvas.data import load as load_data
    from ganvas.evaluation.compare import compare
    from ganvas.evaluation.evaluate import evaluate
    from ganvas.plotting.figures import draw_figures
    from ganvas.plotting.live import watch
    from ganvas.recipes.library import load as load_recipe
    from ganvas.recipes.recipe import Recipe
    from ganvas.runs.model import load
    from ganvas.runs.run import Run
    from ganvas.training.train import train

__all__ = [
    "Recipe",
    "Run",
    "RunFailed",
    "UserError",
    "compare",
    "draw_figures",
    "evaluate",
    "load",
    "load_data",
    "load_recipe",
    "train",
    "watch",
]

_PLACES = {  # imported when asked for, so that `import ganvas` takes no time
    "Recipe": "ganvas.recipes.recipe:Recipe",
    "Run": "ganvas.runs.run:Run",
    "RunFailed": "ganvas.core.errors:RunFailed",
    "UserError": "ganvas.core.errors:UserError",
    "compare": "ganvas.evaluation.compare:compare",
    "draw_figures": "ganvas.plotting.figures:draw_figures",
    "evaluate": "ganvas.evaluation.evaluate:evaluate",
    "load": "ganvas.runs.model:load",
    "load_data": "ganvas.data:load",
    "load_recipe": "ganvas.recipes.library:load",
    "train": "ganvas.training.train:train",
    "watch": "ganvas.plotting.live:watch",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'ganvas' has no attribute '{name}'")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__
