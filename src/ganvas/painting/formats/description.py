"""The recipe in the field for a description that TIFF and WebP have: JSON, {"ganvas": recipe}."""

from ganvas.core.images import RECIPE_KEY

DESCRIPTION = 270  # the number of the field, in both
BEFORE, AFTER = f'{{"{RECIPE_KEY}": ', "}"


def describe(recipe: str) -> str:
    """What the field holds."""
    return BEFORE + recipe + AFTER


def recipe_in(description: str) -> str | None:
    """The recipe, or None in a description by others."""
    ours = description.startswith(BEFORE) and description.endswith(AFTER)
    return description[len(BEFORE) : -len(AFTER)] if ours else None
