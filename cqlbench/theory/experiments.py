"""Each theorem on many draws of an MDP, a behaviour policy and a dataset: one row per draw, and per dynamics where a
theorem speaks of both.

Every draw is seeded by the experiment's name and its number. `known` dynamics: the backup is the true one and only the
behaviour is estimated, so nothing may fail; `sampled`: all is estimated, and a violation may happen with probability
DELTA.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cqlbench.errors import UserError
from cqlbench.scores import read_table
from cqlbench.seeding import generator_for
from cqlbench.theory import theorems
from cqlbench.theory.bounds import any_value_error, fixed_policy_error, fixed_value_error
from cqlbench.theory.data import Data, draw_data, visits_of
from cqlbench.theory.iterates import (
    divergence,
    entropy_step,
    excess,
    maximising_backup,
    penalised_policy,
    ratio,
    variance_step,
)
from cqlbench.theory.mdps import FAMILIES, FORWARD, JUMP, Array, Mdp, cells, chain, gridworld, one_hot, soft_policy
from cqlbench.theory.theorems import Finding

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]

DELTA = 0.1
DRAWS = 500
DRAWN_FAMILIES = ("garnet", "gridworld", "chain")
# A little above a threshold, so that rounding does not decide whether it is reached.
ABOVE = 1 + 1e-9
# paper_alpha of theorem 3.6, from no conservatism to nothing else.
ALPHAS = np.logspace(-3, 3, 13)


@dataclass
class Draw:
    """One MDP with a dataset, and the generator for whatever else the experiment draws."""

    number: int
    family: str
    mdp: Mdp
    data: Data
    generator: np.random.Generator
    model: Mdp = field(init=False)

    def __post_init__(self) -> None:
        self.model = self.data.model(self.mdp)

    def row(self, **columns: Any) -> Row:
        """What every table says of a draw, then `columns`."""
        counts = self.data.counts
        return {
            "draw": self.number,
            "family": self.family,
            "discount": self.mdp.discount,
            "pairs": int(self.data.support.sum()),
            "transitions": int(counts.sum()),
            "fewest": int(counts[self.data.support].min()),
            **columns,
        }

    def policy(self) -> Array:
        """A policy worth evaluating, on the data's actions: some way from uniform to the best one's softmax."""
        best = self.mdp.evaluate(self.mdp.best_policy(self.data.support))
        temperature = self.mdp.value_limit * 10 ** self.generator.uniform(-1.5, 0)
        return soft_policy(best, self.data.support, temperature)

    def log_uniform(self, low: float, high: float) -> float:
        return float(10 ** self.generator.uniform(low, high))


def draw(experiment: str, number: int, families: Sequence[str] = DRAWN_FAMILIES) -> Draw:
    """The MDP, behaviour and data of one draw; families take turns.

    Coverage is drawn too: 10 to 100,000 visits per state on average, shared out as the behaviour's time is, with at
    least 30 for every state, or in a quarter of the draws at least one. The behaviour is random with some of the best
    policy and 5 % of uniform in it; in a chain it never jumps.
    """
    generator = generator_for("theory", experiment, number)
    family = families[number % len(families)]
    mdp = FAMILIES[family](generator)
    states, actions = mdp.rewards.shape
    open_actions = np.ones((states, actions), bool)
    if family == "chain":
        open_actions[:, JUMP] = False
    best = mdp.best_policy(open_actions)
    share = generator.uniform(0, 0.9)
    random = generator.dirichlet(np.ones(actions), states) * open_actions
    behaviour = share * best + (0.95 - share) * random / random.sum(1, keepdims=True)
    behaviour += 0.05 * open_actions / open_actions.sum(1, keepdims=True)
    visits = visits_of(mdp, behaviour, states * 10 ** generator.uniform(1, 5))
    visits = np.maximum(visits, 1 if generator.random() < 0.25 else 30)
    data = draw_data(mdp, behaviour / behaviour.sum(1, keepdims=True), visits, generator)
    return Draw(number, family, mdp, data, generator)


def theorem_1(here: Draw) -> Iterator[Row]:
    """Equation 1 against Q^pi at every pair of the data, with mu uniform over the data's actions or the policy."""
    policy, seen = here.policy(), here.data.support
    chosen = here.generator.choice(["uniform", "policy"])
    mu = policy if chosen == "policy" else seen / seen.sum(1, keepdims=True)
    drawn_alpha = here.log_uniform(-3, 1)
    truth = here.mdp.evaluate(policy)
    push = ratio(mu, here.data.behaviour)
    sampling_error = np.where(seen, fixed_value_error(here.mdp, here.data, DELTA), 0)

    def row(dynamics: str, model: Mdp, error: Array) -> Row:
        def values(alpha: float) -> Array:
            return model.evaluate(policy, alpha * push)

        def judge(alpha: float) -> Finding:
            return theorems.theorem_1(here.mdp, here.data, policy, mu, values(alpha), alpha, error)

        def as_printed(alpha: float) -> str:
            return theorems.printed_bound_1(here.mdp, here.data, policy, mu, values(alpha), alpha, error).verdict

        threshold = theorems.threshold_1(here.data, mu, error)
        paper_alpha = threshold * ABOVE or drawn_alpha
        naive = values(0)
        return here.row(
            dynamics=dynamics,
            mu=chosen,
            **_judged(judge, paper_alpha, threshold, _smallest((naive - truth)[seen], (naive - values(1))[seen])),
            drawn_alpha=drawn_alpha,
            as_printed=as_printed(drawn_alpha),
            as_printed_at_threshold=as_printed(paper_alpha),
            **_said(here, truth[seen], values(paper_alpha)[seen]),
        )

    yield row("known", here.mdp, np.zeros_like(sampling_error))
    yield row("sampled", here.model, sampling_error)


