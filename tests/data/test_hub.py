"""Sets from the hub, which a server on this machine stands in for."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ganvas.core.errors import UserError
from ganvas.data import DataSettings, ImageSet, load
from ganvas.data.hub import CONVERTED
from tests.hub import Hub, etag


def parquet_file(labels: list[int], classes: str = "0123456789", side: int = 28) -> bytes:
    """A Parquet file in the hub's layout, with black images."""
    image, file = io.BytesIO(), io.BytesIO()
    Image.new("L", (side, side)).save(image, "PNG")
    table = pa.table({"image": [{"bytes": image.getvalue(), "path": None}] * len(labels), "label": labels})
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list(classes)}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), file)
    return file.getvalue()


def load_from(name: str, split: str = "train") -> ImageSet:
    return load(DataSettings(name=name), split)


def refusal(name: str, split: str = "train") -> str:
    """The one line that the user gets."""
    with pytest.raises(UserError) as caught:
        load_from(name, split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Named sets


def test_a_named_set_is_downloaded_once(hub: Hub, tmp_path: Path) -> None:
    hub.repos["ylecun/mnist"] = {"main": {"mnist/test-00000-of-00001.parquet": parquet_file([7, 2])}}
    data = load_from("mnist", "test")
    assert data.labels is not None and data.labels.tolist() == [7, 2]
    assert (tmp_path / "data" / "mnist" / "mnist" / "test-00000-of-00001.parquet").is_file()
    hub.requests.clear()
    assert load_from("mnist", "test").fingerprint == data.fingerprint
    assert not hub.requests


@pytest.mark.parametrize(
    ("name", "split", "files"),
    [
        (
            "fashion-mnist",
            "test",
            "t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz, or test-00000-of-00001.parquet,",
        ),
        ("cifar10", "train", "train-00000-of-00001.parquet"),
    ],
)
def test_without_a_network_it_says_what_to_put_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, split: str, files: str
) -> None:
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    line = refusal(name, split)
    assert line.startswith(f"cannot download '{name}' (") and line.endswith(f"put {files} into {tmp_path}/data/{name}")


def test_a_damaged_download_of_a_named_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    path = tmp_path / "data" / "cifar10" / "train-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(parquet_file([1])[:-3])
    assert f"cannot read {path} as Parquet" in refusal("cifar10")


# Sets by their id


@pytest.fixture
def pets(hub: Hub) -> Hub:
    """Two sets: one that the hub has converted, in two parts; and one with its own Parquet files."""
    cats, dogs = parquet_file([0, 0], "cd", 8), parquet_file([1], "cd", 8)
    small = {"small/train/0000.parquet": cats, "small/train/0001.parquet": dogs, "small/test/0000.parquet": dogs}
    hub.repos["me/pets"] = {CONVERTED: {**small, "large/train/0000.parquet": dogs}, "main": {"a.zip": b""}}
    hub.repos["me/own"] = {"main": {"data/train-00000-of-00001.parquet": cats, "data/notes.txt": b""}}
    return hub


def test_a_set_by_its_id(pets: Hub) -> None:
    data = load_from("me/pets:small")
    assert data.classes == ("c", "d") and data.labels is not None and data.labels.tolist() == [0, 0, 1]
    assert len(load_from("me/pets:small", "test")) == len(load_from("me/pets:large")) == 1
    assert len(load_from("me/own")) == 2


def test_only_the_files_of_the_part_and_split_are_downloaded(pets: Hub) -> None:
    load_from("me/pets:small", "test")
    files = {
        request.rpartition(f"{etag(CONVERTED.encode())}/")[2] for request in pets.requests if "/resolve/" in request
    }
    assert files == {".gitattributes", "small/test/0000.parquet"}


def test_of_a_set_that_the_hub_has_cut_the_own_files_are_read(pets: Hub) -> None:
    whole, cut = parquet_file([0, 1], "cd", 8), parquet_file([0], "cd", 8)
    pets.repos["me/huge"] = {CONVERTED: {"default/partial-train/0000.parquet": cut}, "main": {"train/0.parquet": whole}}
    assert len(load_from("me/huge")) == 2


def test_what_was_downloaded_is_found_without_a_network(pets: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {name: load_from(name).fingerprint for name in ("me/pets:small", "me/own")}
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert {name: load_from(name).fingerprint for name in there} == there
    assert "no folder 'me/pets:large' here" in refusal("me/pets:large")
    assert "no folder 'me/other' here" in refusal("me/other")


def test_bad_ids_are_refused(pets: Hub) -> None:
    assert "name one of them, me/pets:large or me/pets:small" in refusal("me/pets")
    assert "name one of them, me/pets:large or me/pets:small" in refusal("me/pets:medium")
    assert "'me/pets:large' has no test split on the hub" in refusal("me/pets:large", "test")
    assert "neither a folder here nor a public set" in refusal("me/nothing")
    pets.repos["me/zip"] = {"main": {"a.zip": b""}}
    assert "'me/zip' has no Parquet files on the hub" in refusal("me/zip")
