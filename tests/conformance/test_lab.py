"""The lab tells right losses from wrong ones and names what is wrong, in losses written as a user would write them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cqlbench.algorithms.configs import CQLConfig
from cqlbench.cli import app
from cqlbench.conformance import oracle, reference
from cqlbench.conformance.lab import example
from cqlbench.conformance.lab.defects import recipe_of
from cqlbench.conformance.lab.hypotheses import hypotheses_of
from cqlbench.conformance.lab.probes import Scorer, probes
from cqlbench.conformance.lab.verdicts import SETTINGS, Verdict, diagnose
from cqlbench.errors import UserError

# A loss written in another manner than ours: two critics by name, actions by source, one line for one thought.
TORCH = """
import math
import torch
import torch.nn.functional as F

def loss(q, batch, sampled_actions, log_densities, alpha{lagrangian}):
    B, A = batch.actions.shape
    N = sampled_actions.shape[1] // 3
    obs, next_obs = batch.observations, batch.next_observations
    act, rew, done = batch.actions, batch.rewards, batch.terminals
    gamma = batch.discount
    target_q = torch.minimum(batch.next_values[0], batch.next_values[1])
    rand, pi, next_pi = sampled_actions.split(N, 1)
    rand_logp, pi_logp, next_logp = log_densities.split(N, 1)
    q1, q2 = q(obs, act)
    y = rew + gamma * (1 - done) * target_q
    td1, td2 = F.mse_loss(q1, y), F.mse_loss(q2, y)
    rand_obs = pi_obs = next_pi_obs = obs
    rand1, rand2 = q(rand_obs, rand)
    pi1, pi2 = q(pi_obs, pi)
    next1, next2 = q(next_pi_obs, next_pi)
    cat1 = torch.cat([rand1 - rand_logp, pi1 - pi_logp, next1 - next_logp], 1)
    cat2 = torch.cat([rand2 - rand_logp, pi2 - pi_logp, next2 - next_logp], 1)
    lse1, lse2 = torch.logsumexp(cat1, 1).mean(), torch.logsumexp(cat2, 1).mean()
    data1, data2 = q1.mean(), q2.mean()
    gap1, gap2 = lse1 - data1, lse2 - data2
    {finish}
    {answer}
"""
FINISH = "pen1, pen2 = alpha * gap1, alpha * gap2"
LAGRANGE = "pen1, pen2 = alpha * (gap1 - threshold), alpha * (gap2 - threshold)\n    dual = -0.5 * (pen1 + pen2)"
ANSWERS = {
    "terms": 'return {"td": td1 + td2, "conservative": pen1 + pen2}',
    "critics": 'return {"td": torch.stack([td1, td2]), "conservative": [pen1, pen2]}',
    "total": "return td1 + td2 + pen1 + pen2",
    "mean": "return (td1 + td2 + pen1 + pen2) / 2",
    "lagrange": 'return {"td": td1 + td2, "conservative": pen1 + pen2, "lagrange": dual}',
}

Edit = tuple[str, str]


def write(*edits: Edit, answer: str = "terms", lagrangian: bool = False) -> Callable:
    source = TORCH.replace("{lagrangian}", ", threshold" if lagrangian else "")
    source = source.replace("{finish}", LAGRANGE if lagrangian else FINISH).replace("{answer}", ANSWERS[answer])
    return edited(source, *edits)


def edited(source: str, *edits: Edit) -> Callable:
    for old, new in edits:
        assert source.count(old) == 1, (old, source.count(old))
        source = source.replace(old, new)
    namespace: dict = {}
    exec(compile(source, "user_loss", "exec"), namespace)
    return namespace["loss"]


def after(line: str, *more: str) -> Edit:
    return line, "\n    ".join([line, *more])


def both(line: str) -> str:
    """The same for both critics: x# stands for x1 and x2."""
    return line.replace("#", "1") + "; " + line.replace("#", "2")


UNPACKED = "gamma = batch.discount"
SPLIT = "rand_logp, pi_logp, next_logp = log_densities.split(N, 1)"
DATA = "data1, data2 = q1.mean(), q2.mean()"
CAT = "cat2 = torch.cat([rand2 - rand_logp, pi2 - pi_logp, next2 - next_logp], 1)"
LSE = "lse1, lse2 = torch.logsumexp(cat1, 1).mean(), torch.logsumexp(cat2, 1).mean()"
TD = "td1, td2 = F.mse_loss(q1, y), F.mse_loss(q2, y)"
GAPS = "gap1, gap2 = lse1 - data1, lse2 - data2"
WEIGHED = "pen1, pen2 = alpha * gap1, alpha * gap2"