def theorem_2(here: Draw) -> Iterator[Row]:
    """Equation 2 with mu = pi against V^pi in every state, and how much lower equation 1 lies at the same alpha."""
    policy, behaviour = here.policy(), here.data.behaviour
    drawn_alpha = here.log_uniform(-3, 1)
    truth = here.mdp.state_values(policy)
    push, full_push = excess(policy, behaviour), ratio(policy, behaviour)
    differs = divergence(policy, behaviour)
    sampling_error = fixed_policy_error(here.mdp, here.data, policy, DELTA)

    def row(dynamics: str, model: Mdp, error: Array) -> Row:
        def judge(alpha: float) -> Finding:
            return theorems.theorem_2(here.mdp, here.data, policy, model.evaluate(policy, alpha * push), alpha, error)

        threshold = theorems.threshold_2(here.data, policy, error)
        # Without the factor sqrt(D_CQL + 1), as the printed threshold is.
        printed = theorems.threshold_2(here.data, policy, error / np.sqrt(differs + 1))
        at_printed = Finding(True, judge(printed * ABOVE).miss).verdict if 0 < printed < np.inf else None
        paper_alpha = threshold * ABOVE or drawn_alpha
        naive, pushed = model.state_values(policy), model.state_values(policy, push)
        return here.row(
            dynamics=dynamics,
            least_divergence=float(differs.min()),
            **_judged(judge, paper_alpha, threshold, _smallest(naive - truth, naive - pushed)),
            as_printed=at_printed,
            **_said(here, truth, naive - paper_alpha * (naive - pushed) if paper_alpha < np.inf else None),
            lower_by_equation_1=float((truth - model.state_values(policy, full_push)).mean()),
            lower_by_equation_2=float((truth - pushed).mean()),
        )

    yield row("known", here.mdp, np.zeros_like(sampling_error))
    yield row("sampled", here.model, sampling_error)


