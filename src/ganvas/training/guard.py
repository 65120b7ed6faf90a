"""Detecting trouble in the records of a run: pure functions, so that any log can be checked again.

The tests compare several successive records of a run with its own past: levels differ between methods by orders of
magnitude, and a single bad record is not a collapse. A record is a mean over `train.log_every` images.
"""

from collections.abc import Sequence
from math import expm1, inf, log
from statistics import median
from typing import NamedTuple

from ganvas.runs.log import Record

CONFIRM = 2  # successive records that must show the trouble
PAST = 8  # maximum number of earlier records with which they are compared
LEAST_PAST = 3
FALL, RISE = 8.0, 4.0  # factors of the losses when one side suddenly dominates
COLLAPSED = 0.35  # diversity of collapsed samples, as a share of the best so far
SOUND = 0.7  # diversity at which nothing is wrong yet, as a share of the best so far
ONCE_DIVERSE = 0.3  # if the diversity was never above this share of the data's, there is nothing to lose yet
GROWN = 1.1  # factor of the untrained generator's diversity from which on diversity is learned
STILL = 1e-4  # change of the samples between two records, as a share of the distance between real images
STILL_RECORDS = 6
REACH = 1 + max(CONFIRM, STILL_RECORDS)  # records on which an alarm may depend
PROMISING, EMPTY = 0.3, 0.1  # rise of d by a functional gradient step, as a share of what its gradient predicts
MANY_CLASSES = 0.6  # share of the real classes from which on some can be lost; noise may seem to have a few
PASSING, UNKNOWN = 0.3, 0.1  # share of G's images that passed as their class; and the share of that which is left
TINY = 1e-45  # the smallest probability in float32
ALL_KNOWN, ALL_ALIKE = 0.01, 0.1  # loss of D and diversity if D has won from the start, and G has nothing to learn from


class Alarm(NamedTuple):
    kind: str  # non-finite, domination, overshoot, collapse, stagnation
    side: str  # the side that diverged: G, D or both
    said: str  # description, without a full stop
    since: int  # images seen of the last record before the trouble
    sound: int = 0  # images seen of the last record without any sign of it; 0 if unknown


def check(records: Sequence[Record], logistic: bool = True, classifies: bool = False) -> Alarm | None:
    """The trouble at the end of `records`, or None.

    `logistic`: losses are negative logarithms of probabilities; `classifies`: D is a classifier of the images.
    """
    whole = [record for record in records if not record.get("stopped")]  # others are means over fewer images
    found = domination(whole) if logistic else None
    found = found or overshoot(whole) or collapse(whole) or lost_classes(whole)
    found = found or (unrecognised(whole) if classifies else None) or stagnation(whole)
    return found or (beaten(whole) if logistic else None)


def horizon(records: Sequence[Record]) -> int:
    """The images seen before which no alarm can place the start of the trouble: an older checkpoint may be needed."""
    whole = [record for record in records if not record.get("stopped")]
    losses = [record for record in whole if record.get("d_loss") is not None]  # missing while D is not updated
    return min((seen[-REACH]["nimg"] if len(seen) >= REACH else 0 for seen in (whole, losses) if seen), default=0)


def remembered(records: Sequence[Record]) -> set[int]:
    """The indices of the records, however old, without which `check` would give other results."""
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
    """An alarm if one loss falls to almost nothing while the other one multiplies."""
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
    """The records with G's minimax loss log(1 - D(G(z))), which is below 0, converted to -log D(G(z))."""
    known = [record for record in records if record.get("g_loss") is not None]
    if not any(record["g_loss"] < 0 for record in known):
        return records
    return [{**record, "g_loss": -log(max(-expm1(record["g_loss"]), TINY))} for record in known]


def overshoot(records: Sequence[Record]) -> Alarm | None:
    """An alarm if functional gradient steps have become so long that they hardly increase D any more."""
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
    """An alarm if the samples have become alike after having been diverse."""
    known = [record for record in records if "diversity" in record]
    learned = known[_born([record["diversity"] for record in known])[1] :]
    if not learned:
        return None
    best = max(learned, key=lambda record: record["diversity"])
    last = learned[-CONFIRM:]
    least = COLLAPSED * min(best["diversity"], 1.0)  # diversity beyond that of the data is no loss
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
    """The record that shows whether the initial diversity was that of noise, and the number of records of noise.

    Untrained weights may draw images that are as different as real ones. If this diversity falls before it grows, it
    was not learned, and nothing is lost.
    """
    for i, value in enumerate(diversity):
        if value > GROWN * diversity[0]:
            return i, 0
        if value <= COLLAPSED * min(diversity[0], 1.0):
            return i, i + 1
    return 0, 0


def lost_classes(records: Sequence[Record]) -> Alarm | None:
    """An alarm if only few are left of the classes that the samples once had."""
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
    """An alarm if D no longer recognises G's images as their class, which does not recover by itself."""
    known = [record for record in records if record.get("accuracy_generated") is not None]
    if not known:
        return None
    best = max(known, key=lambda record: record["accuracy_generated"])
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
    """An alarm if the samples of fixed latents have stopped changing."""
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
    """An alarm if D is sure of every image and the samples are all alike, perhaps from the first record on."""
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
    """The images seen of the last record in which `name` is above `least`."""
    found: int = [record["nimg"] for record in records if record[name] > least][-1]
    return found


def _split(records: Sequence[Record], *names: str) -> tuple[list[Record], list[Record]]:
    """The past and the last records that have all `names`; both empty if there are too few."""
    known = [record for record in records if all(record.get(name) is not None for name in names)]
    past = known[-CONFIRM - PAST : -CONFIRM]
    return (past, known[-CONFIRM:]) if len(past) >= LEAST_PAST else ([], [])
