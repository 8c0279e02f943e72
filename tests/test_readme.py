"""What README and docs quote is what the committed tables say, and every link leads somewhere."""

import re
from pathlib import Path

import pandas as pd
import pytest

TOP = Path(__file__).parent.parent
HEADING = re.compile("^#+ (.+)$", re.MULTILINE)
PAGES = [TOP / "README.md", TOP / "results" / "README.md", *sorted((TOP / "docs").glob("*.md"))]


@pytest.mark.parametrize(
    ("page", "suite"),
    [
        ("README.md", "quick"),
        ("docs/findings.md", "hopper-medium"),
        ("docs/findings.md", "hopper-random-expert"),
        ("docs/findings.md", "dialects"),
        ("docs/findings.md", "dialects-normalised"),
        ("docs/speed.md", "drawn-backward"),
        ("docs/paper.md", "paper-variants"),
    ],
)
def test_a_page_quotes_a_suite_as_committed(page, suite):
    summary = (TOP / "results" / "reference" / suite / "summary.md").read_text().strip()
    assert summary in (TOP / page).read_text()


@pytest.mark.parametrize("page", ["README.md", "docs/paper.md"])
def test_a_page_quotes_the_value_table_as_committed(page):
    table = (TOP / "results" / "reference" / "paper" / "values.md").read_text().strip()
    assert table in (TOP / page).read_text()


def test_the_findings_table_of_safety_is_the_committed_one():
    folder = TOP / "results" / "reference" / "safety" / "statistics"
    diagnostics = pd.read_csv(folder / "diagnostics.csv").query("start == 'data' and update == update.max()")
    measured = diagnostics.pivot_table(index="method", columns="measure", values="mean")
    page = (TOP / "docs" / "findings.md").read_text()
    for row in pd.read_csv(folder / "safety.csv").itertuples():
        scores = (100 * score for score in (row.score_mean, row.cvar, row.worst))
        difference, distance = measured.loc[row.method, ["difference_mean", "action_distance"]]
        cells = [row.method, *(f"{score:.1f}" for score in scores)]
        cells += ["–" if pd.isna(difference) else f"{difference:+.0f}", f"{distance:.2f}"]
        assert f"| {' | '.join(cells)} |" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target, place in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links {target}"
            assert not place or place in places(page.parent / target if target else page), f"{page.name} links #{place}"


def places(page: Path) -> list[str]:
    """The names under which a page's headings are linked."""
    return [re.sub(r"[^\w\- ]", "", line).replace(" ", "-") for line in HEADING.findall(page.read_text().lower())]
