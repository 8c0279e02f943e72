from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

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
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: time.sleep(30))
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
