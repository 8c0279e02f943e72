"""Methods of one's own, for what no other method does: one that is slow on every machine, one that fails.

Nothing here imports torch before it is needed: Snakemake reads this file for every job.
"""

from __future__ import annotations

import time

from cqlbench.algorithms.configs import CQLConfig


class Paced:
    """CQL with a rest of 12 ms before each update."""

    Config = CQLConfig

    def __init__(self, *building_blocks):
        from cqlbench.algorithms.cql import CQL

        self.cql = CQL(*building_blocks)
        for name in ("act", "state_dict", "load_state_dict", "training_state", "load_training_state"):
            setattr(self, name, getattr(self.cql, name))

    def update(self, batch):
        time.sleep(0.012)
        return self.cql.update(batch)


class Unlucky:
    """Is never built."""

    def __init__(self, *building_blocks):
        raise RuntimeError("no luck")
