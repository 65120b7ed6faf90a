"""The recipe in the description field of TIFF and WebP files, as JSON: {"ganvas": recipe}."""

from ganvas.core.images import RECIPE_KEY

DESCRIPTION = 270  # the number of the field, in both
BEFORE, AFTER = f'{{"{RECIPE_KEY}": ', "}"


def describe(recipe: str) -> str:
    """The content of the field."""
    return BEFORE + recipe + AFTER


def recipe_in(description: str) -> str | None:
    """The recipe in a description, or None if another program wrote it."""
    ours = description.startswith(BEFORE) and description.endswith(AFTER)
    return description[len(BEFORE) : -len(AFTER)] if ours else None
