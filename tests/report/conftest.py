"""One synthetic suite, made into a folder by the commands, for every test of its report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from synthetic_runs import make_results, make_suite
from typer.testing import CliRunner

from cqlbench import runs
from cqlbench.cli import app


def run(*words: str | Path) -> str:
    """What a command printed; it must not fail."""
    outcome = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert outcome.exit_code == 0, outcome.output
    return outcome.output


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A suite's folder after the five commands, and its page."""
    root = tmp_path_factory.mktemp("suite")
    suite = make_suite(root)
    make_results(suite, root / "results")
    # A run by other code, which the page has to name.
    path = suite.runs()[0][1].folder(root / "results") / runs.PROVENANCE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"code_fingerprint": "older"}))
    # A run of another machine, from before CPU time was noted.
    path = suite.runs()[0][1].folder(root / "results") / runs.TIMING
    path.write_text(json.dumps({"seconds_total": 70.0, "cpu": "Older <CPU>"}))
    yaml, results, out = root / "synthetic.yaml", root / "results", root / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cqlbench.statistics.bootstrap.REPETITIONS", 50)
        run("scores", yaml, "--results", results, "--out", out)
        run("statistics", out)
    run("figures", out)
    run("costs", yaml, "--results", results, "--out", out)
    run("report", out, "--suite", yaml, "--results", results)
    return out, (out / "report.html").read_text()
