"""Every generator is seeded from what it is for, so that no draw depends on another's number of draws."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_for(*identity: str | int) -> int:
    """A 64-bit seed from words and numbers, such as ("batches", "hopper/medium-v0", 3)."""
    digest = hashlib.sha256("\0".join(map(str, identity)).encode()).digest()
    return int.from_bytes(digest[:8], "big")


def generator_for(*identity: str | int) -> np.random.Generator:
    """A NumPy generator seeded by `seed_for`."""
    return np.random.Generator(np.random.PCG64(seed_for(*identity)))
