"""From a suite's tables to its statistics: interval estimates over seeds. Nothing here plots.

The only importer of rliable (Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
Precipice"). Rows of a score matrix are seeds, never episodes: episodes of one run share its policy, and pooling them
would narrow every interval without any more evidence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd

from cqlbench.scores import AXIS, EPISODES, RUNS, SCORES, VALUES, read_table, write_table

# Bootstrap repetitions behind every interval. With few seeds the interval's error is in the seeds, not in these.
REPETITIONS = 2_000
CONFIDENCE = 0.95
# Thresholds of the performance profiles, as scores.
TAUS = np.round(np.linspace(0.0, 1.2, 121), 2)

# The worst share of the episodes whose mean score is the conditional value at risk.
TAIL = 0.1
# Columns of values.csv that diagnostics.csv tells over seeds, and the differences it adds.
MEASURES = [
    "predicted_value", "true_discounted_return", "difference_mean", "q_data", "q_policy", "q_uniform",
    "impossible_optimism", "action_distance", "mean_action_distance", "nearest_action_distance", "off_data",
]  # fmt: skip
GAPS = {"q_data_minus_policy": "q_policy", "q_data_minus_uniform": "q_uniform"}

FOLDER = "statistics"
KEYS = ["dataset", "method", "seed"]
GROUPS = ["dataset", "method", "family", "headline"]

Tables = dict[str, pd.DataFrame]


def write_statistics(folder: Path) -> None:
    """Reads scores.csv, runs.csv, values.csv and episodes.csv in `folder`; writes every table to its statistics/."""
    tables = compute_statistics(*(read_table(folder / name) for name in (SCORES, RUNS, VALUES, EPISODES)))
    for name, table in tables.items():
        write_table(table, folder / FOLDER / f"{name}.csv")


def compute_statistics(
    scores: pd.DataFrame, runs: pd.DataFrame, values: pd.DataFrame, episodes: pd.DataFrame
) -> Tables:
    """Every table of the suite by name; the order of the rows given has no influence."""
    scores = scores.sort_values([*KEYS, "update"], ignore_index=True)
    runs = runs.sort_values(KEYS, ignore_index=True)
    values = values.sort_values([*KEYS, "start", "update"], ignore_index=True)
    episodes = episodes.sort_values([*KEYS, "episode"], ignore_index=True)
    finals = final_scores(scores, runs, values)
    swept = sweep(finals, runs)
    matrices, holes = score_matrices(finals, runs)
    return {
        "finals": finals,
        "holes": holes,
        "aggregates": aggregates(matrices),
        "profiles": profiles(matrices),
        "improvement": improvement(matrices),
        "sample_efficiency": sample_efficiency(scores, matrices),
        "table": score_table(finals, runs),
        "curves": curves(scores),
        "sweep": swept,
        "diagnostics": diagnostics(values, runs),
        "safety": safety(episodes, runs, scores, swept),
    }


def final_scores(scores: pd.DataFrame, runs: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """One row per run that reached its last update: that evaluation, and `best`, the run's highest score on the way.

    `difference_mean` is predicted minus true value, paired over the states of the data; `difference_low` and
    `difference_high` are its Student's interval over these states, which is about this one run and no other seed.
    """
    finals = scores.merge(runs[[*KEYS, "updates"]], on=KEYS)
    finals = finals[(finals["update"] == finals["updates"]) & (finals["status"] == "done")]
    best = scores.groupby(KEYS, as_index=False).agg(best=("score", "max"))
    differences = ["difference_mean", "difference_standard_error", "states"]
    paired = values.loc[values["start"] == "data", [*KEYS, "update", *differences]]
    finals = finals.merge(best, on=KEYS).merge(paired, on=[*KEYS, "update"], how="left")
    half = _t_quantile(finals["states"]) * finals["difference_standard_error"]
    finals = finals.assign(
        difference_low=finals["difference_mean"] - half, difference_high=finals["difference_mean"] + half
    )
    columns = [
        "dataset", "method", "family", "headline", "seed", "update", "score", "best", "return_mean", "predicted_value",
        "true_discounted_return", "difference_mean", "difference_standard_error", "difference_low", "difference_high",
    ]  # fmt: skip
    return finals[columns].sort_values(KEYS, ignore_index=True)


def score_matrices(finals: pd.DataFrame, runs: pd.DataFrame) -> tuple[Tables, pd.DataFrame]:
    """Complete matrices (seeds x datasets) of the final scores of each headline method, and what they had to leave out.

    All methods are compared on the same datasets: those on which every method that finished anything finished a run.
    Of these, a method keeps the seeds it finished on all.
    """
    # An empty table does not know that this column is a truth value.
    headline = finals[finals["headline"].astype(bool)]
    methods = sorted(headline["method"].unique())
    per_dataset = headline.groupby("dataset")["method"].nunique()
    datasets = sorted(per_dataset[per_dataset == len(methods)].index)
    matrices = {
        method: headline[(headline["method"] == method) & headline["dataset"].isin(datasets)]
        .pivot(index="seed", columns="dataset", values="score")
        .dropna()
        for method in methods
    }
    finished = set(finals[KEYS].itertuples(index=False, name=None))
    holes = []
    for run in runs.itertuples(index=False):
        key = (run.dataset, run.method, run.seed)
        if key not in finished:
            because = "the run has no final evaluation"
        elif run.headline and run.dataset not in datasets:
            because = "another headline method has no finished run on this dataset, so it leaves the aggregates"
        elif run.headline and run.seed not in matrices[run.method].index:
            because = "the method lacks this seed on another dataset, so the seed leaves the aggregates"
        else:
            continue
        holes.append((*key, run.headline, run.status, run.reason, because))
    columns = [*KEYS, "headline", "status", "reason", "because"]
    return matrices, pd.DataFrame(holes, columns=columns)


def aggregates(matrices: Tables) -> pd.DataFrame:
    """Median, IQM, Mean and Optimality Gap of each method with their intervals (NaN where there is one seed)."""
    from rliable import metrics

    statistics: dict[str, Callable[[np.ndarray], float]] = {
        "Median": metrics.aggregate_median,
        "IQM": metrics.aggregate_iqm,
        "Mean": metrics.aggregate_mean,
        "Optimality Gap": metrics.aggregate_optimality_gap,
    }
    rows = []
    for method, matrix in sorted(matrices.items()):
        for name, statistic in statistics.items():
            estimate, low, high = _interval(matrix.to_numpy(), partial(_as_array, statistic), method, name)
            rows.append((method, name, estimate[0], low[0], high[0], *matrix.shape))
    return pd.DataFrame(rows, columns=["method", "statistic", "estimate", "low", "high", "seeds", "datasets"])


def profiles(matrices: Tables) -> pd.DataFrame:
    """For each threshold tau, the fraction of a method's runs that score above it."""
    rows = []
    for method, matrix in sorted(matrices.items()):
        fraction, low, high = _interval(matrix.to_numpy(), _fractions_above, method, "profile")
        rows += [(method, *row) for row in zip(TAUS, fraction, low, high, strict=True)]
    return pd.DataFrame(rows, columns=["method", "tau", "fraction", "low", "high"])


