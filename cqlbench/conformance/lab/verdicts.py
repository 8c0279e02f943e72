"""Is this loss really CQL? Asks it, compares its answers with every hypothesis, and says what it found, by term."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cqlbench.algorithms.configs import CQLConfig
from cqlbench.conformance.lab.asking import TOTAL, UNWEIGHTED, Answers, ask_all
from cqlbench.conformance.lab.defects import PENALTY_LEFT_OUT, Defect
from cqlbench.conformance.lab.hypotheses import Hypotheses, Match, Numbers, hypotheses_of, shaped
from cqlbench.conformance.lab.probes import probes
from cqlbench.conformance.lab.problem import CriticLoss
from cqlbench.conformance.oracle import Array
from cqlbench.errors import UserError

# Relative: for float64 all the way, and for a loss that goes through float32 somewhere.
TOLERANCES = (1e-6, 1e-4)
# Gradients are compared along random directions, by finite differences, which cost digits.
SLOPE_LOOSENESS = 10.0

AGREES, CONSTANT, FACTOR, DIFFERS = "agrees", "differs by a constant", "differs by a factor", "differs"

# What an unexplained term costs: more than any explanation.
UNEXPLAINED = 100.0
# What a factor that both terms share costs: more than a defect that explains all, such as a halved TD error; less where
# a term is not explained at all or is 0, as then the whole loss is likelier to be a mean over the critics.
SHARED_FACTOR = 1.1
SHARED_FACTOR_OF_ONE_TERM = 0.9

# The settings of CQLConfig that change the loss of a given problem.
SETTINGS = (
    "variant",
    "sampling_distribution",
    "variance_radius",
    "data_term",
    "next_actions",
    "importance_weights",
    "penalty_temperature",
)


@dataclass(frozen=True)
class Verdict:
    """What the lab says of one term.

    `harmless` is True where training is the same: the term agrees, or differs by what no optimiser of the loss sees.
    """

    term: str
    outcome: str
    defects: tuple[str, ...]
    sentence: str
    harmless: bool
    asked_in: str


def diagnose(critic_loss: CriticLoss, config: CQLConfig | None = None) -> list[Verdict]:
    """One verdict per term of a critic's loss (its signature: problem.py), td and conservative first.

    `config` declares the variant that is meant; CQL(H) by default. Raises UserError where the function fails, is not
    deterministic, or does not return a loss.
    """
    config = config or CQLConfig()
    answers = ask_all(critic_loss)
    hypotheses = hypotheses_of(config, answers.lagrangian)
    reading = min(_readings(answers, hypotheses), key=lambda reading: reading.cost)
    return [_verdict(reading, term, answers.library, hypotheses, config) for term in reading.numbers]


def describe(config: CQLConfig) -> str:
    """A variant in words: CQL(H), CQL(H) with importance_weights: false."""
    changed = {key: value for key, value in config.changed().items() if key in SETTINGS and key != "variant"}
    settings = ", ".join(f"{key}: {str(value).lower()}" for key, value in changed.items())
    return f"CQL({config.variant})" + (f" with {settings}" if settings else "")


def _advice(declared: CQLConfig, found: CQLConfig) -> str:
    """What to change in the options that declared one variant so that they declare another."""
    new, old = ({k: v for k, v in config.changed().items() if k in SETTINGS} for config in (found, declared))
    added = [_option(key, value) for key, value in new.items() if old.get(key) != value]
    left_out = [_option(key, value) for key, value in old.items() if key not in new]
    told = [f"{verb} {' '.join(options)}" for verb, options in (("declare", added), ("leave out", left_out)) if options]
    return f"{' and '.join(told)} if that is meant"


def _option(key: str, value: object) -> str:
    option = key.replace("_", "-")
    return f"--{'' if value else 'no-'}{option}" if isinstance(value, bool) else f"--{option} {value}"


def load_function(path: str) -> CriticLoss:
    """The function named by `file.py:function` or `module:function`. Raises UserError where it is not there."""
    place, _, name = path.rpartition(":")
    if not place:
        raise UserError(f"{path!r} names no function; give it as my_file.py:my_critic_loss.")
    if place.endswith(".py") and not Path(place).is_file():
        raise UserError(f"the file {place!r} does not exist.")
    try:
        if place.endswith(".py"):
            sys.path.insert(0, str(Path(place).resolve().parent))  # as when python runs the file: its neighbours
            spec = importlib.util.spec_from_file_location(f"cqlbench_lab_{Path(place).stem}", place)
            assert spec and spec.loader, place
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # dataclasses look their module up by name
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
    except (Exception, SystemExit) as error:  # a user's file may raise anything while it is imported, or end all
        raise UserError(f"cannot import {place!r} ({type(error).__name__}: {error}).") from error
    function = getattr(module, name, None)
    if not callable(function):
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        raise UserError(f"{place} has no function {name!r}; it has {', '.join(own) or 'none'}.")
    return function


@dataclass(frozen=True)
class _Reading:
    """One way to read the answers: split into terms, over a factor that both share, each explained or not."""

    numbers: dict[str, Numbers]
    slopes: dict[str, list[Array]]
    shared: list[float]
    matches: dict[str, Match | None]
    tolerance: float

    @property
    def is_scaled(self) -> bool:
        return any(factor != 1.0 for factor in self.shared)

    @property
    def cost(self) -> float:
        """How much it assumes. Digits that are missing count little, as long as they explain something."""
        matches = self.matches.values()
        explained = sum(UNEXPLAINED if match is None else match.cost for match in matches)
        both = all(match is not None and PENALTY_LEFT_OUT not in match.hypothesis.defects for match in matches)
        shared = SHARED_FACTOR if both else SHARED_FACTOR_OF_ONE_TERM
        return explained + shared * self.is_scaled + 0.01 * (self.tolerance != TOLERANCES[0])


def _readings(answers: Answers, hypotheses: Hypotheses) -> Iterator[_Reading]:
    """As they stand first; then as a whole loss split otherwise, then over a shared factor; all that are needed."""
    ones = [1.0] * len(probes())
    for tolerance in TOLERANCES:
        reading = _read(*_split(answers), ones, hypotheses, answers, tolerance)
        yield reading
        if reading.cost < SHARED_FACTOR:
            return
        explained = all(reading.matches.values())
        factors = _shared_factors(reading.numbers, hypotheses, _scales(answers), tolerance)
        for shared in factors:
            scaled = _read(*_split(answers), shared, hypotheses, answers, tolerance)
            if all(scaled.matches.values()) or (answers.whole and any(scaled.matches.values())):
                explained |= all(scaled.matches.values())
                yield scaled
        if answers.whole and not explained:
            for shared in (ones, *factors):
                splits = list(_split_by_hypothesis(answers, shared, hypotheses, tolerance))
                yield from splits
                explained |= bool(splits)
                if any(split.cost < SHARED_FACTOR for split in splits):
                    return
        if explained:
            return


def _split(answers: Answers) -> tuple[dict[str, Numbers], dict[str, list[Array]]]:
    """Numbers and slopes by term. A whole loss at alpha = 0 is its TD term, and the rest is its penalty."""
    if not answers.whole:
        return answers.numbers, answers.slopes

    def parts(given: dict[str, list[Array]]) -> dict[str, list[Array]]:
        rest = [total - td for total, td in zip(given[TOTAL], given[UNWEIGHTED], strict=True)]
        return {"td": given[UNWEIGHTED], "conservative": rest}

    return parts(answers.numbers), parts(answers.slopes) if answers.slopes else {}


def _split_by_hypothesis(
    answers: Answers, shared: list[float], hypotheses: Hypotheses, tolerance: float
) -> Iterator[_Reading]:
    """A whole loss whose penalty does not vanish at alpha = 0: its TD term is guessed, and the rest is its penalty."""
    totals = answers.numbers[TOTAL]
    ones = (1.0,) * len(totals)
    nothing = (0.0,) * len(totals)
    for guess in hypotheses.singles("td"):
        td = [
            factor * shaped("td", guess.predict("td", probe, answers.lagrangian)[None], total.shape[1])[0]
            for probe, total, factor in zip(probes(), totals, shared, strict=True)
        ]
        rest = [total - part for total, part in zip(totals, td, strict=True)]
        unscaled = [part / factor for part, factor in zip(rest, shared, strict=True)]
        match = hypotheses.match("conservative", unscaled, _over(_scales(answers), shared), tolerance)
        if match is None:
            continue
        slopes = {}
        if answers.slopes:
            total_slopes = answers.slopes[TOTAL]
            td_slopes = [f * guess.slopes("td", probe) for f, probe in zip(shared, probes(), strict=True)]
            slopes["conservative"] = [total - part for total, part in zip(total_slopes, td_slopes, strict=True)]
        matches: dict[str, Match | None] = {"td": Match(guess, ones, nothing, guess.cost), "conservative": match}
        yield _Reading({"td": td, "conservative": rest}, slopes, shared, matches, tolerance)


def _read(
    numbers: dict[str, Numbers],
    slopes: dict[str, list[Array]],
    shared: list[float],
    hypotheses: Hypotheses,
    answers: Answers,
    tolerance: float,
) -> _Reading:
    matches: dict[str, Match | None] = {}
    for term, values in numbers.items():
        if term == "lagrange":
            matches[term] = _match_lagrange(values, hypotheses, tolerance)
        else:
            unscaled = [value / factor for value, factor in zip(values, shared, strict=True)]
            matches[term] = hypotheses.match(term, unscaled, _over(_scales(answers), shared), tolerance)
    return _Reading(numbers, slopes, shared, matches, tolerance)


def _match_lagrange(values: Numbers, hypotheses: Hypotheses, tolerance: float) -> Match | None:
    """The multiplier's loss, which some write with the multiplier and some with its logarithm."""
    alphas = [probe.problem.alpha for probe in probes()]
    forms = [values, [value * alpha / np.log(alpha) for value, alpha in zip(values, alphas, strict=True)]]
    matches = [hypotheses.match("lagrange", form, _sizes(form), tolerance) for form in forms]
    return min(filter(None, matches), key=lambda match: match.cost, default=None)