TD_DEFECTS: dict[str, list[Edit]] = {
    "shifted observations": [
        after(UNPACKED, "obs = torch.roll(obs, 1, 0)"),
        after(UNPACKED, "act, rew = torch.roll(act, -1, 0), torch.roll(rew, -1, 0)"),
    ],
    "halved TD error": [after(TD, "td1, td2 = td1 / 2, td2 / 2")],
    "TD error broadcast to (B, B)": [(TD, both("td# = ((q#[:, None] - y) ** 2).mean()"))],
    "terminals ignored": [("(1 - done) * target_q", "target_q")],
    "terminals inverted": [("(1 - done) * target_q", "done * target_q")],
    "discount left out": [("gamma * (1 - done)", "(1 - done)")],
    "larger target critic": [("torch.minimum(batch", "torch.maximum(batch")],
    "mean of the target critics": [("(1 - done) * target_q", "(1 - done) * batch.next_values.mean(0)")],
    "each critic its own target": [
        (TD, both("td# = F.mse_loss(q#, rew + gamma * (1 - done) * batch.next_values[# - 1])"))
    ],
    "TD error of one critic only": [after(TD, "td2 = td1"), after(TD, "td2 = 0 * td2")],
    "Huber TD loss": [(TD, both("td# = F.smooth_l1_loss(q#, y)"))],
}
PENALTY_DEFECTS: dict[str, list[Edit]] = {
    "constant random actions": [after(SPLIT, "rand = torch.ones_like(rand)")],
    "next actions scored at s'": [("q(next_pi_obs, next_pi)", "q(next_obs, next_pi)")],
    "all sampled actions scored at s'": [
        ("rand_obs = pi_obs = next_pi_obs = obs", "rand_obs = pi_obs = next_pi_obs = next_obs")
    ],
    "policy actions left out": [(LSE, both("lse# = torch.logsumexp(cat#[:, :N], 1).mean()"))],
    "uniform actions left out": [(LSE, both("lse# = torch.logsumexp(cat#[:, N:], 1).mean()"))],
    "uniform density log sqrt(d)": [after(SPLIT, "rand_logp = 0 * rand_logp + math.log(A**0.5)")],
    "uniform density of one dimension": [after(SPLIT, "rand_logp = torch.full_like(rand_logp, math.log(0.5))")],
    "uniform density with the wrong sign": [after(SPLIT, "rand_logp = -rand_logp")],
    "importance weights left out": [after(CAT, both("cat# = torch.cat([rand#, pi#, next#], 1)"))],
    "policy densities left out": [after(CAT, both("cat# = torch.cat([rand# - rand_logp, pi#, next#], 1)"))],
    "log-densities added": [after(SPLIT, "rand_logp, pi_logp, next_logp = -rand_logp, -pi_logp, -next_logp")],
    "logsumexp over 3 values": [
        (LSE, both("lse# = torch.cat([p.reshape(-1, 1) for p in cat#.split(N, 1)], 1).logsumexp(1).mean()")),
        (LSE, both("lse# = cat#.reshape(B, N, 3).logsumexp(2).mean()")),
    ],
    "critics mixed in the logsumexp": [(LSE, "lse1 = lse2 = torch.logsumexp(torch.cat([cat1, cat2], 1), 1).mean()")],
    "data's action in the unweighted logsumexp": [
        after(CAT, both("cat# = torch.cat([rand#, q#[:, None], next#, pi#], 1)")),
    ],
    "data's action in the logsumexp": [after(CAT, both("cat# = torch.cat([cat#, q#[:, None]], 1)"))],
    "smaller critic pushed down": [
        after(CAT, "cat1 = cat2 = torch.minimum(cat1, cat2)"),
        (LSE, "lse1 = lse2 = torch.minimum(cat1.logsumexp(1), cat2.logsumexp(1)).mean()"),
    ],
    "maximum instead of logsumexp": [(LSE, "lse1, lse2 = cat1.max(1).values.mean(), cat2.amax(1).mean()")],
    "mean instead of logsumexp": [(LSE, "lse1, lse2 = cat1.mean(), cat2.mean()")],
    "logsumexp over the batch": [(LSE, both("lse# = torch.logsumexp(cat#, 0).mean()"))],
    "data term left out": [(GAPS, "gap1, gap2 = lse1, lse2")],
    "data term with the wrong sign": [(GAPS, "gap1, gap2 = lse1 + data1, lse2 + data2")],
    "data term of policy actions": [(DATA, "data1, data2 = pi1.mean(), pi2.mean()")],
    "data term of the first critic only": [(DATA, "data1 = data2 = q1.mean()")],
    "weight left out": [(WEIGHED, "pen1, pen2 = gap1, gap2")],
    "weight on the logsumexp only": [(WEIGHED, both("pen# = alpha * lse# - data#"))],
    "penalty left out": [after(WEIGHED, "pen1 = pen2 = 0"), (GAPS, "gap1, gap2 = data1 - data1, data2 - data2")],
    "penalty with the wrong sign": [(GAPS, "gap1, gap2 = data1 - lse1, data2 - lse2")],
    "penalty on one critic only": [after(WEIGHED, "pen2 = 0 * pen2")],
    "data term detached": [(DATA, "data1, data2 = q1.mean().detach(), q2.mean().detach()")],
    "sampled values detached": [after(CAT, "cat1, cat2 = cat1.detach(), cat2.detach()")],
}
TERM_OF = dict.fromkeys(TD_DEFECTS, "td") | dict.fromkeys(PENALTY_DEFECTS, "conservative")
SINGLES = TD_DEFECTS | PENALTY_DEFECTS
LAGRANGIAN = {
    "Lagrange loss with the wrong sign": ("dual = -0.5 * (pen1 + pen2)", "dual = 0.5 * (pen1 + pen2)"),
    "threshold added": (GAPS, "gap1, gap2 = lse1 - data1 + 2 * threshold, lse2 - data2 + 2 * threshold"),
    "threshold left out": (GAPS, "gap1, gap2 = lse1 - data1 + threshold, lse2 - data2 + threshold"),
}
CASES = [(name, number) for name, spellings in SINGLES.items() for number in range(len(spellings))]


def by_term(critic_loss: Callable, config: CQLConfig | None = None) -> dict[str, Verdict]:
    return {verdict.term: verdict for verdict in diagnose(critic_loss, config)}


def assert_harmless(critic_loss: Callable, config: CQLConfig | None = None) -> dict[str, Verdict]:
    verdicts = by_term(critic_loss, config)
    assert all(verdict.harmless and not verdict.defects for verdict in verdicts.values()), verdicts
    return verdicts


