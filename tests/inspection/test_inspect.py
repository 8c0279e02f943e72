"""The page and the command."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import typer
from small_logs import steps, write
from typer.testing import CliRunner, Result

from cqlbench.cli import datasets
from cqlbench.errors import UserError
from cqlbench.inspection.health import inspect
from cqlbench.inspection.page import write_page
from cqlbench.inspection.rules import RULES, SEVERITIES

VOID = {"meta", "img", "br"}


def cqlbench(*words: str) -> Result:
    app = typer.Typer()
    datasets.add_commands(app)
    return CliRunner().invoke(app, ["datasets", *words])


class Reader(HTMLParser):
    """The words of a page, what it refers to, and whether its tags close each other."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_says_what_the_text_says_and_needs_nothing_else(tmp_path: Path) -> None:
    arrays = steps()
    path = write(tmp_path, "log.npz", arrays | {"actions": np.sign(arrays["actions"])})
    health = inspect(str(path))
    write_page(health, tmp_path / "log.html")
    reader = Reader()
    reader.feed((tmp_path / "log.html").read_text(encoding="utf-8"))
    said = re.sub(r"\s+", " ", "".join(reader.words))
    assert not reader.open
    assert health.verdict in said and len(health.findings) > 3
    for finding in health.findings:
        assert finding.sentence in said and finding.evidence[1:] in said
    for section in health.sections:
        assert section.title in said and section.meaning in said and all(words in said for words in section.numbers)
    assert all(rule.reason in said for rule in RULES)
    assert len(reader.sources) == 2 and all(
        source.startswith("data:image/svg+xml;base64,") for source in reader.sources
    )
    assert "http" not in re.sub(r'src="[^"]*"', "", unescape((tmp_path / "log.html").read_text(encoding="utf-8")))


def test_the_same_data_give_the_same_page(tmp_path: Path) -> None:
    path = write(tmp_path, "log.npz", steps())
    for name in ("first.html", "second.html"):
        write_page(inspect(str(path)), tmp_path / name)
    assert (tmp_path / "first.html").read_bytes() == (tmp_path / "second.html").read_bytes()


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (3, 2), (540, 1), (540, 30)])
def test_a_page_of_the_smallest_and_of_the_widest(tmp_path: Path, count: int, columns: int) -> None:
    arrays = steps()
    for name in ("observations", "next_observations", "actions"):
        arrays[name] = np.resize(arrays[name], (540, columns))
    path = write(tmp_path, "log.npz", {name: array[:count] for name, array in arrays.items()})
    write_page(inspect(str(path)), tmp_path / "log.html")
    assert (tmp_path / "log.html").stat().st_size < 3_000_000


def test_names_of_files_are_text(tmp_path: Path) -> None:
    path = tmp_path / "<script>alert(1)<script>.npz"
    np.savez(path, **steps())
    write_page(inspect(str(path)), tmp_path / "log.html")
    assert "<script" not in (tmp_path / "log.html").read_text(encoding="utf-8")


def test_the_command(tmp_path: Path) -> None:
    path = write(tmp_path, "log.npz", steps())
    result = cqlbench("inspect", str(path), "--html", str(tmp_path / "log.html"))
    assert result.exit_code == 0 and "Fit for training, with doubts: 1 doubtful, 2 good to know" in result.stdout
    assert (tmp_path / "log.html").is_file()
    assert result.stdout == cqlbench("inspect", f"file:{path}").stdout
    assert max(map(len, result.stdout.splitlines()[1:])) <= 120


def test_the_command_ends_with_1_where_it_is_fatal(tmp_path: Path) -> None:
    arrays = steps()
    path = write(tmp_path, "log.npz", arrays | {"rewards": arrays["rewards"] * np.nan})
    assert isinstance(cqlbench("inspect", str(path)).exception, UserError)
    arrays["rewards"][3] = np.nan
    result = cqlbench("inspect", str(write(tmp_path, "log.npz", arrays)))
    assert result.exit_code == 1 and "Not fit for training: 1 fatal" in result.stdout


def test_our_own_datasets_by_their_names(results: Path) -> None:
    result = cqlbench("inspect", "pendulum/medium-v0", "--root", str(results / "datasets"))
    assert result.exit_code == 0 and "Pendulum-v1" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pendulum/medium-v1"], "is not known"),
        (["nowhere.npz"], "nowhere.npz does not exist"),
        (["minari:nobody/nothing-v0"], "does not exist"),
        (["{here}"], "is a folder"),
        (["{here}/log.npz", "--html", "{here}/none/log.html"], "none is not a folder"),
    ],
)
def test_mistakes(tmp_path: Path, words: list[str], said: str) -> None:
    write(tmp_path, "log.npz", steps())
    error = cqlbench("inspect", *(word.format(here=tmp_path) for word in words)).exception
    assert isinstance(error, UserError) and said in str(error)


def test_help_ends_with_an_example() -> None:
    assert "Example: cqlbench datasets inspect" in cqlbench("inspect", "--help").stdout


def test_rules_are_told_apart() -> None:
    assert len({(rule.number, rule.severity, rule.bound) for rule in RULES}) == len(RULES)
    assert {rule.severity for rule in RULES} == set(SEVERITIES)
    assert all(rule.sentence.endswith((".", "?")) and rule.reason for rule in RULES)
