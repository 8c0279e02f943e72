"""A dataset in words and bars, for the terminal."""

from __future__ import annotations

import numpy as np

from cqlbench.datasets.offline import OfflineDataset
from cqlbench.tasks import score_of

_BARS = " ▁▂▃▄▅▆▇█"
_RETURN_BINS = 12
_BAR_WIDTH = 40
_ACTION_BINS = 20


def describe(dataset: OfflineDataset) -> str:
    """Several lines: size, ends, lengths, histogram of returns, action coverage, references, hash."""
    task, returns, lengths = dataset.task, dataset.episode_returns, dataset.episode_lengths
    simulator = task.env_id or "no simulator"
    lines = [
        f"{dataset.id} ({simulator}): {len(dataset.rewards):,} transitions, {len(lengths):,} episodes",
        f"terminations: {dataset.terminals.sum():.0f}, truncations: {dataset.truncations.sum():.0f}",
        "",
        _summary("episode length", lengths),
        _summary("episode return", returns),
    ]
    counts, edges = np.histogram(returns, _RETURN_BINS)
    for count, low, high in zip(counts, edges, edges[1:], strict=False):
        bar = "█" * int(np.ceil(_BAR_WIDTH * count / counts.max()))
        lines.append(f"  {low:>9.1f} to {high:>9.1f} {count:>6,} {bar}")
    limit = task.action_limit
    lines += [
        "",
        f"actions, {_ACTION_BINS} bins from {-limit:g} to {limit:g}, share of actions in each (full bar: the largest)",
        "  dimension   mean    std  at a limit  bins over 0.1 %",
    ]
    for dimension, values in enumerate(dataset.actions.T):
        share = np.histogram(values, _ACTION_BINS, (-limit, limit))[0] / len(values)
        bars = "".join(_BARS[int(np.ceil(8 * part / share.max()))] for part in share)
        lines.append(
            f"  {dimension:>9} {values.mean():>6.2f} {values.std():>6.2f} {np.mean(np.abs(values) >= limit):>11.1%}"
            f"  {np.sum(share > 0.001):>7} of {_ACTION_BINS}    |{bars}|"
        )
    verdict = {None: "none expected", dataset.content_hash: "as expected"}.get(dataset.expected_hash, "differs")
    references = "references: none, so there are returns and no scores"
    if dataset.reference_random is not None and dataset.reference_expert is not None:
        mean_score = score_of(returns.mean(), dataset.reference_random, dataset.reference_expert)
        references = (
            f"references: random {dataset.reference_random:.2f}, expert {dataset.reference_expert:.2f}; "
            f"the mean episode scores {100 * mean_score:.1f}"
        )
    lines += ["", references]
    if task.d4rl_random is not None:
        lines.append(
            "D4RL's references (another simulator version): "
            f"random {task.d4rl_random:.2f}, expert {task.d4rl_expert:.2f}"
        )
    lines += [
        f"sha256 {dataset.content_hash} ({verdict})",
    ]
    return "\n".join(lines + ([f"warning: {dataset.warning}"] if dataset.warning else []))


def _summary(name: str, values: np.ndarray) -> str:
    low, median, high = np.quantile(values, [0, 0.5, 1])
    return f"{name}: mean {values.mean():.1f}, median {median:.1f}, from {low:.1f} to {high:.1f}"
