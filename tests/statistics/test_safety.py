from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cqlbench.statistics import t_interval
from cqlbench.statistics.finals import GROUPS
from cqlbench.statistics.safety import safety, tail_mean


@given(
    hnp.arrays(float, st.integers(1, 60), elements=st.floats(-1, 2)),
    st.floats(0.01, 1),
)
def test_the_tail_mean_is_the_conditional_value_at_risk(scores, share):
    found = tail_mean(scores, share)
    assert scores.min() - 1e-9 <= found <= scores.mean() + 1e-9
    if share * len(scores) >= 1:
        # Rockafellar and Uryasev: the largest over t of t - E[(t - score)+] / share, attained at a score.
        best = max(t - np.maximum(t - scores, 0).mean() / share for t in scores)
        assert found == pytest.approx(best, abs=1e-9)
    else:
        assert found == scores.min()


def test_safety_by_hand():
    # Two seeds of twenty episodes: the worst tenth are the two worst of each, or the four worst of all.
    good, bad = np.linspace(0.5, 0.9, 20), np.linspace(0.0, 0.38, 20)
    ended = {0: 0.0, 1: 1.0}
    episodes = pd.DataFrame(
        [("d", "m", seed, score, ended[seed]) for seed, own in ((0, good), (1, bad)) for score in own],
        columns=["dataset", "method", "seed", "score", "terminated"],
    )
    runs = pd.DataFrame([("d", "m", "m", True, seed) for seed in (0, 1)], columns=[*GROUPS, "seed"])
    scores = pd.DataFrame([("d", "m", 5.0)], columns=["dataset", "method", "cql_alpha"])
    row = safety(episodes, runs, scores, pd.DataFrame(columns=["axis", "method"])).iloc[0]
    risks = np.array([good[:2].mean(), bad[:2].mean()])
    assert row["cvar"] == pytest.approx(risks.mean()) and row["score_mean"] == pytest.approx(episodes["score"].mean())
    assert (row["cvar_low"], row["cvar_high"]) == pytest.approx(t_interval(risks))
    assert row["cvar_pooled"] == pytest.approx(bad[:4].mean()) and row["worst"] == 0.0
    assert (row["terminated"], row["terminated_lowest"], row["terminated_highest"]) == (0.5, 0.0, 1.0)
    assert (row["seeds"], row["episodes"], row["cql_alpha"], row["shown"]) == (2, 40, 5.0, True)
