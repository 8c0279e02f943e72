"""Real runs by the real command line: what is left in the folder, the same bytes twice, and what a failure leaves."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from cqlbench import runs
from cqlbench.diagnostics import best_return

FILES = [runs.CONFIG, runs.PROVENANCE, runs.TRAIN, runs.EVALUATION, runs.EPISODES, runs.VALUES, runs.POLICY]
TINY = ["--updates", "40", "--evaluate-every", "20", "--episodes", "2", "--value-states", "3"]


def cqlbench(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "cqlbench", *map(str, words)], capture_output=True, text=True, check=False
    )


def train(results, out, *words: object) -> subprocess.CompletedProcess:
    return cqlbench(
        "train", "--dataset", "pendulum/medium-v0", "--results", results, "--out", out, *TINY, "--width", 8, *words
    )


@pytest.mark.parametrize("method", ["cql", "d3rlpy-cql"])
def test_two_runs_of_one_seed_leave_the_same_bytes(results, tmp_path, method):
    for name in ("first", "second"):
        outcome = train(results, tmp_path / name, "--method", method, "--seed", 4)
        assert outcome.returncode == 0, outcome.stderr
    for file in FILES:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file
    assert not list((tmp_path / "first").glob("*.partial"))
    assert json.loads((tmp_path / "first" / runs.STATUS).read_text())["status"] == "done"
    with (tmp_path / "first" / runs.EVALUATION).open() as file:
        assert [row["update"] for row in csv.DictReader(file)] == ["20", "40"]
    timing = json.loads((tmp_path / "first" / runs.TIMING).read_text())
    assert timing["threads"] == 1
    works = ("loading", "training", "evaluation")
    assert sum(timing[f"seconds_{work}"] for work in works) == pytest.approx(timing["seconds_total"])
    for work in ("imports", *works):
        assert 0 < timing[f"cpu_seconds_{work}"] < 1.1 * timing[f"seconds_{work}"] + 0.05, work


def test_cql_without_its_term_and_sac_leave_the_same_evaluation_and_policy(results, tmp_path):
    switches = ["--actor-learning-rate", "3e-4", "--entropy-in-target", "true"]
    train(results, tmp_path / "cql", "--method", "cql", "--cql-alpha", 0, *switches)
    train(results, tmp_path / "sac", "--method", "sac", *switches)
    for file in (runs.EVALUATION, runs.EPISODES, runs.VALUES, runs.POLICY):
        assert (tmp_path / "cql" / file).read_bytes() == (tmp_path / "sac" / file).read_bytes(), file


def test_values_are_compared_with_the_best_return_of_the_whole_data(results, pendulum, tmp_path):
    train(results, tmp_path / "run", "--method", "cql", "--discount", 0.9, "--num-transitions", 300)
    with (tmp_path / "run" / runs.VALUES).open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == runs.VALUE_COLUMNS and [row["start"] for row in rows] == ["data", "initial"] * 2
    for row in rows[::2]:
        assert float(row["best_return"]) == best_return(pendulum, 0.9)
        assert 0 <= float(row["impossible_optimism"]) <= 1 and float(row["action_distance"]) > 0


def test_a_method_without_a_value_still_has_distances(results, tmp_path):
    train(results, tmp_path / "run", "--method", "bc")
    with (tmp_path / "run" / runs.VALUES).open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["update"], row["start"]) for row in rows] == [("20", "data"), ("40", "data")]
    distances = {"action_distance", "mean_action_distance", "nearest_action_distance", "off_data"}
    assert all({key for key, cell in row.items() if cell} == {"update", "start", "states"} | distances for row in rows)


@pytest.mark.parametrize("method", ["cql", "bc"])
def test_without_a_simulator_a_run_has_no_episodes_and_says_so(tmp_path, method):
    rng = np.random.default_rng(0)
    logs = {"observations": (60, 3), "actions": (60, 2), "rewards": (60,), "next_observations": (60, 3)}
    ends = {"terminals": np.zeros(60, bool), "timeouts": np.arange(60) % 20 == 19}
    np.savez(tmp_path / "logs.npz", **{name: rng.uniform(-1, 1, shape) for name, shape in logs.items()}, **ends)
    words = ["--dataset", f"file:{tmp_path}/logs.npz", "--method", method, *TINY, "--width", 8]
    outcome = cqlbench("train", *words, "--out", tmp_path / "run")
    assert outcome.returncode == 0 and "return" not in outcome.stdout, outcome.stderr
    assert json.loads((tmp_path / "run" / runs.STATUS).read_text())["status"] == "done"
    with (tmp_path / "run" / runs.EVALUATION).open() as file:
        evaluations = [tuple(row.values()) for row in csv.DictReader(file)]
    assert evaluations == [("20", "0", "nan", "nan"), ("40", "0", "nan", "nan")]
    with (tmp_path / "run" / runs.VALUES).open() as file:
        assert [float(row["action_distance"]) > 0 for row in csv.DictReader(file)] == [True, True]
    assert (tmp_path / "run" / runs.EPISODES).read_text().splitlines() == ["update,episode,return,length,terminated"]
    refused = cqlbench("evaluate", tmp_path / "run")
    assert refused.returncode == 2 and "no simulator is known for these data" in refused.stderr


def test_evaluate_continues_the_episodes_of_the_run(results, tmp_path):
    train(results, tmp_path / "run", "--method", "bc")
    outcome = cqlbench("evaluate", tmp_path / "run", "--episodes", 2)
    assert outcome.returncode == 0, outcome.stderr
    with (tmp_path / "run" / runs.EPISODES).open() as file:
        last = [float(row["return"]) for row in csv.DictReader(file)][-2:]
    for value in last:
        assert f"{value:.1f}" in outcome.stdout


BROKEN = """
class Broken:
    def __init__(self, spec, config, seed, device): self.size = spec.action_size
    def update(self, batch): raise RuntimeError("the third law was broken")
    def act(self, observations): return observations[:, :1]
    def state_dict(self): return {}
    def load_state_dict(self, state): pass
