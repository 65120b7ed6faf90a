"""Train generative adversarial networks on small sets of images, measure them, and paint from them.

import ganvas

recipe = ganvas.load_recipe("strokes-cdcgan", {"train": {"epochs": 1}})
for record in ganvas.train(recipe, "runs/digits"):
    print(record["nimg"], record["d_loss"])
pictures = ganvas.load("runs/digits").sample(16, label=3).images
scores = ganvas.evaluate("runs/digits")["scores"]
"""

from ganvas.compare import compare
from ganvas.data import load as load_data
from ganvas.errors import RunFailed, UserError
from ganvas.evaluate import evaluate
from ganvas.plot import draw_figures
from ganvas.recipe import Recipe
from ganvas.recipe import load as load_recipe
from ganvas.run import Run
from ganvas.sample import load
from ganvas.train import train

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
