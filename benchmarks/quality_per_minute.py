"""Quality against processor time: scores of recipes after the same seconds of one core, over several seeds.

    python benchmarks/quality_per_minute.py mnist-quick textbook sngan r3gan --seconds 120 --seeds 0,1,2

    python benchmarks/quality_per_minute.py mnist-quick strokes-quick --seeds 0,1,2,3,4 --table "AMD EPYC (Zen 3)"

A row is a recipe, one of the variants below, or a TOML file. Each run takes `--seconds` of one thread, counted by the
system's clock of processor time, or has its own length. Everything that a training does counts: batches, averages,
sheets, checkpoints; scoring does not. How many images a number of seconds makes is measured first, with the same
recipe, so that a schedule ends with the run. `--table MACHINE` writes what recipes of their own length reached into the
table that `ganvas train` reads.

Runs and results stay in `--out`: what is there is not trained again, so seeds and rows can be added.
"""

import argparse
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from matplotlib.figure import Figure

import ganvas
from ganvas.recipes import library, measured
from ganvas.recipes.recipe import Recipe

TRY_SECONDS = 8.0  # twice: memory, caches and averages settle in the first
SCORES = ("fid", "kid", "recall", "label_accuracy")

Changes = dict[str, dict[str, Any]]
CONSTANT: Changes = {"train": {"schedule": {}}}
R3GAN: dict[str, Any] = {"loss": "relativistic", "r1": 1.0, "r2": 1.0, "beta1": 0.0, "beta2": 0.99}

VARIANTS: dict[str, tuple[str, Changes]] = {
    # Training rules of others with the networks of `mnist-quick`, at a constant rate.
    "textbook": ("mnist-quick", {"network": {"d_labels": "maps"}, "method": {"lr": 2e-4, "ema_images": 0}, **CONSTANT}),
    "wgan-gp": ("mnist-wgan-gp-dcgan", {"network": {"base": 16}}),
    "sngan": (
        "mnist-quick",
        {
            "network": {"d_norm": "spectral"},
            "method": {"loss": "hinge", "lr": 2e-4, "beta1": 0.0, "beta2": 0.9, "d_steps": 5},
            **CONSTANT,
        },
    ),
    "r3gan": ("mnist-quick", {"network": {"d_norm": "none"}, "method": {**R3GAN, "lr": 2e-4}, **CONSTANT}),
    # `mnist-quick` with one thing changed.
    "quick-maps": ("mnist-quick", {"network": {"d_labels": "maps"}}),
    "quick-slow": ("mnist-quick", {"method": {"lr": 2e-4}}),
    "quick-constant": ("mnist-quick", CONSTANT),
    "quick-unaveraged": ("mnist-quick", {"method": {"ema_images": 0}}),
    "quick-hinge": ("mnist-quick", {"method": {"loss": "hinge"}}),
    "quick-spectral": ("mnist-quick", {"network": {"d_norm": "spectral"}}),
    "quick-relativistic": (
        "mnist-quick",
        {"network": {"d_norm": "none"}, "method": {**R3GAN, "lr": 1e-3, "penalty_every": 16}},
    ),
    # `mnist-quick-unlabelled` with one thing changed.
    "unlabelled-plain": ("mnist-quick-unlabelled", {"data": {"clusters": 0}, "method": {"conditional": False}}),
    "unlabelled-20": ("mnist-quick-unlabelled", {"data": {"clusters": 20}}),
}


class Seed(NamedTuple):
    """What one seed of a row reached."""

    evaluator: str
    points: list[dict[str, float]]  # nimg, processor seconds, and scores


def recipe_of(row: str, **train: Any) -> Recipe:
    """The recipe of a row."""
    base, changes = VARIANTS.get(row, (row, {}))
    return ganvas.load_recipe(base, {**changes, "train": {**changes.get("train", {}), **train}})


def train(recipe: Recipe, out: Path, tick: Callable[[int, float], bool]) -> None:
    """Train; `tick(images seen, processor seconds)` is called before the first step and after each, and may stop it."""
    begun, stopped = 0.0, False

    def on_step(nimg: int, total: int) -> None:
        nonlocal begun, stopped
        begun = begun or time.process_time()
        stopped = tick(nimg, time.process_time() - begun)

    for _ in ganvas.train(recipe, out, device="cpu", tick=on_step, stop=lambda: stopped):
        pass


def images_per_second(row: str, folder: Path) -> float:
    """Images per processor second, measured once and kept in `folder`."""
    file = folder / "speed.json"
    if not file.exists():
        steps: list[tuple[int, float]] = []

        def tick(nimg: int, seconds: float) -> bool:
            steps.append((nimg, seconds))
            return seconds > 2 * TRY_SECONDS

        rarely = dict.fromkeys(("sample_every", "checkpoint_every"), 10**9)
        train(recipe_of(row, images=10**9, guard="off", schedule={}, **rarely), folder / "speed", tick)
        (nimg, seconds), (last_nimg, last_seconds) = next(s for s in steps[-2::-1] if s[1] <= TRY_SECONDS), steps[-1]
        file.write_text(json.dumps((last_nimg - nimg) / (last_seconds - seconds)))
    speed: float = json.loads(file.read_text())
    return speed


