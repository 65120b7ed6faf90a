"""How every score responds to known damage: real test pictures, spoilt in five ways, against the training pictures.

    python benchmarks/metric_responses.py --data mnist --data-dir DIR --out docs/metrics
    python benchmarks/metric_responses.py --photographs --data-dir DIR --out docs/metrics

Writes one figure per kind of damage and `responses.csv` with all the numbers; `--redraw` draws from that file again.

`--photographs` writes instead how far the evaluators of photographs place sets of CIFAR-10 from its horses:
`photographs.csv`.
"""

import argparse
import csv
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ganvas import metrics
from ganvas.compute.device import keep_freed_memory
from ganvas.core.images import grid
from ganvas.data import DataSettings, ImageSet, load
from ganvas.evaluation import evaluators
from ganvas.evaluation.copies import Copies, pixels
from ganvas.evaluation.evaluators import Evaluator
from ganvas.metrics import METRICS, Moments, Score
from ganvas.plotting.style import FAKE, RULE

SHOWN = (
    *("fid", "kid", "inception_score", "precision", "recall", "density"),
    *("coverage", "vendi", "class_kl", "classes_present", "copy_rate"),
)
PAIRED = 5_000  # training pictures that all pairs are compared with (KID, precision, recall, density, coverage)
COLOURS = 128  # of a figure, so that it stays small
SIDE = 4  # examples along one side of the square above each level
LEAST_CHANGE = 0.25  # relative, of a score that responds
LOG_FROM = 20  # largest / smallest value from which an axis is logarithmic
WORSE, SAME = FAKE, RULE

Table = dict[str, dict[str, dict[str, Score]]]  # damage -> level -> metric


class Set(NamedTuple):
    pictures: np.ndarray  # uint8 [N, C, H, W]
    copied: np.ndarray  # bool [N]: which of them are training pictures


class Damage(NamedTuple):
    title: str
    axis: str
    levels: dict[str, float]  # as written on the axis
    apply: Callable[[float], Set]


# -- damage -----------------------------------------------------------------------------------------------------------


def damages(train: ImageSet, test: ImageSet, n: int) -> dict[str, Damage]:
    """Every kind, of test pictures in a random order; the first level of each is the same set, the first `n`."""
    assert test.labels is not None
    rng = np.random.default_rng(0)
    pictures, labels = test.images, test.labels
    plain, noise = pictures[:n], rng.standard_normal(pictures[:n].shape, dtype=np.float32)
    nobody, mixed = np.zeros(n, bool), rng.permutation(n)
    stolen = train.images[np.sort(rng.choice(len(train), n, replace=False))]

    def noisy(level: float) -> Set:
        return Set((plain + 127.5 * level * noise).round().clip(0, 255).astype(np.uint8), nobody)

    def blurred(level: float) -> Set:
        return Set(blur(plain, level), nobody)

    def dropped(level: float) -> Set:
        kept = pictures[labels < len(test.classes) - level]
        return Set(kept[np.arange(n) % len(kept)], nobody)  # one class has fewer than n: they come again, then

    def repeated(level: float) -> Set:
        return Set(plain[(np.arange(n) % max(1, round(n / level)))[mixed if level > 1 else np.arange(n)]], nobody)

    def copied(level: float) -> Set:
        which = mixed < level * n
        return Set(np.where(which[:, None, None, None], stolen, plain), which)

    def numbers(*levels: float) -> dict[str, float]:
        return {f"{level:g}": level for level in levels}

    percents = {f"{level} %": level / 100 for level in (0, 10, 25, 50, 100)}
    times, stds, sigmas = (1, 2, 4, 10, 100, 1000), (0, 0.05, 0.1, 0.2, 0.4, 0.8), (0, 0.5, 0.75, 1, 1.5, 2, 2.5)
    return {
        "noise": Damage("Gaussian noise", "standard deviation (pixels go from -1 to 1)", numbers(*stds), noisy),
        "blur": Damage("Gaussian blur", "standard deviation in pixels", numbers(*sigmas), blurred),
        "dropped": Damage("Dropped classes", "classes dropped, of 10", numbers(0, 1, 2, 3, 5, 7, 8, 9), dropped),
        "duplicates": Damage("Repeated pictures", "times that each picture appears", numbers(*times), repeated),
        "copies": Damage("Copied pictures", "share of the samples that are training pictures", percents, copied),
    }


