"""A small image classifier and its training.

The network has three stages of two 3x3 convolutions with batch norm; each stage halves the image. The features are the
maximum of the last stage over all positions. Training uses SGD with Nesterov momentum, a triangular learning rate,
label smoothing, random shifts, mirroring, cutout (DeVries & Taylor, 2017) and averaged weights (Izmailov et al., 2018).
The first epochs use three quarters of the size, at half the cost: 22 epochs over 50,000 colour images of 32x32 take two
hours on one core.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveInt, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ganvas.compute.device import Compute
from ganvas.core.images import ImageSpec
from ganvas.core.memory import refuse_large_networks
from ganvas.core.settings import Settings
from ganvas.data import Batches, ImageSet
from ganvas.runs import checkpoint
from ganvas.runs.checkpoint import Damaged
from ganvas.runs.state import below, optimizer_groups, optimizer_tensors, restore_optimizer

SETTLE_IMAGES = 10_000  # images on which the final batch-norm statistics are measured
LARGEST = 32  # default maximum side in pixels; larger images are scaled down


class ClassifierSettings(Settings):
    """The settings of the network and its training."""

    size: int = Field(32, ge=8, le=1024)
    """side in pixels to which images are scaled"""
    widths: tuple[PositiveInt, PositiveInt, PositiveInt] = (64, 128, 256)
    """filters of the three stages; the last is the number of features"""
    epochs: PositiveInt = 18
    """passes over the data"""
    small_epochs: NonNegativeInt = 10
    """number of first epochs with images of three quarters of the size"""
    plain_epochs: NonNegativeInt = 0
    """additional epochs without cutout, in which the learning rate falls from a quarter of the highest to 0"""
    average_epochs: NonNegativeInt = 0
    """additional last epochs at a quarter of the highest learning rate, over which the weights are averaged"""
    batch_size: PositiveInt = 256
    """images per batch"""
    lr: float = Field(0.2, gt=0, le=1e6)
    """highest learning rate, reached after a fifth of the epochs"""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Nesterov momentum"""
    weight_decay: float = Field(5e-4, ge=0)
    """weight decay per step, relative to the learning rate"""
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    """share of the target that is spread over all classes"""
    shift: NonNegativeInt = 4
    """maximum of random shifts, in pixels"""
    mirror: bool = True
    """mirror left and right at random; results are then averaged over both views"""
    cutout: int = Field(8, ge=0, le=1024)
    """side of the square cut out of every image, in pixels; 0 = none"""
    seed: int = Field(0, ge=0, lt=2**31)
    """seed of the initial weights, the data order and the augmentation"""

    @field_validator("shift")
    @classmethod
    def _stays_inside(cls, shift: int, others: ValidationInfo) -> int:
        if shift >= others.data.get("size", LARGEST):
            raise ValueError(f"it should be less than the size of {others.data.get('size', LARGEST)} pixels")
        return shift


