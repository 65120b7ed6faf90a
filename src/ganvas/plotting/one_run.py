"""Figures of the records of one run, against images seen."""

import textwrap
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ganvas.plotting.quantities import MONITORS, metric_titles
from ganvas.plotting.style import FAKE, REAL, RULE, THIRD, curve, small_plots
from ganvas.runs.guard_journal import GuardEvent
from ganvas.runs.log import Record


def confidence(records: Sequence[Record]) -> Figure:
    """D's confidence that generated and real images are real, against images seen."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    curve(left, records, "d_fake_validation", FAKE)
    left.set_title("on generated images (fixed latents)")
    curve(right, records, "d_real", REAL)
    right.set_title("on real images")
    for axes in (left, right):
        axes.axhline(0.5, color=RULE, linestyle="--", linewidth=1)
        axes.set_ylim(0, 1)
        axes.annotate("1/2", (0.995, 0.5), xycoords=("axes fraction", "data"), ha="right", va="bottom", color=RULE)
    left.set_ylabel("confidence that the image is real")
    figure.suptitle("Confidence of the discriminator")
    return figure


def losses(records: Sequence[Record]) -> Figure:
    """The losses of the networks against images seen."""
    curves = (("d_loss", "discriminator", REAL), ("g_loss", "generator", FAKE), ("vae_loss", "autoencoder", THIRD))
    return _one_plot(records, curves, "Losses", "loss")


def accuracies(records: Sequence[Record]) -> Figure:
    """The accuracies of the discriminator, against images seen."""
    curves = (
        ("accuracy_real", "real images recognised", REAL),
        ("accuracy_generated", "generated images that pass", FAKE),
        ("accuracy_detected", "generated images detected", THIRD),
    )
    figure = _one_plot(records, curves, "Accuracies", "share of the batch")
    figure.axes[0].set_ylim(0, 1)
    return figure


def latent_kl(records: Sequence[Record]) -> Figure:
    """The KL divergence of the encoder's latents from N(0, 1), against images seen."""
    return _one_plot(records, (("kl", "", REAL),), "Distance of the latents from N(0, 1)", "KL per image (nats)")


def steps(records: Sequence[Record]) -> Figure:
    """The updates of each network per batch, against images seen."""
    curves = (("g_steps", "generator", FAKE), ("d_steps", "discriminator", REAL))
    figure = _one_plot(records, curves, "Updates per batch", "updates (mean)")
    figure.axes[0].set_ylim(bottom=0)
    return figure


def _one_plot(records: Sequence[Record], curves: Sequence[tuple[str, str, str]], title: str, unit: str) -> Figure:
    """One plot with the curves (name, label, colour) for which there are records."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    for name, label, colour in curves:
        curve(axes, records, name, colour, label)
    axes.set_title(title)
    axes.set_ylabel(unit)
    if any(drawn.get_label() and not str(drawn.get_label()).startswith("_") for drawn in axes.lines):
        axes.legend(frameon=False)
    return figure


def score(records: Sequence[Record]) -> Figure:
    """The score of every checkpoint against images seen; lower is better."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    scored = [record for record in records if record.get("score") is not None]
    curve(axes, scored, "score", REAL, smooth=False)
    best = min(scored, key=lambda record: record["score"])
    axes.plot(best["nimg"], best["score"], "o", color=FAKE)
    axes.annotate(
        f"best: {best['score']:.4f}",
        (best["nimg"], best["score"]),
        textcoords="offset points",
        xytext=(0, 8),
        ha="right",
    )
    axes.set_ylim(bottom=0)
    axes.set_title("Score of the checkpoints (lower is better)")
    axes.set_ylabel("sliced Wasserstein distance")
    return figure


def metrics(records: Sequence[Record]) -> Figure:
    """All scores of the evaluations during training, against images seen."""
    return _small_multiples(records, metric_titles(), "Scores of the evaluations", smooth=False)


def monitors(records: Sequence[Record], events: Sequence[GuardEvent] = ()) -> Figure:
    """The quantities recorded during training, against images seen, with the events of the guard."""
    return _small_multiples(records, MONITORS, "Monitors", events=events)


def _small_multiples(
    records: Sequence[Record],
    titles: Mapping[str, str],
    title: str,
    smooth: bool = True,
    events: Sequence[GuardEvent] = (),
) -> Figure:
    """A small plot for each quantity (name -> title) for which there are records."""
    names = [name for name in titles if any(record.get(name) is not None for record in records)]
    figure, grid = small_plots(len(names))
    for axes, name in zip(grid, names, strict=True):
        _mark(axes, events)
        curve(axes, records, name, REAL, smooth=smooth)
        axes.set_title(titles[name], fontsize=10)
    figure.suptitle(title)
    return figure


def guarded(records: Sequence[Record], events: Sequence[GuardEvent]) -> Figure:
    """The losses, including those that rollbacks removed, with the messages of the guard."""
    figure = Figure(figsize=(9, 4.6 + 0.22 * len(events)), layout="constrained")
    axes = figure.subplots()
    _mark(axes, events, numbered=True)
    for name, label, colour in (("d_loss", "discriminator", REAL), ("g_loss", "generator", FAKE)):
        for event in events:
            points = [(r["nimg"], r[name]) for r in event.records if r.get(name) is not None]
            axes.plot(*zip(*points, strict=True), color=colour, linestyle=":") if points else None
        curve(axes, records, name, colour, label, smooth=False)
    positive = [r[name] for r in records for name in ("d_loss", "g_loss") if r.get(name) is not None]
    if positive and min(positive) > 0:
        axes.set_yscale("log")
    axes.set_title("Losses and events of the guard (dotted: removed by a rollback)", pad=18)
    axes.set_ylabel("loss")
    if any(not str(drawn.get_label()).startswith("_") for drawn in axes.lines):
        axes.legend(frameon=False)
    said = [f"{i}. {event.said}; {event.response()}" for i, event in enumerate(events, 1)]
    figure.supxlabel("\n".join(textwrap.fill(line, 120) for line in said), fontsize=8, ha="left", x=0.02)
    return figure


def _mark(axes: Axes, events: Sequence[GuardEvent], numbered: bool = False) -> None:
    """Draw a line at each event of the guard."""
    for number, event in enumerate(events, 1):
        axes.axvline(event.nimg, color=RULE, linestyle="--", linewidth=0.8)
        if numbered:
            axes.annotate(f"{number}", (event.nimg, 1), xycoords=("data", "axes fraction"), va="bottom", ha="center")
