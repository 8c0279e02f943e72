"""Run folders with the numbers of a real comparison, without the training: SAC explodes, CQL stays below the truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from cqlbench import runs
from cqlbench.runs import Run
from cqlbench.suites import Suite, load_suite

SUITE = """
name: synthetic
title: Does <b>conservatism</b> help?
note: CPU-scale numbers on invented data.
datasets: [hopper/medium-v0, hopper/random-expert-v0]
seeds: [0, 1, 2]
protocol: {updates: 1000, evaluate_every: 250, episodes: 5, value_states: 8}
common: {width: 64}
methods:
  cql: {cql_alpha: [0, 1, 10], num_action_samples: [4, 10]}
  d3rlpy-cql: {cql_alpha: [1, 10]}
  sac: {}
  bc: {}
  own-idea: {algorithm: bc, learning_rate: 0.0003, num_transitions: [1000, null]}
headline: {cql_alpha: 10, num_action_samples: 10, num_transitions: null}
claims:
  - {kind: overestimates, method: sac, dataset: hopper/medium-v0, factor: 10}
  - {kind: lower-bound, method: cql, dataset: hopper/medium-v0}
  - {kind: score-within, method: cql, reference: bc, dataset: hopper/medium-v0, margin: 0.10}
  - {kind: score-above, method: cql, reference: bc, dataset: hopper/random-expert-v0, margin: 0.20}
"""
REF_MIN, REF_MAX = 20.0, 3220.0
OLD_VALUE_COLUMNS = runs.VALUE_COLUMNS[: runs.VALUE_COLUMNS.index("q_uniform") + 1]


def make_suite(folder: Path, text: str = SUITE) -> Suite:
    path = folder / "synthetic.yaml"
    path.write_text(text)
    return load_suite(path)


def make_results(suite: Suite, results: Path) -> None:
    """Every run of the suite but one that is missing and one that failed half-way."""
    for number, (method, run) in enumerate(suite.runs()):
        if (method.label, run.dataset, run.seed) == ("bc", "hopper/medium-v0", 2):
            continue
        broken = (method.label, run.dataset, run.seed) == ("sac", "hopper/random-expert-v0", 1)
        write_run(method.family, run, run.folder(results), np.random.default_rng(number), broken)


def write_run(family: str, run: Run, folder: Path, rng: np.random.Generator, broken: bool) -> None:
    folder.mkdir(parents=True)
    alpha = run.config.settings().get("cql_alpha")
    hard = "random-expert" in run.dataset
    score, true, predicted = {
        "sac": (0.005, 3.0, 4e4),
        "bc": (0.02 if hard else 0.36, None, None),
        "own-idea": (0.05 if hard else 0.30, None, None),
    }.get(family, (0.02 + 0.045 * min(alpha or 0, 10), 240.0, 2000.0 / (1 + 3 * (alpha or 0))))
    score *= 1 + 0.1 * rng.standard_normal()
    points = run.protocol.evaluation_points()
    if broken:
        points = points[:2]
    evaluations, values, episodes = [], [], []
    for point in points:
        part = (point / run.protocol.updates) ** 0.5
        mean = REF_MIN + (REF_MAX - REF_MIN) * score * part * (1 + 0.05 * rng.standard_normal())
        evaluations.append((point, run.protocol.episodes, mean, 60.0))
        offsets = np.linspace(-80, 80, run.protocol.episodes)
        episodes += [(point, number, mean + offset, 900, int(offset < 0)) for number, offset in enumerate(offsets)]
        distances = {"action_distance": 0.5, "mean_action_distance": 0.4, "nearest_action_distance": 0.1}
        if predicted is not None and true is not None:
            for start in ("data", "initial"):
                guess, truth = predicted * part**4, true * part * (1 + 0.02 * rng.standard_normal())
                row = [point, start, 8, guess, guess, truth, 5.0, guess - truth, 6.0]
                row += [guess - 3 if start == "data" else None, guess, guess - 40]
                values.append(dict(zip(OLD_VALUE_COLUMNS, row, strict=True)))
        else:
            values.append({"update": point, "start": "data", "states": 8})
        optimism = None if predicted is None else float(predicted > 350)
        for row in values[-2:]:
            if row["start"] == "data" and row["update"] == point:
                row |= {**distances, "off_data": 0.25, "best_return": 350.0, "impossible_optimism": optimism}
    pd.DataFrame(evaluations, columns=["update", "episodes", "return_mean", "return_std"]).to_csv(
        folder / runs.EVALUATION, index=False
    )
    losses = [(point, 0.5 * point, 1.25) for point in points]
    pd.DataFrame(losses, columns=["update", "td_loss", "temperature"]).to_csv(folder / runs.TRAIN, index=False)
    pd.DataFrame(episodes, columns=["update", "episode", "return", "length", "terminated"]).to_csv(
        folder / runs.EPISODES, index=False
    )
    # d3rlpy's runs are older than the other columns.
    columns = OLD_VALUE_COLUMNS if family == "d3rlpy-cql" else runs.VALUE_COLUMNS
    pd.DataFrame(values, columns=columns).to_csv(folder / runs.VALUES, index=False)
    documents = {
        runs.CONFIG: run.description(),
        runs.PROVENANCE: {
            "code_version": "abc1234",
            "code_fingerprint": "f00d",
            "packages": {"torch": "2.13.0", "mujoco": "3.1.6"},
            "dataset": {
                "id": run.dataset,
                "content_hash": f"hash-of-{run.dataset}",
                "expected_hash": "x",
                "warning": "made with another <MuJoCo>" if hard else None,
                "ref_min": REF_MIN,
                "ref_max": REF_MAX,
            },
        },
        runs.TIMING: {
            "seconds_total": 61.5,
            **{
                f"{unit}_{work}": seconds
                for unit in ("seconds", "cpu_seconds")
                for work, seconds in (("imports", 2.0), ("loading", 0.5), ("training", 50.0), ("evaluation", 11.0))
            },
            "seconds_job": 65.0,
            "cpu_seconds_job": 64.0,
            "updates_per_second": 20.0,
            "peak_memory_mb": 410.0,
            "cpu": "A <CPU>",
            "cores": 2,
            "threads": 1,
        },
        runs.STATUS: {
            "status": "failed" if broken else "done",
            "reason": "ValueError: <script>alert(1)</script>" if broken else None,
            "update": points[-1],
        },
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))
