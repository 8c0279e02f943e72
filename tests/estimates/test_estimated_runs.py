"""Estimates of real runs: what they are for a method known by hand, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cqlbench import runs
from cqlbench.datasets import OfflineDataset, load
from cqlbench.diagnostics import horizon
from cqlbench.errors import UserError
from cqlbench.estimates.fqe import Settings
from cqlbench.estimates.held_out import HELD_OUT, KEPT, set_apart
from cqlbench.estimates.measures import HeldOut, estimate_run, possible_values
from cqlbench.estimates.tables import COLUMNS
from cqlbench.execution import Unwatched, execute
from cqlbench.runs import Protocol, make_run

SHORT = Settings(updates=60)
# Two critics that give every action the same, and a policy that is always the same.
CONSTANT = """
import numpy as np

class Constant:
    def __init__(self, spec, config, seed, device): self.size = spec.action_size
    def update(self, batch): return {"loss": 0.0}
    def act(self, observations): return np.full((len(observations), self.size), 0.25, np.float32)
    def sample(self, observations, generator): return self.act(observations), np.full(len(observations), 0.5)
    def value(self, observations, actions): return np.full((2, len(observations)), [[8.0], [6.0]])
    def state_dict(self): return {}
    def load_state_dict(self, state): pass
"""


def trained(results: Path, folder: Path, method: str, dataset: str = "pendulum/medium-v0", **settings) -> Path:
    protocol = Protocol(updates=40, evaluate_every=40, episodes=2, value_states=0)
    run = make_run(dataset, method, settings, protocol, 3)
    assert execute(run, results / "datasets", folder, Unwatched()) == "done"
    return folder


@pytest.fixture(scope="module")
def split(pendulum: OfflineDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("split")
    assert set_apart(pendulum, 0.3, folder) == (7, 3)
    return folder


def held_out(split: Path) -> HeldOut:
    name = f"file:{split / HELD_OUT}"
    return HeldOut(name, load(name))


def test_the_two_parts_are_the_dataset(pendulum, split):
    kept, apart = load(f"file:{split / KEPT}"), load(f"file:{split / HELD_OUT}")
    assert kept.task == apart.task == pendulum.task
    lengths = [*kept.episode_lengths, *apart.episode_lengths]
    assert sorted(lengths) == sorted(pendulum.episode_lengths)
    both = np.concatenate([kept.episode_returns, apart.episode_returns])
    assert sorted(both) == sorted(pendulum.episode_returns) and len(set(both)) == len(both)
    for one in (kept, apart):
        assert (one.reference_random, one.reference_expert) == (pendulum.reference_random, pendulum.reference_expert)
        assert one.terminals.sum() == 0 and one.truncations.sum() == len(one.episode_lengths)
    with pytest.raises(UserError, match="share: 1 of the 10 episodes of pendulum/medium-v0 leaves none"):
        set_apart(pendulum, 1.0, split)


def test_a_method_that_can_be_computed_by_hand(results, split, tmp_path):
    (tmp_path / "constant.py").write_text(CONSTANT)
    method = f"{tmp_path / 'constant.py'}:Constant"
    kept, apart = load(f"file:{split / KEPT}"), held_out(split)
    folder = trained(results, tmp_path / "run", method, kept.id, reward_scale=2.0, reward_shift=1.0)
    row = estimate_run(folder, results / "datasets", apart, SHORT)
    assert list(row) == COLUMNS
    assert row["policy"] == "sampled" and row["initial_states"] == 7 and row["discount"] == 0.99
    assert row["predicted_value"] == pytest.approx(6 / 2)
    assert row["conservative_gap"] == row["held_out_conservative_gap"] == pytest.approx(0, abs=1e-6)
    for data, name in ((kept, "td_error"), (apart.dataset, "held_out_td_error")):
        errors = (2 * data.rewards + 1 + 0.99 * (6 + 0.5) - 6) / 2
        assert row[name] == pytest.approx(np.sqrt(np.square(errors, dtype=float).mean()), rel=1e-5)
    assert row["held_out"] == apart.name and row["held_out_hash"] == apart.dataset.content_hash
    # The pendulum costs at each step, and never ends by itself.
    assert row["true_value"] < -100 and row["true_standard_error"] > 0 and row["true_states"] == 32
    assert horizon(row["discount"]) == 459


def test_the_truth_is_that_of_the_run_itself(results, tmp_path):
    protocol = Protocol(updates=40, evaluate_every=40, episodes=2, value_states=32)
    run = make_run("pendulum/medium-v0", "cql", {"width": 8}, protocol, 3)
    execute(run, results / "datasets", tmp_path / "run", Unwatched())
    values = pd.read_csv(tmp_path / "run" / runs.VALUES).set_index("start").loc["initial"]
    row = estimate_run(tmp_path / "run", results / "datasets", None, SHORT)
    # The same initial states, other noise.
    assert abs(row["true_value"] - values["true_discounted_return"]) < 3 * values["true_standard_error"]
    assert math.isnan(row["held_out_td_error"]) and math.isfinite(row["fqe_td_error"])
    again = estimate_run(tmp_path / "run", results / "datasets", None, SHORT)
    pd.testing.assert_frame_equal(pd.DataFrame([row]), pd.DataFrame([again]), check_exact=True)


def test_a_method_without_a_value_is_estimated_by_the_policy_it_acts_by(results, tmp_path):
    row = estimate_run(trained(results, tmp_path / "run", "bc", width=8), results / "datasets", None, SHORT)
    assert row["policy"] == "mean"
    assert {key for key in ("predicted_value", "td_error", "conservative_gap") if math.isnan(row[key])} == {
        "predicted_value",
        "td_error",
        "conservative_gap",
    }
    assert all(math.isfinite(row[key]) for key in ("fqe_value", "fqe_td_error", "true_value"))


def test_logs_without_a_simulator_have_estimates_and_no_truth(tmp_path):
    rng = np.random.default_rng(0)
    sizes = {"observations": (60, 3), "actions": (60, 2), "rewards": (60,), "next_observations": (60, 3)}
    ends = {"terminals": np.zeros(60, bool), "timeouts": np.arange(60) % 20 == 19}
    np.savez(tmp_path / "logs.npz", **{name: rng.uniform(-1, 1, size) for name, size in sizes.items()}, **ends)
    folder = trained(tmp_path, tmp_path / "run", "cql", f"file:{tmp_path / 'logs.npz'}", width=8)
    row = estimate_run(folder, tmp_path, None, SHORT)
    assert row["lowest_possible"] < row["fqe_value"] < row["highest_possible"] and row["fqe_impossible"] == 0
    assert row["initial_states"] == 3 and math.isnan(row["true_value"]) and math.isfinite(row["fqe_value"])


def test_no_sum_of_the_datas_rewards_is_outside_the_possible_values():
    assert possible_values(np.array([-1.0, 2.0]), 0.9) == pytest.approx((-10, 20))
    assert possible_values(np.array([1.0, 2.0]), 0.9) == pytest.approx((1, 20))
    assert possible_values(np.array([-3.0, -2.0]), 0.9) == pytest.approx((-30, -2))


def test_what_is_refused_is_said(results, pendulum, split, tmp_path):
    folder = trained(results, tmp_path / "run", "bc", width=8)
    datasets = results / "datasets"
    with pytest.raises(UserError, match="held-out: the same is what the run was trained on"):
        estimate_run(folder, datasets, HeldOut("the same", pendulum), SHORT)
    with pytest.raises(UserError, match="held-out: 3 of the 3 episodes of .* are in pendulum/medium-v0 too"):
        estimate_run(folder, datasets, held_out(split), SHORT)
    narrow = dataclasses.replace(pendulum.task, observation_size=2)
    other = HeldOut("other", dataclasses.replace(pendulum, task=narrow))
    with pytest.raises(UserError, match="held-out: other has 2 observations and 1 actions, .* 3 and 1"):
        estimate_run(folder, datasets, other, SHORT)
    provenance = json.loads((folder / runs.PROVENANCE).read_text())
    provenance["dataset"]["content_hash"] = "0" * 64
    (folder / runs.PROVENANCE).write_text(json.dumps(provenance))
    with pytest.raises(UserError, match="was trained on another content of pendulum/medium-v0 .000000000000"):
        estimate_run(folder, datasets, None, SHORT)
    (folder / runs.STATUS).write_text(json.dumps({"status": "diverged", "reason": "x", "update": 20}))
    row = estimate_run(folder, datasets, None, SHORT)
    assert row["status"] == "diverged" and math.isnan(row["fqe_value"]) and row["seed"] == 3
    (folder / runs.STATUS).unlink()
    with pytest.raises(UserError, match="the run has not finished"):
        estimate_run(folder, datasets, None, SHORT)


def test_a_run_that_failed_at_once_has_a_row(tmp_path):
    (tmp_path / runs.STATUS).write_text(json.dumps({"status": "failed", "reason": "x", "update": None}))
    row = estimate_run(tmp_path, tmp_path, None, SHORT)
    assert list(row) == COLUMNS and row.pop("status") == "failed" and all(math.isnan(value) for value in row.values())
