"""What is offered to papers: LaTeX that compiles, references that are the ones used."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cqlbench.report.papers import bibliography, escape
from cqlbench.scores import read_table

TOP = Path(__file__).parent.parent.parent
SPECIAL = set("&%$#_{}~^\\<>|")


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"])))
def test_escaped_text_has_no_command_but_those_of_the_escapes(text):
    left = re.sub(
        r"\\(textbackslash|textasciitilde|textasciicircum|textless|textgreater|textbar)\{\}", "", escape(text)
    )
    assert not set(re.sub(r"\\[&%$#_{}]", "", left)) & SPECIAL


def test_the_table_is_balanced_and_says_what_it_is(made):
    text = (made[0] / "table.tex").read_text()
    body = text.split("\n", 1)[1]
    assert body.count("{") - body.count(r"\{") == body.count("}") - body.count(r"\}")
    rows = [line for line in body.split("\n") if line.endswith(r"\\")]
    assert len({row.count(" & ") for row in rows}) == 1
    assert [rule for rule in (r"\toprule", r"\midrule", r"\bottomrule") if rule not in text] == []
    for words in ("1,000 updates", "3 seeds", r"95 \%", "CPU-scale numbers", r"cql\_alpha = 10", "Bold:"):
        assert words in text


def test_numbers_of_the_table_are_those_of_the_csv(made):
    folder, _ = made
    text = (folder / "table.tex").read_text()
    row = read_table(folder / "statistics" / "table.csv").query(
        "dataset == 'hopper/medium-v0' and family == 'd3rlpy-cql' and headline"
    )
    score, deviation = (100 * row[key].item() for key in ("score_mean", "score_std"))
    line = next(line for line in text.split("\n") if line.startswith("d3rlpy CQL"))
    assert re.search(rf"^d3rlpy CQL[^&]* & (\\textbf{{)?{score:.1f}}}? \$\\pm\$ {deviation:.1f} &", line)


def test_references_are_those_that_the_runs_rest_on(made):
    text = (made[0] / "references.bib").read_text()
    keys = re.findall(r"^@\w+\{(\w+),", text, re.MULTILINE)
    assert keys == [
        "kumar2020cql", "agarwal2021precipice", "seno2022d3rlpy", "younis2024minari", "todorov2012mujoco",
        "towers2024gymnasium", "cqlbench",
    ]  # fmt: skip
    cited = set(re.findall(r"\\cite\{(\w+)\}", (made[0] / "table.tex").read_text()))
    assert cited and cited <= set(keys)


def test_cqlbench_is_cited_as_its_citation_file_says():
    known = yaml.safe_load((TOP / "CITATION.cff").read_text())
    entry = bibliography([])
    for words in (known["title"], known["version"], known["authors"][0]["name"]):
        assert words in entry


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_table_compiles(made, tmp_path):
    document = "\n".join(
        [
            r"\documentclass{article}",
            r"\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\usepackage{booktabs}",
            r"\begin{document}\nocite{*}",
            (made[0] / "table.tex").read_text(),
            r"\bibliographystyle{plain}\bibliography{references}\end{document}",
        ]
    )
    (tmp_path / "paper.tex").write_text(document)
    shutil.copy(made[0] / "references.bib", tmp_path)
    compiled = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    for command in (compiled, ["bibtex", "paper"], compiled):
        outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert outcome.returncode == 0, outcome.stdout
        assert "Warning--" not in outcome.stdout
