from __future__ import annotations

from itertools import combinations

import matplotlib
import numpy as np

from cqlbench import style
from cqlbench.algorithms.registry import ALGORITHMS

# Machado, Oliveira and Fernandes 2009: what protanopia, deuteranopia and tritanopia leave of linear RGB.
SIGHTS = np.array([
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
])  # fmt: skip
TO_XYZ = np.array([[0.412456, 0.357576, 0.180438], [0.212673, 0.715152, 0.072175], [0.019334, 0.119192, 0.950304]])


def seen(colour):
    """CIELAB of the colour in each of SIGHTS: (4, 3)."""
    linear = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    x, y, z = (np.clip(SIGHTS @ linear, 0, 1) @ TO_XYZ.T / TO_XYZ.sum(1)).T
    x, y, z = (np.where(part > 0.008856, np.cbrt(part), 7.787 * part + 16 / 116) for part in (x, y, z))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def test_known_colours_are_told_apart_with_every_kind_of_sight():
    # 2.3 is a just noticeable difference between patches; thin lines need several times that.
    for one, other in combinations([*style.KNOWN, "white"], 2):
        colours = [style.colour(name) if name in style.KNOWN else name for name in (one, other)]
        distances = np.linalg.norm(seen(colours[0]) - seen(colours[1]), axis=1)
        assert distances.min() > 15, (one, other, distances)


def test_every_method_of_the_registry_has_a_look_of_its_own():
    assert set(style.KNOWN) == set(ALGORITHMS)


def test_looks_do_not_depend_on_the_company():
    looks = {(style.colour(family), style.marker(family)) for family in style.KNOWN}
    assert len(looks) == len(style.KNOWN)
    assert style.colour("my-method") == style.colour("my-method") != style.colour("cql")
    assert style.ordered(["zeta", "bc", "alpha", "cql"]) == ["cql", "bc", "alpha", "zeta"]
    assert style.label("d3rlpy-cql cql_alpha=10", "d3rlpy-cql") == "d3rlpy CQL, cql_alpha = 10"
