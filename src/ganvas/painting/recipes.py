"""The recipe inside a painted image or a film: what it was painted from, and how. Read and written here only.

Version 1 can still be read: its field `version` holds the version of ganvas, and some of its fields have other names.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from ganvas.core import version as program
from ganvas.core.documents import Document
from ganvas.painting.variations import MOST, Variation

MOST_FRAMES = 1_000_000  # of a film: nine hours at 30 per second

Count = Annotated[int, Field(ge=0, lt=2**63)]
Side = Annotated[int, Field(ge=1, lt=2**31)]
Float32 = Annotated[float, Field(ge=-3.4e38, le=3.4e38)]
Latent = Annotated[list[Float32], Field(min_length=1)]
Variations = Annotated[tuple[Variation, ...], Field(max_length=MOST, strict=False)]  # lists in JSON


class Part(BaseModel):
    """A part of a recipe. Strict: text is not accepted as a number."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class RunOrigin(Part):
    """The network of a run."""

    run: str
    """folder of the run"""
    recipe: str
    checkpoint: str
    """sha256"""
    nimg: Count
    """images seen"""
    steps: Count | None = None
    """functional gradient steps; left out: all"""
    variations: Variations = ()
    """seeds and amounts of random weights that are added, see `painting.variations`"""


class RandomOrigin(Part):
    """A network with random weights."""

    random: str
    """kind and size: tanh:8x64"""
    std: float | None = None
    """standard deviation of the weights; left out: the default of the kind"""
    weights: Count
    """seed of the weights"""
    colour: bool = False
    variations: Variations = ()
    """seeds and amounts of random weights that are added, see `painting.variations`"""


def _kind_of_origin(value: Any) -> str:
    random = "random" in value if isinstance(value, Mapping) else isinstance(value, RandomOrigin)
    return "random" if random else "run"


Origin = Annotated[
    Annotated[RunOrigin, Tag("run")] | Annotated[RandomOrigin, Tag("random")], Discriminator(_kind_of_origin)
]


class ViewRecipe(Part):
    """The fields of `View`."""

    height: Side
    width: Side
    scale: float
    center: tuple[float, float] = Field(strict=False)  # a list in JSON
    zoom: float
    supersample: Side
    tile: bool = False


class PlaceRecipe(Part):
    """The fields of `Place`."""

    center: tuple[float, float] = Field(strict=False)  # a list in JSON
    zoom: float = Field(gt=0)


class SubjectRecipe(Part):
    source: str = Field(validation_alias=AliasChoices("source", "from"))
    """where the latent comes from, as text for users"""
    origin: Origin
    latent: Latent


class PrintRecipe(Part):
    """The fields of `Print`."""

    width: float
    height: float
    dpi: float
    bleed: float


class PaintingFields(Part):
    subjects: list[SubjectRecipe] = Field(validation_alias=AliasChoices("subjects", "pictures"), min_length=1)
    view: ViewRecipe
    palette: str
    bits: Literal[8, 16]
    columns: Side
    print: PrintRecipe | None = None
    """its size on paper"""


class MorphFields(Part):
    origin: Origin
    sources: list[str] = Field(validation_alias=AliasChoices("sources", "from"))
    """where the latents come from, as text for users"""
    latents: list[Latent] = Field(min_length=1)
    view: ViewRecipe
    frames: int = Field(ge=1, le=MOST_FRAMES)
    ease: Literal["linear", "sine"]
    spherical: bool
    loop: bool
    zoom_to: float | None = Field(None, gt=0)
    places: list[PlaceRecipe] | None = Field(None, min_length=1)
    """what the film shows at each latent"""
    palette: str
    fps: float


class TrainingFields(Part):
    run: str
    """folder of the run"""
    sheets: list[Count] = Field(min_length=1)
    """images seen"""
    fps: float


class Recipe(Document):
    """The fields that both kinds have in common."""

    VERSION: ClassVar[int] = 2

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    version: int = 2
    ganvas: str = program.VERSION
    """version of ganvas that painted this"""

    @model_validator(mode="before")
    @classmethod
    def _of_version_1(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(values.get("version"), str):
            return {**values, "version": 1, "ganvas": values["version"]}
        return values

    def to_json(self, indent: int | None = None) -> str:
        """ASCII, so that no other program can break the encoding."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), indent=indent)


class PaintingRecipe(Recipe):
    KIND: ClassVar[str] = "a painting by ganvas"

    painting: PaintingFields


class MorphRecipe(Recipe):
    KIND: ClassVar[str] = "a film by ganvas"

    morph: MorphFields


class TrainingRecipe(Recipe):
    KIND: ClassVar[str] = "a film of a training by ganvas"

    training: TrainingFields