def theorem_3(here: Draw) -> Iterator[Row]:
    """CQL with a policy that follows the softmax of Q slowly, at one of its first ten iterations."""
    behaviour, seen = here.data.behaviour, here.data.support
    drawn_alpha = here.log_uniform(-2, 1)
    rate = float(here.generator.choice([0.5, 0.9, 0.99, 1.0]))
    iterations = int(here.generator.integers(1, 11))
    # Over all values at once: the policy was computed from the data.
    sampling_error = np.where(seen, any_value_error(here.mdp, here.data, DELTA, 2 * here.mdp.value_limit), 0)

    def row(dynamics: str, model: Mdp, error_of_pairs: Array) -> Row:
        q, policy, push = np.zeros_like(behaviour), behaviour, np.zeros_like(behaviour)
        for _ in range(iterations):
            maximiser = soft_policy(q, seen)
            policy = (1 - rate) * policy + rate * maximiser
            push = excess(maximiser, behaviour)
            q = model.evaluate(policy, drawn_alpha * push)
        error = (policy * error_of_pairs).sum(1)

        def judge(alpha: float) -> Finding:
            values = model.evaluate(policy, alpha * push)
            return theorems.theorem_3(here.mdp, here.data, maximiser, policy, values, alpha, error)

        threshold = theorems.threshold_3(here.data, maximiser, policy, error)
        paper_alpha = threshold * ABOVE or drawn_alpha
        truth = here.mdp.state_values(policy)
        naive, pushed = model.state_values(policy), model.state_values(policy, push)
        estimate = naive - paper_alpha * (naive - pushed) if paper_alpha < np.inf else None
        printed = theorems.slowness(here.data, maximiser, policy, everywhere=True)
        return here.row(
            dynamics=dynamics,
            iteration=iterations,
            rate=rate,
            distance=float(np.abs(policy - maximiser).sum(1).max() / 2),
            margin=float(theorems.slowness(here.data, maximiser, policy).min()),
            printed_condition=bool(printed.min() >= -theorems.TOLERANCE),
            **_judged(judge, paper_alpha, threshold, _smallest(naive - truth, naive - pushed)),
            **_said(here, truth, estimate),
            highest=None if estimate is None else float((estimate - truth).max()),
        )

    yield row("known", here.mdp, np.zeros_like(sampling_error))
    yield row("sampled", here.model, sampling_error)


def theorem_4(here: Draw) -> Iterator[Row]:
    """The gap between behaviour and softmax(Q) after one more step of CQL, beside the same iterate without penalty."""
    data, behaviour, seen = here.data, here.data.behaviour, here.data.support
    drawn_alpha = here.log_uniform(-2, 1)
    iterations = int(here.generator.integers(0, 20))

    def row(dynamics: str, model: Mdp, errs: bool) -> Row:
        q, true_q = np.zeros_like(behaviour), np.zeros_like(behaviour)
        mu = soft_policy(q, seen)
        for _ in range(iterations):
            q, true_q = model.backup(q, mu) - drawn_alpha * excess(mu, behaviour), here.mdp.backup(true_q, mu)
            mu = soft_policy(q, seen)
        # The threshold knows the true backups only, so that what sampling adds to CQL's is left to chance.
        found, target, true_target = model.backup(q, mu), here.mdp.backup(q, mu), here.mdp.backup(true_q, mu)
        nothing = np.zeros_like(q)
        error = any_value_error(here.mdp, data, DELTA, float(np.ptp((mu * q).sum(1)))) if errs else nothing

        def values(alpha: float) -> Array:
            return found - alpha * excess(mu, behaviour)

        def judge(alpha: float) -> Finding:
            return theorems.theorem_4(data, mu, target, true_target, values(alpha), alpha, error)

        threshold = theorems.threshold_4(data, mu, target, true_target, error)
        # Strictly above, by more than rounding in the state where mu is nearest to the behaviour.
        paper_alpha = threshold + 1e-3 if threshold > 0 else drawn_alpha
        differ = theorems.differing(data, mu)
        gaps = {
            "true_gap": theorems.gap(data, mu, true_target),
            "gap_without": theorems.gap(data, mu, found),
            "gap_with": theorems.gap(data, mu, values(paper_alpha)),
        }
        return here.row(
            dynamics=dynamics,
            iteration=iterations + 1,
            states_without_gap=int((~differ).sum()),
            **_judged(judge, paper_alpha, threshold, theorems.threshold_4(data, mu, found, true_target, nothing)),
            **{name: float(gap[differ].mean()) if differ.any() else None for name, gap in gaps.items()},
        )

    yield row("known", here.mdp, False)
    yield row("sampled", here.model, True)


