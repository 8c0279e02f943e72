"""`cqlbench conformance | dialects`: is this loss really CQL, and whose?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cqlbench.cli.settings import TAKES_SETTINGS, read_settings
from cqlbench.errors import UserError


def add_commands(app: typer.Typer) -> None:
    """Adds `conformance` and `dialects`."""
    app.command(
        context_settings=TAKES_SETTINGS,
        epilog="Example: cqlbench conformance --example > my_loss.py && cqlbench conformance my_loss.py:critic_loss",
    )(conformance)
    app.command(epilog="Example: cqlbench dialects | grep -e setting -e cql_alpha")(dialects)


def conformance(
    context: typer.Context,
    function: Annotated[
        str | None, typer.Argument(help="One's own critic's loss, as my_file.py:my_critic_loss.", show_default=False)
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Print a correct loss to start from.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Check our own losses, d3rlpy's and every known defect instead.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="With --all: the page whose table is renewed, instead of printing it.")
    ] = None,
) -> None:
    """Say for each term of a critic's loss whether it is CQL's, and if not, which known defect it has.

    Any setting that makes a variant of CQL is an option too and declares that this variant is meant: --variant rho,
    --no-importance-weights, --next-actions unused, --no-data-term and so on; CQL(H) where none is given.

    Exit code 0: every term agrees, or differs by what training does not see; 1: one does not; 2: it could not be asked.
    """
    # Words that are no option of this command arrive as they stood, the first of them as `function`.
    words = [*([function] if function else []), *context.args]
    function = _function_among(words)
    if function is None and words:
        option = words[0].partition("=")[0]
        if example or everything:
            raise UserError(f"{option} goes with a function, not with --all or --example.")
        raise UserError(f"{option} goes with a function, which is missing; add it as my_file.py:my_critic_loss.")
    if sum([example, everything, function is not None]) != 1:
        raise UserError("give a function as my_file.py:my_critic_loss, or --all, or --example: one of the three.")
    if out is not None and not everything:
        raise UserError("--out goes with --all.")
    settings = read_settings([word for word in words if word != function])
    if function is not None:
        passed = _diagnose(function, settings)
    elif everything:
        passed = _check_all(out)
    else:
        passed = _show_example()
    raise typer.Exit(0 if passed else 1)


def _function_among(words: list[str]) -> str | None:
    """A function by its colon, or by its file where the colon was forgotten; a first word that is no option is meant.

    Any other word is a setting's value.
    """
    plain = [word for word in words if not word.startswith("--")]
    named = [word for word in plain if ":" in word or word.endswith(".py")]
    return next(iter(named or (plain if words[:1] == plain[:1] else [])), None)


def _diagnose(function: str, settings: dict[str, str]) -> bool:
    from cqlbench.algorithms.configs import CQLConfig
    from cqlbench.conformance.lab.verdicts import SETTINGS, describe, diagnose, load_function

    config = CQLConfig.resolve(settings)
    assert isinstance(config, CQLConfig)
    verdicts = diagnose(load_function(function), config)
    print(f"{function} against {describe(config)}, asked in {verdicts[0].asked_in}")
    if given := [key for key in settings if key not in SETTINGS]:
        print(f"{', '.join(given)}: not part of what a critic's loss is asked, which gives it every number")
    if "lagrange_threshold" in given:
        print("lagrange_threshold: a threshold is tested by taking a sixth argument, `threshold`")
    for verdict in verdicts:
        defects = f": {', '.join(verdict.defects)}" if verdict.defects else ""
        print(f"{verdict.term:>12}  {verdict.outcome}{defects}")
        print(f"{'':>12}  {verdict.sentence}")
    return all(verdict.harmless for verdict in verdicts)


def _check_all(out: Path | None) -> bool:
    from cqlbench.conformance import table

    rows = table.rows()
    if out is None:
        print(table.markdown(rows))
    else:
        table.write(rows, out)
    return all(row.passed for row in rows)


def _show_example() -> bool:
    from importlib.resources import files

    print(files("cqlbench.conformance.lab").joinpath("example.py").read_text(), end="")
    return True


def dialects() -> None:
    """Print every setting in which the dialects cql@paper, cql@authors, ... differ, as a markdown table."""
    from cqlbench.conformance.differences import markdown

    print(markdown(), end="")
