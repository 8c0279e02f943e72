"""The examination of docs/conformance.md, repeated: what the lab answers to losses it was not written for."""

import held_out
import pytest

from cqlbench.algorithms.configs import CQLConfig
from cqlbench.conformance.lab.verdicts import diagnose

# Per loss what is declared, and what should be said of each term that does not agree: the names, or nothing known.
EXAMINATION = {
    "alder": ({}, {"conservative": ("logsumexp over 3 values",)}),
    "birch": ({}, {"conservative": ("next actions scored at s'",)}),
    "cedar": ({"penalty_temperature": 2.0}, {"conservative": ("densities divided by the temperature",)}),
    "damson": ({}, {"td": ("TD error broadcast to (B, B)",)}),
    "elder": ({}, {"lagrange": ("Lagrange loss with the wrong sign",)}),
    "fir": ({}, {"td": ("each critic its own target",), "conservative": ("uniform density log sqrt(d)",)}),
    "ginkgo": ({}, {"conservative": ("importance weights left out", "critics mixed in the logsumexp")}),
    "hazel": ({}, {"td": ("terminals ignored",), "conservative": ()}),
    "ivy": ({}, {"td": ("halved TD error",), "conservative": ("data term left out",)}),
    "juniper": ({}, {"conservative": ()}),
    "koa": ({}, {"td": ()}),
    "larch": ({}, {"conservative": ()}),
    "maple": ({}, {"conservative": ()}),
    "nutmeg": ({}, {}),
    "oak": ({}, {}),
    "pine": ({"variant": "rho"}, {}),
    "quince": ({"data_term": False}, {}),
    "rowan": ({}, {}),
    "spruce": ({}, {}),
}


@pytest.mark.parametrize("name", EXAMINATION)
def test_a_loss_the_lab_was_not_written_for(name):
    settings, expected = EXAMINATION[name]
    verdicts = diagnose(getattr(held_out, name), CQLConfig(**settings))
    assert {verdict.term: verdict.defects for verdict in verdicts if verdict.outcome != "agrees"} == expected


def test_half_of_a_penalty_is_a_factor():
    penalty = {verdict.term: verdict for verdict in diagnose(held_out.hazel)}["conservative"]
    assert penalty.outcome == "differs by a factor" and "0.5 times" in penalty.sentence
