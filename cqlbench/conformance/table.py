"""Everything that is checked here, as one page's table: our own code, the dialects, d3rlpy, and every mutant.

No digit that differs between machines is shown, only the limit that a difference stays under.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cqlbench.algorithms.configs import CQLConfig
from cqlbench.algorithms.dialects import DIALECTS
from cqlbench.conformance import against_d3rlpy, checks
from cqlbench.conformance.lab.verdicts import AGREES, Verdict, diagnose
from cqlbench.conformance.planted import mutants
from cqlbench.conformance.planted.adapter import adapter
from cqlbench.conformance.planted.mutation import Code, Mutant, load
from cqlbench.conformance.reference import AT_S, PAPER_SOURCES, Variant, weighted
from cqlbench.errors import UserError
from cqlbench.writers import write_text

BEGIN, END = "<!-- conformance -->\n", "<!-- /conformance -->"

CHECKS, OWN, D3RLPY, MUTANTS = "Checks of our own code", "Our dialects", "d3rlpy itself", "Mutants"
COLUMNS = {
    CHECKS: ("check", "what is compared with the oracle", "difference"),
    OWN: (
        "method",
        "critics' loss",
        "its gradient",
        "multiplier",
        "actor loss",
        "its gradient",
        "temperature",
        "the lab",
    ),
    D3RLPY: ("our `cql@d3rlpy` and d3rlpy 2.8.1", "first update", f"parameters after {against_d3rlpy.UPDATES} updates"),
    MUTANTS: ("defect", "seen in", "killed by", "the lab's name for it"),
}
# What the lab says of a defect it has no name for, and where it says nothing.
UNKNOWN, OUTSIDE = "cause unknown", "outside what it asks"


@dataclass(frozen=True)
class Row:
    """One line of one of COLUMNS' tables, and whether what it says is as it should be."""

    table: str
    cells: tuple[str, ...]
    passed: bool


def rows() -> list[Row]:
    """All tables' rows, in order: half a minute of one core."""
    return [*_checks(), *_dialects(), *_d3rlpy(), *map(row_of, mutants.MUTANTS)]


def _checks() -> Iterator[Row]:
    for check in checks.CHECKS:
        passed = check.passes(checks.REAL)
        yield Row(CHECKS, (check.name, check.compares, _within(passed, check.limit)), passed)


def _dialects() -> Iterator[Row]:
    """Our own CQL and each dialect at its own size and settings."""
    configs = {"cql": CQLConfig(), **{f"cql@{name}": dialect() for name, dialect in DIALECTS.items()}}
    for name, config in configs.items():
        sources = PAPER_SOURCES if config.next_actions == "unused" else AT_S
        variant = Variant(config.settings(), sources, weighted)
        fixed = config.lagrange_threshold is None
        differences = [
            *checks.critic_difference(checks.REAL, variant),
            None if fixed else checks.lagrange_difference(checks.REAL, variant),
            *checks.actor_difference(checks.REAL, config.settings()),
        ]
        verdicts = diagnosed(checks.REAL, config)
        passes = [difference is None or difference <= checks.ROUNDING for difference in differences]
        cells = [
            "fixed" if difference is None else _within(passed, checks.ROUNDING)
            for difference, passed in zip(differences, passes, strict=True)
        ]
        agrees = all(verdict.outcome == AGREES for verdict in verdicts)
        said = AGREES if agrees else "; ".join(f"{verdict.term}: {verdict.outcome}" for verdict in verdicts)
        yield Row(OWN, (f"`{name}`", *cells, said), agrees and all(passes))


def _d3rlpy() -> Iterator[Row]:
    for case in against_d3rlpy.CASES:
        agreements, parameters = against_d3rlpy.compare(case)
        close = all(agreement.relative_difference <= against_d3rlpy.LOSS_LIMIT for agreement in agreements)
        stays = parameters <= against_d3rlpy.PARAMETER_LIMIT
        losses = f"{', '.join(agreement.term for agreement in agreements)}: {_within(close, against_d3rlpy.LOSS_LIMIT)}"
        yield Row(D3RLPY, (case, losses, _within(stays, against_d3rlpy.PARAMETER_LIMIT)), close and stays)


def row_of(mutant: Mutant) -> Row:
    """What killed a mutant and what the lab called it; it passes if killed, and called by its name if it has one."""
    code = load(mutant)
    killers = checks.killers(code)
    if mutant in mutants.OUTSIDE:
        said, right = OUTSIDE, True
    else:
        verdicts = diagnosed(code, CQLConfig(**mutant.settings))
        names = list(dict.fromkeys(defect for verdict in verdicts for defect in verdict.defects))
        alarmed = not all(verdict.harmless for verdict in verdicts)
        said = ", ".join(names) or (UNKNOWN if alarmed else "**agrees**")
        right = alarmed and names == ([] if mutant in mutants.UNNAMED else [mutant.name])
    return Row(MUTANTS, (mutant.name, mutant.seen, ", ".join(killers) or "**none**", said), bool(killers) and right)


def diagnosed(code: Code, config: CQLConfig) -> list[Verdict]:
    """What the lab says of a loaded code's critics' loss, told which variant is meant."""
    return diagnose(adapter(code, config), config)


def _within(passed: bool, limit: float) -> str:
    shown = f"< {limit:.0e}".replace("e-0", "e-") if limit else "none"
    return shown if passed else f"**not {shown}**"


def markdown(rows: Iterable[Row]) -> str:
    """The tables, each under its heading with how many of its rows are as they should be."""
    lines: list[str] = []
    by_table: dict[str, list[Row]] = {table: [] for table in COLUMNS}
    for row in rows:
        by_table[row.table].append(row)
    for table, columns in COLUMNS.items():
        passed = sum(row.passed for row in by_table[table])
        lines += [f"### {table}: {passed} of {len(by_table[table])}", ""]
        lines += ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
        lines += ["| " + " | ".join(row.cells) + " |" for row in by_table[table]]
        lines.append("")
    return "\n".join(lines)


def write(rows: Iterable[Row], page: Path) -> None:
    """Renews the tables of a page, between its two marks. Raises UserError where there is no such page or no marks."""
    if not page.is_file():
        raise UserError(f"--out {page}: there is no such page; give one that holds {BEGIN.strip()} and {END}.")
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"--out {page}: it does not hold the lines {BEGIN.strip()} and {END}; add them.")
    write_text(page, before + BEGIN + markdown(rows) + END + after)