def _shared_factors(
    numbers: dict[str, Numbers], hypotheses: Hypotheses, scales: list[float], tolerance: float
) -> list[list[float]]:
    """Factors that both terms may share: a mean over critics, a sum over states, what either term shows alone."""
    sizes = [len(probe.problem.rewards) for probe in probes()]
    factors = [[0.5] * len(sizes), [float(size) for size in sizes], [size / 2 for size in sizes]]
    for term in ("td", "conservative"):
        match = hypotheses.match_right(term, numbers[term], scales, tolerance)
        if match is not None and match.has_factor and list(match.factors) not in factors:
            factors.append(list(match.factors))
    return factors


def _sizes(numbers: Numbers) -> list[float]:
    return [float(np.abs(values).max()) for values in numbers]


def _scales(answers: Answers) -> list[float]:
    """The largest number of each probe, to which a difference is relative: a split term carries its total's digits."""
    return [max(sizes) for sizes in zip(*(_sizes(values) for values in answers.numbers.values()), strict=True)]


def _over(scales: list[float], shared: list[float]) -> list[float]:
    return [scale / factor for scale, factor in zip(scales, shared, strict=True)]


def _verdict(reading: _Reading, term: str, library: str, hypotheses: Hypotheses, config: CQLConfig) -> Verdict:
    match, declared = reading.matches[term], describe(config)

    def verdict(outcome: str, sentence: str, defects: tuple[Defect, ...] = (), harmless: bool = False) -> Verdict:
        return Verdict(term, outcome, tuple(d.name for d in defects), sentence + ".", harmless, library)

    if match is None:
        return verdict(DIFFERS, f"differs from {declared}, cause unknown: {_furthest(reading, term, hypotheses)}")
    defects, undeclared = match.hypothesis.defects, match.hypothesis.undeclared
    gradient = _gradient_defects(reading, term, match)
    if gradient is None:
        found = f"{_sentences(defects, match)}; beside that" if defects else "its value is right, but"
        return verdict(DIFFERS, f"{found} its gradient differs, cause unknown", defects)
    extras = _extras(reading, term, match)
    if defects or gradient:
        found = _sentences((*defects, *gradient), match)
        aside = ""
        if undeclared:
            aside = f"; the rest is {describe(undeclared)}, not {declared} ({_advice(config, undeclared)})"
        return verdict(DIFFERS, f"{found}{extras}{aside}", (*defects, *gradient))
    if undeclared:
        advice = _advice(config, undeclared)
        return verdict(DIFFERS, f"agrees with {describe(undeclared)}{extras}, not with {declared}; {advice}")
    if match.has_factor or (reading.is_scaled and term != "lagrange"):
        return verdict(FACTOR, f"agrees with {declared}{extras}", harmless=term == "lagrange" or not match.has_factor)
    if match.has_constant:
        return verdict(CONSTANT, f"agrees with {declared}{extras}", harmless=True)
    seen = "value and gradient agree" if reading.slopes.get(term) and term != "lagrange" else "value agrees"
    return verdict(AGREES, f"{seen} with {declared} to {reading.tolerance:g}", harmless=True)


