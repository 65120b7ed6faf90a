"""Training a recipe in a run directory, starting or resuming the run.

Everything is counted in images seen. A run may be killed at any moment: the same call resumes it from the last
checkpoint, and ends with the same weights, bit for bit, as an uninterrupted run (on the same machine, with the same
number of threads).
"""

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from ganvas.compute.device import Compute, choose, deterministic, keep_freed_memory
from ganvas.core.errors import UserError
from ganvas.core.files import expanded, say_size
from ganvas.core.seeds import CHECKPOINT_CHOICE
from ganvas.core.settings import typed
from ganvas.core.text import writable
from ganvas.data import Batches, ImageSet, load_unseen, place_of
from ganvas.data import load as load_data
from ganvas.evaluation import evaluators
from ganvas.evaluation.evaluate import RunScorer
from ganvas.evaluation.evaluators import Evaluator
from ganvas.methods import Method
from ganvas.recipes.measured import expected_quality
from ganvas.recipes.recipe import Recipe
from ganvas.recipes.train_settings import SCORE
from ganvas.runs import transfer
from ganvas.runs.checkpoint import Checkpoint
from ganvas.runs.log import Record
from ganvas.runs.model import load as load_model
from ganvas.runs.provenance import session_facts
from ganvas.runs.run import Run
from ganvas.runs.state import random_states, restore_random_states
from ganvas.runs.writer import UNLIMITED
from ganvas.training.disk_budget import Budget
from ganvas.training.failures import failures_noted
from ganvas.training.loop import Loop
from ganvas.training.rollback import finish_going_back
from ganvas.training.space import budget_of, expected_space, refuse_what_cannot_fit

logger = logging.getLogger("ganvas")

SKIPPED_SHOWN = 5  # unreadable files that the warning names; run.json names all


def train(
    recipe: Recipe,
    out: Path | str,
    *,
    begin_from: Path | str | None = None,
    data_dir: Path | None = None,
    device: str = "auto",
    tick: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
    say: Callable[[str], None] | None = None,
) -> Generator[Record, None, None]:
    """Train `recipe` in the run directory `out`, or resume the run there; yields each record when it is logged.

    A record has nimg, epoch, seconds, images_per_second, the means of the scalars returned by the method's steps since
    the previous record, norms and diversity; at a checkpoint it also has its score. `tick(nimg, total)` is called
    before the first step and after each step; `say` is called with messages on how the images were interpreted, on the
    disk space that the run will need, and on what earlier runs of the recipe reached.

    The session ends with a checkpoint if the iterator is closed, or if `stop()`, which is called before each step,
    returns true. An exception during a step, such as from Ctrl-C, loses the training since the last checkpoint.

    `begin_from`: a run or a model whose weights a new run begins with (`ganvas.runs.transfer`), at its newest
    checkpoint. Resuming does not need it.

    While the iterator is open, PyTorch computes deterministically, and its random generators belong to the run.

    Raises UserError for problems that the caller can solve, and RunFailed if the guard gives up or the disk is full;
    the last good checkpoint is kept.
    """
    run = Run(out)
    with run.lock(), failures_noted(run):
        _refuse_other_recipe(run, recipe)
        _refuse_other_start(run, begin_from)
        data = load_data(recipe.data, "train", data_dir)
        _refuse_other_data(run, data)
        if data.skipped:
            shown = "; ".join(data.skipped[:SKIPPED_SHOWN]) + ("; ..." if len(data.skipped) > SKIPPED_SHOWN else "")
            logger.warning(f"{len(data.skipped)} files cannot be read and are left out: {shown}")
        compute = _compute(run, recipe, device)
        if compute.device.type == "cpu":
            keep_freed_memory()
        with deterministic(), _random_numbers_put_back(compute.device):
            evaluator = _evaluator(run, recipe, data, device)
            refuse_what_cannot_fit(recipe, data.spec)
            source = None
            if begin_from is not None and not run.checkpoints.available():
                source = load_model(begin_from, device=device)
            torch.manual_seed(recipe.train.seed)  # after loading the evaluator, which draws random weights
            method = recipe.build(data.spec, compute)
            if recipe.data.clusters and not method.conditional:
                raise UserError(
                    f"data.clusters has no effect, as method '{recipe.method.name}' gets no labels: leave it out, or "
                    "choose a method that gets them (gan with method.conditional=true)"
                )
            begun_from, start_notes = None, []
            if source is not None:
                begun_from = transfer.facts_of(source, writable(begin_from))
                start_notes = transfer.begin_with(method, recipe, source)
                start_notes.insert(0, f"begins with the weights of '{begin_from}' after {source.nimg:,} images")
            batches = Batches(
                data,
                recipe.train.batch_size,
                recipe.train.seed,
                compute.device,
                recipe.data.flips,
                recipe.data.shuffle,
            )
            scorer = None
            if evaluator is not None and recipe.train.eval_every:
                scorer = _scorer(recipe, data, data_dir, method, evaluator)
            budget = budget_of(run, recipe, data, method)
            finish_going_back(run)
            loop = Loop(run, recipe, method, batches, budget or UNLIMITED, evaluator, scorer)
            found = _newest_checkpoint(run)
            if found is None:
                _begin_log(run)
            else:
                loop.restore((found.tensors, found.values))
                run.log.rewind(batches.nimg)
                run.checkpoints.set_aside_after(batches.nimg)
            if budget is not None:
                _keep_within(budget)
            if found is None:
                run.start(recipe, data, place_of(recipe.data.name, data_dir), loop.writer)
            else:
                run.write_recipe(recipe, loop.writer)
            info = run.info()
            run.update_info(
                loop.writer,
                state="running",
                reason=None,
                sessions=[*info.sessions, session_facts(compute, batches.nimg)],
                evaluator=info.evaluator if evaluator is None else evaluator.sha256,
                begun_from=begun_from or info.begun_from,
            )
            if say and batches.nimg < loop.total:
                for note in (
                    *data.notes,
                    *start_notes,
                    expected_space(recipe, method, data),
                    *([] if begun_from or info.begun_from else expected_quality(recipe, loop.total)),
                ):
                    say(note)
                if found is not None:
                    say(f"resumes after {batches.nimg:,} images")
            yield from loop.go(tick or (lambda nimg, total: None), stop or (lambda: False))


