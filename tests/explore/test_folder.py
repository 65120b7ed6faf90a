import shutil
from pathlib import Path

import pytest

from ganvas.core.errors import UserError
from ganvas.explore.folder import Folder
from ganvas.runs import places


def test_a_published_model_is_opened_by_its_name(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = next(file.parent for file in sorted(trained.rglob("run.json")))
    shutil.copytree(run, tmp_path / "models" / "bars")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(places, "_models", lambda: tmp_path / "models")
    folder = Folder(Path("bars"))
    assert list(folder.runs()) == ["."]
    assert folder.outputs == tmp_path / "here", "never inside the package"


def test_files_are_written_beside_the_runs(trained: Path) -> None:
    assert Folder(trained).outputs == trained.resolve()
    run = next(file.parent for file in sorted(trained.rglob("run.json")))
    assert Folder(run).outputs == run.resolve().parent


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        Folder(tmp_path / "none")
