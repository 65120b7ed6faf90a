"""Fetching from a server on this machine: resuming, checking, and saying what to do when there is no network."""

import hashlib
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ganvas.core.errors import UserError
from ganvas.data import DataSettings, fetch, load

BODY = bytes(range(256)) * 4000


class Server(ThreadingHTTPServer):
    """Serves `files`; `cuts` are the bytes after which it hangs up, one for each coming answer."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {"/a.bin": BODY}
        self.cuts: list[int] = []
        self.ranges = True
        self.etag = ""
        self.requests: list[tuple[str, str | None]] = []  # path and Range

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        if self.path.startswith("/hub/"):  # the hub sends the hash, and the client on to its storage
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/hub"))
            self.send_header("X-Linked-ETag", self.server.etag)
            self.end_headers()
            return
        body = self.server.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if start >= len(body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else len(body)
        self.wfile.write(body[start : start + cut])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def sha256(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def test_a_file_is_fetched_once(server, tmp_path):
    path = tmp_path / "deep" / "a.bin"
    assert fetch.fetch(f"{server.url}/a.bin", path, sha256(BODY)) == path
    assert path.read_bytes() == BODY and not path.with_name("a.bin.part").exists()
    fetch.fetch(f"{server.url}/a.bin", path)
    assert len(server.requests) == 1


def test_a_cut_connection_is_continued(server, tmp_path):
    server.cuts = [100_000, 5]
    fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", sha256(BODY))
    assert [wanted for _, wanted in server.requests] == [None, "bytes=100000-", "bytes=100005-"]
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_fetch_that_gave_up_is_continued_by_the_next(server, tmp_path):
    server.cuts = [1000] * fetch.ATTEMPTS
    with pytest.raises(fetch.Unreachable, match="cut after 4,000 of 1,024,000 bytes"):
        fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin")
    assert (tmp_path / "a.bin.part").read_bytes() == BODY[:4000] and not (tmp_path / "a.bin").exists()
    server.requests.clear()
    fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", sha256(BODY))
    assert [wanted for _, wanted in server.requests] == ["bytes=4000-"]


def test_servers_that_cannot_continue_start_again(server, tmp_path):
    server.ranges = False
    (tmp_path / "a.bin.part").write_bytes(BODY[:4000])
    fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", sha256(BODY))
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_part_that_is_already_whole(server, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY)
    fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", sha256(BODY))
    assert (tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize("checksum", ["md5:00", sha256(b"")])
def test_a_wrong_checksum_deletes_the_file(server, tmp_path, checksum):
    with pytest.raises(UserError, match=r"a\.bin came damaged .* try again"):
        fetch.fetch(f"{server.url}/a.bin", tmp_path / "a.bin", checksum)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_the_hubs_own_hash_is_checked_across_its_redirect(server, tmp_path):
    server.etag = f'"{hashlib.sha256(BODY).hexdigest()}"'
    server.cuts = [100_000]
    fetch.fetch(f"{server.url}/hub/a.bin", tmp_path / "a.bin")
    assert server.requests[-1] == ("/a.bin", "bytes=100000-")  # Range survives the redirect
    server.etag = f'"{hashlib.sha256(b"").hexdigest()}"'
    with pytest.raises(UserError, match="came damaged"):
        fetch.fetch(f"{server.url}/hub/a.bin", tmp_path / "b.bin")
    server.etag = '"1f0c3e"'  # of a small file: a Git hash
    fetch.fetch(f"{server.url}/hub/a.bin", tmp_path / "c.bin")


def test_a_refusal_is_reported(server, tmp_path):
    with pytest.raises(UserError, match="404"):
        fetch.fetch(f"{server.url}/b.bin", tmp_path / "b.bin")
    assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a.bin", "http://nowhere.invalid/a.bin", "nonsense"])
def test_no_server(tmp_path, url):
    with pytest.raises(fetch.Unreachable):
        fetch.fetch(url, tmp_path / "a.bin")


def mnist_file(labels: list[int]) -> bytes:
    """A Parquet file as the hub has it, with black pictures."""
    picture, file = io.BytesIO(), io.BytesIO()
    Image.new("L", (28, 28)).save(picture, "PNG")
    table = pa.table({"image": [{"bytes": picture.getvalue(), "path": None}] * len(labels), "label": labels})
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": list("0123456789")}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}), file)
    return file.getvalue()


def test_a_named_set_is_fetched_into_the_cache(server, tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    server.files["/datasets/ylecun/mnist/resolve/main/mnist/test-00000-of-00001.parquet"] = mnist_file([7, 2])
    for _ in range(2):
        data = load(DataSettings(name="mnist"), "test")
        assert data.labels is not None and data.labels.tolist() == [7, 2]
    assert len(server.requests) == 1
    assert (tmp_path / "data" / "mnist" / "test-00000-of-00001.parquet").is_file()


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
def test_without_a_network_it_says_what_to_put_where(tmp_path, monkeypatch, name, split, files):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError) as caught:
        load(DataSettings(name=name), split)
    assert f"put {files} into {tmp_path}/data/{name}" in str(caught.value) and "\n" not in str(caught.value)


def test_a_damaged_download_of_a_named_set_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_CACHE", str(tmp_path))
    path = tmp_path / "data" / "cifar10" / "train-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(mnist_file([1])[:-3])
    with pytest.raises(UserError, match=f"cannot read {path} as Parquet"):
        load(DataSettings(name="cifar10"))