def usual(spec: ImageSpec) -> ClassifierSettings:
    """Default settings for images of `spec`. Grey images are assumed to be drawings: a small network, no mirroring."""
    size = max(8, min(LARGEST, spec.height, spec.width))
    if spec.channels == 1:
        few = {"widths": (32, 64, 128), "epochs": 12, "small_epochs": 0, "mirror": False, "cutout": 0}
        return ClassifierSettings(size=size, shift=size // 14, **few)
    return ClassifierSettings(size=size, shift=size // 8, cutout=size // 4, plain_epochs=4)


class Output(NamedTuple):
    features: Tensor  # float32 [B, widths[-1]], not negative
    logits: Tensor  # float32 [B, classes]


class Classifier(nn.Module):
    """Images [B, C, H, W] in [-1, 1] (H and W of 8 or more) -> features and logits."""

    def __init__(self, channels: int, num_classes: int, widths: tuple[int, int, int]) -> None:
        super().__init__()
        narrow = max(8, widths[0] // 3)  # filters are expensive at full size
        layers: list[nn.Module] = [*_convolution(channels, narrow)]
        for inputs, outputs in zip((narrow, *widths[:2]), widths, strict=True):
            layers += [*_convolution(inputs, outputs, pool=True), *_convolution(outputs, outputs)]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Output:
        features = self.trunk(images).amax((2, 3)).float()
        return Output(features, self.head(features) / 8)  # otherwise, confident logits would need large weights


def _convolution(inputs: int, outputs: int, pool: bool = False) -> list[nn.Module]:
    halve = [nn.MaxPool2d(2)] if pool else []
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), *halve, nn.BatchNorm2d(outputs), nn.ReLU()]


class Progress(NamedTuple):
    nimg: int
    total: int
    loss: float


def build(settings: ClassifierSettings, spec: ImageSpec, compute: Compute) -> Classifier:
    """The untrained network for images of `spec`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = Classifier(spec.channels, spec.num_classes, settings.widths)
    return network.to(compute.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def refuse_what_cannot_fit(settings: ClassifierSettings, spec: ImageSpec) -> None:
    """Raise UserError if the network for images of `spec` is larger than the memory of this machine."""
    refuse_large_networks(lambda: [Classifier(spec.channels, spec.num_classes, settings.widths)], "lower the widths")


def size(settings: ClassifierSettings, spec: ImageSpec) -> int:
    """The number of weights and statistics of the network for images of `spec`, which is not built."""
    with torch.device("meta"):
        network = Classifier(spec.channels, spec.num_classes, settings.widths)
    return sum(tensor.numel() for tensor in network.state_dict().values())


def train(
    network: Classifier, settings: ClassifierSettings, data: ImageSet, compute: Compute, folder: Path
) -> Iterator[Progress]:
    """Train `network` on labelled `data`; yields after every step, and leaves the network ready for use.

    The state is kept in `folder` after every epoch; a call with the same network, settings and data continues from it.
    """
    batches = Batches(data, settings.batch_size, settings.seed, compute.device)
    per_epoch = max(1, len(data) // settings.batch_size)
    small = settings.small_epochs * per_epoch
    main = max(1, settings.epochs * len(data) // settings.batch_size)
    single = main + settings.plain_epochs * per_epoch
    steps = single + settings.average_epochs * per_epoch
    plain = settings.model_copy(update={"cutout": 0})
    weights = list(network.parameters())
    optimizer = torch.optim.SGD(
        weights, settings.lr, settings.momentum, weight_decay=settings.weight_decay, nesterov=settings.momentum > 0
    )
    average = AveragedModel(network)
    step = _resume(folder, network, average, optimizer)
    batches.nimg = step * settings.batch_size
    network.train()
    while step < steps:
        images, labels = batches.next()
        assert labels is not None, "labelled data"
        random = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
        images = augmented(resized(images, settings.size), plain if main <= step < single else settings, random)
        if step < small:
            images = resized(images, max(8, settings.size * 3 // 4))
        for group in optimizer.param_groups:
            group["lr"] = settings.lr * _schedule(step, main, single)
        with compute.autocast():
            logits = network(images).logits
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=settings.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step > single:
            average.update_parameters(network)
        if step % per_epoch == 0 or step in (main, steps):
            _keep(folder, step, network, average, optimizer)
        yield Progress(batches.nimg, steps * settings.batch_size, loss.item())
    if settings.average_epochs:
        network.load_state_dict(average.module.state_dict())
    _settle(network, settings, Batches(data, settings.batch_size, settings.seed, compute.device))
    network.eval().requires_grad_(False)


def _schedule(step: int, main: int, single: int) -> float:
    """The learning rate as a share of the highest one.

    It rises for a fifth of `main` and falls to 0; then it falls from a quarter to 0; then it is a quarter.
    """
    if step < main:
        return min((step + 1) / (0.2 * main), (main - step) / (0.8 * main))
    return 0.25 * (single - step) / (single - main) if step < single else 0.25


@torch.no_grad()
def _settle(network: Classifier, settings: ClassifierSettings, batches: Batches) -> None:
    """Measure batch-norm statistics on unaugmented images; the running ones are of augmented images, and lag behind."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # a plain mean over the following batches
    network.train()
    for _ in range(max(1, min(SETTLE_IMAGES, len(batches.data)) // settings.batch_size)):
        network(resized(batches.next().images, settings.size))


def augmented(images: Tensor, settings: ClassifierSettings, random: torch.Generator) -> Tensor:
    """Shift and mirror each of the images [B, C, S, S] at random, and cut out a random square."""
    count, _, side, _ = images.shape
    device = images.device

    def draw(below: int) -> Tensor:
        return torch.randint(below, (count, 1), generator=random).to(device)

    reach = settings.shift
    if reach:
        rows, columns = (draw(2 * reach + 1) + torch.arange(side, device=device) for _ in range(2))
        padded = F.pad(images, (reach,) * 4, mode="reflect").permute(0, 2, 3, 1)  # NHWC: whole pixels are gathered
        every = torch.arange(count, device=device)[:, None, None]
        images = padded[every, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if settings.mirror:
        images = torch.where(draw(2)[..., None, None] == 0, images, images.flip(3))
    if settings.cutout:
        hole = [
            (start <= torch.arange(side, device=device)) & (torch.arange(side, device=device) < start + settings.cutout)
            for start in (draw(side + settings.cutout) - settings.cutout for _ in range(2))
        ]
        images = images.masked_fill((hole[0][:, :, None] & hole[1][:, None, :])[:, None], 0.0)
    return images


def resized(images: Tensor, side: int) -> Tensor:
    """Images scaled to side x side, with antialiasing."""
    if images.shape[-2:] == (side, side):
        return images
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)


def _keep(
    folder: Path, step: int, network: Classifier, average: AveragedModel, optimizer: torch.optim.Optimizer
) -> None:
    tensors = {f"network/{key}": value for key, value in network.state_dict().items()}
    tensors |= {f"average/{key}": value for key, value in average.state_dict().items()}
    tensors |= {f"optimizer/{key}": value for key, value in optimizer_tensors(optimizer).items()}
    checkpoint.save(folder, step, tensors, {"groups": optimizer_groups(optimizer)})
    for old in checkpoint.available(folder)[:-1]:
        checkpoint.remove(folder, old)


def _resume(folder: Path, network: Classifier, average: AveragedModel, optimizer: torch.optim.Optimizer) -> int:
    """Restore the newest intact state in `folder`; returns its number of steps, or 0 if there is none."""
    for step in reversed(checkpoint.available(folder)):
        try:
            state = checkpoint.load(folder, step)
        except Damaged:
            continue
        network.load_state_dict(below("network/", state.tensors))
        if averaged := below("average/", state.tensors):
            average.load_state_dict(averaged)
        restore_optimizer(optimizer, below("optimizer/", state.tensors), state.values["groups"])
        return step
    return 0
