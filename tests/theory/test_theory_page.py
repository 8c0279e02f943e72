"""docs/theory.md shows the committed verdicts, and they are those of the committed draws."""

from pathlib import Path

import pandas as pd

from cqlbench.theory.experiments import DRAWN, EXPERIMENTS
from cqlbench.theory.verdicts import judge, markdown, read_verdicts

TOP = Path(__file__).parents[2]
COMMITTED = TOP / "results" / "reference" / "theory"


def test_the_page_shows_the_committed_verdicts():
    page = (TOP / "docs" / "theory.md").read_text()
    table = page.partition("<!-- verdicts -->\n")[2].partition("<!-- /verdicts -->")[0]
    assert table == markdown(read_verdicts(COMMITTED))


def test_the_committed_verdicts_are_of_the_committed_draws():
    rows = [row for name in DRAWN for row in judge(name, pd.read_csv(COMMITTED / f"{name}.csv"))]
    expected = pd.DataFrame(rows).astype({"theorem": str})
    pd.testing.assert_frame_equal(read_verdicts(COMMITTED), expected, check_dtype=False, rtol=1e-12)
    assert (expected["draws"] >= 200).all()


def test_every_figure_of_the_page_is_committed():
    page = (TOP / "docs" / "theory.md").read_text()
    for experiment in EXPERIMENTS:
        name = f"results/reference/theory/figures/{experiment}.png"
        assert name in page
        assert (TOP / name).is_file()
