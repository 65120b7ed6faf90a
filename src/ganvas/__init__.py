"""Train generative adversarial networks on small sets of images, measure them, and paint from them.

import ganvas

recipe = ganvas.load_recipe("strokes-cdcgan", {"train": {"epochs": 1}})
for record in ganvas.train(recipe, "runs/digits"):
    print(record["nimg"], record["d_loss"])
pictures = ganvas.load("runs/digits").sample(16, label=3).images
scores = ganvas.evaluate("runs/digits")["scores"]
"""

from ganvas.core.errors import RunFailed, UserError
from ganvas.data import load as load_data
from ganvas.evaluation.compare import compare
from ganvas.evaluation.evaluate import evaluate
from ganvas.plotting.figures import draw_figures
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
]
