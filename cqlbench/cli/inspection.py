"""`cqlbench datasets inspect`: a dataset's health."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cqlbench.cli.datasets import DEFAULT_ROOT, Root


def add_commands(room: typer.Typer) -> None:
    """Adds this room's command to those of the datasets."""
    room.command("inspect", epilog="Example: cqlbench datasets inspect logs/plant.npz --html plant.html")(inspect)


def inspect(
    name: Annotated[
        str,
        typer.Argument(help="A file, or an id such as hopper/medium-v0, minari:ID or d4rl:NAME.", metavar="PATH-OR-ID"),
    ],
    root: Root = DEFAULT_ROOT,
    html: Annotated[
        Path | None, typer.Option(help="Write the same, with pictures, as one page.", dir_okay=False)
    ] = None,
) -> None:
    """Says what is in a dataset and what would go wrong in training on it; exits with 1 if that is fatal."""
    from cqlbench.errors import UserError
    from cqlbench.inspection.health import inspect as look_at
    from cqlbench.inspection.text import text

    if html and not html.parent.is_dir():
        raise UserError(f"--html: {html.parent} is not a folder; make it first.")
    health = look_at(name, root)
    if html:
        from cqlbench.inspection.page import write_page

        write_page(health, html)
    print(text(health))
    raise typer.Exit(health.fatal)
