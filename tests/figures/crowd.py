"""A figure's rows for ten methods with long names on thirty datasets, made out of those of a small suite."""

from __future__ import annotations

from itertools import cycle, permutations

import pandas as pd

from cqlbench import style

DATASETS = [
    f"{task}/{kind}"
    for task in (
        "hopper",
        "halfcheetah",
        "walker2d",
        "adroit-relocate",
        "antmaze-large-diverse",
        "inverteddoublependulum",
    )
    for kind in ("medium-v0", "medium-replay-v0", "medium-expert-v2", "random-expert-v0", "human-longest-v1")
]
# Ten families and their headline methods.
METHODS = {
    "cql": "cql cql_alpha=10 num_action_samples=10",
    "d3rlpy-cql": "d3rlpy-cql cql_alpha=10 normalise_observations=true",
    "cql@young-geng": "cql@young-geng bc_warm_start=400",
    "sac": "sac",
    "bc": "bc",
    "an-idea-of-ones-own": "an-idea-of-ones-own temperature=3.0 num_transitions=null",
    "implicit_q_learning": "implicit_q_learning",
    "iql": "iql expectile=0.7",
    "td3+bc": "td3+bc",
    "XQLwithoutanybreakinthewholeofitsname": "XQLwithoutanybreakinthewholeofitsname",
}
LOOKS = style.looks(METHODS)
FAMILIES = list(LOOKS)


def crowded(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of each of METHODS are those of one of the families of `rows`, some percent higher or lower."""
    if "x" in rows:
        return _pairs()
    if "dataset" not in rows:
        return _methods(rows)
    templates = zip(DATASETS, cycle(rows["dataset"].unique()), strict=False)
    return pd.concat(
        [_methods(rows[rows["dataset"] == template]).assign(dataset=dataset) for dataset, template in templates],
        ignore_index=True,
    )


def _methods(rows: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for place, (family, template) in enumerate(zip(FAMILIES, cycle(rows["family"].unique()), strict=False)):
        part = rows[rows["family"] == template].copy()
        settled = {"update", "seed", "seeds", "tau", "cql_alpha", "value"}
        numbers = [column for column in part.select_dtypes(float) if column not in settled]
        part[numbers] *= 0.7 + 0.06 * place
        method = METHODS[family]
        # The safety figure has a row per value of cql_alpha; a sweep names no method.
        if "cql_alpha" in part and part["cql_alpha"].notna().any():
            labels = [f"{style.label(method, family)}, a = {alpha}" for alpha in part["cql_alpha"]]
        else:
            labels = [style.label(method if "method" in part else family, family)] * len(part)
        parts.append(part.assign(family=family, label=labels))
    return pd.concat(parts, ignore_index=True)


def _pairs() -> pd.DataFrame:
    pairs = []
    for number, (one, other) in enumerate(permutations(FAMILIES, 2)):
        chance = (number * 37 % 101) / 100
        labels = [style.label(METHODS[family], family) for family in (one, other)]
        pairs.append((METHODS[one], labels[0], METHODS[other], labels[1], chance, chance / 2, (1 + chance) / 2))
    return pd.DataFrame(pairs, columns=["x", "x_label", "y", "y_label", "probability", "low", "high"])
