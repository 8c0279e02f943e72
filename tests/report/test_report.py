"""What the page says, and that it says it from disk alone."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest
from synthetic_runs import SUITE, make_suite
from typer.testing import CliRunner

from cqlbench.cli import app
from cqlbench.errors import UserError
from cqlbench.figures import figure_names
from cqlbench.report.build import write_report
from cqlbench.report.figure_texts import FIGURE_TEXTS, SCORES_TEXT
from cqlbench.report.sections import left_out
from cqlbench.scores import read_table, write_table


class Resources(HTMLParser):
    """Every address that the page asks for, and images without words."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.wordless = 0
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        attributes = dict(attrs)
        self.addresses += [attributes[key] or "" for key in ("src", "href", "data", "srcset") if key in attributes]
        if tag == "img" and not attributes.get("alt"):
            self.wordless += 1


def test_the_page_needs_nothing_else(made):
    folder, page = made
    found = Resources()
    found.feed(page)
    assert len(found.addresses) > 20
    beside = [address for address in found.addresses if not address.startswith(("data:", "#"))]
    assert all((folder / name).is_file() for name in beside)
    assert all(name.endswith((".pdf", ".csv")) for name in beside)
    assert "http" not in re.sub(r"data:[^\"]*", "", page)
    assert not found.tags & {"link", "iframe"}
    assert found.wordless == 0


def test_finished_runs_are_left_out_together():
    holes = pd.DataFrame(
        [("b", "bc", 3), ("b", "bc", 1), ("a", "bc", 1), ("a", "bc", 3), ("a", "sac", 1)],
        columns=["dataset", "method", "seed"],
    ).assign(status="done", because="lacking")
    gone = {"status": "diverged", "because": "the method lacks this seed, so the seed leaves the aggregates"}
    counts = {"status": "diverged", "because": "it diverged; its last evaluation counts"}
    others = [holes.assign(status="failed", seed=7), holes[:1].assign(seed=8, **gone), holes.assign(seed=9, **counts)]
    rows = left_out(pd.concat([holes, *others]))
    assert ["leaves the aggregates" in row["because"] for row in rows] == [False, True, False]
    assert [(row["method"], row["seeds"], row["datasets"]) for row in rows] == [
        ("bc", (1, 3), ["a", "b"]),
        ("bc", (8,), ["b"]),
        ("sac", (1,), ["a"]),
    ]


def test_hostile_text_stays_text(made):
    _, page = made
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    assert "Does &lt;b&gt;conservatism&lt;/b&gt; help?" in page
    assert "made with another &lt;MuJoCo&gt;" in page


def test_claims_stand_with_their_verdicts(made):
    folder, page = made
    claims = read_table(folder / "claims.csv")
    assert claims["verdict"].tolist() == ["held", "held", "undecided", "held"]
    for sentence in claims["sentence"]:
        assert sentence.split(":")[0] in page
    order = ["What d3rlpy CQL", "Scores at the last evaluation", "written down before the runs", "The evidence"]
    assert [page.index(words) for words in order] == sorted(page.index(words) for words in order)


def test_scores_are_times_100_in_print_only(made):
    folder, page = made
    table = read_table(folder / "statistics" / "table.csv")
    row = table[(table["family"] == "cql") & table["headline"] & (table["dataset"] == "hopper/medium-v0")].iloc[0]
    assert 0 < row["score_mean"] < 1
    assert f"{100 * row['score_mean']:.1f}</b>" in page


def test_what_is_missing_or_mixed_is_named(made):
    _, page = made
    section = page[page.index("What is missing") : page.index("The evidence")]
    for word in ("missing", "failed", "ValueError", "500 of 1000", "older", "f00d", "&lt;MuJoCo&gt;"):
        assert word in section
    assert "<li>bc, seed 2: " in section and "(hopper/random-expert-v0)." in section


def test_settings_hardware_and_note_are_there(made):
    _, page = made
    for words in ("CPU-scale numbers", "actor_learning_rate", "A &lt;CPU&gt;", "mujoco", "oracle selection"):
        assert words in page


