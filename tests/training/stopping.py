"""A training that is stopped on the way."""

from pathlib import Path

from ganvas.recipes.recipe import Recipe
from ganvas.training.train import train


def train_until(nimg: int, recipe: Recipe, path: Path, device: str = "cpu") -> None:
    """Stop a run after so many images, as the command line does at a signal."""
    seen = [0]
    list(train(recipe, path, device=device, tick=lambda n, _: seen.append(n), stop=lambda: seen[-1] >= nimg))
