"""Where episodes end, from what a file says of it."""

from __future__ import annotations

import numpy as np

from cqlbench.errors import UserError


def find_ends(
    place: str,
    terminals: np.ndarray,
    marked: np.ndarray | None,
    observations: np.ndarray,
    next_observations: np.ndarray | None,
    episode_limit: int | None,
) -> tuple[np.ndarray, list[str]]:
    """(N,) bool, the last step of each episode, and what is to be said about how it was found.

    `marked` are ends that the file marks for another reason than a termination (timeouts, a change of episode).
    Without them an episode is cut where it has `episode_limit` steps or where the next observation is not the
    observation of the step that follows. Raises UserError where none of the three is known.
    """
    if marked is not None:
        return terminals | marked, []
    if episode_limit is not None:
        ends = terminals.copy()
        begin = 0
        # Each stretch up to a termination, or to the end of the file, is cut into pieces of the limit.
        for last in [*np.flatnonzero(terminals), len(terminals) - 1]:
            ends[begin + episode_limit - 1 : last : episode_limit] = True
            begin = last + 1
        return ends, [f"No timeouts are stored; episodes are cut after {episode_limit:,} steps."]
    if next_observations is not None:
        ends = terminals.copy()
        ends[:-1] |= (next_observations[:-1] != observations[1:]).reshape(len(ends) - 1, -1).any(1)
        return ends, [
            "No timeouts are stored; an episode is cut where the next observation is not the one that follows."
        ]
    raise UserError(
        f"{place}: nothing says where an episode was cut, so its last step would be paired with the next episode's "
        "first. Add timeouts or episode numbers, next_observations, or the episode_limit."
    )