def test_where_the_time_went_is_told_with_what_is_not_known(made):
    folder, page = made
    section = page[page.index("Where the time went") :].split("<details>")[0]
    costs = read_table(folder / "costs.csv").set_index("work")
    said = f"Training updates took {100 * costs['share_of_cpu']['training']:.1f} % of"
    assert said in section
    # Timings differ from one making to the next, and a summary does not.
    assert "CPU time" not in (folder / "summary.md").read_text()
    assert "of CPU time (runs not counted, which did not note theirs: 1)." in section
    assert "made on several machines (A &lt;CPU&gt;; Older &lt;CPU&gt;)" in section
    assert "scheduling <small>1 untimed</small></th>" in section
    for work in costs.index:
        assert f'<th scope="row">{work}' in section


def test_what_the_page_says_of_batches_and_of_older_code_is_so(made):
    _, page = made
    assert "<code>cqlbench retry SUITE.yaml --retrain-stale</code>" in page
    made_how = page[page.index("How it was made") :].split("</p>")[0]
    assert "same batches" not in made_how.split("num_transitions")[0].replace("\n", " ")


def test_every_figure_has_its_own_words(made):
    _, page = made
    assert set(FIGURE_TEXTS) == set(figure_names([]))
    assert all(text.title in page and text.alternative in page for text in FIGURE_TEXTS.values())


def cells(page, heading, method):
    """The cells of a method's row on hopper/medium-v0 in the table under a figure; none where it has no row."""
    table = page[page.index(f"{heading}</h3>") :].split("</table>")[0]
    start = f'<th scope="row">hopper/medium-v0</th><td>{method}</td>'
    rows = [row for row in table.split("<tr>") if row.startswith(start)]
    found = re.findall('<td class="figures" data-value="[^"]*">(.*?)</td>', "".join(rows), re.DOTALL)
    return [" ".join(re.sub("<[^>]*>", " ", cell).split()) for cell in found]


def test_values_of_each_method_are_told_and_who_has_none_is_named(made):
    folder, page = made
    heading = "Actions of the data against others"
    table = read_table(folder / "statistics" / "diagnostics.csv").query(
        "dataset == 'hopper/medium-v0' and method == 'sac' and update == 1000 and measure == 'difference_mean'"
    )
    differences = [f"{row.mean:,.0f} {row.low:,.0f} to {row.high:,.0f}" for row in table.itertuples(index=False)]
    assert len(differences) == 2
    assert cells(page, heading, "SAC") == [*differences, "39,997", "40,000", "39,960"]
    assert cells(page, heading, "BC") == []
    assert "BC, own-idea, num_transitions = null predict no value." in page


def test_actions_of_every_method_are_compared_where_they_were_measured(made):
    _, page = made
    heading = "Does the policy leave the data?"
    assert cells(page, heading, "SAC") == ["100.0 %", "25.0 %", "0.1", "0.5", "0.4"]
    assert cells(page, heading, "BC") == ["–", "25.0 %", "0.1", "0.5", "0.4"]
    assert cells(page, heading, "d3rlpy CQL, cql_alpha = 10") == []


def test_the_worst_episodes_are_told_along_cql_alpha(made):
    folder, page = made
    safety = read_table(folder / "statistics" / "safety.csv")
    row = safety[(safety["dataset"] == "hopper/medium-v0") & (safety["method"] == "d3rlpy-cql cql_alpha=1")].iloc[0]
    found = cells(page, "How bad it gets", "d3rlpy CQL, cql_alpha = 1")
    points = {key: f"{100 * row[key]:.1f}" for key in ("score_mean", "cvar", "cvar_low", "cvar_high", "cvar_pooled")}
    assert found[0] == "15 of 3 seeds" and found[1] == points["score_mean"] and found[3] == points["cvar_pooled"]
    assert found[2] == f"{points['cvar']} {points['cvar_low']} to {points['cvar_high']}"
    assert found[4:] == [f"{100 * row['worst']:.1f}", "40.0 %"]


def copied(folder, to):
    """The tables, statistics and figures of a folder, without what a suite file or the runs' machine adds."""
    shutil.copytree(folder, to, ignore=shutil.ignore_patterns("report.html", "claims.csv", "costs.csv", "timings"))
    return to


def test_a_figure_not_yet_drawn_is_named(made, tmp_path):
    folder = copied(made[0], tmp_path / "copy")
    (folder / "figures" / "sweep-cql_alpha.svg").unlink()
    with pytest.raises(UserError, match="sweep-cql_alpha.svg"):
        write_report(folder, tmp_path)


