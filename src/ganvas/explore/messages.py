"""What a page may ask for. Every message is a model: unknown fields, wrong types and huge numbers are refused."""

import json
from typing import Annotated, Any, TypeVar, get_origin

from pydantic import ConfigDict, Field
from starlette.requests import Request

from ganvas.core.errors import UserError
from ganvas.core.settings import Settings, parse

MOST_LATENT = 100_000  # numbers in a latent
MOST_LIVE = 2**22  # samples, pixels times supersamples, of an image that is painted while one waits

Name = Annotated[str, Field(max_length=1_000)]
Seed = Annotated[int, Field(ge=0, lt=2**53)]  # the integers that JavaScript can tell apart
Number = Annotated[float, Field(ge=-1e30, le=1e30)]
Latent = Annotated[list[Annotated[float, Field(ge=-1e6, le=1e6)]], Field(min_length=1, max_length=MOST_LATENT)]


class Message(Settings):
    """A request of a page."""

    model_config = ConfigDict(strict=False, hide_input_in_errors=True)


class OfRun(Message):
    """A request about the model of a run."""

    run: Name
    checkpoint: Name = "last"
    """last, best, or the number of images seen"""
    averaged: bool = True
    """whether to use the moving average of the weights (EMA), if there is one"""


M = TypeVar("M", bound=Message)


def query(request: Request, kind: type[M]) -> M:
    """The fields of an address; raises UserError with one line if they are not those of `kind`."""
    values: dict[str, Any] = {}
    for key in request.query_params:
        given = request.query_params.getlist(key)
        field = kind.model_fields.get(key)
        many = field is not None and get_origin(field.annotation) is list
        values[key] = given if many or len(given) > 1 else given[0]
    return parse(kind, values, "request")


async def body(request: Request, kind: type[M]) -> M:
    """The JSON body of a request; raises UserError with one line if it is not a `kind`."""
    return parse(kind, as_object(await request.body()), "request")


def as_object(text: str | bytes) -> dict[str, Any]:
    """The fields of a JSON object; raises UserError if `text` is anything else."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError("a message has to be JSON") from None
    if not isinstance(values, dict):
        raise UserError("a message has to be a JSON object")
    return values