def improvement(matrices: Tables) -> pd.DataFrame:
    """For each ordered pair of methods, the probability that a run of x beats a run of y, averaged over datasets."""
    rows = []
    for x, y in permutations(sorted(matrices), 2):
        pair = [matrices[x].to_numpy(), matrices[y].to_numpy()]
        estimate, low, high = _interval(pair, probability_of_improvement, x, y, "improvement")
        rows.append((x, y, estimate[0], low[0], high[0]))
    return pd.DataFrame(rows, columns=["x", "y", "probability", "low", "high"])


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean over datasets of P(X > Y) + P(X = Y) / 2, for (seeds, datasets) matrices; an array of shape (1,).

    The Mann-Whitney U over the number of pairs, as rliable's metric, without the p-value that it computes and drops
    (which takes all the time of the bootstrap).
    """
    wins = (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])
    return np.array([wins.mean()])


def sample_efficiency(scores: pd.DataFrame, matrices: Tables) -> pd.DataFrame:
    """IQM over seeds and datasets at each evaluation, of the runs in `matrices`."""
    rows = []
    for method, matrix in sorted(matrices.items()):
        kept = scores[
            (scores["method"] == method) & scores["dataset"].isin(matrix.columns) & scores["seed"].isin(matrix.index)
        ]
        # seeds x datasets x updates; a run that finished has every evaluation.
        by_update = kept.pivot(index=["seed", "dataset"], columns="update", values="score")
        cube = by_update.to_numpy().reshape(*matrix.shape, by_update.shape[1])
        iqm, low, high = _interval(cube, _iqm_by_update, method, "sample efficiency")
        rows += [(method, *row) for row in zip(by_update.columns, iqm, low, high, strict=True)]
    return pd.DataFrame(rows, columns=["method", "update", "iqm", "low", "high"])


def score_table(finals: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """One row per dataset and method of the suite; `best_mean` is the mean of each run's best evaluation on the way.

    `difference_mean` is that of predicted minus true value, with its t interval; `failed` counts the runs without a
    final evaluation.
    """
    planned = runs.groupby(GROUPS, as_index=False).agg(planned=("seed", "size"))
    found = _over_seeds(
        finals,
        GROUPS,
        best_mean="best",
        return_mean="return_mean",
        predicted_value="predicted_value",
        true_discounted_return="true_discounted_return",
    )
    differences = finals.dropna(subset="difference_mean").groupby(GROUPS, as_index=False)["difference_mean"]
    found = found.merge(
        differences.agg(
            difference_mean="mean",
            difference_low=lambda sample: t_interval(sample.to_numpy())[0],
            difference_high=lambda sample: t_interval(sample.to_numpy())[1],
        ),
        on=GROUPS,
        how="left",
    )
    table = planned.merge(found, on=GROUPS, how="left").fillna({"seeds": 0}).astype({"seeds": int})
    return table.assign(failed=table["planned"] - table["seeds"]).drop(columns="planned")


def curves(scores: pd.DataFrame) -> pd.DataFrame:
    """Score and values over training, per dataset and method, over the seeds that were evaluated there."""
    return _over_seeds(
        scores,
        [*GROUPS, "update"],
        predicted_value="predicted_value",
        true_discounted_return="true_discounted_return",
    )


def sweep(finals: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Per swept axis of a family: final score and values against the axis, other axes at the headline's values."""
    axes = [column for column in runs.columns if column.startswith(AXIS)]
    parts = []
    for family, own in runs.groupby("family"):
        swept = [axis for axis in axes if own[axis].notna().any()]
        for axis in swept:
            slice_ = own
            for other in swept:
                if other != axis:
                    slice_ = slice_[slice_[other].isin(own.loc[own["headline"], other])]
            places = slice_[["dataset", "method", "headline", axis]].drop_duplicates().rename(columns={axis: "value"})
            found = _over_seeds(
                finals,
                ["dataset", "method"],
                predicted_value="predicted_value",
                true_discounted_return="true_discounted_return",
            )
            part = places.merge(found, on=["dataset", "method"], how="left").fillna({"seeds": 0})
            parts.append(part.assign(family=family, axis=axis.removeprefix(AXIS)))
    columns = [
        "family", "axis", "value", "dataset", "method", "headline", "seeds", "score_mean", "low", "high", "lowest",
        "highest", "predicted_value", "true_discounted_return",
    ]  # fmt: skip
    if not parts:
        return pd.DataFrame(columns=columns)
    table = pd.concat(parts, ignore_index=True)[columns].astype({"seeds": int})
    # A setting's values may be words (null, sample) beside numbers: numbers first, by size.
    table["size"] = pd.to_numeric(table["value"], errors="coerce")
    table["word"] = table["value"].astype(str)
    return table.sort_values(["axis", "family", "dataset", "size", "word"], ignore_index=True)[columns]


