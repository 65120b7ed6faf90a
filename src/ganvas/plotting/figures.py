"""The figures that `ganvas plot` writes, of one run or of several runs together."""

import json
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganvas.core.errors import UserError
from ganvas.core.images import GAP, load_png
from ganvas.metrics import METRICS
from ganvas.plotting import one_run, several_runs
from ganvas.plotting.quantities import MONITORS
from ganvas.plotting.sheets import epochs_sheet, sheets_of
from ganvas.plotting.style import save
from ganvas.runs.run import Run

logger = logging.getLogger("ganvas")

SHEETS_ACROSS = 5  # sample sheets of each run, by default


def draw_figures(run: Run | str | Path) -> list[Path]:
    """Write all figures for which the run has records into `figures/`, as PNG and SVG; returns the files.

    Raises UserError if the run has no record yet.
    """
    run = _existing(run)
    records = run.records()
    if not records:
        if run.info().state == "published":
            raise UserError(f"'{run.name}' is a published model, without the records of its training: nothing to draw")
        raise UserError(f"'{run.path}' has no record yet: train it a little longer")
    events = run.events()
    figures = {"losses": one_run.losses(records)}
    if any(name in record for record in records for name in MONITORS):
        figures["monitors"] = one_run.monitors(records, events)
    if any("d_fake_validation" in record for record in records):
        figures["confidence"] = one_run.confidence(records)
    if any("accuracy_generated" in record for record in records):
        figures["accuracies"] = one_run.accuracies(records)
    if any("kl" in record for record in records):
        figures["kl"] = one_run.latent_kl(records)
    if any("g_steps" in record for record in records):
        figures["steps"] = one_run.steps(records)
    if events:
        figures["guard"] = one_run.guarded(records, events)
    if any("score" in record for record in records):
        figures["score"] = one_run.score(records)
    if any(name in record for record in records for name in METRICS):
        figures["metrics"] = one_run.metrics(records)
    if sheets := run.sheets():
        info = run.info()
        epochs = [int(file.stem) / info.data.images for file in sheets]
        height = info.data.spec.height + GAP
        figures["epochs"] = epochs_sheet([load_png(file)[0][:height] for file in sheets], epochs)
    return save(figures, run.path / "figures")


def draw_together(paths: Sequence[Run | str | Path], at: Sequence[int] = (), out: Path | None = None) -> list[Path]:
    """Write figures of several runs, as PNG and SVG; returns the files.

    The figures are balance (of the losses), quantities (everything recorded) and sheets (samples). For runs that differ
    only in their seed, curves show the mean with a band. `at` lists the numbers of images seen whose samples are shown;
    by default they are spread evenly over the longest run. The files are written to `out`, or to `figures/` in the
    innermost folder that contains all the runs. Logs a warning for what a run lacks.

    Raises UserError for a path that is no run, and if no run has anything to show.
    """
    runs = list({run.path.resolve(): run for run in map(_existing, paths)}.values())
    names = [run.path.name for run in runs]
    names = [str(run.path) if names.count(run.path.name) > 1 else run.path.name for run in runs]
    sheets = [(name, {int(file.stem): file for file in run.sheets()}) for name, run in zip(names, runs, strict=True)]
    curves = [
        several_runs.Curve(name, run.records(), run.recipe().train.batch_size)
        for name, run in zip(_names_of_recipes(runs, names), runs, strict=True)
    ]
    figures = {}
    if any(several_runs.log_ratios(curve.records) for curve in curves):
        figures["balance"] = several_runs.balance(curves)
    else:
        logger.warning("no figure of the balance: no run has records whose two losses are positive")
    if several_runs.recorded(curves):
        figures["quantities"] = several_runs.quantities(curves)
    for name, found in sheets:
        if not found:
            logger.warning(f"'{name}' has no sample sheet yet, and no row in the figure of samples")
    if sheets := [(name, found) for name, found in sheets if found]:
        longest = sorted(max((found for _, found in sheets), key=max))
        steps = np.linspace(0, len(longest) - 1, SHEETS_ACROSS).round().astype(int)
        figures["sheets"] = sheets_of(sheets, at or [longest[i] for i in dict.fromkeys(steps)])
    if not figures:
        raise UserError("nothing to draw: train the runs a little longer")
    return save(figures, out or Path(os.path.commonpath([run.path.resolve().parent for run in runs])) / "figures")


def _names_of_recipes(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """A name for each run, shared by the runs that differ only in their seed: their own names without the seed.

    If these differ, the runs share the name of the first one.
    """
    seeds: dict[str, list[str]] = {}  # the names of each recipe's runs
    for run, name in zip(runs, names, strict=True):
        identity = {key: value for key, value in run.recipe().identity().items() if key != "train.seed"}
        recipe = json.dumps([identity, run.info().data.sha256], default=str, sort_keys=True)
        seeds.setdefault(recipe, []).append(name)
    shared: dict[str, str] = {}  # the shared name of each run
    for group in seeds.values():
        short = {re.sub(r"\W*(seed|s)?\W*\d+$", "", name) for name in group}
        agreed = short.pop() if len(group) > 1 and len(short) == 1 else group[0]
        name = agreed if agreed and agreed not in shared.values() else group[0]
        shared |= dict.fromkeys(group, name)
    return [shared[name] for name in names]


def _existing(run: Run | str | Path) -> Run:
    return run if isinstance(run, Run) else Run.existing(run)