"""


def test_a_failed_run_is_a_result(results, tmp_path):
    (tmp_path / "broken.py").write_text(BROKEN)
    words = ["--dataset", "pendulum/medium-v0", "--method", f"{tmp_path}/broken.py:Broken", "--results", results]
    out = tmp_path / "run"
    outcome = cqlbench("train", *words, *TINY, "--out", out, "--keep-going")
    assert outcome.returncode == 0
    status = json.loads((out / runs.STATUS).read_text())
    assert status["status"] == "failed" and "the third law was broken" in status["reason"]
    assert json.loads((out / runs.TIMING).read_text()).keys() == {"seconds_job", "cpu_seconds_job"}
    assert cqlbench("train", *words, *TINY, "--out", out).returncode != 0


def test_a_users_mistake_is_one_sentence(results, tmp_path):
    for words, said in (
        (["--method", "cql", "--cql-alpha", -1], "cql_alpha"),
        (["--method", "cql", "--min-q-weight", 1], "min_q_weight"),
        (["--method", "cqll"], "cqll"),
    ):
        outcome = train(results, tmp_path / "none", *words)
        assert outcome.returncode == 2 and said in outcome.stderr and len(outcome.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "none").exists()


def test_device_and_sizes_that_cannot_be_are_refused_before_anything_is_written(results, tmp_path):
    for words, said in ((["--device", "abacus"], "abacus"), (["--value-states", 10**6], "value_states")):
        outcome = train(results, tmp_path / "none", "--method", "sac", *words)
        assert outcome.returncode == 2 and said in outcome.stderr
        assert not [name for name in runs.FILES if (tmp_path / "none" / name).exists()]


def test_an_attempt_that_fails_leaves_nothing_of_the_one_before(results, tmp_path):
    method = tmp_path / "mine.py"
    method.write_text(BROKEN.replace('raise RuntimeError("the third law was broken")', "return {}"))
    words = ["--dataset", "pendulum/medium-v0", "--method", f"{method}:Broken", "--results", results, *TINY]
    out = tmp_path / "run"
    assert cqlbench("train", *words, "--out", out, "--keep-going").returncode == 0
    assert (out / runs.EVALUATION).exists()
    method.write_text(BROKEN)
    cqlbench("train", *words, "--out", out, "--keep-going")
    assert json.loads((out / runs.STATUS).read_text())["status"] == "failed"
    assert not (out / runs.EVALUATION).exists() and not (out / runs.POLICY).exists()


def test_a_run_imports_what_it_uses_and_its_supervisor_nothing(results, tmp_path):
    heavy = {"torch", "numpy", "gymnasium", "d3rlpy", "pandas", "scipy", "matplotlib", "rliable", "snakemake", "psutil"}
    code = (
        "import sys, atexit; from cqlbench.cli import main\n"
        f"atexit.register(lambda: print('loaded', *({heavy} & set(sys.modules)), flush=True)); main()"
    )
    words = ["train", "--dataset", "pendulum/medium-v0", "--method", "bc", "--results", results, *TINY]
    command = [sys.executable, "-c", code, *map(str, words)]
    for further, allowed in ([], {"torch", "numpy", "gymnasium", "psutil"}), (["--keep-going"], set()):
        run = tmp_path / ("supervised" if further else "alone")
        command_line = [*command, "--out", str(run), *further]
        printed = subprocess.run(command_line, capture_output=True, text=True, check=True).stdout
        assert set(printed.splitlines()[-1].split()) - {"loaded"} <= allowed
    timing = json.loads((tmp_path / "supervised" / runs.TIMING).read_text())
    works = ("imports", "loading", "training", "evaluation")
    assert timing["cpu_seconds_job"] > sum(timing[f"cpu_seconds_{work}"] for work in works)


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"]])
def test_help_is_there_without_torch(command):
    outcome = cqlbench(*command, "--help")
    assert outcome.returncode == 0 and (not command or "Example:" in outcome.stdout)
    code = "import sys, cqlbench.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_critics_that_cannot_be_fused_are_told_before_the_run_starts(results, tmp_path):
    words = ["--dataset", "pendulum/medium-v0", "--method", "cql", "--width", "8", "--num-action-samples", "2"]
    words += ["--updates", "2", "--evaluate-every", "2", "--episodes", "1", "--value-states", "1"]
    command = [sys.executable, "-m", "cqlbench", "train", *words, "--results", str(results), "--out", str(tmp_path)]
    plain = subprocess.run(command, capture_output=True, text=True, check=True)
    told = subprocess.run([*command, "--critic-layer-norm"], capture_output=True, text=True, check=True)
    assert "no fused form" not in plain.stdout
    assert told.stdout.startswith("networks: critic_layer_norm has no fused form")
