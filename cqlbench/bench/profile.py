"""Where an update's time goes: into matrix products, into other operations, or between operations.

torch's profiler watches some updates. It slows what it watches, small operations most, so its milliseconds are for
comparing parts, not for quoting.
"""

from __future__ import annotations

import time
from collections import defaultdict
from itertools import islice
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from cqlbench.bench.updates import CONTENDERS, TASK, PremadeReplay
from cqlbench.execution import build_algorithm

PRODUCTS, OTHERS, BETWEEN = "matrix products", "other operations", "between operations"
PRODUCT_NAMES = {"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::mv", "mkldnn::_linear_pointwise"}
WARM_UP = 20


class Row(NamedTuple):
    """One line of profile.csv: per update, a part's calls and milliseconds, and its share of the whole.

    `between operations` is Python, autograd's bookkeeping and the profiler's own: it has no calls.
    """

    algorithm: str
    hidden: int
    contender: str
    part: str
    calls: float
    milliseconds: float
    share: float


def profile_updates(algorithm: str, hidden: int, updates: int) -> list[Row]:
    """Three rows for each contender of `algorithm` with two hidden layers of `hidden` units, over so many updates."""
    device = torch.device("cpu")
    rows = []
    for contender in CONTENDERS[algorithm]:
        run = contender.run(hidden)
        method = build_algorithm(run, TASK, device)
        batches = PremadeReplay(run.config, device).batches(0, run.config.batch_size)
        for batch in islice(batches, WARM_UP):
            method.update(batch)
        with profile(activities=[ProfilerActivity.CPU]) as watched:
            began = time.perf_counter()
            for batch in islice(batches, updates):
                method.update(batch)
            whole = 1e3 * (time.perf_counter() - began) / updates
        calls: dict[str, float] = defaultdict(float)
        milliseconds: dict[str, float] = defaultdict(float)
        for event in watched.key_averages():
            # Other events are frames around operations: autograd's nodes, the optimiser's step.
            if event.key.startswith(("aten::", "mkldnn::")):
                part = PRODUCTS if event.key in PRODUCT_NAMES else OTHERS
                calls[part] += event.count / updates
                milliseconds[part] += event.self_cpu_time_total / 1e3 / updates
        milliseconds[BETWEEN] = whole - milliseconds[PRODUCTS] - milliseconds[OTHERS]
        for part in (PRODUCTS, OTHERS, BETWEEN):
            shown = milliseconds[part], milliseconds[part] / whole
            rows.append(Row(algorithm, hidden, contender.name, part, calls[part], *shown))
    return rows
