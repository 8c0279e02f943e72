"""Numbers about the steps themselves: sizes, episodes, ends, observations, actions, rewards, repetitions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cqlbench.datasets.offline import OfflineDataset, Recording
from cqlbench.inspection.numbers import Section
from cqlbench.inspection.rules import DISCOUNT
from cqlbench.tasks import score_of

# Closer than this many standard deviations of the column, two observations are the same one.
SAME = 1e-5
# An action is at a bound from this share of it on: 32-bit rounding of a squashed one.
AT_BOUND = 0.999
# Columns whose correlation is at least this say the same.
COPY = 0.999999
QUANTILES = (0, 0.1, 0.25, 0.5, 0.75, 0.9, 1)
# Of fewer steps it says nothing how many different actions they hold.
ENOUGH = 500
# As many rows show whether values, columns or changes differ.
ROWS = 20_000


def some_rows(count: int, seed: int, most: int = ROWS) -> np.ndarray:
    """At most `most` of `count` rows, in order, drawn from `seed`."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def finite_part(recording: Recording) -> tuple[Recording, int]:
    """The recording without the steps that hold a number that is not finite in 32 bits, and how many these were.

    Where such a step was, an episode is cut.
    """
    good = np.ones(len(recording.rewards), bool)
    for array in (recording.observations, recording.actions, recording.rewards, recording.next_observations):
        if array is not None and array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                good &= np.isfinite(np.asarray(array, np.float32)).reshape(len(array), -1).all(1)
    if good.all():
        return recording, 0
    ends = recording.ends.copy()
    ends[:-1] |= ~good[1:]
    following = recording.next_observations
    kept = Recording(
        recording.observations[good],
        recording.actions[good],
        recording.rewards[good],
        recording.terminals[good],
        ends[good],
        None if following is None else following[good],
    )
    return kept, int((~good).sum())


def sizes(dataset: OfflineDataset, recording: Recording, not_finite: int, seed: int) -> Section:
    """How much there is, and what was lost on the way from the file."""
    lost = 0.0
    for array in (recording.observations, recording.actions, recording.rewards):
        rows = array[some_rows(len(array), seed)].reshape(-1, max(1, int(np.prod(array.shape[1:]))))
        for column in rows.T if array.dtype.itemsize > 4 else []:
            before = len(np.unique(column))
            lost = max(lost, 1 - len(np.unique(column.astype(np.float32))) / before)
    numbers = {
        "transitions": len(dataset.rewards),
        "episodes": len(dataset.episode_lengths),
        "observation columns": dataset.observations.shape[1],
        "action columns": dataset.actions.shape[1],
        "steps without a next observation, left out": len(recording.rewards) - len(dataset.rewards),
        "steps with a number that is not finite": not_finite,
        "share of a column's distinct values that 32 bits lose": lost,
    }
    return Section("Sizes", numbers)


