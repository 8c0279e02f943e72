"""`cqlbench check-method`: does one's own method keep the contract?"""

from __future__ import annotations

from typing import Annotated

import typer

from cqlbench.cli.settings import TAKES_SETTINGS, read_settings
from cqlbench.errors import UserError


def add_commands(app: typer.Typer) -> None:
    """Adds `check-method`."""
    app.command(
        "check-method",
        context_settings=TAKES_SETTINGS,
        epilog="Example: cqlbench check-method --example > my_method.py && cqlbench check-method my_method.py:MyMethod",
    )(check_method)


def check_method(
    context: typer.Context,
    method: Annotated[
        str | None, typer.Argument(help="One's own class, as my_method.py:MyMethod.", show_default=False)
    ] = None,
    example: Annotated[bool, typer.Option("--example", help="Print a method to start from, which passes.")] = False,
    seconds: Annotated[int, typer.Option(min=1, help="How long one check may take.")] = 60,
) -> None:
    """Say in seconds what is missing or wrong with a method, before it is trained.

    Any setting of the method is an option too and stands behind it, as in `cqlbench train`: --width 64.

    Exit code 0: nothing is wrong; 1: something is, and one sentence says what was expected and what came.
    """
    if (method is None) != example or (example and context.args):
        raise UserError("give either a method as my_method.py:MyMethod, and its settings behind it, or --example.")
    if method is None:
        from importlib.resources import files

        print(files("cqlbench.contract").joinpath("template.py").read_text(), end="")
        return
    if method.startswith("--"):
        raise UserError(f"the method stands first, as my_method.py:MyMethod; {method} goes behind it.")
    from cqlbench.contract import asking

    settings = read_settings(context.args)
    outcomes = []
    for finding in asking.check_method(method, settings, seconds):
        print(f"{finding.outcome:>9}  {finding.check:12}  {finding.sentence}")
        for line in finding.lines:
            print(f"{'':25}{line}")
        outcomes.append(finding.outcome)
    print(", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in dict.fromkeys(outcomes)))
    raise typer.Exit(1 if asking.WRONG in outcomes else 0)
