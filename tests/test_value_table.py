"""The paper's value table, out of two suites that share a run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from cqlbench.errors import UserError
from cqlbench.report.value_table import COLUMNS, value_table, write_value_table
from cqlbench.scores import write_table
from cqlbench.suites import Suite, load_suite

ALL, SOME = ["sac-4", "sac", "bc"], ["cql", "sac"]


def suite_of(folder: Path, name: str, methods: list[str], datasets: list[str]) -> Suite:
    entries = {method: {"algorithm": method.partition("-")[0]} for method in methods}
    content = {"name": name, "seeds": [0, 1], "datasets": datasets, "methods": entries}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return load_suite(path)


def write_statistics(suite: Suite, results: Path, difference: float) -> None:
    rows = [
        {
            "method": method.label, "family": method.family, "dataset": dataset, "seeds": 2, "failed": 0, "diverged": 0,
            "predicted_value": 10.0, "true_discounted_return": 10.0 - difference, "difference_mean": difference,
            "difference_low": difference - 1, "difference_high": difference + 1,
        }
        for method in sorted(suite.methods, key=lambda method: method.label)
        for dataset in sorted(suite.datasets)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    table.loc[table["method"] == "bc", [column for column in table if "difference" in column]] = None
    write_table(table, results / "suites" / suite.name / "statistics" / "table.csv")


@pytest.fixture
def suites(tmp_path: Path) -> list[Suite]:
    whole = suite_of(tmp_path, "whole", ALL, ["hopper/medium-v0"])
    wide = suite_of(tmp_path, "wide", SOME, ["hopper/medium-replay-v0", "hopper/medium-v0"])
    write_statistics(whole, tmp_path, -40.25)
    write_statistics(wide, tmp_path, 12345.6)
    return [whole, wide]


def test_methods_and_datasets_come_in_the_suites_order_and_what_is_shared_once(suites, tmp_path):
    table = value_table(suites, tmp_path)
    assert list(table.columns) == COLUMNS
    assert list(zip(table["method"], table["dataset"], table["suite"], strict=True)) == [
        ("sac-4", "hopper/medium-v0", "whole"),
        ("sac", "hopper/medium-v0", "whole"),
        ("sac", "hopper/medium-replay-v0", "wide"),
        ("bc", "hopper/medium-v0", "whole"),
        ("cql", "hopper/medium-v0", "wide"),
        ("cql", "hopper/medium-replay-v0", "wide"),
    ]


def test_the_page_shows_differences_and_tells_what_is_not_there(suites, tmp_path):
    path = tmp_path / "suites" / "wide" / "statistics" / "table.csv"
    table = pd.read_csv(path)
    table.loc[table["method"] == "cql", ["seeds", "failed"]] = [1, 1]
    table.loc[table["method"] == "sac", "diverged"] = 1
    table.loc[table["method"] == "cql", ["difference_low", "difference_high"]] = None
    write_table(table, path)
    page = write_value_table(suites, tmp_path, tmp_path)
    assert page.splitlines() == [
        "| predicted minus true value | hopper/medium-v0 | hopper/medium-replay-v0 |",
        "| --- | --- | --- |",
        "| sac-4 | **-40.2** (-41.2 to -39.2) | – |",
        "| SAC | **-40.2** (-41.2 to -39.2) | **12,346** (12,345 to 12,347); 1 of 2 diverged |",
        "| BC | – | – |",
        "| CQL | **12,346**; 1 of 2 failed | **12,346**; 1 of 2 failed |",
    ]
    assert (tmp_path / "values.md").read_text() == page
    assert pd.read_csv(tmp_path / "values.csv")["difference_mean"].tolist()[0] == -40.25


def test_a_suite_without_statistics_is_named(suites, tmp_path):
    with pytest.raises(UserError, match="nowhere"):
        value_table([suite_of(tmp_path, "nowhere", SOME, ["hopper/medium-v0"])], tmp_path)


def test_one_name_for_two_budgets_is_refused(suites, tmp_path):
    content = yaml.safe_load((tmp_path / "wide.yaml").read_text())
    (tmp_path / "longer.yaml").write_text(yaml.safe_dump(content | {"name": "longer", "protocol": {"updates": 20_000}}))
    with pytest.raises(UserError, match="sac on hopper/medium-v0 .* longer than in whole"):
        value_table([suites[0], load_suite(tmp_path / "longer.yaml")], tmp_path)