def theorem_5(here: Draw) -> Iterator[Row]:
    """Equation 2's value against the penalised return, for the best policy, steps away from it, and random ones."""
    behaviour, seen = here.data.behaviour, here.data.support
    paper_alpha = here.log_uniform(-2, 2)
    best = penalised_policy(here.model, behaviour, paper_alpha)
    policies = [best, behaviour, here.model.best_policy(seen)]
    for temperature in (0.3, 1.0, 3.0):
        for _ in range(4):
            random = soft_policy(here.generator.normal(size=seen.shape), seen, temperature)
            policies += [random, 0.99 * best + 0.01 * random]
    values = [here.model.evaluate(policy, paper_alpha * excess(policy, behaviour)) for policy in policies]
    finding = theorems.theorem_5(
        here.model, behaviour, np.array(policies), np.array(values), best=0, paper_alpha=paper_alpha
    )
    naive = policies[2]
    yield here.row(
        dynamics="sampled",
        policies=len(policies),
        paper_alpha=paper_alpha,
        condition=finding.condition,
        holds=finding.holds,
        verdict=finding.verdict,
        estimate=float(here.model.start @ (best * values[0]).sum(1)),
        penalised=theorems.penalised_return(here.model, behaviour, best, paper_alpha),
        # Relative to the largest of the returns.
        apart=finding.miss + theorems.TOLERANCE,
        divergence=float(here.model.visitation(best) @ divergence(best, behaviour)),
        gain=here.mdp.discounted_return(best) - here.mdp.discounted_return(behaviour),
        gain_naive=here.mdp.discounted_return(naive) - here.mdp.discounted_return(behaviour),
    )


def theorem_6(here: Draw) -> Iterator[Row]:
    """The true return of the penalised objective's best policy against the behaviour's, for one alpha and a grid."""
    data, mdp = here.data, here.mdp
    paper_alpha = float(here.generator.choice(ALPHAS))
    policies = [penalised_policy(here.model, data.behaviour, alpha) for alpha in ALPHAS]
    of_behaviour = mdp.discounted_return(data.behaviour)
    losses = np.array([of_behaviour - mdp.discounted_return(policy) for policy in policies])
    zetas = np.array([theorems.zeta(mdp, data, policy, DELTA) for policy in policies])
    chosen = int(np.searchsorted(ALPHAS, paper_alpha))
    printed = theorems.printed_zeta(mdp, data, policies[chosen], DELTA)
    worst = Mdp(mdp.transitions, -mdp.rewards, mdp.discount, mdp.start)
    can_lose = of_behaviour + worst.discounted_return(worst.best_policy(data.support))
    finding = theorems.theorem_6(mdp, data, policies[chosen], zetas[chosen])
    # No loss from here on: the largest alpha of the grid that loses decides.
    losing = np.flatnonzero(losses > 1e-9 * mdp.value_limit)
    safe_from = 0 if not len(losing) else losing[-1] + 1
    promised = np.flatnonzero(zetas <= 0)
    yield here.row(
        dynamics="sampled",
        paper_alpha=paper_alpha,
        zeta=zetas[chosen],
        zeta_printed=printed,
        loss=losses[chosen],
        can_lose=can_lose,
        zeta_share=zetas[chosen] / can_lose,
        condition=finding.condition,
        holds=finding.holds,
        verdict=finding.verdict,
        as_printed=theorems.theorem_6(mdp, data, policies[chosen], printed).verdict,
        vacuous=bool(zetas[chosen] >= can_lose),
        zeta_least=zetas.min(),
        loss_naive=of_behaviour - mdp.discounted_return(here.model.best_policy(data.support)),
        safe_from=float(ALPHAS[safe_from]) if safe_from < len(ALPHAS) else None,
        promised_from=float(ALPHAS[promised[0]]) if len(promised) else None,
        loss_most_conservative=losses[-1],
    )


