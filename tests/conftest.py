"""Small real inputs for the tests: folders of pictures, tiny recipes, and the real data sets where they are at hand."""

import gc
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image
from tqdm import tqdm

from ganvas.core.images import save_png
from ganvas.recipes.recipe import Recipe, from_dict
from tests.evaluated import evaluate, make_run
from tests.hub import Hub

if TYPE_CHECKING:
    from playwright.sync_api import Playwright

# The tests' networks are so small that a second thread would only wait, here and in the processes that tests start.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

# The thread of progress bars outlives its test, and its warnings would fail whatever test runs then.
tqdm.monitor_interval = 0

# However slow the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def playwright() -> Iterator["Playwright"]:
    """What drives browsers; there can be only one in a process."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        yield driver


def pytest_collection_finish() -> None:
    gc.freeze()  # what was imported stays, and need not be looked at again and again


@pytest.fixture(autouse=True, scope="module")
def _own_garbage() -> Iterator[None]:
    """What a module leaves open is found in that module, not in whatever test runs when Python collects it."""
    yield
    gc.collect()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache; all share one, so that strokes are drawn once."""
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("GANVAS_DATA", raising=False)


class _Messages(logging.Handler):
    """Keeps the warnings that ganvas logs."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


MESSAGES = _Messages()


@pytest.fixture(autouse=True)
def _no_warning_that_no_test_expects() -> Iterator[None]:
    """A warning that ganvas logs fails a test, unless it is inside `warned`."""
    MESSAGES.texts.clear()
    logging.getLogger("ganvas").addHandler(MESSAGES)
    yield
    logging.getLogger("ganvas").removeHandler(MESSAGES)
    assert not MESSAGES.texts


@contextmanager
def warned(match: str = "") -> Iterator[list[str]]:
    """As `pytest.warns`, for the warnings that ganvas logs; gives their texts."""
    before, texts = MESSAGES.texts[:], MESSAGES.texts
    texts.clear()
    found: list[str] = []
    yield found
    found += texts
    texts[:] = before
    assert any(re.search(match, text) for text in found), f"no warning matches {match!r}: {found}"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 grey 16x16 pictures in three classes: horizontal, vertical and diagonal bars."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:16, :16]
    for name, ramp in (("across", y), ("down", x), ("slanted", (x + y) // 2)):
        (folder / name).mkdir()
        for i in range(20):
            bars = 255 * ((ramp + rng.integers(8)) // 4 % 2)
            Image.fromarray(bars.astype(np.uint8)).save(folder / name / f"{i:02d}.png")
    return folder


@pytest.fixture(scope="session")
def tiny(pictures: Path) -> Callable[..., Recipe]:
    """A recipe that trains in seconds; keywords are sections that change it: tiny(method={"lr": 1e-3})."""

    def make(**changes: dict[str, Any]) -> Recipe:
        values: dict[str, Any] = {
            "name": "tiny",
            "data": {"name": str(pictures)},
            "network": {"name": "dcgan", "base": 8},
            "method": {"name": "gan", "latent_size": 8, "conditional": True},
            "train": {"images": 240, "batch_size": 20, "log_every": 40, "seed": 1, "precision": "fp32"},
        }
        for section, changed in changes.items():
            values[section] = changed if "name" in changed else {**values[section], **changed}
        return from_dict(values)

    return make


@pytest.fixture
def float64() -> Iterator[None]:
    """New tensors are float64, so that a restatement can be compared value for value."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """What stands in for the Hugging Face hub, with an empty cache."""
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def real_data() -> Path:
    """The folder with the real data sets; the test is skipped where it is not there."""
    folder = Path(os.environ.get("GANVAS_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder} (set GANVAS_TEST_DATA)")
    return folder


def same_tensors(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Equal names and equal bits."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def evaluated(tmp_path: Path) -> list[Path]:
    """A recipe with three seeds, another run that is better later, and a third with a smaller evaluation only."""
    for seed, final in enumerate((3.0, 4.0, 5.0)):
        run = make_run(tmp_path / f"seed{seed}")
        for nimg, fid in ((60_000, 50.0 + seed), (120_000, final)):
            scores = {"kid": (fid / 1000, 0.0004), "fid": (fid, 0.05), "classes_present": (10, None)}
            evaluate(run, nimg, scores, seed=seed, identity="same")
        save_png(run.sheet(60_000), np.full((12, 12, 1), 90, np.uint8), {"nimg": 60_000, "seeds": [0, 1, 2, 3]})
    other = make_run(tmp_path / "other")
    evaluate(other, 60_000, {"fid": (20.0, 0.1)}, recipe="mnist-mlp-gan")
    evaluate(other, 180_000, {"fid": (3.5, 0.1)}, recipe="mnist-mlp-gan")
    small = make_run(tmp_path / "small")
    reason = "needs at least 2,000 samples, not 500"
    evaluate(small, 60_000, {"kid": (0.2, 0.01)}, key="b" * 12, n=500, refused={"fid": reason}, references={})
    return [tmp_path / name for name in ("seed0", "seed1", "seed2", "other", "small")]
