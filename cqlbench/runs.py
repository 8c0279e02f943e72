"""What a run is: one (dataset, method, seed) with its budget; its identity, its folder and its command line.

Every run has one folder, shared by all suites, so that the same run is never trained twice. Needs no torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cqlbench.algorithms.configs import MethodConfig
from cqlbench.algorithms.registry import find_algorithm
from cqlbench.errors import UserError

# What a finished run folder holds. `status.json` is written last: where it is, the run is over.
STATUS = "status.json"
CONFIG = "config.json"
PROVENANCE = "provenance.json"
TIMING = "timing.json"
TRAIN = "train.csv"
EVALUATION = "evaluation.csv"
EPISODES = "episodes.csv"
VALUES = "values.csv"
POLICY = "policy.safetensors"
LOG = "run.log"
# While it goes on, and once it is over: see checkpoints.py.
CHECKPOINTS = "checkpoints"
FINISHED = "finished.json"
# What a status may be: what training came to, and what kept it from coming to anything.
RESULTS_OF_TRAINING = DONE, DIVERGED = "done", "diverged"
FAILED, TIMED_OUT, OUT_OF_MEMORY = "failed", "timed out", "out of memory"
FILES = (STATUS, CONFIG, PROVENANCE, TIMING, TRAIN, EVALUATION, EPISODES, VALUES, POLICY, FINISHED)

# values.csv: one row per evaluation and kind of start (states of the data, initial states). A method without a value
# has the row of the data's states only, and in it the distances of its actions.
VALUE_COLUMNS = [
    "update", "start", "states", "predicted_value", "predicted_value_mean", "true_discounted_return",
    "true_standard_error", "difference_mean", "difference_standard_error", "q_data", "q_policy", "q_uniform",
    "best_return", "impossible_optimism", "action_distance", "mean_action_distance", "nearest_action_distance",
    "off_data",
]  # fmt: skip
# Rows of train.csv per evaluation.
LOGS_PER_EVALUATION = 5
# Seconds between two checkpoints; the next row of train.csv after that comes with one. Writing one takes milliseconds.
CHECKPOINT_SECONDS = 30.0


class Resume(NamedTuple):
    """How a run comes through its process's death: seconds between checkpoints, and whether to go on from one."""

    every: float = CHECKPOINT_SECONDS
    go_on: bool = True