@contextmanager
def _random_numbers_put_back(device: torch.device) -> Iterator[None]:
    """Restore torch's random generators afterwards."""
    before = random_states(device)
    try:
        yield
    finally:
        restore_random_states(before, device)


def _newest_checkpoint(run: Run) -> Checkpoint | None:
    """The newest intact checkpoint, if any; logs a warning for each damaged one."""
    found, damages = run.checkpoints.newest()
    for damage in damages:
        logger.warning(damage)
    return found


def _begin_log(run: Run) -> None:
    """Without a checkpoint a run begins anew. A log that tells of checkpoints, which somebody removed, is kept."""
    if any(SCORE in record for record in run.records()):
        kept = run.log.set_aside()
        logger.warning(
            f"'{run.path}' has lost its checkpoints and begins anew: its log until now is kept in {kept.name}"
        )
    run.log.remove()


def _keep_within(budget: Budget) -> None:
    """Reduce the run to its budget; logs a warning of what was removed."""
    budget.begin()
    if dropped := [f"{count:,} {kind}" for kind, count in budget.dropped.items() if count]:
        removed = f"removed {', '.join(dropped)} from '{budget.run.path}'"
        logger.warning(f"{removed}, to stay within its disk budget of {say_size(budget.limit)}")


def _evaluator(run: Run, recipe: Recipe, data: ImageSet, device: str) -> Evaluator | None:
    """The evaluator of the samples; always the same one for a run, so that its scores can be compared."""
    if not (data.classes or recipe.train.eval_every):
        return None
    begun = run.info().evaluator if run.is_run() else None
    if begun and (found := evaluators.with_hash(begun, device)):
        return replace(found, why="the run began with it")
    unfit = recipe.method.unfit_evaluators
    chosen = evaluators.choose_for(data.spec, data.classes, data.fingerprint, device, None, unfit)
    if begun:
        gone = f"the evaluator that '{run.path}' began with no longer exists"
        logger.warning(f"{gone}: from here on it is scored by '{chosen.name}'")
    return chosen


def _scorer(recipe: Recipe, data: ImageSet, data_dir: Path | None, method: Method, evaluator: Evaluator) -> RunScorer:
    """The scorer for evaluations during training; raises UserError if these would lack the score of `train.best`."""
    scorer = RunScorer(
        data,
        load_unseen(recipe.data, data, data_dir),
        evaluator,
        n=recipe.train.eval_samples,
        seed=CHECKPOINT_CHOICE.start,
        flips=recipe.data.flips,
    )
    why_not = None if recipe.train.best == SCORE else scorer.refusals(method).get(recipe.train.best)
    if why_not:
        raise UserError(f"setting 'train.best' is '{recipe.train.best}', which these evaluations will lack: {why_not}")
    return scorer


def _refuse_other_recipe(run: Run, recipe: Recipe) -> None:
    """Raise UserError if the run was begun with other settings, or cannot go on; its length may change."""
    if not run.is_run():
        return
    if run.info().state == "published":
        raise UserError(f"'{run.path}' is a published model, which cannot be trained further: use another --out")
    old, new = run.recipe().identity(), recipe.identity()
    for key in {**old, **new}:
        if key == "train.precision" and old.get(key) == "auto":
            continue  # the run may resume on a CPU, where the format of the GPU is slow
        if old.get(key) != new.get(key):
            raise UserError(
                f"'{run.path}' was trained with {key}={typed(old.get(key))}, not {typed(new.get(key))}: "
                "use another --out, or the old settings to resume the run"
            )


def _refuse_other_start(run: Run, begin_from: Path | str | None) -> None:
    """Raise UserError if the run began with other weights, or if these are needed again and not named."""
    if not run.is_run():
        return
    begun = run.info().begun_from
    if begin_from is None:
        if begun is not None and not run.checkpoints.available():
            raise UserError(f"'{run.path}' has lost its checkpoints: give --from {begun.run} again, or another --out")
    elif begun is None:
        raise UserError(f"'{run.path}' was begun with random weights: use another --out, or leave out --from")
    elif begun.run != str(begin_from) and expanded(begun.run).resolve() != expanded(begin_from).resolve():
        raise UserError(f"'{run.path}' was begun from '{begun.run}', not '{begin_from}': use another --out")


def _refuse_other_data(run: Run, data: ImageSet) -> None:
    if run.is_run() and run.info().data.sha256 != data.fingerprint:
        raise UserError(f"the images of '{data.name}' are not those that '{run.path}' began with: use another --out")


def _compute(run: Run, recipe: Recipe, device: str) -> Compute:
    """The device and number format of the run; with `auto`, the format is chosen once, when the run begins."""
    compute = choose(device, recipe.train.precision)
    sessions = run.info().sessions if run.is_run() else ()
    if recipe.train.precision != "auto" or not sessions or sessions[-1].precision == compute.precision:
        return compute
    before = sessions[-1].precision
    why = f"--precision {compute.precision} would be faster here ({compute.why}), but would change the run"
    logger.warning(f"'{run.path}' continues in {before}, as it began; {why}")
    return choose(device, before)
