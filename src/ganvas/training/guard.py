"""What goes wrong in training, seen in the records of a run: pure functions, so that any log can be checked again.

Tests compare a run with its own past, for a few records in a row: levels differ from method to method by orders
of magnitude, and a single bad record is no collapse. A record is a mean over `train.log_every` images.
"""

from collections.abc import Sequence
from math import expm1, inf, log
from statistics import median
from typing import NamedTuple

from ganvas.runs.log import Record

CONFIRM = 2  # records in a row that have to show it
PAST = 8  # records before these that they are compared with, at most
LEAST_PAST = 3
FALL, RISE = 8.0, 4.0  # of the losses, as factors, when one side suddenly dominates
COLLAPSED = 0.35  # diversity, as a share of its best so far
SOUND = 0.7  # the same, where nothing is wrong yet
ONCE_DIVERSE = 0.3  # a generator that never was as diverse as this share of the data has nothing to lose yet
GROWN = 1.1  # times the diversity that an untrained generator was born with: from here on it is learned
STILL = 1e-4  # change of the samples from one record to the next, as a share of the distance between real ones
STILL_RECORDS = 6
REACH = 1 + max(CONFIRM, STILL_RECORDS)  # records that an alarm may depend on
PROMISING, EMPTY = 0.3, 0.1  # rise of d by a functional gradient step, as a share of what its gradient promises
MANY_CLASSES = 0.6  # share of those of real images; noise may seem to have some, and below this none are lost
PASSING, UNKNOWN = 0.3, 0.1  # of G's images, the share that once passed as their class; and of that, what is left
TINY = 1e-45  # the smallest probability in float32
ALL_KNOWN, ALL_ALIKE = 0.01, 0.1  # loss of D and diversity where G has nothing to learn from: D has won from the start


class Alarm(NamedTuple):
    kind: str  # non-finite, domination, overshoot, collapse, stagnation
    side: str  # whose learning ran away: G, D or both
    said: str  # in plain words, without a full stop
    since: int  # images seen when it was not there yet
    sound: int = 0  # images seen when nothing led to it yet either; 0 where that is unknown


def check(records: Sequence[Record], logistic: bool = True, classifies: bool = False) -> Alarm | None:
    """What is wrong at the end of `records`, if anything.

    `logistic` losses are negative logarithms of probabilities; a D that `classifies` names the class of an image.
    """
    whole = [record for record in records if not record.get("stopped")]  # others are means over fewer images
    found = domination(whole) if logistic else None
    found = found or overshoot(whole) or collapse(whole) or lost_classes(whole)
    found = found or (unrecognised(whole) if classifies else None) or stagnation(whole)
    return found or (beaten(whole) if logistic else None)


def horizon(records: Sequence[Record]) -> int:
    """Images seen before which no alarm can say that the trouble began: what was saved until then may be needed."""
    whole = [record for record in records if not record.get("stopped")]
    losses = [record for record in whole if record.get("d_loss") is not None]  # where D pauses, not in every record
    return min((seen[-REACH]["nimg"] if len(seen) >= REACH else 0 for seen in (whole, losses) if seen), default=0)


def remembered(records: Sequence[Record]) -> set[int]:
    """Indices of the records that the tests need, however old: without them, `check` would find other things."""
    whole = [i for i, record in enumerate(records) if not record.get("stopped")]
    losses = [i for i in whole if records[i].get("d_loss") is not None]
    found = {*whole[-REACH - PAST :], *losses[-REACH - PAST :]}
    for name, share, most in (
        ("diversity", COLLAPSED, 1.0),
        ("classes", COLLAPSED, inf),
        ("accuracy_generated", UNKNOWN, inf),
        ("rise", EMPTY / PROMISING, PROMISING),
    ):
        known = [i for i, record in enumerate(records) if record.get(name) is not None and not record.get("stopped")]
        if known and name == "diversity":
            shows, noise = _born([records[i][name] for i in known])
            found |= {known[0], known[shows]}
            known = known[noise:]
        if known:
            best = max(known, key=lambda i: records[i][name])
            found |= {best, *known[-STILL_RECORDS - 1 :]}
            for least in (share, SOUND):
                found |= {*[i for i in known if records[i][name] > least * min(records[best][name], most)][-1:]}
    return found


def domination(records: Sequence[Record]) -> Alarm | None:
    """One loss falls to almost nothing while the other one multiplies."""
    past, last = _split(_non_saturating(records), "d_loss", "g_loss")
    if not past:
        return None
    level = {name: median(record[name] for record in past) for name in ("d_loss", "g_loss")}
    for winner, loser, name in (("d_loss", "g_loss", "discriminator"), ("g_loss", "d_loss", "generator")):
        if all(0 <= r[winner] < level[winner] / FALL and r[loser] > level[loser] * RISE for r in last):
            was, now = level, last[-1]
            return Alarm(
                "domination",
                name[0].upper(),
                f"the {name} suddenly dominates: its loss fell from {was[winner]:.3g} to {now[winner]:.3g}, that of "
                f"the other rose from {was[loser]:.3g} to {now[loser]:.3g}",
                past[-1]["nimg"],
            )
    return None


def _non_saturating(records: Sequence[Record]) -> Sequence[Record]:
    """The records with -log D(G(z)) as G's loss where it is log(1 - D(G(z))), the minimax form, which is below 0."""
    known = [record for record in records if record.get("g_loss") is not None]
    if not any(record["g_loss"] < 0 for record in known):
        return records
    return [{**record, "g_loss": -log(max(-expm1(record["g_loss"]), TINY))} for record in known]


