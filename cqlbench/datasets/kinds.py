"""The kinds of local dataset: which policies they are made of, and their ids."""

from __future__ import annotations

from collections.abc import Callable

from cqlbench.datasets.behaviour import Behaviour, BehaviourPolicy
from cqlbench.errors import UserError
from cqlbench.tasks import TASKS, Task, find_task

# Each policy of a kind gives an equal share of the transitions. The kinds are those of the paper's Table 1.
# D4RL's medium-replay is the replay buffer of the training run; ours is fresh data of the snapshots along it.
KINDS: dict[str, Callable[[Behaviour], tuple[BehaviourPolicy, ...]]] = {
    "random": lambda behaviour: (behaviour.random,),
    "medium": lambda behaviour: (behaviour.medium,),
    "medium-replay": lambda behaviour: behaviour.up_to_medium,
    "medium-expert": lambda behaviour: (behaviour.medium, behaviour.expert),
    "random-expert": lambda behaviour: (behaviour.random, behaviour.expert),
    "expert": lambda behaviour: (behaviour.expert,),
}


def dataset_ids() -> list[str]:
    """Every id, `<task>/<kind>-v0`."""
    return [f"{task}/{kind}-v0" for task in TASKS for kind in KINDS]


def parse_id(dataset_id: str) -> tuple[Task, str]:
    """(task, kind) of `hopper/medium-v0`. Raises UserError for an id that is not one of `dataset_ids()`."""
    if dataset_id not in dataset_ids():
        raise UserError(
            f"dataset: {dataset_id!r} is not known; ids are <task>/<kind>-v0 "
            f"with a task of {', '.join(TASKS)} and a kind of {', '.join(KINDS)}; "
            "other data are minari:ID, d4rl:NAME or file:PATH."
        )
    task, _, name = dataset_id.partition("/")
    return find_task(task), name.removesuffix("-v0")
