"""The response to an alarm of the guard: return to the last good state with smaller steps, or stop the run."""

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

LOST_RECORDS = 250  # at least half of the maximum number of removed records that the journal keeps

State = tuple[Mapping[str, Tensor], Mapping[str, Any]]
"""Tensors and values of a checkpoint"""


class Rollback:
    """Rolls a run back to its last good state, and writes the guard's journal."""

    def __init__(self, run: Run, recipe: Recipe, method: Method, writer: Writer) -> None:
        self.run, self.recipe, self.settings = run, recipe, recipe.train
        self.method, self.writer = method, writer
        self.events = run.events()

    @property
    def done(self) -> list[GuardEvent]:
        """The alarms that were followed by a rollback, oldest first."""
        return [event for event in self.events if event.back_to is not None]

    def after(
        self, alarm: guard.Alarm, nimg: int, seconds: float, records: Sequence[Record], entry: Record | None
    ) -> State:
        """Roll the run directory back to the last good state, and return that state.

        The alarm was raised after `nimg` images and `seconds`; `entry` is the record that caused it, if any, and
        `records` are the earlier ones. Raises RunFailed if the recipe says so, or after too many rollbacks.
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
        """The images seen and the state of the newest checkpoint before the trouble, or of the start.

        A checkpoint without any sign of the trouble is preferred, if it is among the newest `keep`. Checkpoints that an
        earlier rollback returned to, in vain, are used only if there is no other.
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
        turn_off = "" if event.kind == "non-finite" else ", or continue with --guard off"
        return f"{event.said}{again}: lower {lower}{turn_off}; the last good checkpoint is kept"


def go_back(run: Run, before: Sequence[GuardEvent], event: GuardEvent, writer: Writer = UNLIMITED) -> list[GuardEvent]:
    """Delete what the run wrote after `event.back_to`; returns the events of the journal: `before` and this one.

    The journal marks the event as unfinished until all is done; after a kill, `finish_going_back` completes it.
    """
    assert event.back_to is not None
    run.journal.write([*before, event.model_copy(update={"done": False})], writer)
    run.forget_after(event.back_to)
    events = [*before, event.model_copy(update={"done": True})]
    run.journal.write(events, writer)
    return events


def finish_going_back(run: Run) -> None:
    """Complete a `go_back` that was killed."""
    events = run.events()
    if events and events[-1].done is False:
        go_back(run, events[:-1], events[-1])