def overshoot(records: Sequence[Record]) -> Alarm | None:
    """The steps of the images have become too long for D's gradient: soon they lead away from what D calls real."""
    known = [record for record in records if record.get("rise") is not None]
    last = known[-CONFIRM:]
    best = max((record["rise"] for record in known), default=0.0)
    if best < PROMISING or any(record["rise"] > EMPTY for record in last):
        return None
    return Alarm(
        "overshoot",
        "D",
        f"the steps of the images are too long: D rises by {last[-1]['rise']:.0%} of what its gradient promises, "
        f"once by {best:.0%}",
        [record["nimg"] for record in known if record["rise"] > EMPTY][-1],
    )


def collapse(records: Sequence[Record]) -> Alarm | None:
    """The samples, once diverse, have become alike."""
    known = [record for record in records if "diversity" in record]
    learned = known[_born([record["diversity"] for record in known])[1] :]
    if not learned:
        return None
    best = max(learned, key=lambda record: record["diversity"])
    last = learned[-CONFIRM:]
    least = COLLAPSED * min(best["diversity"], 1.0)  # more than the data have is none to lose
    if best["diversity"] < ONCE_DIVERSE or any(r["diversity"] > least for r in last):
        return None
    return Alarm(
        "collapse",
        "G",
        f"the samples have become alike: their mean distance is {last[-1]['diversity']:.0%} of that of real images, "
        f"after {best['diversity']:.0%} at {best['nimg']:,} images",
        since=_last_above(least, learned, "diversity"),
        sound=_last_above(SOUND * min(best["diversity"], 1.0), learned, "diversity"),
    )


def _born(diversity: Sequence[float]) -> tuple[int, int]:
    """Where it shows whether the diversity at the start was that of noise, and how many records are about noise.

    Random weights may draw images as different as real ones. If that falls before it grows, nothing that was learned
    is lost.
    """
    for i, value in enumerate(diversity):
        if value > GROWN * diversity[0]:
            return i, 0
        if value <= COLLAPSED * min(diversity[0], 1.0):
            return i, i + 1
    return 0, 0


def lost_classes(records: Sequence[Record]) -> Alarm | None:
    """Of the classes that were once drawn few are left."""
    known = [record for record in records if record.get("classes") is not None]
    if not known:
        return None
    best = max(known, key=lambda record: record["classes"])
    if best["classes"] < MANY_CLASSES or any(r["classes"] > COLLAPSED * best["classes"] for r in known[-CONFIRM:]):
        return None
    return Alarm(
        "collapse",
        "G",
        f"classes are lost: the samples have {known[-1]['classes']:.0%} of the classes of real images, after "
        f"{best['classes']:.0%} at {best['nimg']:,} images",
        since=_last_above(COLLAPSED * best["classes"], known, "classes"),
        sound=_last_above(SOUND * best["classes"], known, "classes"),
    )


def unrecognised(records: Sequence[Record]) -> Alarm | None:
    """G's images, made to pass as their class, are no longer taken for it, and that does not mend by itself."""
    known = [record for record in records if record.get("accuracy_generated") is not None]
    best = max(known, key=lambda record: record["accuracy_generated"], default={"accuracy_generated": 0.0})
    least = UNKNOWN * best["accuracy_generated"]
    last = known[-STILL_RECORDS:]
    if best["accuracy_generated"] < PASSING or any(record["accuracy_generated"] > least for record in last):
        return None
    return Alarm(
        "collapse",
        "G",
        f"the generator is lost: {last[-1]['accuracy_generated']:.1%} of its images pass as their class, after "
        f"{best['accuracy_generated']:.0%} at {best['nimg']:,} images",
        since=_last_above(least, known, "accuracy_generated"),
        sound=_last_above(SOUND * best["accuracy_generated"], known, "accuracy_generated"),
    )


def stagnation(records: Sequence[Record]) -> Alarm | None:
    """The samples of fixed latents have stopped changing."""
    known = [record for record in records if "movement" in record]
    last = known[-STILL_RECORDS:]
    if len(known) <= STILL_RECORDS or any(record["movement"] > STILL for record in last):
        return None
    return Alarm(
        "stagnation",
        "D",
        f"the samples have not changed for {last[-1]['nimg'] - last[0]['nimg']:,} images: nothing is learned",
        known[-STILL_RECORDS - 1]["nimg"],
    )


def beaten(records: Sequence[Record]) -> Alarm | None:
    """D is sure of every image and the samples are all alike, perhaps from the first record on."""
    known = [record for record in records if record.get("d_loss") is not None and "diversity" in record]
    last = known[-STILL_RECORDS:]
    if len(last) < STILL_RECORDS or any(r["d_loss"] > ALL_KNOWN or r["diversity"] > ALL_ALIKE for r in last):
        return None
    return Alarm(
        "domination",
        "D",
        f"the generator learns nothing: for {STILL_RECORDS} records the discriminator has known every image (loss "
        f"{last[-1]['d_loss']:.2g}) and the samples are alike",
        known[-STILL_RECORDS - 1]["nimg"] if len(known) > STILL_RECORDS else 0,
    )


def _last_above(least: float, records: Sequence[Record], name: str) -> int:
    """Images seen at the last record in which `name` is more than `least`."""
    found: int = [record["nimg"] for record in records if record[name] > least][-1]
    return found


def _split(records: Sequence[Record], *names: str) -> tuple[list[Record], list[Record]]:
    """The records that have all `names`: those of the past, and the last few; no past if there are too few."""
    known = [record for record in records if all(record.get(name) is not None for name in names)]
    past = known[-CONFIRM - PAST : -CONFIRM]
    return (past, known[-CONFIRM:]) if len(past) >= LEAST_PAST else ([], [])
