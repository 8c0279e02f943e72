"""Estimates in the page: where a suite has them, as what they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from cqlbench.errors import UserError
from cqlbench.estimates.figure import draw_figure
from cqlbench.estimates.tables import COLUMNS, ESTIMATES, METHOD_COLUMNS, summarise
from cqlbench.report.build import write_report
from cqlbench.report.figure_texts import ESTIMATES_TEXT
from cqlbench.scores import write_table
from cqlbench.statistics import FOLDER as STATISTICS


def test_the_page_shows_estimates_where_there_are_any(made, tmp_path):
    _, page = made
    assert 'id="estimates"' not in page and ESTIMATES_TEXT.title not in page
    folder = Path(shutil.copytree(made[0], tmp_path / "copy"))
    known = {"dataset": "hopper/medium-v0", "method": "sac", "family": "sac", "headline": True, "status": "done"}
    values = {"predicted_value": 2e4, "fqe_value": 3.4e7, "fqe_impossible": 1, "true_value": 2.4, "td_error": 5.0}
    rows = [known | values | {"seed": seed} for seed in range(3)]
    table = pd.DataFrame(rows, columns=["dataset", *METHOD_COLUMNS, *COLUMNS[1:]])
    write_table(table, folder / ESTIMATES)
    write_table(summarise(table), folder / STATISTICS / ESTIMATES)
    with pytest.raises(UserError, match="estimates.svg does not exist"):
        write_report(folder, tmp_path)
    draw_figure(folder)
    page = write_report(folder, tmp_path).read_text()
    section = page[page.index('id="estimates"') :].split("<h2")[0]
    assert (
        "These are estimates, not returns." in section and ESTIMATES_TEXT.alternative.replace("'", "&#39;") in section
    )
    for cell in ("SAC", "20,000", "3.4e7", "3 of 3", "2.4"):
        assert f">{cell}</td>" in section
    assert "nothing on this page says what a policy truly gets" not in section.replace("\n", " ")
    assert '<a href="#estimates">' in page and "estimates.csv" in page
