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


# Two looks with one marker differ by so much in CIELAB, for every kind of sight, and in lightness, for greyscale.
DISTANCE, LIGHTNESS = 15, 8


def test_two_families_of_a_suite_differ_in_colour_or_marker_for_every_sight_and_in_grey():
    """Known families, and so many of a suite's own that the palette is gone through twice."""
    own = [f"method-{number}" for number in range(2 * len(style.OTHERS))]
    looks = style.looks([*own, *style.KNOWN])
    assert len(looks) == len(own) + len(style.KNOWN)
    for one, other in combinations(looks.values(), 2):
        if one.marker == other.marker:
            colours = seen(one.colour), seen(other.colour)
            assert np.linalg.norm(colours[0] - colours[1], axis=1).min() > DISTANCE, (one, other)
            assert abs(colours[0][0, 0] - colours[1][0, 0]) > LIGHTNESS, (one, other)


def test_looks_do_not_depend_on_the_order_and_hardly_on_the_company():
    alone = style.looks(["my-method"])["my-method"]
    assert style.looks(["cql", "my-method", "sac"])["my-method"] == alone
    names = sorted(f"m{number}" for number in range(100))
    wanting = [name for name in names if style.colour(name) == alone.colour][:5]
    together = style.looks(["my-method", *wanting])
    assert together == style.looks([*wanting, "my-method"][::-1])
    assert len({look.colour for look in together.values()}) == len(together) == 6
    # Earlier by name than the others of its colour: it keeps it.
    assert together[wanting[0]].colour == alone.colour != together["my-method"].colour


def test_a_known_family_in_other_letters_looks_the_same_unless_both_are_there():
    assert style.looks(["CQL"])["CQL"] == style.KNOWN["cql"]
    assert style.looks(["CQL", "cql"])["cql"] == style.KNOWN["cql"] != style.looks(["CQL", "cql"])["CQL"]


def test_names_in_print_and_their_order():
    assert style.ordered(["zeta", "bc", "alpha", "cql", "SAC"]) == ["cql", "SAC", "bc", "alpha", "zeta"]
    assert style.label("d3rlpy-cql cql_alpha=10", "d3rlpy-cql") == "d3rlpy CQL, cql_alpha = 10"