BLOCKED = """
import sys
from importlib.abc import MetaPathFinder
class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "d3rlpy", "gymnasium", "minari", "mujoco"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
from cqlbench.cli import main
sys.argv = ["cqlbench", "report", sys.argv[1]]
main()
"""


@pytest.fixture(scope="module")
def from_tables(made, tmp_path_factory):
    """The same tables and nothing else, as an import leaves them, and the page made of them without torch."""
    folder = copied(made[0], tmp_path_factory.mktemp("tables") / "curves")
    (folder / "about.yaml").write_text("title: Curves of <others>\nnote: Read from a file.\nsource: A log of ours.\n")
    outcome = subprocess.run([sys.executable, "-c", BLOCKED, str(folder)], capture_output=True, text=True)
    assert outcome.returncode == 0, outcome.stderr
    return folder, (folder / "report.html").read_text()


def test_tables_alone_make_the_same_page_less_what_only_a_suite_knows(made, from_tables):
    folder, page = from_tables
    for words in ("Curves of &lt;others&gt;", "Read from a file.", "A log of ours.", "Folder <code>curves</code>"):
        assert words in page
    for words in ("Settings of the methods", "Where the time went", "written down before the runs"):
        assert words in made[1] and words not in page
    answers = [text[text.index('<dl class="numbers">') : text.index("</dl>")] for text in (made[1], page)]
    assert answers[0] == answers[1]
    assert not (folder / "claims.csv").exists()


def test_where_no_value_is_known_no_figure_is_said_to_show_one(made, tmp_path):
    folder = copied(made[0], tmp_path / "copy")
    path = folder / "statistics" / "table.csv"
    write_table(read_table(path).assign(predicted_value=float("nan")), path)
    page = write_report(folder, tmp_path).read_text()
    assert SCORES_TEXT.reading in page and FIGURE_TEXTS["score-and-value"].reading not in page


def test_the_same_tables_give_the_same_bytes(from_tables):
    folder, page = from_tables
    names = ("report.html", "summary.md", "table.tex", "references.bib")
    before = [(folder / name).read_bytes() for name in names]
    write_report(folder, folder)
    assert [(folder / name).read_bytes() for name in names] == before


def test_taken_runs_and_verdicts_of_a_comparison_are_told(made, tmp_path):
    folder = copied(made[0], tmp_path / "copy")
    runs = read_table(folder / "runs.csv").astype({"taken_from": object})
    runs.loc[runs["method"] == "sac", "taken_from"] = "results/reference/<quick>"
    write_table(runs, folder / "runs.csv")
    suite = make_suite(tmp_path, SUITE + "compare: {method: own-idea, against: [cql]}\n")
    outcome = CliRunner().invoke(app, ["comparison", str(folder), "own-idea", "--against=cql"], catch_exceptions=False)
    assert outcome.exit_code == 0
    page = write_report(folder, tmp_path, suite).read_text()
    assert "sac: 6 runs from <code>results/reference/&lt;quick&gt;</code>, made by code version" in page
    verdicts = read_table(folder / "comparison.csv")["sentence"]
    assert f'<h2 id="the-answer">{html.escape(verdicts[0])}</h2>' in page and html.escape(verdicts[1]) in page
    assert page.index("<h2") < page.index("Among all of the suite’s methods:</strong> These runs do not tell")


def test_an_about_file_that_is_none_is_refused(from_tables, tmp_path):
    folder = copied(from_tables[0], tmp_path / "copy")
    for content in ("[1, 2]", "title: [a]", "heading: a", "title: 'a"):
        (folder / "about.yaml").write_text(content)
        with pytest.raises(UserError, match=r"about\.yaml"):
            write_report(folder, tmp_path)


def test_a_large_table_is_linked_beside_the_page(from_tables, tmp_path):
    folder = copied(from_tables[0], tmp_path / "copy")
    training = read_table(folder / "training.csv")
    write_table(pd.concat([training] * 40), folder / "training.csv")
    page = write_report(folder, tmp_path).read_text()
    assert '<a href="training.csv">training.csv</a> (beside this page)' in page
    assert 'download="runs.csv"' in page


@pytest.mark.parametrize("command", ["scores", "statistics", "figures", "costs", "report"])
def test_help_ends_with_an_example(command):
    assert f"Example: cqlbench {command}" in " ".join(CliRunner().invoke(app, [command, "--help"]).output.split())
