"""Suites through a real Slurm on this machine: the same bytes as without it, also where jobs are ended on their way."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import cluster
import psutil
import pytest
import yaml

import cqlbench
from cqlbench import costs, runs
from cqlbench.suites import load_suite

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "workflow" / "config" / "smoke.yaml"
# Looked at often, and in the queue: there is no accounting.
IMPATIENT = ["--slurm-no-account", "--slurm-status-command", "squeue"]
IMPATIENT += ["--slurm-init-seconds-before-status-checks", "5", "--seconds-between-status-checks", "5"]
SUITE: dict[str, Any] = {
    "name": "sent",
    "datasets": ["pendulum/medium-v0"],
    "seeds": [0],
    "protocol": {"updates": 400, "evaluate_every": 100, "episodes": 2, "value_states": 4},
    "common": {"width": 8, "batch_size": 32},
    "methods": {"bc": {}, "cql": {}, "unlucky": {"algorithm": "own_methods.py:Unlucky"}},
    "time_limit": 30,
}
# Three runs of a method whose rests alone take more than a minute: a job's shortest time limit.
SLOW = {
    "name": "sent",
    "datasets": ["pendulum/medium-v0"],
    "seeds": [0, 1, 2],
    "protocol": {"updates": 9_000, "evaluate_every": 1_500, "episodes": 1, "value_states": 0},
    "common": {"width": 8, "batch_size": 16},
    "methods": {"paced": {"algorithm": "own_methods.py:Paced"}},
}
# What follows the runs in one job: scores, statistics, figures, costs, report; an hour each.
ANALYSIS_MINUTES = 5 * 60
# Of two folders compared beside tables and policies, and tables that are not; the commit in a table may be another.
DOCUMENTS, TIMES = (runs.CONFIG, runs.STATUS), ("costs.csv", "runs.csv")
COMMIT = re.compile(rf"{re.escape(cqlbench.__version__)}\+\w+(-dirty)?".encode())

pytestmark = pytest.mark.slurm


class Ended(NamedTuple):
    """A job that has ended, by Slurm's own list: how, on which partition, and the minutes it had been given."""

    state: str
    partition: str
    minutes: int


class Call(NamedTuple):
    """A call of Snakemake that works in `folder`, what it prints in a file there."""

    folder: Path
    process: subprocess.Popen[bytes]

    def printed(self, code: int = 0) -> str:
        """At its end, which must be with this code."""
        self.process.wait()
        printed = (self.folder / "printed").read_text()
        assert self.process.returncode == code, printed
        return printed

    def wait_for(self, come: Callable[[], object]) -> None:
        """Until something is there, while the call goes on."""
        while not come():
            assert self.process.poll() is None, (self.folder / "printed").read_text()
            time.sleep(0.1)

    def run_folder(self, algorithm: str, seed: int = 0) -> Path:
        """Of a run that has been begun."""
        return next((self.folder / "results" / "runs").glob(f"*/*/{algorithm}/*/seed={seed}"))

    def saved(self) -> int:
        """How many runs have a checkpoint."""
        return len(
            {file.parent for file in (self.folder / "results" / "runs").rglob(f"{runs.CHECKPOINTS}/*.safetensors")}
        )

    def job(self, algorithm: str, seed: int) -> str:
        """The number of the job that makes a run: its comment ends with the run's name."""
        parts = self.run_folder(algorithm, seed).relative_to(self.folder / "results" / "runs").parts
        listed = subprocess.run(["squeue", "--noheader", "--format=%i %k"], check=True, capture_output=True, text=True)
        (line,) = (line for line in listed.stdout.splitlines() if line.endswith("_".join(parts)))
        return line.split()[0]


class Calls(NamedTuple):
    """The suite on the cluster and on this machine; with a GPU; with a first job that fails. All at once, because most
    of the time each waits."""

    sent: Call
    local: Call
    gpu: Call
    bad: Call


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a Slurm's own files, while it runs."""
    if reason := cluster.why_not():
        pytest.skip(f"no Slurm: {reason}")
    folder = tmp_path_factory.mktemp("slurm")
    with cluster.slurm(folder):
        yield folder


@pytest.fixture(scope="module")
def calls(slurm, results, tmp_path_factory) -> Calls:
    place = tmp_path_factory.mktemp("calls")
    folders = [place / name for name in ("sent", "local", "gpu", "bad")]
    for folder, suite in zip(folders, [SUITE, SUITE, *2 * [SUITE | {"methods": {"bc": {}}}]], strict=True):
        prepare(folder, results, suite)
    data = folders[3] / "results" / "datasets"
    shutil.rmtree(data)
    data.write_text("A file, where a folder has to be.")
    return Calls(
        send(folders[0]),
        start(folders[1], "--cores", 1),
        send(folders[2], "--config", "device=cuda", "--set-resources", "train:slurm_partition=gpu", "--until", "train"),
        send(folders[3], "--retries", 0),
    )


def prepare(folder: Path, results: Path, suite: dict[str, Any]) -> None:
    """A folder with the dataset, the methods and the suite."""
    folder.mkdir()
    shutil.copytree(results / "datasets", folder / "results" / "datasets")
    shutil.copy(Path(__file__).with_name("own_methods.py"), folder)
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))


def start(folder: Path, *words: object) -> Call:
    fixed = ["-m", "snakemake", "--directory", folder, "--configfile", folder / "suite.yaml"]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with (folder / "printed").open("w") as file:
        command = [sys.executable, *map(str, [*fixed, *words])]
        return Call(folder, subprocess.Popen(command, cwd=ROOT, env=environment, stdout=file, stderr=file))


