"""The page needs nothing but itself."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from ganvas.core.images import save_png
from ganvas.evaluation.compare import compare
from ganvas.evaluation.report.page import to_html
from ganvas.runs.run import Run
from tests.evaluated import evaluate, make_run


class Page(HTMLParser):
    """Every tag is closed, every id is there once, and nothing is loaded from elsewhere."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.images = 0
        self.feed(text)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("script", "link", "iframe", "object", "base")
        self.images += tag == "img"
        for name, value in attrs:
            assert not name.startswith("on")
            if name == "src":
                assert value is not None and value.startswith("data:image/png;base64,")
            if name == "href":
                assert value is not None and value.startswith("#")
            if name == "id":
                self.ids.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_but_itself(evaluated: list[Path], tmp_path: Path) -> None:
    odd = make_run(tmp_path / "<b>&$x$ http:")
    evaluate(odd, 60_000, {"fid": (2.0, 0.1)})
    evaluate(odd, 70_000, {"fid": (1.5, 0.1)}, refused={"kid": "<script>alert(1)</script>"})
    (odd.samples).mkdir()
    odd.sheet(60_000).write_bytes(b"damaged")
    compared = compare([*evaluated, odd.path])
    text = to_html(compared)
    assert not re.search(r"https?://", text)
    assert "<b>" not in text and "<script" not in text
    page = Page(text)
    assert page.images == 3
    assert "<b>&$x$ http:" in page.text
    assert "n is 500, not 10,000" in page.text
    assert "seed0, 60,000 images seen, seeds 0–3" in page.text
    assert "f00d" in page.text
    assert "<strong>" in text and text.count("<svg") == 3
    assert text == to_html(compare([*evaluated, odd.path]))


def test_sheets_of_unlike_seeds_are_not_passed_off_as_alike(evaluated: list[Path]) -> None:
    assert "not all from the same seeds" not in to_html(compare(evaluated))
    save_png(Run(evaluated[3]).sheet(120_000), np.zeros((12, 12, 3), np.uint8), {"seeds": [7, 8]})
    text = to_html(compare(evaluated))
    assert "not all from the same seeds" in text
    assert "120,000 images seen, seeds 7–8" in text
