"""The command line: `cqlbench datasets | train | evaluate | retry | price | status | scores | statistics | figures |
costs | report | compare | compare-calibration | published | import-scores | value-table | action-values |
action-value-figure | hold-out | estimate | estimates | estimate-figure | check-method | conformance | bench | theory`.

Each room adds its own commands; what is slow to import is imported inside the command that needs it.
"""

from __future__ import annotations

import errno
import os
import sys

# One thread per run: torch reads this when it is imported, and two runs that each take two threads crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import typer

from cqlbench.cli import (
    action_values,
    analysis,
    bench,
    compare,
    conformance,
    datasets,
    estimates,
    methods,
    paper,
    published,
    suites,
    theory,
    train,
)
from cqlbench.errors import UserError

app = typer.Typer(
    help="A benchmark and ablation harness for Conservative Q-Learning.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for room in (
    datasets,
    train,
    suites,
    analysis,
    compare,
    published,
    paper,
    action_values,
    estimates,
    methods,
    conformance,
    bench,
    theory,
):
    room.add_commands(app)


# A disk that is full or takes nothing, a place that is something else already: no fault of the code.
DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EEXIST, errno.ENOTDIR, errno.EISDIR,
)  # fmt: skip


def main() -> None:
    """Runs the command; a user's mistake, or a disk's, ends in one sentence on standard error and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"cqlbench: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in DISK:
            raise
        place = f" ({error.filename})" if error.filename else ""
        print(f"cqlbench: {error.strerror}{place}. Make room or name another place, then try again.", file=sys.stderr)
        sys.exit(2)