def send(folder: Path, *words: object) -> Call:
    """Starts the suite on the cluster."""
    return start(folder, "--profile", ROOT / "profiles" / "slurm", *IMPATIENT, *words)


def ended(slurm: Path, printed: str) -> dict[str, Ended]:
    """The jobs of a call of Snakemake that have ended, by their number; their name is the one it has printed."""
    (name,) = re.findall(r"SLURM run ID: (\S+)", printed)
    told = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in (slurm / "jobs.txt").read_text().splitlines()]
    return {
        job["JobId"]: Ended(job["JobState"], job["Partition"], int(job["TimeLimit"]))
        for job in told
        if job["Name"] == name
    }


def assert_same_results(ours: Path, theirs: Path, name: str) -> None:
    """Runs, tables and statistics of two folders, byte for byte, but for what tells times."""
    for place in ("runs", f"suites/{name}"):
        found, expected = (contents(folder / "results" / place) for folder in (ours, theirs))
        assert found.keys() == expected.keys()
        assert [path for path in found if found[path] != expected[path]] == []


def contents(folder: Path) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.suffix in (".csv", ".safetensors") or path.name in DOCUMENTS)
    return {path.relative_to(folder): COMMIT.sub(b"", path.read_bytes()) for path in files if path.name not in TIMES}


class TestSuite:
    """With a run that fails."""

    def test_the_results_are_those_of_this_machine(self, calls):
        calls.sent.printed()
        calls.local.printed()
        assert_same_results(calls.sent.folder, calls.local.folder, "sent")

    def test_each_run_and_the_analysis_is_a_job_and_is_given_its_minutes(self, slurm, calls):
        jobs = ended(slurm, calls.sent.printed()).values()
        assert {job.state for job in jobs} == {"COMPLETED"}
        minutes = Counter(job.minutes for job in jobs)
        assert minutes == {costs.SETTING_UP_MINUTES + SUITE["time_limit"]: len(SUITE["methods"]), ANALYSIS_MINUTES: 1}

    def test_a_run_that_fails_is_no_failed_job_and_is_named(self, calls):
        calls.sent.printed()
        status = json.loads((calls.sent.run_folder("Unlucky") / runs.STATUS).read_text())
        assert (status["status"], status["reason"]) == ("failed", "RuntimeError: no luck")
        assert "no luck" in (calls.sent.folder / "results/suites/sent/report.html").read_text()


def test_a_gpu_is_asked_for_where_one_is_to_be_used(slurm, calls):
    printed = {call: call.printed() for call in (calls.gpu, calls.sent)}
    assert "--device cuda" in printed[calls.gpu]
    for call, partition, asked in ((calls.gpu, "gpu", True), (calls.sent, "main", False)):
        for number, job in ended(slurm, printed[call]).items():
            told = subprocess.run(["scontrol", "show", "job", number], check=True, capture_output=True, text=True)
            assert job.partition == partition and ("gres:gpu:1" in told.stdout) is asked


def test_a_job_that_fails_is_seen_and_what_is_built_on_it_is_not_made(slurm, calls):
    printed = calls.bad.printed(code=1)
    ((number, job),) = ended(slurm, printed).items()
    assert job.state == "FAILED" and f"SLURM-job '{number}' failed" in printed
    assert not (calls.bad.folder / "results" / "suites").exists()


@pytest.mark.thorough
def test_the_smoke_suite_with_several_runs_in_each_job(slurm, tmp_path):
    folders = [tmp_path / name for name in ("sent", "local")]
    for folder in folders:
        folder.mkdir()
        shutil.copy(SMOKE, folder / "suite.yaml")
    printed = send(folders[0], "--groups", "train=runs", "--group-components", "runs=7", "--cores", 2).printed()
    start(folders[1], "--cores", 2).printed()
    assert_same_results(*folders, "smoke")
    suite = load_suite(SMOKE)
    jobs = len(suite.datasets) + math.ceil(len(suite.runs()) / 7) + 1
    assert [job.state for job in ended(slurm, printed).values()] == ["COMPLETED"] * jobs


@pytest.mark.thorough
def test_a_job_that_is_ended_is_sent_again_and_goes_on(slurm, results, tmp_path):
    """By Slurm's time limit, by its user, and by SIGKILL to all of its processes, as where a node is switched off."""
    folders = [tmp_path / name for name in ("sent", "local")]
    for folder in folders:
        prepare(folder, results, SLOW)
    sent, local = send(folders[0]), start(folders[1], "--cores", 3)
    sent.wait_for(lambda: sent.saved() == 3)
    limited, cancelled, killed = (sent.job("Paced", seed) for seed in SLOW["seeds"])
    subprocess.run(["scontrol", "update", f"JobId={limited}", "TimeLimit=1"], check=True)
    subprocess.run(["scancel", cancelled], check=True)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("SLURM_JOB_ID") == killed:
                process.kill()
    jobs = ended(slurm, sent.printed())
    assert [jobs[number].state for number in (limited, cancelled, killed)] == ["TIMEOUT", "CANCELLED", "FAILED"]
    for seed in SLOW["seeds"]:
        log = (sent.run_folder("Paced", seed) / runs.LOG).read_text()
        assert re.search(r"going on after update [\d,]+, from a checkpoint", log)
    local.printed()
    assert_same_results(*folders, "sent")
