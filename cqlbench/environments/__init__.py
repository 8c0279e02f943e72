"""Environments of our own, whose optimal behaviour is known in closed form.

Importing this registers them with gymnasium; `gymnasium.make("cqlbench.environments:cqlbench/LQR1-v0")` imports it.
"""

import gymnasium

from cqlbench.environments.linear_quadratic import EPISODE_LIMIT, MAX_DIMENSIONS

for _dimensions in range(1, MAX_DIMENSIONS + 1):
    gymnasium.register(
        f"cqlbench/LQR{_dimensions}-v0",
        "cqlbench.environments.linear_quadratic:LinearQuadraticEnv",
        max_episode_steps=EPISODE_LIMIT,
        kwargs={"dimensions": _dimensions},
    )
