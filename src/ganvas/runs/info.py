"""run.json: the data and state of a run, and the sessions that trained it."""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from ganvas.core.documents import Document
from ganvas.core.spec import ImageSpec


class DataFacts(BaseModel):
    """The training images."""

    model_config = ConfigDict(frozen=True)

    name: str
    images: int
    sha256: str
    """hash of their pixels and labels"""
    spec: Annotated[ImageSpec, PlainSerializer(ImageSpec._asdict)]
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    """files that could not be read"""
    whites: dict[str, Annotated[float, Field(ge=1, allow_inf_nan=False)]] = {}
    """the value that is white in images with more than 8 bits, by their Pillow mode"""
    place: str | None = None
    """the folder or file that held them; none: a named set, or one of the hub"""


class Session(BaseModel):
    """One process that trained the run, from the start or from a checkpoint."""

    model_config = ConfigDict(frozen=True)

    at: str = ""
    """start time"""
    from_nimg: int = 0
    """images seen before the session"""
    ganvas: str = ""
    git: str | None = None
    torch: str = ""
    python: str = ""
    machine: str = ""
    host: str = ""
    """name of the machine"""
    pid: int | None = None
    """number of the process"""
    device: str = ""
    precision: Literal["fp32", "bf16"] = "fp32"
    threads: int = 0
    command: tuple[str, ...] = ()


class BegunFrom(BaseModel):
    """The run whose weights another run began with."""

    model_config = ConfigDict(frozen=True)

    run: str
    """its folder or name"""
    recipe: str
    nimg: int
    """images seen by it"""
    checkpoint: str
    """sha256"""


class RunInfo(Document):
    """The content of run.json."""

    KIND: ClassVar[str] = "the run.json of a run"

    recipe: str = "unnamed"
    seed: int | None = None
    data: DataFacts
    started: AwareDatetime
    state: str = "unknown"
    """running, finished, stopped, failed, or published"""
    reason: str | None = None
    """reason of the failure"""
    ended: AwareDatetime | None = None
    sessions: tuple[Session, ...] = ()
    licence: str | None = None
    """of a published model, as its publisher has named it"""
    evaluator: str | None = None
    """sha256 of the evaluator that scores the run during training"""
    begun_from: BegunFrom | None = None
    """none: it began with random weights"""
