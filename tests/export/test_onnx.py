"""The ONNX models against PyTorch, for every kind of network and method, and in a browser."""

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from playwright.sync_api import Page, Route
from torch import Tensor

from ganvas.core.errors import UserError
from ganvas.export import onnx
from ganvas.networks.cppn import PixelGenerator
from ganvas.networks.view import View
from ganvas.painting.painter import random_network
from ganvas.painting.subjects import random_latent
from ganvas.recipes.recipe import Recipe
from ganvas.runs.model import Model, load
from ganvas.training.train import train
from tests.cli.test_cli import ganvas
from tests.export.models import CASES, make

NODE = Path(__file__).parents[2] / "build" / "node"


def feed(model: Model, count: int) -> tuple[dict[str, np.ndarray], Tensor, Tensor | None]:
    """The inputs for `count` seeds, as the file and as ganvas take them."""
    method, spec = model.method, model.method.spec
    z = method.latents(range(count))
    labels = torch.arange(count) % spec.num_classes if method.conditional else None
    inputs = {"z": z.numpy()}
    generator = method.for_decoding("G")
    if isinstance(generator, PixelGenerator):
        inputs["coordinates"] = grid(View(spec.height, spec.width, generator.scale))
    if labels is not None:
        inputs["labels"] = labels.numpy()
    return inputs, z, labels


def grid(view: View) -> np.ndarray:
    return view.coordinates().view(view.height, view.width, 3)[..., :2].numpy()


def in_float64(model: Model, z: Tensor, labels: Tensor | None) -> np.ndarray:
    method = copy.deepcopy(model.method)
    for module in (*method.modules.values(), *method.averages.values()):
        module.double()
    return ((method.decode(z.double(), labels) + 1) / 2).numpy()


@pytest.mark.parametrize("case", CASES)
def test_images_are_those_of_pytorch(tiny: Callable[..., Recipe], case: str) -> None:
    torch.manual_seed(0)
    model = make(tiny, case)
    session = onnxruntime.InferenceSession(onnx.render(model))
    for count in (1, 5):
        inputs, z, labels = feed(model, count)
        (found,) = session.run(["images"], inputs)
        expected = ((model.method.decode(z, labels) + 1) / 2).numpy()
        assert found.shape == expected.shape and found.dtype == np.float32
        assert expected.std() > 0.01, "one grey shows nothing"
        # Two computations in float32 differ by about as much as each of them does from the exact result.
        rounding = np.abs(expected - in_float64(model, z, labels)).max()
        assert np.abs(found - expected).max() <= 4 * rounding + 1e-6
        assert rounding < 1e-4


def test_a_pixel_network_paints_any_size(tiny: Callable[..., Recipe]) -> None:
    torch.manual_seed(0)
    model = make(tiny, "conditional cppn tanh")
    session = onnxruntime.InferenceSession(onnx.render(model))
    inputs, z, labels = feed(model, 2)
    inputs["coordinates"] = grid(View(30, 41))
    (found,) = session.run(["images"], inputs)
    expected = (model.method.decode(z, labels, (30, 41)) + 1) / 2
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_what_the_file_says_of_itself(tiny: Callable[..., Recipe]) -> None:
    session = onnxruntime.InferenceSession(onnx.render(make(tiny, "conditional dcgan with averaged weights")))
    shapes = {each.name: each.shape for each in (*session.get_inputs(), *session.get_outputs())}
    assert shapes == {"z": ["N", 8], "labels": ["N"], "images": ["N", 3, 16, 16]}
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["recipe"], facts["method"], facts["data"], facts["nimg"]) == ("tiny", "gan", "pictures", "60")
    assert json.loads(facts["classes"]) == ["a", "b", "c"]
    assert (facts["latent_size"], facts["latent_std"], facts["checkpoint"]) == ("8", "1.0", "5e")
    assert session.get_modelmeta().producer_name == "ganvas" and facts["ganvas"]


def test_steps_may_be_left_out(tiny: Callable[..., Recipe]) -> None:
    model = make(tiny, "cfg_gan dcgan")
    whole = onnx.render(model)
    model.method.use_steps(0)
    alone = onnx.render(model)
    assert len(alone) < len(whole)
    inputs, z, _ = feed(model, 2)
    (found,) = onnxruntime.InferenceSession(alone).run(None, inputs)
    np.testing.assert_allclose(found, ((model.method.draw(z) + 1) / 2).clamp(0, 1).numpy(), atol=1e-5)