@pytest.mark.parametrize("answer", ["terms", "critics", "total", "mean"])
@pytest.mark.parametrize("name, number", CASES)
def test_every_known_defect_is_named_however_the_loss_is_returned(name, number, answer):
    term = TERM_OF[name]
    found = by_term(write(SINGLES[name][number], answer=answer))
    assert found[term].defects == (name,), found
    assert not found[term].harmless and found[term].sentence.endswith(".")
    for other in {"td", "conservative"} - {term}:
        assert found[other].defects in ((), ("shifted observations",)), found


@pytest.mark.parametrize("name", LAGRANGIAN)
def test_every_lagrange_defect_is_named(name):
    found = by_term(write(LAGRANGIAN[name], answer="lagrange", lagrangian=True))
    assert found["lagrange"].defects == (name,), found
    assert not found["lagrange"].harmless


# Of a harder kind to name: the two edits meet in one term.
PAIRS = [
    ("constant random actions", "importance weights left out"),
    ("constant random actions", "logsumexp over 3 values"),
    ("next actions scored at s'", "weight left out"),
    ("next actions scored at s'", "policy densities left out"),
    ("all sampled actions scored at s'", "data term left out"),
    ("policy actions left out", "uniform density with the wrong sign"),
    ("policy actions left out", "penalty on one critic only"),
    ("uniform density log sqrt(d)", "logsumexp over 3 values"),
    ("uniform density of one dimension", "critics mixed in the logsumexp"),
    ("importance weights left out", "logsumexp over 3 values"),
    ("importance weights left out", "data term left out"),
    ("log-densities added", "penalty with the wrong sign"),
    ("logsumexp over 3 values", "weight on the logsumexp only"),
    ("smaller critic pushed down", "data term with the wrong sign"),
    ("maximum instead of logsumexp", "data term of policy actions"),
    ("mean instead of logsumexp", "weight left out"),
    ("logsumexp over the batch", "data term of the first critic only"),
    ("importance weights left out", "data term detached"),
    ("logsumexp over 3 values", "sampled values detached"),
]


@pytest.mark.parametrize("first, second", PAIRS)
def test_two_defects_of_one_term_are_both_named(first, second):
    found = by_term(write(SINGLES[first][0], SINGLES[second][0]))
    assert found["conservative"].defects == (first, second), found
    assert found["td"].outcome == "agrees"


@pytest.mark.parametrize(
    "first, second", [("halved TD error", "terminals ignored"), ("discount left out", "Huber TD loss")]
)
@pytest.mark.parametrize("third", ["importance weights left out", "logsumexp over 3 values"])
@pytest.mark.parametrize("answer", ["terms", "total"])
def test_defects_of_both_terms_are_named(first, second, third, answer):
    found = by_term(write(*(SINGLES[name][0] for name in (first, second, third)), answer=answer))
    assert set(found["td"].defects) == {first, second}
    assert found["conservative"].defects == (third,)


UNKNOWN: dict[str, tuple[str, Edit]] = {
    "the other critic's target": ("td", (TD, both("td# = F.mse_loss(q#, rew + gamma * batch.next_values[2 - #])"))),
    "an error to the fourth": ("td", (TD, both("td# = (q# - y).pow(4).mean()"))),
    "actions of another state": ("conservative", after(SPLIT, "rand = rand.flip(0)")),
    "log of a sum of squares": ("conservative", (LSE, both("lse# = cat#.pow(2).sum(1).log().mean()"))),
    "half of the actions": ("conservative", (LSE, both("lse# = torch.logsumexp(cat#[:, ::2], 1).mean()"))),
    "a median": ("conservative", (LSE, both("lse# = cat#.median(1).values.mean()"))),
    "a gap that is not negative": ("conservative", (LSE, both("lse# = torch.logsumexp(cat#, 1).maximum(q#).mean()"))),
    "values clipped": ("conservative", after(CAT, both("cat# = cat#.clamp(max=2)"))),
    "densities tempered": ("conservative", (LSE, both("lse# = torch.logsumexp(0.9 * cat#, 1).mean()"))),
}


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("answer", ["terms", "critics", "total", "mean"])
def test_a_defect_never_seen_is_of_unknown_cause(name, answer):
    term, edit = UNKNOWN[name]
    verdict = by_term(write(edit, answer=answer))[term]
    assert (verdict.outcome, verdict.defects, verdict.harmless) == ("differs", (), False), verdict
    assert "cause unknown" in verdict.sentence


def test_a_gradient_of_unknown_cause_is_told_although_the_value_is_right():
    found = by_term(write((TD, "td1, td2 = F.mse_loss(q1, y), F.mse_loss(q2, y).detach()")))["td"]
    assert found.outcome == "differs" and "gradient differs, cause unknown" in found.sentence


# Correct losses in other hands.


def torch_terms(q, batch, sampled_actions, log_densities, alpha, temperature=1.0):
    return example.critic_loss(q, batch, sampled_actions, log_densities, alpha)


def logsumexp_by_hand(q, batch, sampled_actions, log_densities, alpha):
    terms = example.critic_loss(q, batch, sampled_actions, log_densities, alpha)
    exponents = q(batch.observations, sampled_actions) - log_densities
    top = exponents.detach().max(-1, keepdim=True).values
    soft = top.squeeze(-1) + (exponents - top).exp().sum(-1).log()
    return {
        "td": terms["td"].sum(),
        "conservative": alpha * (soft.mean() - q(batch.observations, batch.actions).mean()) * 2,
    }


