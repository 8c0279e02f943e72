"""The suites on other people's data, without the data and on small files of their layout, with the real Snakemake."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from cqlbench import costs
from cqlbench.datasets import load
from cqlbench.datasets.sources import why_missing
from cqlbench.inspection.simulator import simulator
from cqlbench.published.lookup import describe, find_published
from cqlbench.suites import load_suite

ROOT = Path(__file__).parents[1]
NAMES = ["d4rl", "minari"]
EPISODES, STEPS = 6, 30


def suite_file(name: str) -> Path:
    return ROOT / "workflow" / "config" / f"{name}.yaml"


def snakemake(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--directory", str(folder), *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def small(name: str, dataset: str, methods: dict[str, dict[str, Any]], folder: Path) -> Path:
    """The suite with one dataset, one seed, these methods, a few updates and small networks, written into `folder`."""
    content = yaml.safe_load(suite_file(name).read_text())
    assert dataset in content["datasets"]
    content |= {
        "datasets": [dataset],
        "seeds": [0],
        "protocol": {
            "updates": 4,
            "evaluate_every": 2,
            "episodes": 1,
            "value_states": content["protocol"]["value_states"],
        },
        "common": {"width": 8, "batch_size": 16},
        "methods": {family: content["methods"][family] | changes for family, changes in methods.items()},
    }
    content["claims"] = [
        claim
        for claim in content["claims"]
        if claim["dataset"] == dataset and {claim["method"], claim["reference"]} <= set(methods)
    ]
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def hopper_episodes() -> list[dict[str, np.ndarray]]:
    """Episodes of the hopper's sizes, T + 1 observations each."""
    generator = np.random.default_rng(0)
    return [
        {
            "observations": generator.normal(size=(STEPS + 1, 11)),
            "actions": generator.uniform(-1, 1, (STEPS, 3)).astype(np.float32),
            "rewards": generator.normal(size=STEPS),
            "ends": np.arange(STEPS) == STEPS - 1,
        }
        for _ in range(EPISODES)
    ]


def write_d4rl(path: Path) -> None:
    """As D4RL's files of version 2 are: its wiki, and the keys that d4rl/offline_env.py reads."""
    episodes = hopper_episodes()
    joined = {key: np.concatenate([episode[key] for episode in episodes]) for key in ("actions", "rewards", "ends")}
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        for name in ("observations", "next_observations"):
            part = slice(None, -1) if name == "observations" else slice(1, None)
            file[name] = np.concatenate([episode["observations"][part] for episode in episodes]).astype(np.float32)
        file["actions"], file["rewards"] = joined["actions"], joined["rewards"].astype(np.float32)
        file["terminals"], file["timeouts"] = np.zeros(EPISODES * STEPS, bool), joined["ends"]
        file["infos/qpos"] = np.zeros((EPISODES * STEPS, 6))
        file["infos/action_log_probs"] = np.zeros(EPISODES * STEPS)
        file["metadata/algorithm"] = b"SAC"


