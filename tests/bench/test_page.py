"""docs/speed.md shows the committed measurement."""

from pathlib import Path

from cqlbench.bench.tables import BENCH, markdown, read_rows

TOP = Path(__file__).parents[2]


def test_the_page_shows_the_committed_measurement():
    page = (TOP / "docs" / "speed.md").read_text()
    table = page.partition("<!-- bench -->\n")[2].partition("<!-- /bench -->")[0]
    committed = TOP / "results" / "reference" / "bench" / BENCH
    assert table == (markdown(read_rows(committed)) if committed.exists() else "")
