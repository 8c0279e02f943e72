from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from cqlbench.cli import app
from cqlbench.datasets import make_dataset
from cqlbench.errors import UserError
from cqlbench.execution import Unwatched, execute
from cqlbench.scores import read_table
from cqlbench.simulation import run_together, start_episodes
from cqlbench.suites import Suite, load_suite
from cqlbench.theory.action_values import ACTIONS, DECLARED, STATES, judge, measure
from cqlbench.trained import load_trained

TOP = Path(__file__).parents[2]
SUITE = """
name: small
datasets: [lqr1/medium-v0]
seeds: [0]
protocol: {updates: 60, evaluate_every: 60, episodes: 1, value_states: 0}
common: {width: 16, discount: 0.9, critic_learning_rate: 0.01}
methods:
  sac: {reward_scale: 0.5, reward_shift: 1}
  cql: {}
  bc: {}
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    make_dataset("lqr1/medium-v0", results / "datasets", 2000)
    (results / "small.yaml").write_text(SUITE)
    for _, run in load_suite(results / "small.yaml").runs():
        run.folder(results).mkdir(parents=True)
        execute(run, results / "datasets", run.folder(results), Unwatched())
    return results


@pytest.fixture(scope="module")
def suite(results: Path) -> Suite:
    return load_suite(results / "small.yaml")


@pytest.fixture(scope="module")
def measured(suite: Suite, results: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return measure(suite, results)


def test_every_method_with_a_value_is_there(measured: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    curves, peaks = measured
    assert set(curves["family"]) == set(peaks["family"]) == {"sac", "cql"}
    assert len(curves) == 2 * len(STATES) * len(ACTIONS) and len(peaks) == 2 * len(STATES)
    assert not curves.isna().any().any() and not peaks.isna().any().any()
    # No policy beats the optimum, beyond what the samples of it leave open.
    assert (curves["true_value"] < curves["optimal_value"] + 4 * curves["true_standard_error"] + 1e-6).all()
    assert (curves["behaviour_value"] < curves["optimal_value"]).all()


@pytest.mark.parametrize("family", ["sac", "cql"])
def test_truth_and_prediction_are_those_of_rollouts(
    family: str, suite: Suite, results: Path, measured: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    """The discounted return of the sampled policy in the environment itself, and what the targets add along it."""
    run = next(run for method, run in suite.runs() if method.family == family)
    trained = load_trained(run.folder(results))
    curves = measured[0]
    row = curves[(curves["family"] == family) & (curves["state"] == 0.5) & (curves["action"] == 1.0)].iloc[0]
    episodes, steps = 400, 90
    environments, _ = start_episodes(trained.task, episodes, "a test of the truth")
    for env in environments:
        env.state = np.array([0.5])
    generator = torch.Generator().manual_seed(0)
    bonuses = np.zeros((episodes, steps))
    step = 0

    def act(observations: np.ndarray, running: np.ndarray) -> np.ndarray:
        nonlocal step
        actions, bonus = trained.algorithm.sample(observations, generator)
        bonuses[:, step] = run.config.reward_shift + (bonus if step else 0)
        step += 1
        return actions if step > 1 else np.ones_like(actions)

    rewards, _ = run_together(environments, np.full((episodes, 1), 0.5), act, trained.normaliser, steps)
    weights = 0.9 ** np.arange(steps)
    returns = rewards @ weights
    error = returns.std(ddof=1) / math.sqrt(episodes)
    assert abs(row["true_value"] - returns.mean()) < 4 * math.hypot(error, row["true_standard_error"])
    assert row["true_standard_error"] < 0.1 * abs(row["true_value"])
    observations = trained.normaliser.observations(np.array([[0.5]]))
    critics = trained.algorithm.value(observations, np.ones((1, 1), np.float32))
    expected = (critics.min() - (bonuses @ weights).mean()) / run.config.reward_scale
    assert row["predicted_value"] == pytest.approx(expected, abs=0.2)
    assert (family == "sac") == (abs(bonuses[:, 1:]).max() > 0)


def test_expectations_hold_fail_and_stay_open() -> None:
    cases = pd.DataFrame([{"family": f, "state": s, "seed": 0} for e in DECLARED for f in e.families for s in STATES])
    cases = cases.drop_duplicates().assign(headline=True, status="done", behaviour_action=0.0, behaviour_std=0.1)
    naive = cases["family"].isin(["sac", "d3rlpy-sac"])
    # As expected: naive peaks outside and above the truth, conservative ones inside and below.
    good = cases.assign(
        peak_action=np.where(naive, 0.9, 0.1),
        peak_predicted=np.where(naive, 1.0, -1.0),
        peak_true=0.0,
        policy_predicted=np.where(naive, 1.0, -1.0),
        policy_true=0.0,
        error_inside=0.1,
        error_outside=1.0,
    )
    assert set(judge(good, 1)["verdict"]) == {"held"}
    # Everything the other way round fails everywhere, also where one state of one seed does.
    turned = good.assign(
        peak_action=1 - good["peak_action"],
        peak_predicted=-good["peak_predicted"],
        policy_predicted=-good["policy_predicted"],
        error_inside=2.0,
    )
    assert set(judge(turned, 1)["verdict"]) == {"failed"}
    one = good.where(good["state"] != 0.5, turned)
    assert set(judge(one, 1)["verdict"]) == {"failed"}
    assert set(judge(good, 2)["verdict"]) == {"undecided"}
    ended = judge(good.assign(status="diverged"), 1)
    assert set(ended["verdict"]) == {"undecided"} and set(ended["cases"]) == {0}


def test_commands_write_the_same_tables_again_and_a_picture(
    results: Path, measured: tuple[pd.DataFrame, pd.DataFrame], tmp_path: Path
) -> None:
    words = [str(results / "small.yaml"), "--results", str(results), "--out", str(tmp_path)]
    printed = CliRunner().invoke(app, ["action-values", *words]).stdout
    assert "1. sac: learned Q peaks outside" in printed
    for table, name in zip(measured, ("action-values.csv", "action-value-peaks.csv"), strict=True):
        pd.testing.assert_frame_equal(read_table(tmp_path / name), table)
    assert CliRunner().invoke(app, ["action-value-figure", str(tmp_path)]).exit_code == 0
    drawn = {path.name for path in (tmp_path / "figures").iterdir()}
    assert drawn == {f"action-values.{suffix}" for suffix in ("svg", "pdf", "png")}
    for command in ("action-values", "action-value-figure"):
        assert f"Example: cqlbench {command}" in CliRunner().invoke(app, [command, "--help"]).stdout


def test_a_run_that_is_not_there_or_did_not_end_well(suite: Suite, results: Path, tmp_path: Path) -> None:
    curves, peaks = measure(suite, tmp_path)
    assert curves.empty and set(peaks["status"]) == {"missing"}
    for method, run in suite.runs():
        if method.family == "bc":
            continue
        folder = run.folder(tmp_path)
        folder.mkdir(parents=True)
        status = "diverged" if method.family == "sac" else "done"
        for file in run.folder(results).iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / "status.json").write_text(json.dumps({"status": status, "reason": "", "update": 1}))
    curves, peaks = measure(suite, tmp_path)
    assert set(curves["family"]) == {"cql"}
    assert peaks[peaks["status"] == "diverged"]["state"].tolist() == list(STATES)
    assert set(peaks[peaks["status"] == "missing"]["family"]) == {"bc"}


def test_without_a_run_to_show_there_are_tables_and_a_figure_all_the_same(results: Path, tmp_path: Path) -> None:
    """A suite whose runs all failed, or whose methods have no value, ends with a report."""
    (tmp_path / "valueless.yaml").write_text(SUITE.partition("common:")[0] + "methods: {bc: {}}\n")
    for suite_file, where in ((tmp_path / "valueless.yaml", results), (results / "small.yaml", tmp_path)):
        words = [str(suite_file), "--results", str(where), "--out", str(tmp_path)]
        assert CliRunner().invoke(app, ["action-values", *words]).exit_code == 0
        assert CliRunner().invoke(app, ["action-value-figure", str(tmp_path)]).exit_code == 0
        assert set(read_table(tmp_path / "action-value-expectations.csv")["verdict"]) == {"undecided"}


def test_a_method_of_ones_own_needs_no_discount(results: Path, tmp_path: Path) -> None:
    """Its truth is under the discount of its values.csv, 0.99."""
    own = Path(__file__).parents[1] / "constant_policy.py"
    (tmp_path / "own.py").write_text(
        "from cqlbench.algorithms.configs import MethodConfig\n"
        f"{own.read_text()}\n"
        "class Own(Constant):\n"
        "    Config = MethodConfig\n"
        "    def __init__(self, spec, config, seed, device):\n"
        "        super().__init__(spec.action_size)\n"
        "    def update(self, batch):\n"
        "        return {}\n"
        "    def state_dict(self):\n"
        "        return {}\n"
        "    def load_state_dict(self, state):\n"
        "        pass\n"
    )
    text = SUITE.partition("common:")[0].replace("value_states: 0", "value_states: 64")
    (tmp_path / "own.yaml").write_text(text + f"methods: {{own: {{algorithm: '{tmp_path}/own.py:Own'}}}}\n")
    suite = load_suite(tmp_path / "own.yaml")
    ((_, run),) = suite.runs()
    run.folder(tmp_path).mkdir(parents=True)
    execute(run, results / "datasets", run.folder(tmp_path), Unwatched())
    curves, _ = measure(suite, tmp_path)
    # Over so long a horizon start and first action hardly count; at 0.9 it would be a tenth.
    values = read_table(run.folder(tmp_path) / "values.csv").set_index("start")
    found = curves.loc[(curves["state"] == 0.0) & (curves["action"].abs() < 1e-9), "true_value"].item()
    assert found == pytest.approx(values.loc["data", "true_discounted_return"], rel=0.1)


def test_another_dataset_has_no_known_truth(results: Path) -> None:
    (results / "other.yaml").write_text(SUITE.replace("lqr1/medium-v0", "lqr2/medium-v0"))
    with pytest.raises(UserError, match="has no run on lqr1/medium-v0"):
        measure(load_suite(results / "other.yaml"), results)


def test_the_page_says_what_the_committed_tables_say():
    page = (TOP / "docs" / "lqr.md").read_text()
    expectations = pd.read_csv(TOP / "results" / "reference" / "lqr" / "action-value-expectations.csv")
    rows = [line for line in page.splitlines() if re.match(r"\| [123]\. ", line)]
    for number, expected in expectations.groupby(["number", "expectation"], sort=False):
        told = " ".join(row for row in rows if row.startswith(f"| {number[0]}. "))
        for row in expected.itertuples():
            assert f"**{row.verdict}**, {row.holding} of {row.cases}" in told, row
    for suite in ("lqr", "lqr-target"):
        cases = pd.read_csv(TOP / "results" / "reference" / suite / "action-value-peaks.csv")
        difference = (cases["policy_predicted"] - cases["policy_true"]).groupby(cases["method"])
        for mean, low, high in difference.agg(["mean", "min", "max"]).itertuples(index=False):
            assert f"{mean:+.2f} ({low:+.2f} to {high:+.2f})" in page