def diagnostics(values: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Every one of MEASURES and GAPS after each evaluation, over the seeds that have it: one row per measure.

    For both kinds of `start`; mean, Student's interval, lowest and highest seed. A gap is the critic's mean value of
    the data's actions minus that of the policy's or of uniform ones, taken per seed. All are on the scale of
    values.csv. A measure that no seed has, has no row.
    """
    gaps = {gap: values["q_data"] - values[other] for gap, other in GAPS.items()}
    seeds = values.assign(**gaps).merge(runs[[*KEYS, "family", "headline"]], on=KEYS)
    places = [*GROUPS, "start", "update"]
    long = seeds.melt([*places, "seed"], [*MEASURES, *GAPS], "measure").dropna(subset="value")
    # In the order of the measures, which is that of reading.
    long["measure"] = pd.Categorical(long["measure"], [*MEASURES, *GAPS])
    table = (
        long.groupby([*places, "measure"], observed=True)["value"]
        .agg(seeds="size", mean="mean", deviation="std", lowest="min", highest="max")
        .reset_index()
    )
    half = _t_quantile(table["seeds"]) * table["deviation"] / np.sqrt(table["seeds"])
    table = table.assign(low=table["mean"] - half, high=table["mean"] + half).astype({"measure": str})
    return table[[*places, "measure", "seeds", "mean", "low", "high", "lowest", "highest"]]


def safety(episodes: pd.DataFrame, runs: pd.DataFrame, scores: pd.DataFrame, swept: pd.DataFrame) -> pd.DataFrame:
    """How bad it gets: the worst of the last evaluation's episodes per dataset and method, as scores.

    Within a seed first, then over seeds: `cvar` is the mean over seeds of each seed's conditional value at risk, the
    mean of its worst TAIL of episodes (with ten episodes or fewer, its worst), with Student's interval;
    `terminated` that of its share of episodes which the task's own rule ended, with the lowest and highest seed.
    `cvar_pooled` takes the worst TAIL of all seeds' episodes together: what may be met by one who does not know which
    seed they got. `worst` is the worst episode of all seeds. `cql_alpha` is empty for a method that has none.
    `shown` are the headline methods and, with every other setting as there, the other values of a swept cql_alpha.
    """
    alphas = scores[["dataset", "method", "cql_alpha"]].drop_duplicates()
    places = runs[GROUPS].drop_duplicates().merge(alphas, on=["dataset", "method"], how="left")
    along_alpha = places["method"].isin(swept.loc[swept["axis"] == "cql_alpha", "method"])
    places = places.assign(shown=places["headline"].astype(bool) | along_alpha)
    rows = []
    for (dataset, method), own in episodes.groupby(["dataset", "method"]):
        seeds = [seed for _, seed in own.groupby("seed")]
        risks = np.array([tail_mean(seed["score"].to_numpy()) for seed in seeds])
        terminated = [seed["terminated"].mean() for seed in seeds]
        rows.append(
            {
                "dataset": dataset,
                "method": method,
                "seeds": len(seeds),
                "episodes": len(own),
                "score_mean": np.mean([seed["score"].mean() for seed in seeds]),
                "cvar": risks.mean(),
                **dict(zip(("cvar_low", "cvar_high"), t_interval(risks), strict=True)),
                "cvar_pooled": tail_mean(own["score"].to_numpy()),
                "worst": own["score"].min(),
                "terminated": np.mean(terminated),
                "terminated_lowest": min(terminated),
                "terminated_highest": max(terminated),
            }
        )
    columns = [
        "dataset", "method", "seeds", "episodes", "score_mean", "cvar", "cvar_low", "cvar_high", "cvar_pooled", "worst",
        "terminated", "terminated_lowest", "terminated_highest",
    ]  # fmt: skip
    found = places.merge(pd.DataFrame(rows, columns=columns), on=["dataset", "method"], how="left")
    counts = {count: pd.to_numeric(found[count]).fillna(0).astype(int) for count in ("seeds", "episodes")}
    return found.assign(**counts).sort_values(["dataset", "family", "cql_alpha", "method"], ignore_index=True)


def tail_mean(scores: np.ndarray, share: float = TAIL) -> float:
    """The conditional value at risk: the mean of the worst `share` of the scores (E,).

    Where that is no whole number of them, the next worst counts with what is left over (Rockafellar and Uryasev 2002);
    where it is less than one, it is the worst.
    """
    count = max(share * len(scores), 1)
    weights = np.clip(count - np.arange(len(scores)), 0, 1)
    return float(np.sort(scores) @ weights / weights.sum())


def t_interval(sample: np.ndarray, level: float = CONFIDENCE) -> tuple[float, float]:
    """Student's interval of a mean at `level`; NaN for one value.

    Used where one dataset stands alone: the percentile bootstrap of a mean of 3 or 5 runs covers 74 or 84 %, not 95.
    """
    if len(sample) < 2:
        return float("nan"), float("nan")
    half = _t_quantile(len(sample), level) * np.std(sample, ddof=1) / np.sqrt(len(sample))
    return float(np.mean(sample) - half), float(np.mean(sample) + half)


def _t_quantile(counts: pd.Series | int, level: float = CONFIDENCE) -> np.ndarray | float:
    """How many standard errors of a mean of so many values its Student's interval reaches to either side."""
    from scipy import stats

    return stats.t.ppf(0.5 + level / 2, counts - 1)


def _over_seeds(table: pd.DataFrame, groups: list[str], **means: str) -> pd.DataFrame:
    """Of the score per group: seeds, mean, standard deviation, t interval, range; and the means of further columns."""
    aggregated = table.groupby(groups).agg(
        seeds=("seed", "size"),
        score_mean=("score", "mean"),
        score_std=("score", "std"),
        low=("score", lambda scores: t_interval(scores.to_numpy())[0]),
        high=("score", lambda scores: t_interval(scores.to_numpy())[1]),
        lowest=("score", "min"),
        highest=("score", "max"),
        **{name: (column, "mean") for name, column in means.items()},
    )
    return aggregated.reset_index()


def _as_array(statistic: Callable[[np.ndarray], float], scores: np.ndarray) -> np.ndarray:
    """rliable's bootstrap takes arrays, its metrics give numbers."""
    return np.array([statistic(scores)])


def _fractions_above(scores: np.ndarray) -> np.ndarray:
    """Of a (seeds, datasets) matrix, the fraction above each of TAUS; an array of shape (len(TAUS),)."""
    return (scores[..., None] > TAUS).mean(axis=(0, 1))


def _iqm_by_update(cube: np.ndarray) -> np.ndarray:
    """IQM at each update of a (seeds, datasets, updates) array; an array of shape (updates,)."""
    from rliable import metrics

    return np.array([metrics.aggregate_iqm(scores) for scores in np.moveaxis(cube, -1, 0)])


def _interval(
    scores: np.ndarray | list[np.ndarray], function: Callable[..., np.ndarray], *identity: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate, low and high of `function` by rliable's stratified bootstrap over the rows (seeds)."""
    from rliable import library

    samples = scores if isinstance(scores, list) else [scores]
    if min(len(sample) for sample in samples) < 2:
        # rliable would give an interval of no width; no seed at all gives no estimate either.
        known = [sample if sample.size else np.full((1, *sample.shape[1:]), np.nan) for sample in samples]
        estimate = function(*known)
        nothing = np.full_like(estimate, np.nan)
        return estimate, nothing, nothing
    with _seeded(*identity):
        estimates, intervals = library.get_interval_estimates(
            {"": scores}, function, reps=REPETITIONS, confidence_interval_size=CONFIDENCE
        )
    low, high = intervals[""]
    return estimates[""], low, high


@contextmanager
def _seeded(*identity: str) -> Iterator[None]:
    """Seeds the global generator from what is computed, and puts its state back.

    rliable ignores its `random_state` and draws from the global generator, so that without this an interval would
    depend on which methods were computed before it.
    """
    state = np.random.get_state()
    np.random.seed(int.from_bytes(hashlib.sha256("\n".join(identity).encode()).digest()[:4], "big"))
    try:
        yield
    finally:
        np.random.set_state(state)