def blur(pictures: np.ndarray, sigma: float) -> np.ndarray:
    """uint8 [N, C, H, W] under a Gaussian of `sigma` pixels."""
    if sigma == 0:
        return pictures
    reach = math.ceil(3 * sigma)
    weights = torch.exp(-(torch.arange(-reach, reach + 1).float() ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    planes = F.pad(torch.from_numpy(pictures).float().flatten(0, 1)[:, None], (reach,) * 4, mode="replicate")
    planes = F.conv2d(F.conv2d(planes, weights.view(1, 1, -1, 1)), weights.view(1, 1, 1, -1))
    return planes.view(pictures.shape).round().to(torch.uint8).numpy()


# -- scores -----------------------------------------------------------------------------------------------------------


class Reference(NamedTuple):
    moments: Moments
    paired: Tensor  # float32 [PAIRED, F]
    shares: Tensor  # [classes]
    copies: Copies


def halves(test: ImageSet) -> tuple[ImageSet, ImageSet]:
    """The test pictures in a random order: those that the sets are made of, and those that show what unseen ones get.

    The copy rate needs both, as a sample is not to be among the unseen pictures that it is compared with.
    """
    assert test.labels is not None
    order = np.random.default_rng(0).permutation(len(test))
    first, second = (
        ImageSet(test.name, test.images[part], test.labels[part], test.classes) for part in np.array_split(order, 2)
    )
    return first, second


def reference(evaluator: Evaluator, train: ImageSet, unseen: ImageSet) -> Reference:
    assert train.labels is not None
    found = evaluator.measure(train.images).features
    chosen = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:PAIRED]
    shares = torch.bincount(torch.from_numpy(train.labels)).double() / len(train)
    return Reference(Moments.of(found), found[chosen], shares, Copies(train, unseen))


def score(evaluator: Evaluator, pictures: np.ndarray, real: Reference) -> dict[str, Score]:
    seen, probabilities = evaluator.measure(pictures)
    classes = probabilities.argmax(1)
    nearness, usual = real.copies.nearness(pixels(pictures)), real.copies.real
    assert nearness is not None and usual is not None, "there are enough pictures"
    return {
        "fid": metrics.fid(seen, real.moments),
        "kid": metrics.kid(seen, real.paired),
        "inception_score": metrics.inception_score(probabilities),
        **metrics.manifold(seen, real.paired),
        "vendi": metrics.vendi(seen),
        "class_kl": metrics.class_kl(classes, real.shares),
        "classes_present": metrics.classes_present(classes, real.shares),
        "copy_rate": metrics.copy_rate(nearness, usual),
    }


def measure(evaluator: Evaluator, kinds: dict[str, Damage], real: Reference) -> Table:
    table: Table = {}
    plain: dict[str, Score] | None = None
    for name, damage in kinds.items():
        table[name] = {}
        for i, (label, level) in enumerate(damage.levels.items()):
            if i or plain is None:
                scores = score(evaluator, damage.apply(level).pictures, real)
                plain = plain or scores
            table[name][label] = scores if i else plain
            line = ", ".join(f"{METRICS[key].title} {value.value:.4g}" for key, value in table[name][label].items())
            print(f"{name} {label}: {line}", flush=True)
    return table


def write(table: Table, file: Path, columns: tuple[str, str] = ("damage", "level")) -> None:
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream, lineterminator="\n")
        rows.writerow((*columns, "metric", "value", "error"))
        for damage, levels in table.items():
            for level, scores in levels.items():
                for name, (value, error) in scores.items():
                    rows.writerow((damage, level, name, f"{value:.6g}", "" if error is None else f"{error:.3g}"))


def read(file: Path) -> Table:
    table: Table = {}
    with file.open(newline="") as stream:
        for row in csv.DictReader(stream):
            scores = table.setdefault(row["damage"], {}).setdefault(row["level"], {})
            scores[row["metric"]] = Score(float(row["value"]), float(row["error"]) if row["error"] else None)
    return table


# -- photographs ------------------------------------------------------------------------------------------------------


