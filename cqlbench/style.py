"""How methods look and are called in print: one colour and marker per family, the same in every figure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

# Okabe and Ito's colours, which people with any common colour blindness can tell apart. A codebase's twin of a method
# has a neighbouring colour. CQL's dialects run from the darkest blue to the lightest violet: their lightness tells them
# apart where their hue cannot.
KNOWN = {
    "cql": ("CQL", "#0072B2", "o"),
    "cql@paper": ("CQL@paper", "#0B1A55", "p"),
    "cql@authors": ("CQL@authors", "#1F4E4A", "X"),
    "cql@young-geng": ("CQL@young-geng", "#5E0E94", "P"),
    "cql@corl": ("CQL@corl", "#5F3DF0", "h"),
    "cql@d3rlpy": ("CQL@d3rlpy", "#A67CF5", "d"),
    "d3rlpy-cql": ("d3rlpy CQL", "#56B4E9", "s"),
    "sac": ("SAC", "#D55E00", "^"),
    "d3rlpy-sac": ("d3rlpy SAC", "#E69F00", "v"),
    "bc": ("BC", "#009E73", "D"),
    "d3rlpy-bc": ("d3rlpy BC", "#CC79A7", "P"),
    "d3rlpy-bear": ("d3rlpy BEAR", "#692D00", "*"),
}
# For families that a suite names itself; which one is decided by the family's name alone, so that it never changes.
OTHERS = [
    ("#332288", "X"), ("#882255", "*"), ("#999933", "p"), ("#117733", "h"), ("#AA4499", "d"), ("#661100", "<"),
    ("#6699CC", ">"), ("#888888", "H"),
]  # fmt: skip


def colour(family: str) -> str:
    """The family's colour, as #rrggbb."""
    return KNOWN[family][1] if family in KNOWN else _other(family)[0]


def marker(family: str) -> str:
    """The family's matplotlib marker."""
    return KNOWN[family][2] if family in KNOWN else _other(family)[1]


def label(method: str, family: str) -> str:
    """A method's name in print: `cql cql_alpha=10` of family `cql` is `CQL, cql_alpha = 10`."""
    name = KNOWN[family][0] if family in KNOWN else family
    settings = method.removeprefix(family).split()
    return ", ".join([name, *(setting.replace("=", " = ") for setting in settings)])


def ordered(families: Iterable[str]) -> list[str]:
    """Families in the order every figure shows them: the known ones first, then by name."""
    known = list(KNOWN)
    return sorted(set(families), key=lambda family: (known.index(family) if family in known else len(known), family))


def _other(family: str) -> tuple[str, str]:
    return OTHERS[hashlib.sha256(family.encode()).digest()[0] % len(OTHERS)]
