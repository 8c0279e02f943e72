"""What a finished run has left: its policy, as it was after the last update."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from cqlbench import runs
from cqlbench.algorithms.algorithm import Algorithm
from cqlbench.datasets.kinds import parse_id
from cqlbench.errors import UserError
from cqlbench.evaluation import EpisodeResult, evaluate
from cqlbench.execution import build_algorithm, prepare_process
from cqlbench.normalisation import Normaliser
from cqlbench.records import read_record
from cqlbench.runs import Run
from cqlbench.tasks import Task


class Trained(NamedTuple):
    """A finished run's method and what turned its data."""

    run: Run
    task: Task
    algorithm: Algorithm
    normaliser: Normaliser


def load_trained(folder: Path) -> Trained:
    """The method of the finished run in `folder` as it was after its last update. Needs no dataset.

    Its normaliser turns observations and actions; rewards it leaves as they are. Raises UserError where the folder
    holds no finished run, or files that this run has not written.
    """
    prepare_process()
    run = runs.read_run(folder)
    path = folder / runs.POLICY
    if not path.is_file():
        raise UserError(f"{folder} has no {runs.POLICY}: the run has not finished. Train it first.")
    task = _task_of(run, folder)
    algorithm = build_algorithm(run, task, torch.device("cpu"))
    try:
        tensors = load_file(path)
        normaliser = Normaliser.from_state_dict(tensors, task.action_limit)
        algorithm.load_state_dict(tensors)
    # A file that is none of safetensors; tensors of other shapes, other names or none.
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise UserError(f"{path} is not the policy of this run ({_first_line(error)}). Train the run again.") from error
    return Trained(run, task, algorithm, normaliser)


def evaluate_run(folder: Path, episodes: int) -> list[EpisodeResult]:
    """Episodes of the policy a finished run has left in `folder`.

    Raises UserError as `load_trained` does, and where there is no simulator to run them in.
    """
    trained = load_trained(folder)
    if not trained.task.env_id:
        raise UserError(
            f"{trained.run.dataset}: no simulator is known for these data, so no episode can be run; "
            f"estimate what the policy is worth with: cqlbench estimate {folder}"
        )
    return evaluate(trained.algorithm, trained.task, trained.normaliser, trained.run.seed, episodes)


def _task_of(run: Run, folder: Path) -> Task:
    """What an id of our own says; of data from elsewhere provenance.json does."""
    if ":" not in run.dataset:
        return parse_id(run.dataset)[0]
    path = folder / runs.PROVENANCE
    try:
        return Task(**read_record(path)["dataset"]["task"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{path} does not describe the task of {run.dataset}. Train the run again.") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]
