"""One thread per process, as in every run: set before anything imports torch."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