def state_by_state(q, batch, sampled_actions, log_densities, alpha):
    td = conservative = 0.0
    size = len(batch.rewards)
    for i in range(size):
        states = batch.observations[i : i + 1].repeat(sampled_actions.shape[1], 1)
        value = q(batch.observations[i : i + 1], batch.actions[i : i + 1])[:, 0]
        target = batch.rewards[i] + (0 if batch.terminals[i] else batch.discount * batch.next_values[:, i].min())
        td = td + (value - target) ** 2 / size
        soft = torch.logsumexp(q(states, sampled_actions[i]) - log_densities[i], 1)
        conservative = conservative + alpha * (soft - value) / size
    return {"conservative": conservative, "td": td}


def flattened(q, batch, sampled_actions, log_densities, alpha):
    size, count, acted = sampled_actions.shape
    states = torch.einsum("bo,m->bmo", batch.observations, torch.ones(count, dtype=torch.float64)).reshape(
        size * count, -1
    )
    values = q(states, sampled_actions.reshape(-1, acted)).view(2, size, count)
    terms = example.critic_loss(q, batch, sampled_actions, log_densities, alpha)
    soft = (values - log_densities[None]).logsumexp(-1)
    gap = soft.sum() / size - q(batch.observations, batch.actions).sum() / size
    return terms["td"].sum() + alpha * gap


def other_order(q, batch, sampled_actions, log_densities, alpha):
    order = torch.randperm(sampled_actions.shape[1], generator=torch.Generator().manual_seed(3))
    return example.critic_loss(q, batch, sampled_actions[:, order], log_densities[:, order], alpha)


def log_mean_exp(q, batch, sampled_actions, log_densities, alpha):
    terms = example.critic_loss(q, batch, sampled_actions, log_densities, alpha)
    return terms | {"conservative": terms["conservative"] - alpha * math.log(sampled_actions.shape[1])}


def mean_over_critics(q, batch, sampled_actions, log_densities, alpha):
    terms = example.critic_loss(q, batch, sampled_actions, log_densities, alpha)
    return {name: term.mean() for name, term in terms.items()}


def sum_over_states(q, batch, sampled_actions, log_densities, alpha):
    return sum(
        torch.stack(list(example.critic_loss(q, batch, sampled_actions, log_densities, alpha).values())).sum(0)
    ) * len(batch.rewards)


def halved_as_in_the_paper(q, batch, sampled_actions, log_densities, alpha):
    terms = example.critic_loss(q, batch, sampled_actions, log_densities, alpha / 2)
    return terms | {"td": 0.5 * terms["td"]}


def in_float32(q, batch, sampled_actions, log_densities, alpha):
    small = SimpleNamespace(**{k: v.float() if isinstance(v, torch.Tensor) else v for k, v in vars(batch).items()})
    terms = example.critic_loss(
        lambda s, a: q(s, a).float(), small, sampled_actions.float(), log_densities.float(), alpha
    )
    return {name: term.float() for name, term in terms.items()}


def plain_numbers(q, batch, sampled_actions, log_densities, alpha):
    terms = example.critic_loss(q, batch, sampled_actions, log_densities, alpha)
    return {name: term.tolist() for name, term in terms.items()}


def totals_by_critic(q, batch, sampled_actions, log_densities, alpha):
    terms = example.critic_loss(q, batch, sampled_actions, log_densities, alpha)
    return [terms["td"][c] + terms["conservative"][c] for c in range(2)]


def shifted_by_a_constant_of_the_targets(q, batch, sampled_actions, log_densities, alpha):
    targets = batch.rewards + batch.discount * (1 - batch.terminals) * batch.next_values.amin(0)
    terms = example.critic_loss(q, batch, sampled_actions, log_densities, alpha)
    return terms | {"td": terms["td"] - (targets**2).mean()}


def numpy_terms(q, batch, sampled_actions, log_densities, alpha):
    target = batch.rewards + batch.discount * (1 - batch.terminals) * np.min(batch.next_values, axis=0)
    value = q(batch.observations, batch.actions)
    soft = np.logaddexp.reduce(q(batch.observations, sampled_actions) - log_densities, axis=2)
    return {"td": np.mean((value - target) ** 2, axis=1), "conservative": alpha * np.mean(soft - value, axis=1)}


def numpy_total(*given):
    return sum(np.sum(term) for term in numpy_terms(*given).values())


def numpy_log_mean_exp_of_means(q, batch, sampled_actions, log_densities, alpha):
    terms = numpy_terms(q, batch, sampled_actions, log_densities, alpha)
    value = q(batch.observations, batch.actions)
    weights = np.exp(q(batch.observations, sampled_actions)) / np.exp(log_densities)
    gap = np.log(weights.mean(-1)).mean() - value.mean()
    return {"td": terms["td"].mean(), "conservative": alpha * gap}


def numpy_loops(q, batch, sampled_actions, log_densities, alpha):
    td, conservative = [0.0, 0.0], [0.0, 0.0]
    values, sampled = q(batch.observations, batch.actions), q(batch.observations, sampled_actions)
    for c in range(2):
        for i, reward in enumerate(batch.rewards):
            later = 0.0 if batch.terminals[i] else min(batch.next_values[:, i])
            td[c] += (values[c, i] - reward - batch.discount * later) ** 2
            conservative[c] += math.log(
                sum(math.exp(v - d) for v, d in zip(sampled[c, i], log_densities[i], strict=True))
            )
            conservative[c] -= values[c, i]
    size = len(batch.rewards)
    return {"td": [t / size for t in td], "conservative": [alpha * g / size for g in conservative]}


class AnObject:
    def __call__(self, q, batch, sampled_actions, log_densities, alpha):
        return example.critic_loss(q, batch, sampled_actions, log_densities, alpha)


