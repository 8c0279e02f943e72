"""Small suites that the real Snakemake runs in a folder of their own, and what their runs have left there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from cqlbench import runs
from cqlbench.suites import load_suite

ROOT = Path(__file__).parents[1]
# The smallest that trains.
TINY: dict[str, Any] = {
    "name": "tiny",
    "datasets": ["pendulum/medium-v0"],
    "seeds": [0, 1, 2],
    "protocol": {"updates": 20, "evaluate_every": 10, "episodes": 1, "value_states": 0},
    "common": {"width": 8, "batch_size": 16},
    "methods": {"bc": {}},
}
SCORES = "results/suites/tiny/scores.csv"
# Of a finished run, what does not hold times or names a commit.
SAME_BYTES = (runs.CONFIG, runs.TRAIN, runs.EVALUATION, runs.EPISODES, runs.VALUES, runs.POLICY)


def prepare(folder: Path, suite: dict[str, Any], results: Path | None = None) -> Path:
    """A folder with the suite and a copy of the datasets of `results`."""
    folder.mkdir()
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    if results:
        shutil.copytree(results / "datasets", folder / "results" / "datasets")
    return folder


def start(
    folder: Path, *words: object, before: Sequence[str] = (), environment: dict[str, str] | None = None
) -> subprocess.Popen:
    """Snakemake on the suite in `folder`, with `words` of its own, in a session that can be killed as one.

    What stands in `before` calls it.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    fixed = ["snakemake", "--directory", folder, "--latency-wait", 1]
    return subprocess.Popen(
        [*before, sys.executable, "-m", *map(str, [*fixed, *words, "--configfile", folder / "suite.yaml"])],
        cwd=ROOT,
        env={**os.environ, "PATH": path, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run_through(folder: Path, *words: object, **options: Any) -> str:
    """What Snakemake prints, which must end well."""
    suite = start(folder, *words, **options)
    printed, _ = suite.communicate()
    assert suite.returncode == 0, printed
    return printed


def cqlbench(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """One command of ours; whatever becomes of it, it says so without a traceback."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "cqlbench", *map(str, words)]
    outcome = subprocess.run(command, cwd=cwd, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert "Traceback" not in outcome.stdout + outcome.stderr, outcome.stdout + outcome.stderr
    return outcome


def run_folders(folder: Path) -> dict[str, Path]:
    """Where each run of the suite lies, by its method and seed: `bc 0`."""
    planned = load_suite(folder / "suite.yaml").runs()
    return {f"{method.label} {run.seed}": run.folder(folder / "results") for method, run in planned}


def statuses(folder: Path) -> dict[str, dict[str, Any]]:
    """What became of each run that is over."""
    written = {name: run / runs.STATUS for name, run in run_folders(folder).items()}
    return {name: json.loads(path.read_text()) for name, path in written.items() if path.is_file()}


def finished(folder: Path) -> dict[str, tuple[int, ...]]:
    """Of each run that is done, when its files were written, to see whether it was done again."""
    done = [name for name, status in statuses(folder).items() if status["status"] == "done"]
    folders = run_folders(folder)
    return {name: tuple((folders[name] / file).stat().st_mtime_ns for file in SAME_BYTES) for name in done}


def contents(folder: Path) -> dict[str, bytes]:
    """Of each run that is done, all that is the same whenever and wherever it was done."""
    folders = run_folders(folder)
    return {name: b"".join((folders[name] / file).read_bytes() for file in SAME_BYTES) for name in finished(folder)}


def wait_for(condition: Callable[[], object], suite: subprocess.Popen) -> None:
    """Until it holds; the suite must not end before."""
    until = time.monotonic() + 120
    while not condition():
        assert suite.poll() is None and time.monotonic() < until, suite.communicate()[0]
        time.sleep(0.02)
