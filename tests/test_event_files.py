"""TensorBoard's event files hold what the tables hold, and a run writes none unless asked."""

from __future__ import annotations

import csv
import subprocess
import sys

import pytest

from cqlbench import runs
from cqlbench.event_files import FOLDER


@pytest.mark.parametrize("asked", [True, False])
def test_event_files_hold_what_the_tables_hold(results, tmp_path, asked):
    folder = tmp_path / "run"
    words = ["--dataset", "pendulum/medium-v0", "--results", results, "--method", "cql", "--width", 8, "--out", folder]
    words += ["--updates", 40, "--evaluate-every", 20, "--episodes", 2, "--value-states", 3]
    command = [sys.executable, "-m", "cqlbench", "train", *map(str, words)]
    subprocess.run([*command, "--tensorboard"] if asked else command, check=True, capture_output=True)
    if not asked:
        assert not (folder / FOLDER).exists()
        return
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulators.EventAccumulator(str(folder / FOLDER)).Reload()
    for table, group in ((runs.TRAIN, "train"), (runs.EVALUATION, "evaluation"), (runs.VALUES, "evaluation")):
        with (folder / table).open() as file:
            rows = [row for row in csv.DictReader(file) if row.get("start") in (None, "data")]
        names = set(rows[0]) - {"update", "episodes", "return_std", "start", "states"}
        assert names
        for name in names:
            found = [(event.step, event.value) for event in events.Scalars(f"{group}/{name}")]
            assert [step for step, _ in found] == [int(row["update"]) for row in rows], name
            # Event files hold float32.
            assert [value for _, value in found] == pytest.approx(
                [float(row[name]) for row in rows], rel=1e-6, nan_ok=True
            )
