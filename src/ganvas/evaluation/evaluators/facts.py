"""What the file of an evaluator says of it: a document in the header."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from ganvas.core.documents import Document


class Learned(BaseModel):
    """The images that an evaluator was trained on."""

    name: str
    sha256: str
    images: NonNegativeInt


class Tested(BaseModel):
    """The images that it was tested on, and the share of them that it recognised."""

    what: str
    images: NonNegativeInt
    accuracy: float


class Facts(Document):
    """What the file of an evaluator says of it."""

    KIND: ClassVar[str] = "an evaluator"

    model_config = ConfigDict(extra="allow")

    name: str
    settings: dict[str, Any]
    """those of `ClassifierSettings`, perhaps of another version"""
    channels: Literal[1, 3]
    classes: list[str] = Field(min_length=1)
    data: Learned
    test: Tested | None = None
    temperature: float | None = None
    """by which the logits were divided"""
    ganvas: str
    """version of ganvas that trained it"""
    torch: str