def unseen_action() -> Iterator[Row]:
    """Gradient descent in a chain whose jump the data never take, from a Q that is too high there.

    One step of a half on every pair's own loss, weighed by the behaviour's share. Q-learning never corrects the jump;
    equations 1 and 2 push it down without end, CQL(H) ever more slowly.
    """
    mdp = chain()
    states, actions = mdp.rewards.shape
    behaviour = np.tile([0.4, 0.6, 0.0], (states, 1))
    data = draw_data(mdp, behaviour, visits_of(mdp, behaviour, 2000), generator_for("theory", "unseen-action"))
    model, shares = data.model(mdp), data.behaviour
    everything = np.ones((states, actions), bool)
    methods: dict[str, Callable[[Array], Array]] = {
        "Q-learning": lambda q: np.zeros_like(q),
        "equation 1": lambda q: everything / actions,
        "equation 2": lambda q: everything / actions - shares,
        "CQL(H)": lambda q: soft_policy(q, everything) - shares,
    }
    truth = mdp.evaluate(mdp.best_policy(everything))
    shown = {round(10**power) for power in np.linspace(0, 4, 25)}
    for method, push in methods.items():
        q = np.where(data.support, 0.0, 2.0)
        for update in range(1, max(shown) + 1):
            greedy = one_hot(q.argmax(1), actions)
            if update in shown:
                yield {
                    "method": method,
                    "paper_alpha": 0.0 if method == "Q-learning" else 0.1,
                    "update": update,
                    "q_jump": q[0, JUMP],
                    "q_forward": q[0, FORWARD],
                    "true_jump": truth[0, JUMP],
                    "true_forward": truth[0, FORWARD],
                    "states_jumping": int((greedy.argmax(1) == JUMP)[:-1].sum()),
                    "predicted": float(mdp.start @ q.max(1)),
                    "true": mdp.discounted_return(greedy),
                    "behaviour": mdp.discounted_return(shares),
                }
            error = q - maximising_backup(model, q, everything)
            q = q - 0.5 * (0.1 * push(q) + shares * error)


def gridworld_values() -> Iterator[Row]:
    """Predicted and true value of each cell of the gridworld under one policy and under each method's own."""
    mdp = gridworld()
    seen_everywhere = np.ones(mdp.rewards.shape, bool)
    best = mdp.best_policy(seen_everywhere)
    behaviour = 0.5 * best + 0.5 / mdp.rewards.shape[1]
    data = draw_data(mdp, behaviour, visits_of(mdp, behaviour, 600), generator_for("theory", "gridworld"))
    model, shares, paper_alpha = data.model(mdp), data.behaviour, 0.05
    policy = soft_policy(mdp.evaluate(best), data.support, 0.05)
    evaluated = {
        "no penalty": model.evaluate(policy),
        "equation 1": model.evaluate(policy, paper_alpha * ratio(policy, shares)),
        "equation 2": model.evaluate(policy, paper_alpha * excess(policy, shares)),
    }
    learnt = {
        "CQL(H), softmax": _iterate(
            lambda q: entropy_step(model.backup(q, soft_policy(q, data.support)), shares, paper_alpha)
        ),
        "Q-learning": _iterate(lambda q: np.where(data.support, maximising_backup(model, q, seen_everywhere), q)),
        "CQL(H)": _iterate(lambda q: entropy_step(maximising_backup(model, q, data.support), shares, paper_alpha)),
        "CQL(rho)": _iterate(
            lambda q: entropy_step(
                maximising_backup(model, q, data.support), shares, paper_alpha, soft_policy(q, data.support)
            )
        ),
        "CQL(var)": _iterate(
            lambda q: variance_step(
                maximising_backup(model, q, data.support),
                shares,
                paper_alpha,
                soft_policy(q, data.support),
                1 / data.visits,
            )
        ),
    }
    for method, q in (evaluated | learnt).items():
        own = policy
        if method in learnt:
            allowed = seen_everywhere if method == "Q-learning" else data.support
            own = one_hot(np.where(allowed, q, -np.inf).argmax(1), q.shape[1])
        if method.endswith("softmax"):
            own = soft_policy(q, data.support)
        true = (own * mdp.evaluate(own)).sum(1)
        predicted = (own * q).sum(1)
        for state, (row, column) in enumerate(cells()):
            yield {
                "method": method,
                "paper_alpha": 0.0 if method in ("no penalty", "Q-learning") else paper_alpha,
                "row": row,
                "column": column,
                "visits": int(data.visits[state]),
                "actions_seen": int(data.support[state].sum()),
                "predicted": predicted[state],
                "true": true[state],
                "difference": predicted[state] - true[state],
                "action": int(own[state].argmax()),
            }


