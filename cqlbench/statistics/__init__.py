"""Interval estimates over seeds, from a suite's tables. Nothing here plots.

The only importer of rliable (Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical
Precipice"). Rows of a score matrix are seeds, never episodes: episodes of one run share its policy, and pooling them
would narrow every interval without any more evidence.
"""

from cqlbench.statistics.bootstrap import FINER, REPETITIONS
from cqlbench.statistics.finals import final_scores
from cqlbench.statistics.intervals import CONFIDENCE, t_interval
from cqlbench.statistics.over_datasets import aggregates, improvement, probability_of_improvement
from cqlbench.statistics.safety import TAIL
from cqlbench.statistics.tables import FOLDER, compute_statistics, write_statistics

__all__ = [
    "CONFIDENCE",
    "FINER",
    "FOLDER",
    "REPETITIONS",
    "TAIL",
    "aggregates",
    "compute_statistics",
    "final_scores",
    "improvement",
    "probability_of_improvement",
    "t_interval",
    "write_statistics",
]
