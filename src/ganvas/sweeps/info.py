"""sweep.json: what a sweep varies, and how its runs are scored. Read and written here only."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import AliasChoices, ConfigDict, Field, PlainSerializer

from ganvas.core import files
from ganvas.core.documents import Document
from ganvas.core.errors import UserError
from ganvas.recipes import library
from ganvas.recipes.recipe import from_dict
from ganvas.sweeps.plan import Plan, Range

Values = Annotated[list[Any], Field(min_length=1)]
RangeFields = Annotated[Range, PlainSerializer(Range._asdict)]


class SweepInfo(Document):
    """The content of sweep.json: a plan without its recipe, which is in recipe.toml next to it."""

    KIND: ClassVar[str] = "the plan of a sweep"
    VERSION: ClassVar[int] = 2

    model_config = ConfigDict(strict=True)

    version: int = Field(2, validation_alias=AliasChoices("version", "format"))  # version 1 called it `format`
    varied: dict[str, Annotated[Values | RangeFields, Field(union_mode="left_to_right")]]
    """each setting that varies, with its values (a list) or its range (`low` and `high`)"""
    trials: int | None = None
    """points of a search; left out: a grid"""
    seeds: int
    """of each point"""
    by: str
    """the metric that a search optimises"""
    samples: int
    """of each evaluation"""


def write_plan(plan: Plan, folder: Path) -> None:
    """Write recipe.toml and sweep.json."""
    fields = {name: getattr(plan, name) for name in ("varied", "trials", "seeds", "by", "samples")}
    files.write(folder / "recipe.toml", plan.recipe.to_toml().encode())
    files.write(folder / "sweep.json", (SweepInfo(**fields).to_json(indent=1) + "\n").encode())


def read_plan(folder: Path) -> Plan:
    """The plan of the sweep in a folder; raises UserError when its files are missing, damaged or something else."""
    file = folder / "sweep.json"
    try:
        info = SweepInfo.from_json(files.read(file), file)
    except OSError as error:
        raise UserError(f"cannot read '{file}': {error.strerror}") from None
    recipe = from_dict(library.read_toml(folder / "recipe.toml"))
    try:
        return Plan(recipe, info.varied, info.trials, info.seeds, info.by, info.samples)
    except UserError as error:
        raise UserError(f"'{file}' is damaged ({error}): use another --out") from None
