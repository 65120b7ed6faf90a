"""How well conditional samples match their labels, judged by a classifier trained on the real images.

    python benchmarks/label_accuracy.py samples.npz [...] --data mnist --data-dir DIR

Each file comes from `ganvas sample RUN --n 10000 --out samples.npz`. The classifier (two blocks of 3x3 convolutions
with batch norm, random shifts by up to 2 pixels) is trained once and kept in the cache; its test accuracy is printed.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ganvas.data import Batches, DataSettings, ImageSet, load
from ganvas.data.fetch import cache_dir
from ganvas.device import choose, keep_freed_memory
from ganvas.images import from_uint8

EPOCHS, BATCH, LR = 8, 128, 2e-3


def classifier(channels: int, side: int, classes: int) -> nn.Module:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *block(channels, 32), *block(32, 32), nn.MaxPool2d(2),
        *block(32, 64), *block(64, 64), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.4), nn.Linear(64 * (side // 4) ** 2, classes),
    )  # fmt: skip


def shifted(images: Tensor, reach: int = 2) -> Tensor:
    """Each batch moved by a random whole number of pixels, up to `reach` in both directions."""
    down, right = (int(torch.randint(2 * reach + 1, ())) for _ in range(2))
    padded = F.pad(images, (reach,) * 4, value=-1.0)
    return padded[..., down : down + images.shape[-2], right : right + images.shape[-1]]


def predict(model: nn.Module, pictures: np.ndarray, device: torch.device) -> np.ndarray:
    """uint8 [N, C, H, W] -> the most likely class of each, int64 [N]."""
    model.eval()
    with torch.no_grad():
        parts = [
            model(from_uint8(torch.tensor(pictures[start : start + 1000], device=device))).argmax(1).cpu().numpy()
            for start in range(0, len(pictures), 1000)
        ]
    return np.concatenate(parts)


def trained_on(data: ImageSet, device: torch.device) -> nn.Module:
    file = cache_dir() / f"label-accuracy-{data.fingerprint[:16]}-{EPOCHS}.safetensors"
    model = classifier(data.spec.channels, data.spec.height, data.spec.num_classes).to(device)
    if file.is_file():
        model.load_state_dict(load_file(file))
        return model
    torch.manual_seed(0)
    batches = Batches(data, BATCH, seed=0, device=device)
    steps = EPOCHS * len(data) // BATCH
    optimizer = torch.optim.AdamW(model.parameters(), LR, weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, steps)
    for step in range(steps):
        images, labels = batches.next()
        assert labels is not None
        loss = F.cross_entropy(model(shifted(images)), labels, label_smoothing=0.02)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 200 == 0:
            print(f"classifier: step {step} of {steps}, loss {loss.item():.4f}", flush=True)
    save_file(model.state_dict(), file)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samples", nargs="*", type=Path)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-dir", type=Path)
    args = parser.parse_args()
    keep_freed_memory()
    device = choose().device
    settings = DataSettings(name=args.data)
    model = trained_on(load(settings, "train", args.data_dir), device)
    test = load(settings, "test", args.data_dir)
    accuracy = (predict(model, test.images, device) == test.labels).mean()
    print(f"classifier: {accuracy:.2%} on the {len(test):,} test images")
    for file in args.samples:
        arrays = np.load(file)
        found = predict(model, np.moveaxis(arrays["images"], -1, 1), device)
        counts = np.bincount(found, minlength=len(test.classes))
        line = f"{file}: {len(found):,} samples, {np.count_nonzero(counts)} classes present, counts {counts.tolist()}"
        if "labels" in arrays:
            line += f", label accuracy {(found == arrays['labels']).mean():.2%}"
        print(line)


if __name__ == "__main__":
    main()