def episodes(dataset: OfflineDataset) -> Section:
    """Lengths, returns and scores."""
    returns = dataset.episode_returns
    columns: dict[str, np.ndarray] = {"length": dataset.episode_lengths, "return": returns}
    random, expert = dataset.reference_random, dataset.reference_expert
    if random is not None and expert is not None:
        columns["score"] = np.array([100 * score_of(value, random, expert) for value in returns])
    rows = {name: [*np.quantile(values, QUANTILES), values.mean()] for name, values in columns.items()}
    names = ["smallest", *(f"{100 * share:g} %" for share in QUANTILES[1:-1]), "largest", "mean"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("of each episode").reset_index()
    numbers = {"references": (random is not None) + (expert is not None)}
    size = np.abs(returns).mean()
    if len(returns) > 1 and size > 0:
        numbers["standard deviation of returns, over their mean size"] = returns.std() / size
    meaning = ""
    if "score" in columns:
        meaning = f"A score is 0 at a return of {random:.2f} and 100 at {expert:.2f}."
    return Section("Episodes", numbers, meaning, table)


def ends(dataset: OfflineDataset, recording: Recording, episode_limit: int | None, seed: int) -> Section:
    """Whether the marks of ends are what they say."""
    last = recording.ends | recording.terminals
    last[-1] = True
    places = np.flatnonzero(last)
    lengths = np.diff(places, prepend=-1)
    limit = episode_limit or int(lengths.max())
    whole = places[lengths == limit]
    terminations = int(recording.terminals.sum())
    numbers: dict[str, float] = {
        "terminations": terminations,
        "truncations": len(places) - terminations,
        "time limit, steps" if episode_limit else "longest episode, steps": limit,
        "episodes of that length": len(whole),
        "share of episodes of one step": np.mean(lengths == 1),
    }
    if limit > 1 and len(whole) >= (1 if episode_limit else 2):
        numbers["share of episodes at the time limit that terminate"] = recording.terminals[whole].mean()
    if not terminations and len(lengths) > 1:
        # The last may be cut by the end of recording.
        shorter = np.mean(lengths[:-1] < lengths.max())
        numbers["share of episodes shorter than the longest, without any termination"] = shorter
    return Section("Ends", numbers | _joints(recording, last, seed))


def _joints(recording: Recording, last: np.ndarray, seed: int) -> dict[str, float]:
    """How a step's next observation fits the observation of the step that follows."""
    observations, following = recording.observations, recording.next_observations
    if len(last) < 2:
        return {}
    observations = observations.reshape(len(last), -1)
    sample = observations[some_rows(len(last), seed)].astype(np.float64)
    scale = sample.std(0)
    moving = scale > 0
    if not moving.any():
        return {}
    scale = scale[moving]

    def apart(rows: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(len(rows),) the largest difference of any column, in its standard deviations."""
        return (np.abs(first[rows].astype(np.float64) - second[rows])[:, moving] / scale).max(1)

    def share_alike(rows: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
        return float(np.mean(apart(rows, first, second) < SAME))

    inside = np.flatnonzero(~last[:-1])
    inside = inside[some_rows(len(inside), seed)]
    across = np.flatnonzero(recording.terminals[:-1])
    across = across[some_rows(len(across), seed)]
    after = observations[1:]
    numbers: dict[str, float] = {}
    own = "share of steps whose next observation is their own"
    if following is not None:
        following = following.reshape(len(last), -1)
        numbers[own] = share_alike(some_rows(len(last), seed), observations, following)
        if len(inside):
            missed = 1 - share_alike(inside, following, after)
            numbers["share of steps whose next observation is not the one that follows"] = missed
        if len(across):
            numbers["share of terminations after which the episode goes on"] = share_alike(across, following, after)
    elif len(inside):
        numbers[own] = share_alike(inside, observations, after)
        usual = np.median(apart(inside, observations, after))
        if len(across) and usual > 0:
            change = np.median(apart(across, observations, after)) / usual
            numbers["change across a termination over a usual one"] = float(change)
    return numbers


def _columns(values: np.ndarray, name: str) -> pd.DataFrame:
    """One row per column: where it lies and how far it spreads."""
    return pd.DataFrame(
        [
            {
                name: index,
                "smallest": column.min(),
                "mean": column.mean(dtype=np.float64),
                "largest": column.max(),
                "std": column.std(dtype=np.float64),
            }
            for index, column in enumerate(values.T)
        ]
    )


def observations(dataset: OfflineDataset, seed: int) -> Section:
    """Ranges, and columns that say nothing or the same as another one."""
    table = _columns(dataset.observations, "observation")
    moving = table["smallest"] < table["largest"]
    numbers: dict[str, float] = {"share of observation columns that are constant": 1 - moving.mean()}
    if moving.any():
        spread = table.loc[moving, "std"]
        distance = np.maximum(table["largest"] - table["mean"], table["mean"] - table["smallest"])[moving] / spread
        rows = dataset.observations[some_rows(len(dataset.rewards), seed)][:, moving]
        with np.errstate(invalid="ignore", divide="ignore"):
            alike = np.abs(np.corrcoef(rows.astype(np.float64), rowvar=False)).reshape(len(spread), -1) >= COPY
        numbers |= {
            "observation columns that repeat another": int(np.triu(alike, 1).any(0).sum()),
            "largest distance of an observation from its column's mean, in standard deviations": distance.max(),
            "widest observation column over the narrowest": spread.max() / spread.min(),
        }
    return Section("Observations", numbers, "A column that is a multiple of another one repeats it.", table)


def actions(dataset: OfflineDataset, choices: bool) -> Section:
    """Ranges, and how the actions lie in their bounds; `choices`: one column per choice."""
    values, limit = dataset.actions, dataset.task.action_limit
    if choices:
        table = pd.DataFrame({"choice": range(values.shape[1]), "share": values.mean(0, dtype=np.float64)})
        return Section("Actions", {"choices": values.shape[1]}, "", table)
    table = _columns(values, "action")
    sizes = np.abs(values)
    table["at a bound"] = (sizes >= AT_BOUND * limit).mean(0)
    table["outside"] = (sizes > limit * (1 + SAME)).mean(0)
    numbers: dict[str, float] = {
        "bound": limit,
        "share of action coordinates at a bound": table["at a bound"].mean(),
        "share of actions outside the bounds": (sizes > limit * (1 + SAME)).any(1).mean(),
        "99.9 % of action sizes, over the bound": np.quantile(sizes.max(1), 0.999) / limit,
        "share of action columns that are constant": (table["smallest"] == table["largest"]).mean(),
    }
    if len(values) >= ENOUGH:
        numbers["distinct actions"] = len(values) - int(row_hashes(values).duplicated().sum())
    meaning = f"Bounds are -{limit:g} and {limit:g}; at a bound is from {AT_BOUND:g} of it on."
    return Section("Actions", numbers, meaning, table)


def rewards(dataset: OfflineDataset) -> Section:
    """Their range, how sparse they are, and how large values will be."""
    values = dataset.rewards
    horizon = min(1 / (1 - DISCOUNT), dataset.episode_lengths.max())
    spread = values.std(dtype=np.float64) if values.min() < values.max() else 0.0
    numbers = {
        "smallest reward": values.min(),
        "mean reward": values.mean(dtype=np.float64),
        "largest reward": values.max(),
        "distinct rewards": len(np.unique(values)),
        "share of rewards that are 0": np.mean(values == 0),
        "share of episodes that earn anything but 0": np.mean(np.add.reduceat(values != 0, dataset.episode_starts) > 0),
        "usual size of a value": np.abs(values).mean(dtype=np.float64) * horizon,
        f"standard deviation of rewards{'' if dataset.terminals.any() else ', without any termination'}": spread,
    }
    meaning = f"The usual size of a value: a reward's mean size over {horizon:.0f} steps, the horizon of the discount."
    return Section("Rewards", numbers, meaning)


def repetitions(dataset: OfflineDataset) -> Section:
    """Transitions and whole episodes that are in the data more than once, to the bit."""
    hashes = row_hashes(dataset.observations, dataset.actions, dataset.rewards[:, None], dataset.next_observations)
    # Of an episode: its length and its steps in their order.
    place = np.arange(len(hashes)) - np.repeat(dataset.episode_starts, dataset.episode_lengths)
    ordered = hashes.to_numpy() * (2 * place.astype(np.uint64) + np.uint64(1))
    whole = pd.DataFrame({"steps": np.add.reduceat(ordered, dataset.episode_starts), "length": dataset.episode_lengths})
    numbers = {
        "share of transitions that repeat another": hashes.duplicated().mean(),
        "episodes that repeat another": int(whole.duplicated().sum()),
    }
    return Section("Repetitions", numbers)


def row_hashes(*arrays: np.ndarray) -> pd.Series:
    """(N,) a 64-bit hash of each row: rows are equal where it is, but for a chance of N^2 / 2^65."""
    total = np.zeros(len(arrays[0]), np.uint64)
    for array in arrays:
        for column in array.T:
            # One column at a time, so that nothing of the size of the data is made.
            total = total * np.uint64(1_000_003) + pd.util.hash_array(np.ascontiguousarray(column))
    return pd.Series(total)
