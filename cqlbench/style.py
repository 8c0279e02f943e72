"""How methods look and are called in print: one name, colour and marker per family, the same in every figure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, NamedTuple


class Look(NamedTuple):
    """A family's name in print, its colour as #rrggbb and its matplotlib marker."""

    name: str
    colour: str
    marker: Any


# Okabe and Ito's colours, which people with any common colour blindness can tell apart. A codebase's twin of a method
# has a neighbouring colour. CQL's dialects run from the darkest blue to the lightest violet: their lightness tells them
# apart where their hue cannot.
KNOWN = {
    "cql": Look("CQL", "#0072B2", "o"),
    "cql@paper": Look("CQL@paper", "#0B1A55", "p"),
    "cql@authors": Look("CQL@authors", "#1F4E4A", "X"),
    "cql@young-geng": Look("CQL@young-geng", "#5E0E94", "P"),
    "cql@corl": Look("CQL@corl", "#5F3DF0", "h"),
    "cql@d3rlpy": Look("CQL@d3rlpy", "#A67CF5", "d"),
    "d3rlpy-cql": Look("d3rlpy CQL", "#56B4E9", "s"),
    "sac": Look("SAC", "#D55E00", "^"),
    "d3rlpy-sac": Look("d3rlpy SAC", "#E69F00", "v"),
    "bc": Look("BC", "#009E73", "D"),
    "d3rlpy-bc": Look("d3rlpy BC", "#CC79A7", "P"),
    "d3rlpy-bear": Look("d3rlpy BEAR", "#692D00", "*"),
}
# For families that a suite names itself. A colour that some sight, or greyscale, takes for another one has another
# marker than that (tests/test_style.py), with its own marker and with the one two further on.
OTHERS: list[tuple[str, Any]] = [
    ("#332288", "h"), ("#882255", "p"), ("#999933", "<"), ("#117733", "d"), ("#AA4499", "X"), ("#661100", ">"),
    ("#6699CC", "*"), ("#888888", (4, 1, 0)),
]  # fmt: skip


def looks(families: Iterable[str]) -> dict[str, Look]:
    """The look of each family of a suite, in the order of every figure; no two of them look alike.

    A known family in other letters, as `CQL` in a table from elsewhere, has the known one's look unless that is there
    too. A family that the suite names itself has the place among OTHERS that its name alone decides, and so looks the
    same in every suite; where another family of this suite, earlier by name, has that place, it takes the next free
    one. More families than OTHERS take its colours again with other markers.
    """
    found: dict[str, Look] = {}
    taken: list[int] = []
    for family in ordered(families):
        known = KNOWN.get(family) or KNOWN.get(family.lower())
        if known and known not in found.values():
            found[family] = known
            continue
        turn, count = len(taken) // len(OTHERS), len(OTHERS)
        wanted = hashlib.sha256(family.encode()).digest()[0]
        places = (turn * count + (wanted + step) % count for step in range(count))
        taken.append(next(place for place in places if place not in taken))
        place = taken[-1] % count
        found[family] = Look(family, OTHERS[place][0], OTHERS[(place + 2 * turn) % count][1])
    return found


def colour(family: str) -> str:
    """The family's colour where it is alone, as #rrggbb."""
    return looks([family])[family].colour


def marker(family: str) -> Any:
    """The family's matplotlib marker where it is alone."""
    return looks([family])[family].marker


def label(method: str, family: str) -> str:
    """A method's name in print: `cql cql_alpha=10` of family `cql` is `CQL, cql_alpha = 10`."""
    settings = method.removeprefix(family).split()
    return ", ".join([looks([family])[family].name, *(setting.replace("=", " = ") for setting in settings)])


def ordered(families: Iterable[str]) -> list[str]:
    """Families in the order every figure shows them: the known ones first, then by name."""
    places = {family: place for place, family in enumerate(KNOWN)}
    return sorted(
        set(families),
        key=lambda family: (places.get(family.lower(), len(places)), family not in KNOWN, family),
    )
