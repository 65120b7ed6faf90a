"""Any folder of pictures can be trained on; what its scores need and it lacks is said in a sentence."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas.runs.run import Run
from tests.cli.test_cli import ganvas


def noise(count: int, alike: bool = False) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*rng.integers(9, 60, 2), 3), dtype=np.uint8) for _ in range(count)]
    return [pictures[0]] * count if alike else pictures


SETS = {
    "one picture": noise(1),
    "fewer than a batch": noise(5),
    "all identical": noise(24, alike=True),
    "sizes of all kinds": noise(24),
    "one class": noise(24),
}


@pytest.mark.parametrize("kind", SETS)
def test_any_folder_is_trained_on_and_measured(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "set" / ("cats" if kind == "one class" else "")
    folder.mkdir(parents=True)
    for i, picture in enumerate(SETS[kind]):
        Image.fromarray(picture).save(folder / f"{i:03d}.png")
    small = ["--images", "96", "--device", "cpu", "--set", "network.base=4", "data.size=16", "train.batch_size=12"]
    assert ganvas("train", "small-dcgan-plus", "--data", str(tmp_path / "set"), *small) == 0
    run = Run.existing(tmp_path / "runs" / "small-dcgan-plus")
    assert run.state() == "finished"
    records = run.records()
    assert records[-1]["nimg"] == 96
    assert all(np.isfinite(value) for record in records for value in record.values())
    assert ganvas("sample", str(run.path), "--n", "4", "--out", "samples.png") == 0
    assert (run.path / "figures" / "losses.png").is_file()
    capsys.readouterr()
    assert ganvas("evaluate", str(run.path), "--n", "100", "--device", "cpu") == 0
    code = ganvas("neighbours", str(run.path), "--n", "20", "--device", "cpu")
    said = capsys.readouterr()
    if len(SETS[kind]) < 8:
        assert code == 2
        assert "training images are too few to compare: 8 or more are needed" in said.err
    else:
        assert code == 0
        assert (tmp_path / "neighbours.png").is_file()
    assert "Traceback" not in said.err