def write_minari(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import minari
    from minari.data_collector import EpisodeBuffer

    root.mkdir(parents=True)
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    buffers = [
        EpisodeBuffer(
            observations=episode["observations"],
            actions=episode["actions"],
            rewards=episode["rewards"],
            terminations=np.zeros(STEPS, bool),
            truncations=episode["ends"],
        )
        for episode in hopper_episodes()
    ]
    # Of the hub's own there are no references; Minari then says nothing of a score.
    minari.create_dataset_from_buffers("mujoco/hopper/medium-v0", buffers, env=gymnasium.make("Hopper-v5").spec)
    monkeypatch.delenv("MINARI_DATASETS_PATH")


@pytest.mark.parametrize("name", NAMES)
def test_each_is_at_paper_scale(name: str) -> None:
    suite = load_suite(suite_file(name))
    assert suite.protocol.updates == 1_000_000 and len(suite.seeds) == 5
    for method in suite.methods:
        settings = method.config.settings()
        assert settings["width"] == 256 and settings["batch_size"] == 256
    assert {method.family for method in suite.methods} >= {"cql@paper", "cql@authors", "cql@young-geng", "cql@corl"}


def test_both_train_the_same_methods() -> None:
    d4rl, minari = (load_suite(suite_file(name)) for name in NAMES)
    assert d4rl.methods == minari.methods and d4rl.protocol == minari.protocol


def quoted(name: str) -> list[str]:
    """The lines of the page between the marks of this name."""
    page = (ROOT / "docs" / "paper-scale.md").read_text()
    block = page.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    return [line.removeprefix("    ") for line in block.strip("\n").splitlines()]


def test_the_page_quotes_the_prices(tmp_path: Path) -> None:
    prices = [str(costs.price(load_suite(suite_file(name)), tmp_path, costs.read_rates())) for name in NAMES]
    assert quoted("prices") == prices and "unknown" not in "".join(prices)


@pytest.mark.parametrize("dataset", ["hopper-medium-v2", "halfcheetah-medium-v2"])
def test_the_page_quotes_what_to_expect(dataset: str) -> None:
    printed = describe(find_published(dataset, "CQL"), seeds=5)
    assert quoted(dataset) == [line.rstrip() for line in printed.splitlines()]


def test_the_page_s_own_suite_is_one_whose_runs_are_also_those_of_d4rl(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "paper-scale.md").read_text()
    written = page[page.index("       name: check") :].partition("\n\n")[0]
    (tmp_path / "check.yaml").write_text(textwrap.dedent(written))
    shared = {run for _, run in load_suite(suite_file("d4rl")).runs()}
    check = [run for _, run in load_suite(tmp_path / "check.yaml").runs()]
    assert len(check) == 30 and set(check) <= shared


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_inspection_tells_the_body_of_another_version(tmp_path: Path) -> None:
    def share_otherwise(env_id: str) -> float:
        env = gymnasium.make(env_id)
        env.action_space.seed(0)
        observation, _ = env.reset(seed=0)
        steps = []
        for _ in range(1000):
            action = env.action_space.sample()
            following, reward, terminated, truncated, _ = env.step(action)
            steps.append((observation, action, reward, following, terminated, truncated))
            observation = env.reset()[0] if terminated or truncated else following
        path = tmp_path / env_id / "d4rl" / "walker2d_medium-v2.hdf5"
        path.parent.mkdir(parents=True)
        names = ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts")
        with h5py.File(path, "w") as file:
            for name, column in zip(names, zip(*steps, strict=True), strict=True):
                file[name] = np.array(column).astype(bool if name in ("terminals", "timeouts") else np.float32)
        found = simulator(load("d4rl:walker2d-medium-v2", tmp_path / env_id), seed=0)
        return found.numbers["share of tried steps that come out otherwise"]

    assert share_otherwise("Walker2d-v4") == 0 < share_otherwise("Walker2d-v5")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_without_the_data_it_is_priced_and_refused(name: str, tmp_path: Path) -> None:
    suite = load_suite(suite_file(name))
    reasons = [why_missing(dataset, Path("results/datasets")) for dataset in suite.datasets]
    dry = snakemake(tmp_path, "--dry-run", "--quiet", "rules", "--configfile", suite_file(name))
    assert dry.returncode == 0, dry.stdout
    assert f"suite {name}: {len(suite.runs())} runs (0 done), about " in dry.stdout
    # Also a second time: a call that is refused leaves no lock.
    for _ in range(2):
        refused = snakemake(tmp_path, "--configfile", suite_file(name), "--quiet", "all")
        assert refused.returncode == 1
        assert [line for line in refused.stdout.splitlines() if "does not exist" in line] == [
            f"cqlbench: {reason}" for reason in reasons
        ]
    for reason in reasons:
        assert f"cqlbench: {reason}" in dry.stdout.splitlines()
    assert not (tmp_path / "results" / "runs").exists()


@pytest.mark.slow
def test_d4rl_on_a_file_of_its_layout(tmp_path: Path) -> None:
    write_d4rl(tmp_path / "results" / "datasets" / "d4rl" / "hopper_medium-v2.hdf5")
    methods: dict[str, dict[str, Any]] = {"cql@authors": {"bc_warm_start": 2}, "d3rlpy-cql": {}, "bc": {}}
    own = small("d4rl", "d4rl:hopper-medium-v2", methods, tmp_path)
    made = snakemake(tmp_path, "--configfile", own)
    assert made.returncode == 0, made.stdout
    folder = tmp_path / "results" / "suites" / "d4rl"
    scores = pd.read_csv(folder / "scores.csv")
    assert set(scores["method"]) == set(methods) and set(scores["update"]) == {2, 4}
    expected = (scores["return_mean"] + 20.272305) / (3234.3 + 20.272305)
    np.testing.assert_allclose(scores["score"], expected)
    published = pd.read_csv(folder / "statistics" / "published.csv")
    same_data = published[(published["published_dataset"] == "hopper-medium-v2") & (published["family"] != "bc")]
    assert len(same_data) and set(same_data["verdict"]) == {"other budget"}
    assert "evaluated in Hopper-v4 with MuJoCo" in (folder / "report.html").read_text()
    # The data may be cleared away once everything is trained.
    (tmp_path / "results" / "datasets" / "d4rl" / "hopper_medium-v2.hdf5").unlink()
    again = snakemake(tmp_path, "--configfile", own)
    assert again.returncode == 0 and "Nothing to be done" in again.stdout, again.stdout


@pytest.mark.slow
# Minari would know more of the data than there is to say.
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_minari_on_a_dataset_of_its_layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_minari(tmp_path / "results" / "datasets", monkeypatch)
    own = small("minari", "minari:mujoco/hopper/medium-v0", {"cql@corl": {}}, tmp_path)
    made = snakemake(tmp_path, "results/suites/minari/scores.csv", "--configfile", own)
    assert made.returncode == 0, made.stdout
    scores = pd.read_csv(tmp_path / "results" / "suites" / "minari" / "scores.csv")
    assert set(scores["status"]) == {"done"} and np.isfinite(scores["score"]).all()


def test_the_device_is_said_to_every_run_or_refused(tmp_path: Path) -> None:
    words = ["--dry-run", "--configfile", suite_file("quick")]
    printed = snakemake(tmp_path, *words, "--config", "device=cuda").stdout
    assert (
        printed.count("cqlbench train") == printed.count("--device cuda") == len(load_suite(suite_file("quick")).runs())
    )
    refused = snakemake(tmp_path, *words, "--config", "device=gpu")
    assert refused.returncode == 1 and "--config device=gpu: it must be cpu, cuda" in refused.stdout
