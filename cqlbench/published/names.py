"""Whose scores may stand beside whose: the names of datasets and algorithms in published tables and in ours."""

from __future__ import annotations

import re

from cqlbench.datasets.from_d4rl import read_domains

# Our spelling of a dataset that is D4RL's own file.
D4RL_PREFIX = "d4rl:"
VERSION = r"-v\d+$"


def published_name(dataset: str) -> str:
    """The name under which papers report the data that we call `dataset`: `d4rl:hopper-medium-v2` is hopper-medium-v2.

    A name with a slash, such as our `hopper/medium-v0`, stays as it is: nothing was published under it.
    """
    return dataset.removeprefix(D4RL_PREFIX)


def kind_of_data(dataset: str) -> str:
    """Task and kind without origin and version, by which other data of the same kind are found.

    `hopper-medium` of `hopper-medium-v2`, `hopper/medium-v0` and `minari:mujoco/hopper/medium-v0`.
    """
    return re.sub(VERSION, "", "-".join(dataset.rpartition(":")[2].split("/")[-2:]))


def algorithm_key(name: str) -> str:
    """What is the same for all spellings of one algorithm: `cql`, `d3rlpy-cql` and `cql@authors` are CQL.

    Case and punctuation do not count, and `+` may be written out: `td3_bc` and `TD3PlusBC` are TD3+BC.
    """
    plain = name.lower().partition("@")[0].removeprefix("d3rlpy-")
    return re.sub(r"plus|[^a-z0-9]", "", plain)


def find_references(dataset: str) -> tuple[float, float] | None:
    """D4RL's returns of the random policy and of the expert, by which it normalises returns on `dataset`.

    The same for all versions and kinds of a task, other than maze2d's, which has them per maze. None for a name that is
    not D4RL's.
    """
    name = published_name(dataset)
    for domain in read_domains():
        kind_and_version = "" if re.search(VERSION, domain.name) else rf"-.+{VERSION}"
        if re.fullmatch(re.escape(domain.name) + kind_and_version, name):
            return domain.random_return, domain.expert_return
    return None