@dataclass(frozen=True)
class Protocol:
    """The budget of a run and how it is judged; the same for every method of a suite."""

    updates: int = 10_000
    # An evaluation after every so many updates; the last update is always evaluated.
    evaluate_every: int = 2_000
    # Episodes per evaluation, the policy acting by its mean.
    episodes: int = 10
    # States from which predicted value and true value are compared, at each evaluation; 0 leaves it out.
    value_states: int = 32

    def __post_init__(self) -> None:
        for key, lowest in (("updates", 1), ("evaluate_every", 1), ("episodes", 1), ("value_states", 0)):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < lowest:
                raise UserError(f"{key}: {value!r} is not allowed; it must be a whole number from {lowest}.")

    def evaluation_points(self) -> list[int]:
        """The updates after which the run is evaluated, the last one included."""
        points = list(range(self.evaluate_every, self.updates + 1, self.evaluate_every))
        return points if points and points[-1] == self.updates else [*points, self.updates]

    def log_points(self) -> list[int]:
        """The updates after which training metrics are written, every evaluation point among them."""
        every = max(1, self.evaluate_every // LOGS_PER_EVALUATION)
        return sorted({*range(every, self.updates, every), *self.evaluation_points()})


@dataclass(frozen=True)
class Run:
    """One (dataset, method, seed). `algorithm` is a registered name or a user's `my_method.py:MyMethod`."""

    dataset: str
    algorithm: str
    config: MethodConfig
    protocol: Protocol
    seed: int

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]+(/[a-z0-9-]+)*|[a-z0-9]+:.+", self.dataset):
            raise UserError(
                f"dataset: {self.dataset!r} is not an id; ids look like hopper/medium-v0 or d4rl:hopper-medium-v2."
            )
        if not isinstance(self.seed, int) or isinstance(self.seed, bool) or self.seed < 0:
            raise UserError(f"seed: {self.seed!r} is not allowed; it must be a whole number from 0.")
        warm_start = getattr(self.config, "bc_warm_start", 0)
        if warm_start >= self.protocol.updates:
            raise UserError(
                f"bc_warm_start: {warm_start} is not allowed with updates: {self.protocol.updates}, all of which would "
                "clone behaviour; scale it to the budget."
            )

    @property
    def config_hash(self) -> str:
        """Eight hex digits over everything but the seed: two runs may be pooled over seeds only where it is equal."""
        identity = self.description()
        del identity["seed"]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def name(self) -> str:
        """`<algorithm>/<readable settings>-<config hash>`; the class name stands for a user's own method."""
        short = self.algorithm.rpartition(":")[2]
        # One word each, whatever a text says: it neither leaves the folder nor ends the setting.
        words_of = {key: re.sub(r"[^\w.+-]+", "_", readable(value)) for key, value in self.config.changed().items()}
        settings = [f"{key}={word}" for key, word in words_of.items()]
        words = ",".join([*settings, f"updates={self.protocol.updates}"])
        # A folder's name is at most 255 bytes long; the hash alone tells runs apart.
        return f"{short}/{words[:200]}-{self.config_hash}"

    def folder(self, results: Path) -> Path:
        """`<results>/runs/<dataset>/<algorithm>/<readable settings>-<config hash>/seed=<n>`.

        Of data from elsewhere `<source>/<name>` stands for the dataset, the name without slashes: it may be a path.
        """
        source, colon, name = self.dataset.partition(":")
        place = Path(source, re.sub(r"[^\w.-]+", "_", name) if colon else "")
        return Path(results) / "runs" / place / self.name / f"seed={self.seed}"

    def description(self) -> dict[str, Any]:
        """Every value, defaults included: what `config.json` holds."""
        source = find_algorithm(self.algorithm).source
        settings = self.config.settings()
        if settings["buffer_transitions"] is None:
            # What a run was before there were buffers, it still is.
            del settings["buffer_transitions"]
        return {
            "dataset": self.dataset,
            "algorithm": self.algorithm,
            # Of one's own method: another text is another method. Ours are known by the code's fingerprint.
            **({"source": source} if source else {}),
            "settings": settings,
            "protocol": dataclasses.asdict(self.protocol),
            "seed": self.seed,
        }

    def arguments(self) -> list[str]:
        """The words after `cqlbench train` that make this run again."""
        words = ["--dataset", self.dataset, "--method", self.algorithm, "--seed", str(self.seed)]
        for key, value in dataclasses.asdict(self.protocol).items():
            words += [f"--{key.replace('_', '-')}", str(value)]
        for key, value in self.config.changed().items():
            words += [f"--{key.replace('_', '-')}", readable(value)]
        return words


def make_run(dataset: str, algorithm: str, settings: dict[str, Any], protocol: Protocol, seed: int) -> Run:
    """The run with `settings` over the method's defaults. Raises UserError as MethodConfig.resolve does."""
    return Run(dataset, algorithm, find_algorithm(algorithm).config.resolve(settings), protocol, seed)


def read_run(folder: Path) -> Run:
    """The run whose `config.json` lies in `folder`. Raises UserError where there is none or it cannot be read."""
    path = Path(folder) / CONFIG
    try:
        description = json.loads(path.read_text())
        return make_run(
            description["dataset"],
            description["algorithm"],
            description["settings"],
            Protocol(**description["protocol"]),
            description["seed"],
        )
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; {folder} is not a run folder.") from error
    # No JSON in UTF-8, without an end, or of another shape.
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a run's config ({str(error)[:200]}).") from error


def clear_folder(folder: Path) -> None:
    """An empty place for a run: what an earlier attempt left is gone before the new one can be mistaken for it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def readable(value: Any) -> str:
    """A setting as words of a folder name, a label or a command line: 10.0 is `10`, True is `true`."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