PHOTOGRAPH_SIDE = 64  # pixels; those of CIFAR-10 have 32, and are enlarged
PHOTOGRAPHS = 192  # on each side, as in a small folder
DRAWS = 5  # disjoint sets, whose scores are averaged
EVALUATORS = ("cifar10", "imagenet")
OTHERS = ("deer", "dog", "ship")  # classes
UNIFORM = "uniform noise"


def photographs(plain: np.ndarray) -> dict[str, np.ndarray]:
    """Unseen images uint8 [N, C, H, W], damaged images made of them, and noise."""
    random = np.random.default_rng(0)
    noise = random.standard_normal(plain.shape, dtype=np.float32)
    return {
        "other horses": plain,
        "blur, σ 1": blur(plain, 1),
        "blur, σ 2": blur(plain, 2),
        "noise, σ 8": (plain + 8 * noise).round().clip(0, 255).astype(np.uint8),
        "noise, σ 32": (plain + 32 * noise).round().clip(0, 255).astype(np.uint8),
        "24 horses, eight times each": plain[np.arange(len(plain)) % (len(plain) // 8)],
        UNIFORM: random.integers(0, 256, plain.shape, dtype=np.uint8),
    }


def of_class(data: ImageSet, name: str, draw: int) -> ImageSet:
    """The images of a draw that show this class."""
    assert data.labels is not None
    which = np.flatnonzero(data.labels == data.classes.index(name))[draw * PHOTOGRAPHS :][:PHOTOGRAPHS]
    return ImageSet(name, data.images[which])


def measure_photographs(train: ImageSet, test: ImageSet) -> Table:
    """Evaluator -> set -> metric: KID as a share of that of uniform noise, precision and recall.

    They are means over DRAWS, with the standard deviation. FID would need 5,120 images for the features of `imagenet`.
    """
    table: Table = {}
    for name in EVALUATORS:
        evaluator, found = evaluators.load(name), table.setdefault(name, {})
        drawn: dict[str, list[dict[str, float]]] = {}
        for draw in range(DRAWS):
            real = of_class(train, "horse", draw)
            sets = photographs(of_class(test, "horse", draw).images)
            sets |= {other: of_class(test, other, draw).images for other in OTHERS}
            features = evaluator.measure(real.images).features
            for title, images in sets.items():
                seen = evaluator.measure(images).features
                scores = {"kid": metrics.kid(seen, features), **metrics.manifold(seen, features)}
                drawn.setdefault(title, []).append({key: score.value for key, score in scores.items()})
        for title, each in drawn.items():
            kid = [scores["kid"] / noise["kid"] for scores, noise in zip(each, drawn[UNIFORM], strict=True)]
            values = {"kid": kid, **{key: [scores[key] for scores in each] for key in ("precision", "recall")}}
            found[title] = {key: Score(fmean(value), stdev(value)) for key, value in values.items()}
            line = ", ".join(f"{key} {value:.4f} ± {error or 0:.4f}" for key, (value, error) in found[title].items())
            print(f"{name}, {title}: {line}", flush=True)
    return table


# -- figures ----------------------------------------------------------------------------------------------------------


def draw(damage: Damage, found: dict[str, dict[str, Score]], about: str) -> Figure:
    """Examples of every level, and below them each score against the level."""
    labels = list(damage.levels)
    top, bottom = 0.75 + 9.6 / len(labels), 6.6  # inches
    figure = Figure(figsize=(10, top + bottom), layout="constrained")
    figure.suptitle(f"{damage.title}: {about}", fontsize=12)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(top, bottom))[:, 0]
    above.supxlabel(damage.axis, fontsize=10)
    for axes, label in zip(np.atleast_1d(above.subplots(1, len(labels))), labels, strict=True):
        axes.imshow(examples(damage.apply(damage.levels[label])))
        axes.set_title(label, fontsize=10)
        axes.axis("off")
    panels = below.subplots(3, 4).flat
    for axes, name in zip(panels, SHOWN, strict=False):
        panel(axes, labels, [found[label][name] for label in labels], name)
    key(panels[len(SHOWN)])
    return figure


def examples(shown: Set) -> np.ndarray:
    """The first pictures of a set as one, uint8 [H, W, 3]; training pictures have a frame."""
    framed = []
    for picture, copied in list(zip(*shown, strict=True))[: SIDE**2]:
        colour = np.array([int(FAKE[i : i + 2], 16) for i in (1, 3, 5)]) if copied else np.full(3, 255)
        height, width = picture.shape[1:]
        frame = np.broadcast_to(colour, (height + 4, width + 4, 3)).astype(np.uint8)
        frame[2:-2, 2:-2] = np.moveaxis(picture, 0, -1)
        framed.append(frame)
    return grid(np.stack(framed), SIDE, gap=0)


def panel(axes: Axes, labels: Sequence[str], scores: Sequence[Score], name: str) -> None:
    values, errors = (np.array([part or 0.0 for part in parts]) for parts in zip(*scores, strict=True))
    at = np.arange(len(labels))
    axes.axhline(values[0], color=RULE, linestyle="--", linewidth=1)
    axes.errorbar(at, values, errors, color=response(scores, name), linewidth=1.8, marker=".", capsize=2, elinewidth=1)
    axes.set_title(METRICS[name].title + {"lower": " ↓", "higher": " ↑", "": ""}[METRICS[name].better], fontsize=10)
    axes.set_xticks(at, labels, fontsize=7 if len(labels) > 5 else 8)
    axes.tick_params(axis="y", labelsize=8)
    if name in ("fid", "class_kl") and values.max() > LOG_FROM * values.min() > 0:
        axes.set_yscale("log")
    elif name == "kid" and values.max() > LOG_FROM * errors[0]:  # it may be negative: linear near 0
        axes.set_yscale("symlog", linthresh=10 * errors[0], linscale=0.5)
        axes.set_ylim(-5 * errors[0], 2 * values.max())
    else:
        top = max(values + errors)
        axes.set_ylim(min(0, 1.2 * (values - errors).min()), 1.08 * max(top, 1 if 0.3 < top < 1 else 0))
    axes.grid(alpha=0.2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def response(scores: Sequence[Score], name: str) -> str:
    """The colour that says whether any damaged set scores worse than the unspoilt one, certainly and by a quarter."""
    sign = 1 if METRICS[name].better == "lower" else -1
    value, error = scores[0]
    for score in scores[1:]:
        change = sign * (score.value - value)
        if change > max(3 * math.hypot(error or 0, score.error or 0), LEAST_CHANGE * abs(value)):
            return WORSE
    return SAME


def key(axes: Axes) -> None:
    """What the colours mean."""
    axes.axis("off")
    for colour, text in ((WORSE, "gets worse with the damage"), (SAME, "does not")):
        axes.plot([], [], color=colour, linewidth=1.8, marker=".", label=text)
    axes.plot([], [], color=RULE, linestyle="--", linewidth=1, label="unspoilt test pictures")
    box = axes.legend(
        frameon=False, loc="upper left", fontsize=8, title="↓ lower, ↑ higher is better", title_fontsize=8
    )
    box.set_in_layout(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--evaluator", default="digits")
    parser.add_argument("--n", type=int, default=2_000, help="pictures in every set")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--redraw", action="store_true", help="from the numbers that are there, with the same --n")
    parser.add_argument("--photographs", action="store_true")
    args = parser.parse_args()
    keep_freed_memory()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.photographs:
        data = DataSettings(name="cifar10", size=PHOTOGRAPH_SIDE, limit=10 * DRAWS * PHOTOGRAPHS)
        train, test = (load(data, split, args.data_dir) for split in ("train", "test"))
        write(measure_photographs(train, test), args.out / "photographs.csv", ("evaluator", "images"))
        return
    train, test = (load(DataSettings(name=args.data), split, args.data_dir) for split in ("train", "test"))
    first, second = halves(test)
    kinds = damages(train, first, args.n)
    numbers = args.out / "responses.csv"
    if args.redraw:
        table = read(numbers)
    else:
        evaluator = evaluators.load(args.evaluator)
        table = measure(evaluator, kinds, reference(evaluator, train, second))
        write(table, numbers)
    for name, damage in kinds.items():
        about = f"{args.n:,} test pictures of {args.data} against {len(train):,} training pictures"
        picture = io.BytesIO()
        draw(damage, table[name], about).savefig(picture, dpi=100)
        small = Image.open(picture).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE)
        small.save(args.out / f"{args.data}-{name}.png", optimize=True)


if __name__ == "__main__":
    main()
