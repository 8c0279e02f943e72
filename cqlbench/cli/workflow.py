"""Suites on the command line: naming one, and calling Snakemake on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TextIO


def find_suite(name: str) -> Path:
    """The file of a suite given by path or name. Raises UserError where there is none."""
    from cqlbench.suites import find_suite_file

    return find_suite_file(name)


# For an argument or option that is a suite: its file, or the name of one in workflow/config.
SUITE: dict[str, Any] = {"metavar": "SUITE", "parser": find_suite}


def run_suite(
    suite_file: Path, results: Path, words: list[str], cores: str = "all", stdout: TextIO | None = None
) -> int:
    """Runs the suite with Snakemake and `words` of its own; what it prints goes to `stdout`. Returns its exit code."""
    sys.stdout.flush()
    # Its jobs call `cqlbench`, which is this environment's also where that has not been activated.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    command = ["-m", "snakemake", "--configfile", suite_file, "--config", f"results={results}", "--cores", cores]
    called = [sys.executable, *map(str, command), *words]
    return subprocess.call(called, env={**os.environ, "PATH": path}, stdout=stdout)


def is_dry_run(words: list[str]) -> bool:
    """Whether these words for Snakemake ask it only to say what it would do."""
    from snakemake.cli import get_argument_parser

    return get_argument_parser().parse_known_args(words)[0].dryrun