EXACT = [
    example.critic_loss, logsumexp_by_hand, state_by_state, flattened, other_order, in_float32, plain_numbers,
    totals_by_critic, numpy_terms, numpy_total, numpy_loops, AnObject(),
    *(write(answer=answer) for answer in ("terms", "critics", "total")),
]  # fmt: skip
UP_TO = {
    "differs by a constant": [log_mean_exp, shifted_by_a_constant_of_the_targets],
    "differs by a factor": [
        mean_over_critics, sum_over_states, halved_as_in_the_paper, numpy_log_mean_exp_of_means, write(answer="mean"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("critic_loss", EXACT)
def test_no_alarm_on_a_correct_loss(critic_loss):
    verdicts = assert_harmless(critic_loss)
    assert [verdict.outcome for verdict in verdicts.values()] == ["agrees", "agrees"]
    assert list(verdicts) == ["td", "conservative"]


@pytest.mark.parametrize("outcome, critic_loss", [(o, f) for o, functions in UP_TO.items() for f in functions])
def test_no_alarm_on_a_loss_that_trains_the_same(outcome, critic_loss):
    verdicts = assert_harmless(critic_loss)
    assert outcome in {verdict.outcome for verdict in verdicts.values()}


def test_a_factor_of_one_term_alone_is_an_alarm():
    def critic_loss(*given):
        terms = example.critic_loss(*given)
        return {"td": terms["td"], "conservative": 0.8 * terms["conservative"]}

    verdict = by_term(critic_loss)["conservative"]
    assert (verdict.outcome, verdict.harmless) == ("differs by a factor", False)
    assert "0.8 times" in verdict.sentence


def variant_loss(config: CQLConfig, library: str, held: bool = True) -> Callable:
    """Any variant, by formulas on either library."""

    def critic_loss(q, batch, sampled_actions, log_densities, alpha):
        as_torch = library == "torch"
        xp = torch if as_torch else np
        count = sampled_actions.shape[1] // 3
        order = {"uniform": 0, "policy": 1, "next": 2}
        values, densities = [], []
        for source in config.sources:
            place = slice(order[source] * count, (order[source] + 1) * count)
            elsewhere = source == "next" and config.next_actions == "scored_at_next_s"
            values.append(q(batch.next_observations if elsewhere else batch.observations, sampled_actions[:, place]))
            densities.append(log_densities[:, place])
        scores = torch.cat(values, 2) if as_torch else np.concatenate(values, 2)
        density = torch.cat(densities, 1) if as_torch else np.concatenate(densities, 1)
        if config.variant == "H":
            exponents = scores / config.penalty_temperature - (density if config.importance_weights else 0)
            pushed = config.penalty_temperature * xp.log(xp.exp(exponents).sum(2))
        elif config.variant == "rho":
            fixed = scores.detach() if as_torch and held else scores
            weights = xp.exp(fixed / config.penalty_temperature)
            pushed = (weights * scores).sum(2) / weights.sum(2)
        elif config.variant == "expectation":
            pushed = scores.mean(2)
        else:
            centred = scores - scores.mean(2)[:, :, None]
            pushed = scores.mean(2) + xp.sqrt(config.variance_radius * (centred**2).mean(2))
        value = q(batch.observations, batch.actions)
        gap = pushed.mean(1) - (value.mean(1) if config.data_term else 0)
        smaller = batch.next_values.amin(0) if as_torch else batch.next_values.min(0)
        target = batch.rewards + batch.discount * (1 - batch.terminals) * smaller
        return {"td": ((value - target) ** 2).mean(1), "conservative": alpha * gap}

    return critic_loss


VARIANTS = [
    CQLConfig(**settings)
    for settings in (
        {"next_actions": "unused"},
        {"next_actions": "scored_at_next_s"},
        {"importance_weights": False},
        {"importance_weights": False, "next_actions": "unused", "penalty_temperature": 0.7},
        {"penalty_temperature": 2.0},
        {"data_term": False},
        {"variant": "rho"},
        {"variant": "rho", "penalty_temperature": 3.0, "data_term": False},
        {"variant": "expectation", "sampling_distribution": "uniform"},
        {"variant": "expectation", "sampling_distribution": "policy"},
        {"variant": "expectation", "sampling_distribution": "mixture", "data_term": False},
        {"variant": "variance", "sampling_distribution": "policy", "variance_radius": 0.5},
        {"variant": "variance", "sampling_distribution": "mixture", "variance_radius": 2.0},
    )
]


@pytest.mark.parametrize("library", ["torch", "NumPy"])
@pytest.mark.parametrize("config", VARIANTS, ids=lambda config: str(config.changed()))
def test_no_alarm_on_a_declared_variant(config, library):
    verdicts = assert_harmless(variant_loss(config, library), config)
    assert {(v.outcome, v.asked_in) for v in verdicts.values()} == {("agrees", library)}


@pytest.mark.parametrize(
    "settings, option",
    [
        ({"next_actions": "unused"}, "--next-actions unused"),
        ({"variant": "rho"}, "--variant rho"),
        ({"variant": "rho", "data_term": False}, "--variant rho --no-data-term"),
        (
            {"variant": "expectation", "sampling_distribution": "uniform"},
            "--variant expectation --sampling-distribution uniform",
        ),
        (
            {"variant": "expectation", "sampling_distribution": "policy"},
            "--variant expectation --sampling-distribution policy",
        ),
    ],
)
def test_a_variant_that_was_not_declared_is_named_with_its_option(settings, option):
    verdict = by_term(variant_loss(CQLConfig(**settings), "torch"))["conservative"]
    assert (verdict.outcome, verdict.defects, verdict.harmless) == ("differs", (), False)
    assert verdict.sentence.endswith(f"not with CQL(H); declare {option} if that is meant."), verdict.sentence
    sentence = by_term(example.critic_loss, CQLConfig(**settings))["conservative"].sentence
    assert "agrees with CQL(H), not with" in sentence and sentence.endswith(f"; leave out {option} if that is meant.")


def test_the_page_says_which_settings_count_and_which_are_not_guessed():
    page = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()
    paragraph = page.split("settings of\n[CQL's config]")[1].split("\n\n")[0]
    assert {word for word in paragraph.split("`")[1::2] if word in CQLConfig().settings()} == set(SETTINGS)
    assert "`penalty_temperature` other than 1 and a\n`variance_radius` are not guessed" in page
    for settings in (
        {"penalty_temperature": 2.0},
        {"variant": "variance", "sampling_distribution": "policy", "variance_radius": 0.5},
    ):
        verdict = by_term(variant_loss(CQLConfig(**settings), "torch"))["conservative"]
        assert "cause unknown" in verdict.sentence and verdict.defects == ()


@pytest.mark.parametrize(
    "declared, meant, advice",
    [
        ({"importance_weights": False}, {}, "leave out --no-importance-weights"),
        ({"penalty_temperature": 2.0, "discount": 0.9}, {}, "leave out --penalty-temperature 2.0"),
        ({"next_actions": "scored_at_next_s"}, {"next_actions": "unused"}, "declare --next-actions unused"),
        (
            {"variant": "expectation", "sampling_distribution": "policy"},
            {"variant": "rho"},
            "declare --variant rho and leave out --sampling-distribution policy",
        ),
    ],
)
def test_where_another_variant_was_declared_the_advice_leads_to_the_right_one(declared, meant, advice):
    verdict = by_term(variant_loss(CQLConfig(**meant), "torch"), CQLConfig(**declared))["conservative"]
    assert verdict.sentence.endswith(f"; {advice} if that is meant."), verdict.sentence


def test_the_advice_stands_beside_a_defect_too():
    found = by_term(write((WEIGHED, "pen1, pen2 = gap1, gap2")), CQLConfig(variant="rho"))["conservative"]
    assert found.defects == ("weight left out",)
    assert found.sentence.endswith("(leave out --variant rho if that is meant).")


@pytest.mark.parametrize("settings", [{}, {"importance_weights": False}, {"variant": "rho"}], ids=str)
def test_the_codebases_unweighted_form_is_told_whose_it_is(settings):
    edit = SINGLES["data's action in the unweighted logsumexp"][0]
    found = by_term(write(edit), CQLConfig(**settings))["conservative"]
    assert found.defects == ("data's action in the unweighted logsumexp",)
    assert "the authors' min_q_version=2" in found.sentence


# Declared variants under which some known defects are 0, or do not move with Q, on every probe.
@pytest.mark.parametrize(
    "settings", [{}, {"variant": "expectation", "sampling_distribution": "policy"}, {"data_term": False}], ids=str
)
def test_a_penalty_of_nothing_is_called_so_under_every_variant(settings):
    def only_td(*given):
        return example.critic_loss(*given)["td"]

    def nothing(*given):
        return {"td": only_td(*given), "conservative": 0}

    def all_nothing(*given):
        return {"td": 0, "conservative": 0}

    def of_the_threshold_only(*given, threshold):
        return {"td": only_td(*given), "conservative": -given[4] * threshold}

    for critic_loss in (only_td, nothing, all_nothing, of_the_threshold_only):
        found = by_term(critic_loss, CQLConfig(**settings))
        assert found["conservative"].defects == ("penalty left out",), (critic_loss, found)
        assert not found["conservative"].harmless
        assert found["td"].outcome == ("differs" if critic_loss is all_nothing else "agrees")


@pytest.mark.parametrize("settings", [{}, {"variant": "expectation", "sampling_distribution": "policy"}], ids=str)
def test_a_total_that_lost_its_digits_is_explained_by_nothing(settings):
    def truncated(*given):
        return int(sum(term.sum() for term in variant_loss(CQLConfig(**settings), "torch")(*given).values()))

    for verdict in by_term(truncated, CQLConfig(**settings)).values():
        assert (verdict.outcome, verdict.defects, verdict.harmless) == ("differs", (), False)


@pytest.mark.parametrize(
    "settings, name",
    [
        ({"data_term": False}, "data term left out"),
        ({"importance_weights": False}, "importance weights left out"),
        ({"next_actions": "scored_at_next_s"}, "next actions scored at s'"),
    ],
)
def test_a_defect_that_is_a_variant_elsewhere_comes_with_its_option(settings, name):
    verdict = by_term(variant_loss(CQLConfig(**settings), "torch"))["conservative"]
    assert verdict.defects == (name,)
    option = next(iter(settings)).replace("_", "-")
    assert option in verdict.sentence


@pytest.mark.parametrize("config", [CQLConfig(), *VARIANTS], ids=lambda config: str(config.changed()))
def test_what_the_lab_holds_for_right_is_the_oracles_whole_loss(config):
    order = {"uniform": 0, "policy": 1, "next": 2}
    for probe in probes():
        for problem in probe.problems:
            count = problem.num_action_samples
            states = {name: getattr(problem, name) for name in ("observations", "next_observations")}
            scored, densities = [], []
            for source in config.sources:
                place = slice(order[source] * count, (order[source] + 1) * count)
                elsewhere = source == "next" and config.next_actions == "scored_at_next_s"
                state = states["next_observations" if elsewhere else "observations"]
                scored.append(reference.pairs(state, problem.sampled_actions[:, place]))
                densities.append(problem.log_densities[:, place])
            density = np.concatenate(densities, 1) if config.importance_weights else None
            push_down = {
                "H": lambda values, density=density: oracle.soft_maximum(values, density, config.penalty_temperature),
                "rho": lambda values: oracle.softmax_average(values, config.penalty_temperature),
                "expectation": oracle.plain_average,
                "variance": lambda values: oracle.robust_average(values, config.variance_radius or 0.0),
            }[config.variant]
            targets, _ = oracle.td_target(
                problem.rewards, problem.terminals, problem.next_values.min(0), problem.discount
            )
            expected, _ = oracle.critic_loss(
                problem.critics,
                reference.pairs(problem.observations, problem.actions),
                targets,
                np.concatenate(scored, 1),
                push_down,
                problem.alpha,
                config.data_term,
            )
            q, recipe = Scorer([problem]), recipe_of(config)
            ours = recipe.td(problem, q) + recipe.conservative(problem, q, q, q)
            assert ours.sum() == pytest.approx(expected, rel=1e-12)


def test_softmax_weights_that_are_differentiated_are_named():
    config = CQLConfig(variant="rho")
    assert by_term(variant_loss(config, "torch", held=False), config)["conservative"].defects == (
        "softmax weights not detached",
    )


DUALS = [
    "dual = -0.5 * (pen1 + pen2)",
    "dual = -(pen1 + pen2)",
    "dual = -torch.stack([pen1, pen2])",
    "dual = -0.5 * math.log(alpha) * ((pen1 + pen2) / alpha).detach()",
]


@pytest.mark.parametrize("finish", DUALS)
def test_no_alarm_on_a_lagrangian_loss(finish):
    verdicts = assert_harmless(write(("dual = -0.5 * (pen1 + pen2)", finish), answer="lagrange", lagrangian=True))
    assert list(verdicts) == ["td", "conservative", "lagrange"]


NUMPY = """
import numpy as np

def loss(q, batch, sampled_actions, log_densities, alpha):
    size, count = log_densities.shape
    data = q(batch.observations, batch.actions)
    target = batch.rewards + batch.discount * (1.0 - batch.terminals) * batch.next_values.min(axis=0)
    error = data - target
    scores = q(batch.observations, sampled_actions)
    densities = np.exp(log_densities)
    soft = np.log(np.einsum("cbm,bm->cb", np.exp(scores), 1.0 / densities))
    return {"td": np.square(error).mean(axis=1), "conservative": alpha * (soft - data).mean(axis=1)}
"""
NUMPY_DEFECTS = {
    ("TD error broadcast to (B, B)",): [
        ("data - target", "data[:, :, None] - target"),
        ("mean(axis=1), ", "mean(axis=(1, 2)), "),
    ],
    ("terminals ignored",): [(" * (1.0 - batch.terminals)", "")],
    ("larger target critic", "discount left out"): [("next_values.min", "next_values.max"), ("batch.discount * ", "")],
    ("shifted observations",): [("error = data", "error = q(np.roll(batch.observations, 1, axis=0), batch.actions)")],
    ("importance weights left out",): [("1.0 / densities", "np.ones_like(densities)")],
    ("log-densities added",): [("1.0 / densities", "densities")],
    ("maximum instead of logsumexp", "weight left out"): [
        ("soft = ", "soft = scores.max(axis=2)  # "),
        ("alpha * ", ""),
    ],
    ("all sampled actions scored at s'",): [("q(batch.observations, sampled", "q(batch.next_observations, sampled")],
    ("constant random actions", "data term left out"): [
        ("scores = ", "sampled_actions[:, : count // 3] = 1.0\n    scores = "),
        ("(soft - data)", "soft"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("names", NUMPY_DEFECTS)
def test_known_defects_of_a_numpy_loss_are_named(names):
    found = by_term(edited(NUMPY, *NUMPY_DEFECTS[names]))
    assert {name for verdict in found.values() for name in verdict.defects} == set(names), found
    assert {verdict.asked_in for verdict in found.values()} == {"NumPy"}


def test_no_alarm_on_the_numpy_loss_without_a_defect():
    assert_harmless(edited(NUMPY))


def test_a_numpy_loss_is_told_over_how_many_values_its_logsumexp_runs():
    def critic_loss(q, batch, sampled_actions, log_densities, alpha):
        by_source = np.stack(np.split(q(batch.observations, sampled_actions) - log_densities, 3, axis=2))
        value = q(batch.observations, batch.actions)
        soft = np.log(np.exp(by_source).sum(axis=0)).mean(axis=(1, 2))
        terms = numpy_terms(q, batch, sampled_actions, log_densities, alpha)
        return {"td": 0.5 * terms["td"], "conservative": alpha * (soft - value.mean(axis=1))}

    found = by_term(critic_loss)
    assert found["td"].defects == ("halved TD error",)
    assert found["conservative"].defects == ("logsumexp over 3 values",)
    assert "3 values, not over all 30" in found["conservative"].sentence
    assert {verdict.asked_in for verdict in found.values()} == {"NumPy"}


@pytest.mark.parametrize("term", ["td", "conservative", "lagrange"])
def test_no_two_known_defects_give_the_same_numbers(term):
    """Far beyond the looser tolerance, on some probe; else one would be called by the other's name."""
    seen: dict[str, list[np.ndarray]] = {}
    for hypothesis in hypotheses_of(CQLConfig(), True).singles(term):
        numbers = np.concatenate([hypothesis.predict(term, probe, True).ravel() for probe in probes()])
        name = hypothesis.defects[0].name if hypothesis.defects else "right"
        for other, all_theirs in seen.items():
            for theirs in all_theirs if other != name else []:
                assert np.max(np.abs(numbers - theirs) / np.maximum(np.abs(theirs), 1)) > 1e-2, (name, other)
        seen.setdefault(name, []).append(numbers)
    assert len(seen) > 5


def draws(q, batch, sampled_actions, log_densities, alpha):
    return example.critic_loss(q, batch, torch.rand_like(sampled_actions), log_densities, alpha)


def not_reduced(q, batch, sampled_actions, log_densities, alpha):
    return {"td": q(batch.observations, batch.actions), "conservative": 0.0}


def not_a_number(q, batch, sampled_actions, log_densities, alpha):
    return {"td": torch.tensor(math.nan), "conservative": 0.0}


def misnamed(q, batch, sampled_actions, log_densities, alpha):
    return {"td_loss": 0.0, "conservative": 0.0}


def raises(q, batch, sampled_actions, log_densities, alpha):
    return batch.reward


def exits(q, batch, sampled_actions, log_densities, alpha):
    sys.exit()


def other_arguments(q, batch):
    return 0.0


def nothing(q, batch, sampled_actions, log_densities, alpha):
    q(batch.observations, sampled_actions)


@pytest.mark.parametrize(
    "critic_loss, said",
    [
        (draws, "use the sampled actions"),
        (not_reduced, "has shape (2, 6)"),
        (not_a_number, "its td is nan"),
        (misnamed, "no 'td', only td_loss, conservative"),
        (raises, "no attribute 'reward' (line"),
        (exits, "it raised SystemExit (line"),
        (other_arguments, "takes 2 positional arguments but 5 were given"),
        (nothing, "its total is a NoneType"),
    ],
)
def test_a_loss_that_cannot_be_judged_is_told_why(critic_loss, said):
    with pytest.raises(UserError) as caught:
        diagnose(critic_loss)
    assert said in str(caught.value) and critic_loss.__name__ in str(caught.value)


# The command.


def run(*words: str):
    return CliRunner().invoke(app, ["conformance", *words])


@pytest.fixture
def good(tmp_path):
    file = tmp_path / "my_loss.py"
    file.write_text(run("--example").output)
    return file


def test_the_example_is_short_and_right(good):
    assert len(good.read_text().split("def ")[1].splitlines()) <= 15
    outcome = run(f"{good}:critic_loss")
    assert outcome.exit_code == 0
    assert outcome.output.count("agree") == 4


def test_the_command_names_a_defect_and_fails(good):
    good.write_text(good.read_text().replace(" - log_densities", ""))
    outcome = run(f"{good}:critic_loss")
    assert outcome.exit_code == 1
    assert "differs: importance weights left out" in outcome.output
    assert run(f"{good}:critic_loss", "--no-importance-weights").exit_code == 0
    assert run("--next-actions", "scored_at_s", "--no-importance-weights", f"{good}:critic_loss").exit_code == 0
    assert run(f"{good}:critic_loss", "--variant", "rho").exit_code == 1


def test_the_page_shows_what_the_command_says(good, monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "conformance.md"
    shown = page.read_text().split("```console\n$ cqlbench ")[1].split("```")[0]
    command, _, output = shown.partition("\n")
    text = good.read_text()
    over_three = "((sampled_values - log_densities).unflatten(2, (3, -1)), 2).mean(2)"
    good.write_text(text.replace("(sampled_values - log_densities, 2)", over_three))
    assert good.read_text() != text
    monkeypatch.chdir(good.parent)
    outcome = run(*command.split()[1:])
    assert (outcome.exit_code, outcome.output) == (1, output)


def test_a_setting_that_is_not_asked_is_told_so(good):
    outcome = run(f"{good}:critic_loss", "--lagrange-threshold", "10", "--discount", "0.9")
    assert outcome.exit_code == 0
    assert "lagrange_threshold, discount: not part of what a critic's loss is asked" in outcome.output
    assert "a threshold is tested by taking a sixth argument, `threshold`" in outcome.output
    assert "sixth" not in run(f"{good}:critic_loss", "--discount", "0.9").output


def test_the_file_may_import_its_neighbours(good):
    (good.parent / "neighbour_of_my_loss.py").write_text(good.read_text())
    good.write_text("from neighbour_of_my_loss import critic_loss")
    assert run(f"{good}:critic_loss").exit_code == 0


@pytest.mark.parametrize(
    "words, said",
    [
        (["none.py:critic_loss"], "the file 'none.py' does not exist"),
        (["critic_loss"], "my_file.py:my_critic_loss"),
        (["{file}:other"], "has no function 'other'; it has critic_loss"),
        (["{broken}:critic_loss"], "cannot import"),
        (["{exits}:critic_loss"], "SystemExit: 0"),
        (["{file}"], "names no function; give it as my_file.py:my_critic_loss"),
        (["--variant", "rho"], "--variant goes with a function, which is missing"),
        (["--variant", "rho", "{file}"], "my_loss.py' names no function"),
        (["--all", "--variant", "rho"], "--variant goes with a function, not with --all"),
        (["--example", "--variant=rho"], "--variant goes with a function, not with --all or --example"),
        (["{file}:critic_loss", "rho"], "'rho' stands where an option was expected"),
        (["{file}:critic_loss", "--variant", "R"], "variant: 'R' is not allowed"),
        (["{file}:critic_loss", "--spread", "3"], "no such setting"),
        (["{file}:critic_loss", "--all"], "one of the three"),
        ([], "one of the three"),
        (["--all", "--no-data-term"], "--no-data-term goes with a function"),
        (["{file}:critic_loss", "--out", "page.md"], "--out goes with --all"),
    ],
)
def test_the_commands_mistakes(good, tmp_path, words, said):
    files = {"broken": "import nothing_of_this_name", "exits": "raise SystemExit(0)"}
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    outcome = run(*(word.format(file=good, **{name: tmp_path / f"{name}.py" for name in files}) for word in words))
    assert isinstance(outcome.exception, UserError) and said in str(outcome.exception), outcome