DRAWN: dict[str, Callable[[Draw], Iterator[Row]]] = {
    "theorem-3.1": theorem_1,
    "theorem-3.2": theorem_2,
    "theorem-3.3": theorem_3,
    "theorem-3.4": theorem_4,
    "theorem-3.5": theorem_5,
    "theorem-3.6": theorem_6,
}
SHOWN: dict[str, Callable[[], Iterator[Row]]] = {"unseen-action": unseen_action, "gridworld": gridworld_values}
EXPERIMENTS = (*DRAWN, *SHOWN)


def rows_of(experiment: str, draws: int = DRAWS, families: Sequence[str] = DRAWN_FAMILIES) -> Iterator[Row]:
    """The rows of one of EXPERIMENTS; those in SHOWN are of one dataset, whatever `draws` says.

    Raises UserError for an experiment or a family that there is not.
    """
    _require_known(experiment)
    for family in families:
        if family not in FAMILIES:
            raise UserError(f"no family of MDPs is called {family!r}; the families are {', '.join(FAMILIES)}.")
    if experiment in SHOWN:
        yield from SHOWN[experiment]()
        return
    for number in range(draws):
        yield from DRAWN[experiment](draw(experiment, number, families))


def read_experiment(experiment: str, folder: Path) -> pd.DataFrame:
    """The table of one of EXPERIMENTS in `folder`.

    Raises UserError for an experiment that there is not, and where its table has not been made.
    """
    _require_known(experiment)
    return read_table(folder / f"{experiment}.csv", f"`cqlbench theory run {experiment} --out {folder}`")


def _require_known(experiment: str) -> None:
    if experiment not in EXPERIMENTS:
        raise UserError(f"no experiment is called {experiment!r}; the experiments are {', '.join(EXPERIMENTS)}.")


def _judged(judge: Callable[[float], Finding], paper_alpha: float, threshold: float, smallest: float) -> Row:
    """The columns about alpha: what was used, what was asked, what would have done, and what half of that does."""
    finding = judge(paper_alpha) if paper_alpha < np.inf else Finding(False, float("nan"))
    return {
        "paper_alpha": paper_alpha,
        "threshold": threshold,
        "smallest": smallest,
        "share": smallest / threshold if 0 < threshold < np.inf else None,
        "condition": finding.condition,
        "holds": finding.holds if paper_alpha < np.inf else None,
        "verdict": finding.verdict,
        "holds_below": judge(smallest / 2).holds if 0 < smallest < np.inf else None,
    }


def _smallest(lacking: Array, push: Array) -> float:
    """The smallest alpha >= 0 with lacking <= alpha * push everywhere; infinite where there is none."""
    lacking = np.where(np.abs(lacking) < theorems.TOLERANCE, 0, lacking)
    return max(map(theorems.quotient, lacking, push))


def _said(here: Draw, truth: Array, estimate: Array | None) -> Row:
    """How much too low a bound is on average, in R_max / (1 - gamma), and whether it says nothing at all.

    It says nothing where it is lower, on average, than any value can be. Both are unknown where there is no bound.
    """
    if estimate is None:
        return {"too_low": None, "vacuous": None}
    limit = here.mdp.value_limit
    return {"too_low": float((truth - estimate).mean() / limit), "vacuous": bool(estimate.mean() < -limit)}


def _iterate(step: Callable[[Array], Array]) -> Array:
    """400 iterates from zero, enough for a discount of 0.9 to forget the start."""
    q: Array = np.zeros(gridworld().rewards.shape)
    for _ in range(400):
        q = step(q)
    return q
