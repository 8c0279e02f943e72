"""A profile's parts make the whole, and the products are those that the update makes."""

import pytest
import torch

from cqlbench.bench.profile import BETWEEN, OTHERS, PRODUCTS, profile_updates


@pytest.fixture(scope="module")
def rows():
    with torch.random.fork_rng(devices=[]):  # d3rlpy seeds the global generator
        return profile_updates("bc", 8, updates=4)


def test_the_parts_make_the_whole(rows):
    for contender in ("bc", "bc networks=readable", "d3rlpy-bc"):
        parts = {row.part: row for row in rows if row.contender == contender}
        assert list(parts) == [PRODUCTS, OTHERS, BETWEEN]
        assert sum(row.share for row in parts.values()) == pytest.approx(1)
        assert all(row.milliseconds > 0 for row in parts.values())


def test_every_product_is_counted(rows):
    """Three layers forward, each one's weights back, and down through the upper two."""
    calls = {row.contender: row.calls for row in rows if row.part == PRODUCTS}
    assert calls["bc networks=readable"] == 3 + 3 + 2
