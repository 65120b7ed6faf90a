"""What the guard, as it is now, says of runs that are there: the first alarm of each, told from its records.

    python benchmarks/guard_replay.py runs/*

What a rollback took back is replayed too. A column that an old run lacks cannot raise an alarm.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from ganvas.core.errors import UserError
from ganvas.methods import METHODS
from ganvas.recipes.recipe import Recipe
from ganvas.runs.log import Record
from ganvas.runs.run import Run
from ganvas.training import guard


def histories(run: Run) -> Iterator[list[Record]]:
    """The records that led to each rollback, and those of the run as it is."""
    found = [run.records()]
    for event in reversed(run.events()):
        if event.back_to is not None:
            found.append([*(record for record in found[-1] if record["nimg"] <= event.back_to), *event.records])
    yield from reversed(found)


def first_alarm(records: list[Record], recipe: Recipe) -> str | None:
    classifies = METHODS[recipe.method.name].classifies
    for count in range(1, len(records) + 1):
        if alarm := guard.check(records[:count], recipe.method.logistic, classifies):
            return f"after {records[count - 1]['nimg']:,} images {alarm.said}"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    quiet = alarms = 0
    for run in filter(Run.is_run, map(Run, parser.parse_args().runs)):
        try:
            recipe = run.recipe()
        except UserError as error:
            print(f"{run.path.name}: left out: {error}")
            continue
        found = next(filter(None, (first_alarm(records, recipe) for records in histories(run))), None)
        quiet, alarms = quiet + (found is None), alarms + (found is not None)
        if found:
            print(f"{run.path.name}: {found}")
    print(f"{quiet} runs without an alarm, {alarms} with one")


if __name__ == "__main__":
    main()
