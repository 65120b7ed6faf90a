"""The table of metrics: title, better direction, version of the definition. Imports nothing heavy."""

from typing import Literal, NamedTuple


class Score(NamedTuple):
    """The value of a metric with its standard error (for the inception score, see there)."""

    value: float
    error: float | None = None  # None: unknown


class Metric(NamedTuple):
    title: str
    better: Literal["higher", "lower", ""]
    version: int  # of the definition: scores of different versions cannot be compared
    what: str


METRICS = {
    "fid": Metric("FID", "lower", 1, "Fréchet distance of Gaussians fitted to the features; biased for few samples"),
    "fid_infinity": Metric("FID∞", "lower", 1, "FID extrapolated to infinitely many samples"),
    "kid": Metric("KID", "lower", 1, "kernel distance between the features; unbiased for any number of samples"),
    "inception_score": Metric("IS", "higher", 1, "high if every image has a clear class and all classes are frequent"),
    "precision": Metric("precision", "higher", 1, "share of the samples that lie among real images (3 neighbours)"),
    "recall": Metric("recall", "higher", 1, "share of the real images that lie among samples (3 neighbours)"),
    "density": Metric("density", "higher", 1, "real neighbourhoods that a sample lies in, out of 5; real images: 1"),
    "coverage": Metric("coverage", "higher", 1, "share of the real images with a sample in their neighbourhood (5)"),
    "vendi": Metric("Vendi", "higher", 1, "effective number of different images among the samples (cosine)"),
    "class_kl": Metric("class KL", "lower", 1, "divergence of the samples' classes from those of the data, in nats"),
    "classes_present": Metric("classes", "higher", 1, "classes with at least a tenth of the samples they should have"),
    "label_accuracy": Metric("label acc.", "higher", 1, "share of the samples that show the label they were asked for"),
    "redrawn_accuracy": Metric("redrawn acc.", "higher", 1, "share of redrawn real images that keep their label"),
    "copy_rate": Metric("copies", "lower", 2, "share of the samples that copy a training image; real images: 0"),
}  # fmt: skip
