"""Images for paper: their size, read by other programs."""

from pathlib import Path

import numpy as np
import pypdf
import pytest
import tifffile
from PIL import Image

from ganvas.networks.view import View
from ganvas.painting.formats.printing import Print
from ganvas.painting.paint import Painting, load_painting
from ganvas.painting.painter import random_network
from ganvas.painting.palette import Bits
from ganvas.painting.subjects import Subject, random_latent
from tests.cli.test_cli import ganvas

POINT = 72 / 25.4


def painting(page: Print | None, colour: bool = False, bits: Bits = 8) -> Painting:
    painter = random_network("tanh:4x8", 3, 0.9, colour, device="cpu")
    height, width = page.pixels if page else (30, 40)
    return Painting([Subject(painter, random_latent(painter, 3), "(a\\")], View(height, width), bits=bits, print=page)


def box(found: pypdf.generic.RectangleObject) -> list[float]:
    return [float(x) / POINT for x in found]


def test_sizes_are_those_of_the_paper() -> None:
    assert Print(297, 420).pixels == (4961, 3508)
    assert Print(297, 420, 150, 3).pixels == (2516, 1789)
    assert Print(841, 1189).pixels == (14043, 9933)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_another_program_reads_the_pdf(tmp_path: Path, colour: bool, bits: Bits) -> None:
    page = Print(40, 30, 50, 3)
    art = painting(page, colour, bits)
    art.save(tmp_path / "a.pdf")
    reader = pypdf.PdfReader(tmp_path / "a.pdf", strict=True)
    (found,) = reader.pages
    assert box(found.mediabox) == pytest.approx([0, 0, 60, 50], abs=1e-3)
    assert box(found.bleedbox) == pytest.approx([7, 7, 53, 43], abs=1e-3)
    assert box(found.trimbox) == pytest.approx([10, 10, 50, 40], abs=1e-3)
    image = found["/Resources"]["/XObject"]["/I"]  # type: ignore[index]
    assert (image["/Height"], image["/Width"]) == page.pixels
    pixels = np.frombuffer(image.get_data(), f">u{bits // 8}").reshape(*page.pixels, 3 if colour else 1)
    assert (pixels == np.concatenate(list(art.bands()))).all()
    content = found.get_contents().get_data().decode()  # type: ignore[union-attr]
    assert content.count(" l S") == 8
    marks = np.array([line.split() for line in content.replace("m ", "").replace(" l S", "").splitlines()[2:]], float)
    for x, y, x2, y2 in marks / POINT:
        on_x, on_y = min(abs(x - 10), abs(x - 50)) < 1e-3, min(abs(y - 10), abs(y - 40)) < 1e-3
        assert (on_x and x == x2) or (on_y and y == y2), "a mark is in line with an edge of the paper"
        assert not (7 <= max(x, x2) <= 53 and 7 <= max(y, y2) <= 43), "no mark is on the image"


def test_without_a_bleed_there_are_no_marks(tmp_path: Path) -> None:
    painting(Print(40, 30, 50)).save(tmp_path / "a.pdf")
    (found,) = pypdf.PdfReader(tmp_path / "a.pdf", strict=True).pages
    for each in (found.mediabox, found.bleedbox, found.trimbox):
        assert box(each) == pytest.approx([0, 0, 40, 30], abs=1e-3)
    assert " l S" not in found.get_contents().get_data().decode()  # type: ignore[union-attr]
    painting(None).save(tmp_path / "b.pdf")  # 300 pixels an inch
    (found,) = pypdf.PdfReader(tmp_path / "b.pdf", strict=True).pages
    assert box(found.trimbox) == pytest.approx([0, 0, 40 * 25.4 / 300, 30 * 25.4 / 300], abs=1e-3)


def test_other_formats_have_the_size(tmp_path: Path) -> None:
    art = painting(Print(40, 30, 150, 2))
    for ending in ("tif", "png"):
        art.save(tmp_path / f"a.{ending}")
        with Image.open(tmp_path / f"a.{ending}") as image:
            assert image.info["dpi"] == pytest.approx((150, 150), rel=1e-3)
            assert image.size == (260, 201)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.pages.first.tags["ResolutionUnit"].value == 2


@pytest.mark.parametrize("ending", ["pdf", "tif", "png"])
def test_again_from_the_file(tmp_path: Path, ending: str) -> None:
    first = painting(Print(20, 30, 72, 3), colour=True, bits=16)
    first.save(tmp_path / f"a.{ending}")
    again = load_painting(tmp_path / f"a.{ending}")
    assert (again.view, again.print, again.subjects[0].source) == (first.view, first.print, "(a\\")
    again.save(tmp_path / f"b.{ending}")
    assert (tmp_path / f"a.{ending}").read_bytes() == (tmp_path / f"b.{ending}").read_bytes()


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b, c = (tmp_path / f"{name}.pdf" for name in "abc")
    art = ["paint", "--random", "tanh:2x4"]
    assert ganvas(*art, "--print", "A6-landscape", "--dpi", 30, "--bleed", "3mm", "--zoom", 2, "--out", a) == 0
    found = load_painting(a)
    assert found.print == Print(148, 105, 30, 3)
    assert (found.view.height, found.view.width, found.view.zoom) == (131, 182, 2)
    assert found.view.scale == pytest.approx(8 * 130 / 123)  # the paper alone shows -8 to 8
    assert ganvas("paint", "--like", a, "--out", b) == 0
    assert a.read_bytes() == b.read_bytes()
    assert ganvas("paint", "--like", a, "--print", "A5", "--dpi", 30, "--out", c) == 0
    found = load_painting(c)
    assert (found.view.height, found.view.width, found.print) == (248, 175, Print(148, 210, 30))
    assert found.view.scale == pytest.approx(8)
    assert ganvas("paint", "--like", a, "--size", 20, "--out", tmp_path / "small.png") == 0
    assert load_painting(tmp_path / "small.png").print is None
    assert load_painting(tmp_path / "small.png").view.scale == pytest.approx(8)
    capsys.readouterr()
    for words, message in (
        (["--print", "A12"], "A3-landscape"),
        (["--print", "A6", "--size", 20], "leave out --sheet and --size"),
        (["--print", "A6", "--dpi", -1], "-1 dpi"),
        (["--print", "A6", "--bleed", "3"], "with its unit"),
        (["--print", "A6", "--tile", "--bleed", "1mm"], "leave out --bleed"),
        (["--bleed", "3mm"], "do nothing without --print"),
        (["--print", "A6", "--out", tmp_path / "a.webp"], "has no physical size"),
        (["--print", "A6", "--out", tmp_path / "a.dzi"], "has no physical size"),
    ):
        assert ganvas(*art, *words) == 2, words
        assert message in capsys.readouterr().err, words
