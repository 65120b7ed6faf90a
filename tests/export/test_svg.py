"""Drawings for plotters, read back from their files and compared with the network."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from ganvas.export import contours, svg
from ganvas.networks.view import View
from ganvas.painting.painter import random_network
from ganvas.painting.subjects import Subject, random_latent
from tests.cli.test_cli import ganvas

NAME = "{http://www.w3.org/2000/svg}"
SMALL = svg.Sheet(30, 20, levels=3)
VIEW = View(1, 1, zoom=1.2, center=(0.5, -1))


def subject(colour: bool = False) -> Subject:
    painter = random_network("tanh:5x16", 5, 0.8, colour, device="cpu")
    return Subject(painter, random_latent(painter, 5), "seed 5 <&>")


def read(file: Path) -> tuple[ElementTree.Element, dict[str, list[np.ndarray]]]:
    """The file, and the curves of the paths of each layer: [curves, 4, 2]."""
    root = ElementTree.parse(file).getroot()
    layers = {}
    for layer in root.iter(f"{NAME}g"):
        paths = []
        for path in layer.iter(f"{NAME}path"):
            curves: list[np.ndarray] = []
            place = start = np.zeros(2)
            for letter, text in re.findall(r"([MCLZ])([^MCLZ]*)", path.attrib["d"]):
                points = np.array(text.split(), float).reshape(-1, 2)
                if letter == "M":
                    place = start = points[0]
                elif letter == "Z":
                    np.testing.assert_array_equal(place, start)
                else:
                    stop = points[-1]
                    handles = points[:2] if letter == "C" else np.stack([place, stop])
                    curves.append(np.stack([place, *handles, stop]))
                    place = stop
            paths.append(np.array(curves))
        layers[layer.attrib["id"]] = paths
    return root, layers


def darkness(of: Subject, places: np.ndarray, sheet: svg.Sheet) -> np.ndarray:
    """Restated, in float64."""
    unit = 2 * VIEW.scale / VIEW.zoom / min(sheet.width, sheet.height)
    xy = torch.tensor((places - [sheet.width / 2, sheet.height / 2]) * unit + VIEW.center)
    network = random_network("tanh:5x16", 5, 0.8, of.painter.channels == 3, device="cpu").network.double()
    with torch.no_grad():
        values = network(of.z[None].double(), torch.cat([xy, xy.norm(dim=1, keepdim=True)], 1))[0].numpy()
    return values[:, 0] if values.shape[1] == 1 else 1 - values @ (0.2126, 0.7152, 0.0722)


@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_the_curves_are_on_the_contours_of_the_network(tmp_path: Path, colour: bool) -> None:
    of = subject(colour)
    drawing = svg.save(of, VIEW, SMALL, tmp_path / "a.svg")
    root, layers = read(tmp_path / "a.svg")
    assert (root.attrib["width"], root.attrib["height"], root.attrib["viewBox"]) == ("30mm", "20mm", "0 0 30 20")
    (paths,) = layers.values()
    curves = np.concatenate(paths)
    curved = curves[(curves[:, 0] != curves[:, 1]).any(1)]  # the straight ones join paths
    points = contours.at(curved, np.linspace(0, 1, 9)).reshape(-1, 2)
    assert len(points) > 300
    assert points.min() > -0.1 and (points.max(0) < (30.1, 20.1)).all()
    assert 0 < drawing.deviation < 2 * SMALL.tolerance
    # Around each point, the darkness passes one of the levels within the stated distance.
    ring = np.arange(16) * math.pi / 8
    around = points[:, None] + 1.01 * drawing.deviation * np.stack([np.cos(ring), np.sin(ring)], -1)
    values = darkness(of, around.reshape(-1, 2), SMALL).reshape(-1, 16)
    levels = np.array([0.25, 0.5, 0.75])
    passed = (values.min(1)[:, None] <= levels) & (levels <= values.max(1)[:, None])
    assert passed.any(1).all()
    stated = re.search(r"within ([\d.]+) mm of the contours", root.findtext(f"{NAME}desc") or "")
    assert stated and drawing.deviation <= float(stated[1]) < drawing.deviation + 0.0011
    assert root.findtext(f"{NAME}title") == "seed 5 <&>"
    recipe = json.loads(root.findtext(f"{NAME}metadata") or "")
    assert recipe["painting"]["subjects"][0]["latent"] == of.z.tolist()


def test_every_level_is_drawn_once() -> None:
    of = subject()
    one, three = (svg.draw(of, VIEW, replace(SMALL, levels=levels)) for levels in (1, 3))
    only = [svg.draw(of, VIEW, replace(SMALL, levels=3)).drawn, one.drawn]
    assert only[0] == three.drawn > 1.5 * one.drawn > 0


def test_the_pen_travels_little() -> None:
    of = subject()
    drawing = svg.draw(of, VIEW, replace(SMALL, levels=9, hatch=30.0))
    for layer in drawing.layers:
        assert len(layer.paths) > 5
        rng = np.random.default_rng(0)
        shuffled = [layer.paths[i] for i in rng.permutation(len(layer.paths))]
        ordered = replace(drawing, layers=[layer]).travelled
        assert ordered < 0.5 * replace(drawing, layers=[svg.Layer(layer.name, shuffled)]).travelled
    gaps = [
        np.hypot(*(after[0, 0] - before[-1, 3]))
        for layer in drawing.layers
        for before, after in zip(layer.paths, layer.paths[1:], strict=False)
    ]
    assert min(gaps) > SMALL.pen


@pytest.mark.parametrize("angle", [0.0, 90.0, -30.0])
def test_hatching_has_the_tone_of_the_picture(angle: float) -> None:
    of, sheet = subject(), svg.Sheet(90, 60, levels=0, pen=0.1, hatch=angle)
    drawing = svg.draw(of, VIEW, sheet)
    x, y = np.meshgrid(np.arange(0.5, 90, 1), np.arange(0.5, 60, 1))
    dark = darkness(of, np.stack([x.ravel(), y.ravel()], 1), sheet).mean()
    lines = np.concatenate(drawing.layers[0].paths)
    assert lines.min() >= -1e-3 and (lines.max((0, 1)) <= (90.001, 60.001)).all()
    assert drawing.drawn * sheet.pen / (90 * 60) == pytest.approx(dark, abs=0.04)
    assert drawing.deviation == 0


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = [
        "export",
        "--random",
        "tanh:5x16",
        "--std",
        0.8,
        "--weights",
        5,
        "--to",
        "svg",
        "--out",
        tmp_path / "a.svg",
    ]
    first = ["--seed", 5]
    assert ganvas(*random, *first, "--size", "60x40mm", "--levels", 2, "--pen", "0.5mm", "--hatch", -45) == 0
    assert re.search(r"60x40 mm, [\d.]+ m drawn in \d+ paths, .* within 0\.\d{3} mm", capsys.readouterr().out)
    root, layers = read(tmp_path / "a.svg")
    assert root.attrib["width"] == "60mm" and list(layers) == ["contours", "hatching"]
    assert ganvas(*random, *first, "--size", "A6-landscape") == 0
    assert read(tmp_path / "a.svg")[0].attrib["viewBox"] == "0 0 148 105"
    for words, message in (
        (["--size", "1080"], "300x400mm"),
        (["--size", "A9"], "A3-landscape"),
        (["--size", "0.1mm"], "a side of 0.1 mm"),
        (["--pen", "3"], "with its unit"),
        (["--pen", "0mm"], "a pen of 0 mm"),
        (["--levels", -1], "-1 levels"),
        (["--levels", 0], "choose 1 or more --levels"),
        (["--hatch", "nan"], "at an angle of nan"),
        (["--seeds", "0-2"], "a drawing has one latent, not 3"),
        (["--zoom", 1e17], "beyond float64"),
        (["--zoom", 1e6, "--center=9,9"], "nothing to draw"),
    ):
        assert ganvas(*random, *words) == 2, words
        assert message in capsys.readouterr().err, words
    assert ganvas("export", "--random", "tanh:2x6", "--levels", 3) == 2
    assert "use --to svg" in capsys.readouterr().err
