"""What the guard does about an alarm: back to the last good state with smaller steps, or stop the run."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from ganvas.core.errors import RunFailed
from ganvas.methods import Method
from ganvas.recipes.recipe import Recipe
from ganvas.runs.checkpoint import Damaged
from ganvas.runs.guard_journal import GuardEvent
from ganvas.runs.log import Record
from ganvas.runs.run import Run
from ganvas.runs.state import pack
from ganvas.runs.writer import UNLIMITED, Writer
from ganvas.training import guard

logger = logging.getLogger("ganvas")

LOST_RECORDS = 250  # of those that going back took, fewer than twice as many are kept

State = tuple[Mapping[str, Tensor], Mapping[str, Any]]
"""Tensors and values of a checkpoint"""


class Rollback:
    """Takes a run back to its last good state, and keeps the guard's journal."""

    def __init__(self, run: Run, recipe: Recipe, method: Method, writer: Writer) -> None:
        self.run, self.recipe, self.settings = run, recipe, recipe.train
        self.method, self.writer = method, writer
        self.events = run.events()

    @property
    def done(self) -> list[GuardEvent]:
        """The alarms that the run went back after, oldest first."""
        return [event for event in self.events if event.back_to is not None]

    def after(
        self, alarm: guard.Alarm, nimg: int, seconds: float, records: Sequence[Record], entry: Record | None
    ) -> State:
        """Take the run directory back to the last good state, and return that.

        The alarm came after `nimg` images and `seconds`; `entry` is the record that it is about, if there is one, and
        `records` those before. Raises RunFailed where the recipe wants that, or when going back did not help often
        enough.
        """
        sides = ("G", "D") if alarm.side == "both" else (alarm.side,)
        fields = [field for side in sides for field in self.method.settings.slowdown_settings().get(side, {})]
        event = GuardEvent(
            nimg=nimg,
            kind=alarm.kind,
            said=alarm.said if alarm.kind == "non-finite" else f"at {nimg:,} images {alarm.said}",
            factors=dict.fromkeys(fields, self.settings.guard_factor),
            seconds=round(seconds, 3),
        )
        if self.settings.guard == "stop" or len(self.done) >= self.settings.rollbacks:
            if entry is not None:
                self.run.log.append(entry, self.writer)
            self.run.journal.write([*self.done, event], self.writer)
            raise RunFailed(self._advice(event))
        back_to, state = self._good_state(alarm)
        lost = [record for record in [*records, *([] if entry is None else [entry])] if record["nimg"] > back_to]
        lost = lost[:: -max(1, len(lost) // LOST_RECORDS)][::-1]  # enough for a curve
        event = event.model_copy(update={"back_to": back_to, "records": lost})
        self.events = go_back(self.run, self.events, event, self.writer)
        smaller = ", ".join(f"{field} × {factor:g}" for field, factor in event.factors.items())
        logger.warning(f"guard: {event.said}. Back to {back_to:,} images, with {smaller or 'the data reshuffled'}.")
        return state

    def _good_state(self, alarm: guard.Alarm) -> tuple[int, State]:
        """The images seen and the state of the newest checkpoint from before the trouble, or of the start.

        That is one from when all was sound, if one of the newest `keep` is, else from just before. Where there is an
        older one than was gone back to before, in vain, it is that.
        """
        tried = {event.back_to for event in self.done}
        regular = self.run.checkpoints.regular()
        before = [nimg for nimg in regular if nimg <= alarm.since]
        if any(nimg <= alarm.sound for nimg in regular[-self.settings.keep :]):
            before = [nimg for nimg in regular if nimg <= alarm.sound]
        for nimg in sorted(before, key=lambda nimg: (nimg not in tried, nimg), reverse=True):
            with suppress(Damaged):
                state = self.run.checkpoints.load(nimg)
                return nimg, (state.tensors, state.values)
        torch.manual_seed(self.settings.seed)
        return 0, pack(self.recipe.build(self.method.spec, self.method.compute))

    def _advice(self, event: GuardEvent) -> str:
        again = f", after going back {len(self.done)} times" if self.done else ""
        lower = " and ".join(f"method.{field}" for field in event.factors) or "the learning rate"
        turn_off = "" if event.kind == "non-finite" else ", or go on with --guard off"
        return f"{event.said}{again}: lower {lower}{turn_off}; the last good checkpoint is kept"


def go_back(run: Run, before: Sequence[GuardEvent], event: GuardEvent, writer: Writer = UNLIMITED) -> list[GuardEvent]:
    """Forget what the run wrote after `event.back_to`; returns the journal, which has had the events `before`.

    Until all is done the journal says so, and `finish_going_back` makes up for a kill.
    """
    assert event.back_to is not None
    run.journal.write([*before, event.model_copy(update={"done": False})], writer)
    run.forget_after(event.back_to)
    events = [*before, event.model_copy(update={"done": True})]
    run.journal.write(events, writer)
    return events


def finish_going_back(run: Run) -> None:
    """End what `go_back` was killed at."""
    events = run.events()
    if events and events[-1].done is False:
        go_back(run, events[:-1], events[-1])
