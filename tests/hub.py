"""A server on this machine that speaks as much of the Hugging Face hub's language as downloads and uploads need."""

import base64
import hashlib
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hub(ThreadingHTTPServer):
    """Has `repos`: files by repository, revision and path. Sets and models have one space of names."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, dict[str, dict[str, bytes]]] = {}
        self.requests: list[str] = []
        self.token: str | None = None
        """that uploads have to bring"""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        """Uploads: creating a repository, and a commit with the content of all files in it."""
        path = self.note()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self.reply(401, b"{}")
        elif path == "/validate-yaml":
            self.say({"errors": [], "warnings": []})
        elif path == "/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            self.server.repos.setdefault(name, {"main": {}})
            self.say({"url": f"{self.server.url}/{name}"})
        else:
            _, _, owner, name, kind, *_ = path.split("/")
            files = self.server.repos[f"{owner}/{name}"]["main"]
            if kind == "preupload":
                paths = [file["path"] for file in json.loads(body)["files"]]
                self.say({"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]})
            elif kind == "commit":
                for line in map(json.loads, body.splitlines()):
                    value = line["value"]
                    if line["key"] == "file":
                        files[value["path"]] = base64.b64decode(value["content"])
                    elif line["key"] == "deletedFile":
                        del files[value["path"]]
                self.say({"commitUrl": f"{self.server.url}/{owner}/{name}/commit/main", "commitOid": "0" * 40})
            else:
                self.reply(404, b"")

    def answer(self) -> None:
        path = self.note()
        kind_of_repo, *parts = path.removeprefix("/").split("/", 4)
        if kind_of_repo not in ("datasets", "models"):  # files of models have no such prefix
            parts = path.removeprefix("/").split("/", 3)
        owner, name, kind, wanted = parts
        revisions = self.server.repos.get(f"{owner}/{name}")
        if revisions is None:
            self.reply(404, b"", {"X-Error-Code": "RepoNotFound"})
            return
        by_hash = {hashlib.sha1(revision.encode()).hexdigest(): revision for revision in revisions}
        known = [each for each in (*revisions, *by_hash) if wanted == each or wanted.startswith(f"{each}/")]
        if not known:
            self.reply(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return
        revision = by_hash.get(known[0], known[0])
        sha = hashlib.sha1(revision.encode()).hexdigest()
        files = {".gitattributes": b"", **revisions[revision]}
        if kind == "revision":
            self.say({"id": f"{owner}/{name}", "sha": sha, "siblings": [{"rfilename": p} for p in files]})
        elif kind == "tree":
            self.say([{"type": "file", "path": p, "size": len(b), "oid": etag(b)} for p, b in files.items()])
        else:
            body = files[wanted.removeprefix(f"{known[0]}/")]
            self.reply(200, body, {"X-Repo-Commit": sha, "ETag": f'"{etag(body)}"'})

    def note(self) -> str:
        """The path that was asked for, which is also noted."""
        path = self.path.partition("?")[0].replace("%2F", "/").removeprefix("/api")
        self.server.requests.append(f"{self.command} {path}")
        return path

    def say(self, value: Any) -> None:
        self.reply(200, json.dumps(value).encode())

    def reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def etag(body: bytes) -> str:
    return hashlib.sha1(body).hexdigest()
