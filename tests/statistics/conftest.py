from __future__ import annotations

import pytest


@pytest.fixture
def few_repetitions(monkeypatch):
    monkeypatch.setattr("cqlbench.statistics.bootstrap.REPETITIONS", 100)
