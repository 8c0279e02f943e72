"""Tables of strangers whose names are written to do harm: the page, its figures, its papers show them as they are."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import run
from markupsafe import Markup

from cqlbench.report.papers import escape

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium")
DOES_HARM = "document.title='harm'"
METHODS = [
    f"<script>{DOES_HARM}</script>",
    f'"><img src=x onerror="{DOES_HARM}">',
    "$\\frac{1}{$ 100% of_it & #1 ^ ~ {",
    "\\input{/etc/passwd} | {{ 7 * 7 }} {% raw %} `id` $(id) *[x](javascript:alert(1))*",
]
DATASETS = [f"</td></table><script>{DOES_HARM}</script>", "a|b\u202e${x}$_^%/../../../tmp/away"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of curves of such methods on such datasets, made by the commands."""
    folder = tmp_path_factory.mktemp("hostile")
    with (folder / "curves.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["algorithm", "dataset", "seed", "step", "score"])
        for place, (method, dataset) in enumerate((method, dataset) for method in METHODS for dataset in DATASETS):
            table.writerows(
                (method, dataset, seed, step, 0.1 * place + 0.01 * seed) for seed in (0, 1) for step in (1, 2)
            )
    harm = f"<script>{DOES_HARM}</script>"
    words = ["--title", harm, "--note", f"{harm} |a|b| \\input{{x}}", "--source", harm]
    run("import-scores", folder / "curves.csv", "--out", folder / "out", *words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cqlbench.statistics.bootstrap.REPETITIONS", 20)
        run("statistics", folder / "out")
    run("figures", folder / "out")
    run("report", folder / "out")
    return folder / "out" / "report.html"


def test_nothing_was_written_elsewhere(page):
    assert {path.name for path in page.parents[1].iterdir()} == {"curves.csv", "out"}


def test_names_are_text(page):
    text = page.read_text()
    assert all(str(Markup.escape(name)) in text for name in (*METHODS, *DATASETS))
    assert not re.search(r"<script>document|<img src=x", text)


def test_a_table_of_markdown_has_its_columns(page):
    rows = page.with_name("summary.md").read_text().splitlines()
    assert len(rows) == 2 + len(METHODS)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {2 + len(DATASETS)}


def test_a_table_of_latex_has_no_command_of_theirs(page):
    text = page.with_name("table.tex").read_text()
    assert "\\input" not in text and all(escape(name) in text for name in (*METHODS, *DATASETS))


@pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")
def test_no_script_of_theirs_runs(page):
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    shown = subprocess.run([CHROMIUM, *options, page.as_uri()], capture_output=True, text=True, check=True).stdout
    assert "<title>harm" not in shown
    assert re.search(r"<title>&lt;script&gt;", shown) and '<img src="x"' not in shown