def _furthest(reading: _Reading, term: str, hypotheses: Hypotheses) -> str:
    """The answer that is furthest from what is right."""
    told, furthest = "", -1.0
    for probe, yours, shared in zip(probes(), reading.numbers[term], reading.shared, strict=True):
        right = hypotheses.right.predict(term, probe, hypotheses.lagrangian)[None]
        ours = shared * shaped(term, right, yours.shape[1])[0]
        apart = np.abs(yours - ours).max(axis=1) / np.abs(ours).max()
        if apart.max() > furthest:
            furthest, worst = apart.max(), int(apart.argmax())
            told = f"{_show(yours[worst])} where {_show(ours[worst])} is right"
    return told


def _gradient_defects(reading: _Reading, term: str, match: Match) -> tuple[Defect, ...] | None:
    """What is wrong with the gradient of a term whose value is explained; None where that is not known."""
    slopes = reading.slopes.get(term)
    if slopes is None or term == "lagrange":
        return ()
    # As with numbers, what is small beside another term's carries no more digits.
    sizes = [max(np.abs(slope).max() for slope in of_probe) for of_probe in zip(*reading.slopes.values(), strict=True)]

    def explained(without: tuple[Defect, ...]) -> bool:
        for probe, slope, size, factor, shared in zip(
            probes(), slopes, sizes, match.factors, reading.shared, strict=True
        ):
            full = factor * shared * match.hypothesis.slopes(term, probe)
            expected = factor * shared * match.hypothesis.slopes(term, probe, without) if without else full
            scale = max(np.abs(full).max(), size)
            if np.abs(slope - expected).max() > SLOPE_LOOSENESS * reading.tolerance * scale:
                return False
        return True

    if explained(()):
        return ()
    if term == "td":
        return None
    return next((defects for defects in match.hypothesis.gradient_defects() if explained(defects)), None)


