"""docs/inspection.md shows what the command prints, and every rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_logs import describe_beside, steps, write_csv

from cqlbench.inspection.health import inspect
from cqlbench.inspection.rules import RULES
from cqlbench.inspection.text import text

PAGE = Path(__file__).parents[2] / "docs/inspection.md"


def healthy(results: Path) -> str:
    """Of `cqlbench datasets make pendulum/medium-v0 --transitions 2000`."""
    return text(inspect("pendulum/medium-v0", results / "datasets"))


def faulty() -> str:
    """What is found in plant.csv, here: a log with six mistakes."""
    arrays = steps()
    arrays["rewards"][100] = np.nan
    # The time limit is written down as a termination.
    arrays["terminals"] |= arrays.pop("timeouts")
    for name in ("observations", "next_observations"):
        # A sensor that is not connected, and a clock.
        clock = 1.7e9 + np.arange(540) + (name == "next_observations")
        arrays[name] = np.column_stack([arrays[name], np.zeros(540), clock])
    arrays["actions"] *= 2
    # Two files with the first two episodes in both.
    arrays = {name: np.concatenate([array, array[:18]]) for name, array in arrays.items()}
    write_csv(Path("plant.csv"), arrays)
    describe_beside(Path("plant.csv"), action_limit=1, episode_limit=10)
    return text(inspect("plant.csv")).partition("\n\nSizes")[0]


def rules() -> str:
    """The table of all rules."""
    rows = [f"| {rule.number} | {rule.severity} | {rule.condition} | {rule.reason} |" for rule in RULES]
    return "\n".join(["| number | severity | threshold | why there |", "| --- | --- | --- | --- |", *rows])


def test_the_samples_are_what_the_command_prints(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text(encoding="utf-8")
    for sample in (healthy(results), faulty()):
        assert f"```\n{sample}\n```\n" in page, f"docs/inspection.md: put this sample in its place:\n{sample}"


def test_the_page_has_every_rule() -> None:
    assert f"\n{rules()}\n" in PAGE.read_text(encoding="utf-8"), f"docs/inspection.md: put this table:\n{rules()}"