def measure(row: str, seed: int, args: argparse.Namespace) -> Seed:
    """Train one seed of a row and score it at evenly spaced points."""
    length = f"{args.images}-images" if args.images else f"{args.seconds:g}s" if args.seconds else "whole"
    folder = args.out / row / length
    scored = f"{args.samples}-samples-{args.points}-points" + (f"-{args.evaluator}" if args.evaluator else "")
    file = folder / f"seed-{seed}-{scored}.json"
    if file.exists():
        return Seed(**json.loads(file.read_text()))
    whole = recipe_of(row)
    own = whole.total_images(len(ganvas.load_data(whole.data)))
    images = args.images or (round(images_per_second(row, args.out / row) * args.seconds) if args.seconds else own)
    schedule = {  # a linear change keeps its share of the run
        name: {
            **rule.model_dump(),
            "start": round(rule.start * images / own),
            "end": rule.end and round(rule.end * images / own),
        }
        for name, rule in whole.train.schedule.items()
    }
    recipe = recipe_of(
        row,
        seed=seed,
        images=images,
        schedule=schedule,
        checkpoint_every=-(-images // args.points),
        keep=args.points + 1,
    )
    clock: dict[int, float] = {}

    def tick(nimg: int, spent: float) -> bool:
        clock[nimg] = spent
        return False

    run = folder / f"seed-{seed}"
    if run.exists():  # a run that was interrupted has lost its clock
        shutil.rmtree(run)
    train(recipe, run, tick)
    points = []
    for nimg in ganvas.Run(run).checkpoints.regular():
        evaluation = ganvas.evaluate(run, nimg, n=args.samples, evaluator=args.evaluator, device="cpu")
        scores = {name: evaluation.scores[name].value for name in SCORES if name in evaluation.scores}
        points.append({"nimg": nimg, "seconds": round(clock[nimg], 1), **scores})
    found = Seed(evaluation.protocol.evaluator.name, points)
    file.write_text(json.dumps(found._asdict()))
    return found


def said(values: Sequence[float]) -> str:
    """The median, and the range of several seeds."""
    if not values:
        return ""
    middle = f"{median(values):.3g}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.3g} to {max(values):.3g})"


def markdown(found: dict[str, list[Seed]]) -> str:
    """Markdown: one line per row and point, medians over the seeds with their range."""
    lines = ["| row | seeds | seconds | images | " + " | ".join(SCORES) + " |", "|---" * (4 + len(SCORES)) + "|"]
    for row, seeds in found.items():
        for point in zip(*(seed.points for seed in seeds), strict=True):
            cells = [said([at[name] for at in point if name in at]) for name in SCORES]
            where = f"{median(at['seconds'] for at in point):.0f} | {median(at['nimg'] for at in point):,.0f}"
            lines.append(f"| {row} | {len(seeds)} | {where} | {' | '.join(cells)} |")
    return "\n".join(lines)


def keep(found: dict[str, list[Seed]], machine: str) -> None:
    """Write the medians into the table that comes with the recipes."""
    file = Path(measured.__file__).with_name(measured.FILE)
    rows = json.loads(file.read_text())
    for row, seeds in found.items():
        points = list(zip(*(seed.points for seed in seeds), strict=True))
        middle = {key: [median(at[key] for at in point) for point in points] for key in points[-1][0]}
        rows[row] = {
            **{"machine": machine, "seeds": len(seeds), "evaluator": seeds[0].evaluator},
            **{"seconds": middle.pop("seconds"), "images": list(map(round, middle.pop("nimg")))},
            "scores": {name: [float(f"{value:.3g}") for value in values] for name, values in middle.items()},
        }
    file.write_text(json.dumps(dict(sorted(rows.items())), indent=1) + "\n")


def figure(found: dict[str, list[Seed]]) -> Figure:
    """FID against processor seconds: the median over the seeds, with a band from the lowest to the highest."""
    drawn = Figure(figsize=(8, 4.5), layout="constrained")
    axes = drawn.subplots()
    for row, seeds in found.items():
        seconds = [
            median(at["seconds"] for at in point) for point in zip(*(seed.points for seed in seeds), strict=True)
        ]
        fids = [
            [at.get("fid", float("nan")) for at in point]
            for point in zip(*(seed.points for seed in seeds), strict=True)
        ]
        (line,) = axes.plot(seconds, list(map(median, fids)), marker="o", label=row)
        axes.fill_between(seconds, list(map(min, fids)), list(map(max, fids)), color=line.get_color(), alpha=0.2)
    axes.set(yscale="log", xlabel="processor seconds of one core", ylabel="FID (lower is better)")
    axes.grid(alpha=0.3)
    axes.legend()
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "rows", nargs="+", metavar="ROW", help=f"a recipe, a TOML file, or one of {', '.join(VARIANTS)}"
    )
    parser.add_argument("--seconds", type=float, help="of training; by default the recipe's own length")
    parser.add_argument("--images", type=int, help="seen in training, instead of --seconds")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--points", type=int, default=4, help="scores per run, evenly spaced")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--evaluator", help="that of `ganvas evaluate`; by default the data choose")
    parser.add_argument("--out", type=Path, default=Path("runs/quality-per-minute"))
    parser.add_argument("--table", metavar="MACHINE", help="write the results into the recipes' table, as of MACHINE")
    args = parser.parse_args()
    if args.table and (args.seconds or args.images or not {*args.rows} <= {*library.names()}):
        parser.error("the table is of recipes that come with ganvas, at their own length")
    torch.set_num_threads(1)
    found: dict[str, list[Seed]] = {}
    for seed in map(int, args.seeds.split(",")):
        for row in args.rows:
            found.setdefault(row, []).append(measure(row, seed, args))
            print(f"{row}, seed {seed}: {found[row][-1].points[-1]}", flush=True)
    print(markdown(found))
    if args.table:
        keep(found, args.table)
    figure(found).savefig(args.out / "fid.png", dpi=110)


if __name__ == "__main__":
    main()
