"""Run folders may come from anybody: what no run writes is one sentence, for every command that reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_runs import make_suite, write_run
from typer.testing import CliRunner

from cqlbench import runs
from cqlbench.cli import app
from cqlbench.errors import UserError
from cqlbench.records import read_record

SUITE = """
name: records
datasets: [hopper/medium-v0]
seeds: [0]
protocol: {updates: 1000, evaluate_every: 250, episodes: 5, value_states: 8}
methods: {bc: {}}
"""
NO_RECORD: dict[str, bytes] = {
    "a list": b"[]",
    "null": b"null",
    "a text": b'"done"',
    "cut": b'{"status": "do',
    "emptied": b"",
    "no UTF-8": b"\xff\xfe\x00",
    "brackets": b"[" * 100_000,
    "digits": b'{"update": ' + b"9" * 5_000 + b"}",
}
OF_OTHER_KINDS: dict[str, list[Any]] = {
    runs.STATUS: [{}, {"status": 7}, {"status": "<script>"}, {"status": "done", "update": "../.."}, {"reason": []}],
    runs.PROVENANCE: [{"dataset": []}, {"dataset": {"ref_min": "0"}}, {"packages": {"torch": []}}, {"packages": 7}],
    runs.TIMING: [{"cpu_seconds_job": "many"}, {"seconds_total": None}, {"cpu": ["x"]}, {"peak_memory_mb": {}}],
    runs.CONFIG: [{"settings": []}, {"protocol": "x"}, {"algorithm": None}],
}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a suite's one run, in `tmp_path`."""
    planned = make_suite(tmp_path, SUITE).runs()[0][1]
    write_run("bc", planned, planned.folder(tmp_path), np.random.default_rng(0), broken=False)
    return planned.folder(tmp_path)


def commands(tmp_path: Path) -> list[Any]:
    """What each command that reads run folders ends with."""
    words = [str(tmp_path / "synthetic.yaml"), "--results", str(tmp_path)]
    asked = [["status", *words], ["price", *words], ["scores", *words, "--out", str(tmp_path / "out")]]
    asked.append(["costs", *words, "--out", str(tmp_path / "out")])
    return [CliRunner().invoke(app, call).exception for call in asked]


def test_what_a_run_writes_is_read(run, tmp_path):
    assert read_record(run / runs.STATUS)["status"] == "done" and read_record(run / "none.json") == {}
    assert not any(commands(tmp_path))


@pytest.mark.parametrize("file", [runs.STATUS, runs.PROVENANCE, runs.TIMING])
@pytest.mark.parametrize("damage", NO_RECORD)
def test_what_is_no_record_is_one_sentence_of_every_command(run, tmp_path, file, damage):
    (run / file).write_bytes(NO_RECORD[damage])
    refusals = [error for error in commands(tmp_path) if error]
    assert refusals and all(type(error) is UserError and file in str(error) for error in refusals), refusals
    assert all("train the run again" in str(error) and str(error).isprintable() for error in refusals)


@pytest.mark.parametrize(("file", "content"), [(file, one) for file, many in OF_OTHER_KINDS.items() for one in many])
def test_what_is_of_another_kind_is_named(tmp_path, file, content):
    (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(UserError, match=f"{file} has .*; no run has written it so"):
        read_record(tmp_path / file)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(
    file=st.sampled_from([runs.STATUS, runs.PROVENANCE, runs.TIMING, runs.CONFIG]),
    content=st.dictionaries(
        st.sampled_from(["status", "update", "reason", "dataset", "packages", "seconds_job", "settings"]), JSON
    ),
)
def test_any_json_is_a_record_or_a_refusal(tmp_path_factory, file, content):
    path = tmp_path_factory.getbasetemp() / file
    path.write_text(json.dumps(content))
    try:
        assert isinstance(read_record(path), dict)
    except UserError as error:
        assert str(error).isprintable()