def _sentences(defects: tuple[Defect, ...], match: Match) -> str:
    """What is wrong, for a loss of ten actions per source."""
    sources = len(match.hypothesis.recipe.sources)
    found = "; and ".join(d.sentence.format(sources=sources, all=10 * sources, count=10) for d in defects)
    switches = [defect.switch for defect in defects if defect.switch]
    return f"{found} (declare {' '.join(switches)} if that is meant)" if switches else found


def _extras(reading: _Reading, term: str, match: Match) -> str:
    """What is not a defect: factors and constants."""
    parts = []
    if reading.is_scaled and term != "lagrange":
        parts.append(f", {_in_words(reading.shared)} as the whole loss, which moves no minimum")
    if match.has_factor:
        effect = "" if term == "lagrange" else "; unless the other term is so too, alpha weighs otherwise"
        parts.append(f", {_in_words(list(match.factors))}{effect}")
    if match.has_constant:
        parts.append(f", but for {_constant_in_words(match, reading)}, which has no gradient")
    return "".join(parts)


def _in_words(factors: list[float]) -> str:
    """A factor, or what it is of the problem."""
    of_problem = {
        "": [1.0] * len(factors),
        "the batch's size": [float(len(probe.problem.rewards)) for probe in probes()],
        "alpha": [probe.problem.alpha for probe in probes()],
        "1 / alpha": [1.0 / probe.problem.alpha for probe in probes()],
        "N": [float(probe.problem.num_action_samples) for probe in probes()],
    }
    for words, known in of_problem.items():
        ratios = np.array(factors) / np.array(known)
        if np.allclose(ratios, ratios[0], rtol=1e-3):
            number = f"{ratios[0]:.4g}"
            return f"{' * '.join(part for part in (number, words) if part and (part != '1' or not words))} times"
    return "times a factor that depends on the problem"


def _constant_in_words(match: Match, reading: _Reading) -> str:
    """A constant: the logarithm of a number of samples, or some other."""
    counts = {
        "N": [probe.problem.num_action_samples for probe in probes()],
        "the number of samples": [
            probe.problem.num_action_samples * len(match.hypothesis.recipe.sources) for probe in probes()
        ],
    }
    alphas = np.array([probe.problem.alpha for probe in probes()])
    constants = np.array(match.constants) / np.array(match.factors)
    for words, count in counts.items():
        logarithms = alphas * np.log(count)
        if np.allclose(constants, constants[0] / logarithms[0] * logarithms, rtol=1e-3, atol=1e-6):
            return f"alpha times the logarithm of {words} (a mean of exponentials, not a sum)"
    return "a constant in Q"


def _show(numbers: Array) -> str:
    return ", ".join(f"{number:.5g}" for number in numbers)