def test_a_random_network(tmp_path: Path) -> None:
    painter = random_network("tanh:3x8", 3, std=0.6, device="cpu")
    onnx.save_pixels(painter, tmp_path / "art.onnx")
    z, view = random_latent(painter, 1), View(20, 30, zoom=2)
    inputs = {"z": z[None].numpy(), "coordinates": grid(view)}
    (found,) = onnxruntime.InferenceSession(tmp_path / "art.onnx").run(None, inputs)
    expected = torch.cat(list(painter.bands(z, view, 20))).permute(2, 0, 1)
    np.testing.assert_allclose(found[0], expected.numpy(), atol=1e-5)


@pytest.fixture(scope="session")
def runtime() -> Path:
    """The files of onnxruntime-web; skips what needs them where they cannot be installed."""
    place = NODE / "node_modules" / "onnxruntime-web" / "dist"
    if not place.is_dir():
        if shutil.which("npm") is None:
            pytest.skip("no onnxruntime-web, and no npm to install it")
        words = ["npm", "install", "--prefix", str(NODE), "--no-save", "--silent", "onnxruntime-web"]
        if subprocess.run(words, capture_output=True).returncode:
            pytest.skip("onnxruntime-web cannot be installed")
    return place


SCRIPT = """async (inputs) => {
  const ort = await import("/ort.wasm.min.mjs");
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = "/";
  const session = await ort.InferenceSession.create("/model.onnx", { executionProviders: ["wasm"] });
  const feeds = {};
  for (const [name, { data, shape }] of Object.entries(inputs)) {
    feeds[name] = name === "labels"
      ? new ort.Tensor("int64", BigInt64Array.from(data, BigInt), shape)
      : new ort.Tensor("float32", Float32Array.from(data), shape);
  }
  const { images } = await session.run(feeds);
  return [images.dims, Array.from(images.data)];
}"""


@pytest.mark.browser
@pytest.mark.parametrize("case", ["conditional dcgan with averaged weights", "cppn residual", "cfg_gan dcgan"])
def test_in_a_browser(page: Page, runtime: Path, tiny: Callable[..., Recipe], tmp_path: Path, case: str) -> None:
    torch.manual_seed(0)
    model = make(tiny, case)
    (tmp_path / "model.onnx").write_bytes(onnx.render(model))
    (tmp_path / "index.html").write_text("<!doctype html><link rel=icon href=data:,>")

    def answer(route: Route) -> None:
        name = route.request.url.rpartition("/")[2]
        route.fulfill(path=(tmp_path if (tmp_path / name).is_file() else runtime) / name)

    page.route("http://ganvas.test/**", answer)
    page.goto("http://ganvas.test/index.html")
    inputs, z, labels = feed(model, 2)
    given = {name: {"data": value.ravel().tolist(), "shape": list(value.shape)} for name, value in inputs.items()}
    shape, numbers = page.evaluate(SCRIPT, given)
    expected = ((model.method.decode(z, labels) + 1) / 2).numpy()
    np.testing.assert_allclose(np.array(numbers).reshape(shape), expected, atol=1e-5)


def test_without_the_extra(tiny: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"pip install 'ganvas\[onnx\]'"):
        onnx.render(make(tiny, "mlp"))


def test_the_command(tiny: Callable[..., Recipe], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list(train(tiny(train={"images": 40}, method={"ema_images": 20}), tmp_path / "run", device="cpu"))
    assert ganvas("export", tmp_path / "run", "--to", "onnx", "--out", tmp_path / "run.onnx") == 0
    assert f"{tmp_path / 'run.onnx'}  (" in capsys.readouterr().out
    session, model = onnxruntime.InferenceSession(tmp_path / "run.onnx"), load(tmp_path / "run", device="cpu")
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["recipe"], json.loads(facts["classes"])) == ("tiny", ["across", "down", "slanted"])
    (found,) = session.run(None, {"z": model.method.latents([5]).numpy(), "labels": np.array([1])})
    drawn = np.moveaxis(model.sample(1, label=1, seed=5).images, -1, 1)
    assert np.abs(255 * found - drawn).max() <= 0.51  # rounding to 8 bits
    for words, message in (
        (["--to", "onnx", "--seed", 1], "--seed does nothing with --to onnx, whose latents are an input"),
        (["--to", "onnx", "--title", "a"], "--title does nothing with --to onnx"),
    ):
        assert ganvas("export", tmp_path / "run", *words) == 2
        said = capsys.readouterr().err.strip()
        assert message in said and "\n" not in said
