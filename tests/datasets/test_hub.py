from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import util
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from trajectories import assert_same, transitions, write_minari

from cqlbench.datasets import load
from cqlbench.datasets.hub import check_hub, download
from cqlbench.datasets.minari_root import move_in
from cqlbench.errors import UserError


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port of this machine where nobody answers, in place of the hub."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
        yield port


def test_without_a_network_it_says_so_within_a_second(tmp_path: Path, nobody: int) -> None:
    began = time.monotonic()
    with pytest.raises(UserError, match="cannot be reached.*Download on a machine that can") as error:
        download("mujoco/hopper/medium-v0", tmp_path, 0.8)
    assert time.monotonic() - began < 1
    assert "\n" not in str(error.value) and list(tmp_path.iterdir()) == []


def test_a_hub_that_does_not_answer_is_not_waited_for(nobody: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: time.sleep(30) or socket.socket())
    began = time.monotonic()
    with pytest.raises(UserError, match="no answer in 0.2 s"):
        check_hub(0.2)
    assert time.monotonic() - began < 1


def test_a_hub_that_is_there_or_forbidden(nobody: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as hub:
        hub.bind(("127.0.0.1", 0))
        hub.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.getsockname()[1]}")
        check_hub(5)
        # Behind a proxy it is the proxy that must answer.
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{nobody}")
        with pytest.raises(UserError, match="cannot be reached"):
            check_hub(5)
        monkeypatch.delenv("https_proxy")
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(UserError, match="HF_HUB_OFFLINE"):
            check_hub(5)


@pytest.mark.filterwarnings("ignore")
def test_what_was_fetched_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import minari

    write_minari(tmp_path, "some/group/pendulum-v0", monkeypatch)
    root = tmp_path / "datasets"
    move_in(tmp_path / "minari", root)
    assert_same(load("minari:some/group/pendulum-v0", root), transitions())
    assert not (tmp_path / "minari").exists()
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    assert list(minari.list_local_datasets()) == ["some/group/pendulum-v0"]


REPOSITORY = "farama-minari/test"
COMMIT = "c" * 40


class StandIn(BaseHTTPRequestHandler):
    """As much of the hub's web interface as its own client asks for to fetch one repository."""

    files: dict[str, bytes] = {}
    fetched: list[str] = []

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, body: bytes, code: int = 200, **headers: str) -> None:
        self.send_response(code)
        for name, value in (headers | {"Content_Length": str(len(body))}).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        about = {"id": REPOSITORY, "_id": "0", "sha": COMMIT, "private": False, "tags": [], "downloads": 0}
        found = f"/datasets/{REPOSITORY}/resolve/"
        if path == "/api/datasets":
            self.answer(json.dumps([about]).encode())
        elif path.startswith(f"/api/datasets/{REPOSITORY}/tree"):
            sizes = {name: len(content) for name, content in self.files.items()}
            rows = [{"type": "file", "path": name, "size": size, "oid": "0" * 40} for name, size in sizes.items()]
            self.answer(json.dumps(rows).encode())
        elif path.startswith(f"/api/datasets/{REPOSITORY}"):
            siblings = [{"rfilename": name} for name in self.files]
            self.answer(json.dumps(about | {"siblings": siblings}).encode())
        elif path.startswith(found) and (name := path.removeprefix(found).partition("/")[2]) in self.files:
            content = self.files[name]
            if self.command == "GET":
                self.fetched.append(name)
            self.answer(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=COMMIT)
        elif path.startswith(found):
            self.answer(b"", 404, X_Error_Code="EntryNotFound")
        else:
            self.answer(b"", 404)

    do_HEAD = do_GET


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(util.find_spec("huggingface_hub") is None, reason="huggingface_hub, the hub's client, is not there")
def test_the_hubs_own_client_fetches_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nobody: int) -> None:
    write_minari(tmp_path, "test/pendulum-v0", monkeypatch)
    folder = tmp_path / "minari" / "test"
    (folder / "namespace_metadata.json").write_text(json.dumps({"datasets": ["test/pendulum-v0"]}))
    StandIn.files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    hub = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    words = [sys.executable, "-m", "cqlbench", "datasets", "download", "test/pendulum-v0", "--wait", "20", "--root"]
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
    }

    def fetch(root: Path) -> str:
        done = subprocess.run([*words, str(root)], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "17 transitions of minari:test/pendulum-v0" in fetch(tmp_path / "first")
    assert_same(load("minari:test/pendulum-v0", tmp_path / "first"), transitions())
    assert [path.name for path in (tmp_path / "first").iterdir()] == ["test"]
    assert {path.name for path in (tmp_path / "first" / "test").iterdir()} == {"namespace_metadata.json", "pendulum-v0"}
    # What is there is not fetched again; what is there in part is not taken for whole.
    StandIn.fetched.clear()
    fetch(tmp_path / "first")
    assert StandIn.fetched == []
    part = tmp_path / "second" / ".downloading" / "test" / "pendulum-v0" / "data"
    part.mkdir(parents=True)
    (part / "metadata.json").write_text("{}")
    fetch(tmp_path / "second")
    assert_same(load("minari:test/pendulum-v0", tmp_path / "second"), transitions())
    hub.shutdown()
