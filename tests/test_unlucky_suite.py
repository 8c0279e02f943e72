"""A suite in which one method diverges and one takes all the memory there is: each is named, the other is untouched."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from killing import training_command
from real_suites import TINY, cqlbench, prepare, run_folders, run_through, statuses

from cqlbench import runs

pytestmark = pytest.mark.slow
METHODS = Path(__file__).with_name("own_methods.py")
SUITE = TINY | {
    "seeds": [0],
    "protocol": {"updates": 200, "evaluate_every": 40, "episodes": 1, "value_states": 4},
    "methods": {"bc": {}, "naive": {"algorithm": f"{METHODS}:Explodes"}},
}
GREEDY = {"hungry": {"algorithm": f"{METHODS}:Hungry"}}
CGROUP = Path("/sys/fs/cgroup/memory", f"cqlbench-{os.getpid()}")


@pytest.fixture(scope="module")
def small_machine() -> Iterator[list[str]]:
    """Words before a command: it and all that it starts get 1.2 GB, and the kernel kills who takes more.

    None where no such group can be made (cgroup v1).
    """
    try:
        CGROUP.mkdir()
        (CGROUP / "memory.limit_in_bytes").write_text("1200M")
    except OSError:
        yield []
        return
    yield ["sh", "-c", f'echo $$ > {CGROUP}/cgroup.procs; exec "$0" "$@"']
    CGROUP.rmdir()


@pytest.fixture(scope="module")
def suite(results: Path, small_machine: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after the whole workflow; with one who takes all memory only where that is not this machine's."""
    methods = SUITE["methods"] | (GREEDY if small_machine else {})
    folder = prepare(tmp_path_factory.mktemp("unlucky") / "suite", SUITE | {"methods": methods}, results)
    run_through(folder, "--cores", 2, before=small_machine)
    return folder


def test_who_takes_all_memory_is_killed_alone(suite, small_machine, fault_table):
    if not small_machine:
        pytest.skip("no group with a limit of memory can be made here")
    counters = (CGROUP / "memory.oom_control").read_text().split()
    assert counters[counters.index("oom_kill") + 1] == "1"
    ended = statuses(suite)
    assert ended["bc 0"]["status"] == "done" and ended["hungry 0"]["status"] == "failed"
    assert ended["hungry 0"]["reason"] == "killed by SIGKILL (often the system's answer to too little memory)"
    assert (
        "often the system&#39;s answer to too little memory" in (suite / "results/suites/tiny/report.html").read_text()
    )
    fault_table("out of memory in one job", "the kernel's killer, in a group with 1.2 GB", 1, "that run, which says so")


def test_who_diverges_is_a_result(suite, fault_table):
    status, tables = statuses(suite)["naive 0"], suite / "results/suites/tiny"
    assert status == {"status": "diverged", "reason": "td_loss is not finite", "update": status["update"]}
    assert 40 < status["update"] < 200
    assert pd.read_csv(run_folders(suite)["naive 0"] / runs.TRAIN)["update"].max() < status["update"]
    scores = pd.read_csv(tables / "scores.csv").query("method == 'naive'")
    # Every evaluation until then, and the last one is what counts.
    assert scores["update"].tolist() == list(range(40, status["update"], 40)) and set(scores["status"]) == {"diverged"}
    final = pd.read_csv(tables / "statistics/finals.csv").query("method == 'naive'")
    assert (
        final[["update", "return_mean"]].to_numpy().tolist()
        == scores[["update", "return_mean"]].to_numpy()[-1:].tolist()
    )
    assert pd.read_csv(tables / "runs.csv").set_index("method")["status"]["naive"] == "diverged"
    counts = pd.read_csv(tables / "statistics/table.csv").set_index("method")[["seeds", "failed", "diverged"]]
    assert counts.loc["naive"].tolist() == [1, 0, 1]
    lacks = pd.read_csv(tables / "figures/score-and-value.csv").set_index("method")["lacks"].dropna()
    assert lacks["naive"] == "diverged: seed 0; one seed, no interval"
    fault_table("a method diverges", "naive SAC whose critics grow by a third with every update", 1, "nothing")


def test_the_page_and_status_name_them(suite):
    page = (suite / "results/suites/tiny/report.html").read_text()
    assert "1 of 1 seeds diverged" in page and "td_loss is not finite" in page and "1 of its runs diverged" in page
    said = cqlbench("status", suite / "suite.yaml", "--results", suite / "results").stdout
    assert "1 diverged" in said.splitlines()[0] and "diverged: pendulum/medium-v0  Explodes" in said


@pytest.mark.faults
def test_retry_takes_back_what_failed_and_leaves_what_diverged(suite, small_machine):
    words = ("--", "--dry-run", "--directory", suite)
    said = cqlbench("retry", suite / "suite.yaml", "--results", suite / "results", *words).stdout
    assert said.count("would be removed and trained again, failed (killed by SIGKILL") == bool(small_machine)
    assert "diverged" not in said and "Explodes" not in said


@pytest.mark.faults
def test_the_address_space_ends(results, tmp_path, fault_table):
    """`ulimit -v`, as batch systems set it: Python and torch are told, and say it."""
    words = ("--dataset", "pendulum/medium-v0", "--method", f"{METHODS}:Hungry", "--results", results, "--updates", 400)
    command = training_command(tmp_path / "run", *words, "--evaluate-every", 400, "--value-states", 0, "--keep-going")
    shell = ["bash", "-c", 'ulimit -v 4000000; exec "$0" "$@"', *command]
    outcome = subprocess.run(shell, capture_output=True, text=True, check=True)
    status = json.loads((tmp_path / "run" / runs.STATUS).read_text())
    assert status["status"] == "out of memory" and status["reason"] in outcome.stderr
    fault_table("out of memory in one job", "an address space of 4 GB (ulimit -v)", 1, "that run, which says so")
