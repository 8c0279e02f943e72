"""What would go wrong in training: one rule per way, with its threshold and the reason for it.

The thresholds were declared before any dataset was looked at. A rule speaks where its number lies beyond its threshold;
a number that a dataset does not have (no simulator, one episode) is not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cqlbench.inspection.numbers import Section, printed

FATAL, DOUBTFUL, GOOD_TO_KNOW = "fatal", "doubtful", "good to know"
SEVERITIES = (FATAL, DOUBTFUL, GOOD_TO_KNOW)
# What a value is discounted with where nothing else is said; the default of every method here.
DISCOUNT = 0.99

FROM, ABOVE, UP_TO, BELOW = "from", "above", "up to", "below"
_BEYOND = {
    FROM: lambda value, threshold: value >= threshold,
    ABOVE: lambda value, threshold: value > threshold,
    UP_TO: lambda value, threshold: value <= threshold,
    BELOW: lambda value, threshold: value < threshold,
}


class Rule(NamedTuple):
    """`sentence` is said where the number called `number` lies `bound` `threshold`; `reason`: why just there."""

    severity: str
    number: str
    bound: str
    threshold: float
    sentence: str
    reason: str

    @property
    def condition(self) -> str:
        """`from 25 %`."""
        return f"{self.bound} {printed(self.number, self.threshold)}"


class Finding(NamedTuple):
    """A rule that speaks, and the number it rests on."""

    rule: Rule
    value: float

    @property
    def severity(self) -> str:
        return self.rule.severity

    @property
    def sentence(self) -> str:
        return self.rule.sentence

    @property
    def evidence(self) -> str:
        """`share of action coordinates at a bound: 31 %, doubtful from 25 %`."""
        return f"{self.rule.number}: {printed(self.rule.number, self.value)}, {self.severity} {self.rule.condition}"


def judge(sections: Sequence[Section]) -> tuple[list[Finding], int]:
    """What the rules say of these numbers, the gravest first, and how many of the numbers they looked at.

    Of several rules on one number the gravest that speaks is heard.
    """
    numbers: Mapping[str, float] = {words: value for section in sections for words, value in section.numbers.items()}
    heard: dict[str, Finding] = {}
    for severity in SEVERITIES:
        for rule in RULES:
            if rule.severity != severity or rule.number not in numbers or rule.number in heard:
                continue
            if _BEYOND[rule.bound](numbers[rule.number], rule.threshold):
                heard[rule.number] = Finding(rule, numbers[rule.number])
    return list(heard.values()), len({rule.number for rule in RULES} & numbers.keys())


RULES = [
    # Sizes and numbers.
    Rule(
        FATAL, "steps with a number that is not finite", ABOVE, 0,
        "Training refuses the data: one such number makes every weight it reaches a NaN. Leave these steps' episodes "
        "out or fill the gaps; what follows is about the other steps.",
        "a NaN never leaves a network again",
    ),
    Rule(
        DOUBTFUL, "transitions", BELOW, 10_000,
        "There are few transitions: a network fits them all, and what it says between them is not learned from data.",
        "10,000 updates of 256 then see each of them more than 256 times",
    ),
    Rule(
        DOUBTFUL, "episodes", BELOW, 10,
        "There are few episodes: their returns have no distribution, and estimates from initial states rest on as few "
        "starts.",
        "with fewer than 10, the 95 % interval of a mean is wider than 1.5 standard deviations",
    ),
    Rule(
        DOUBTFUL, "share of a column's distinct values that 32 bits lose", FROM, 0.5,
        "A column has values that differ only where 32 bits do not reach, such as seconds since 1970: subtract a "
        "constant from it before it is stored.",
        "then most of what the column says is lost",
    ),
    # Ends.
    Rule(
        DOUBTFUL, "share of episodes at the time limit that terminate", FROM, 0.5,
        "The time limit seems to be marked as a termination: the value of every such last state is then learned as 0, "
        "however much was still to be earned.",
        "an episode that fails at the very step of the limit is a rare accident",
    ),
    Rule(
        DOUBTFUL, "share of episodes shorter than the longest, without any termination", FROM, 0.1,
        "Episodes end at different lengths and no end is marked as a termination: if some were failures, their values "
        "are learned as if life went on.",
        "a few shorter ones are cuts by the end of recording, many are failures or goals",
    ),
    Rule(
        DOUBTFUL, "share of terminations after which the episode goes on", FROM, 0.01,
        "After a termination the recording goes on from its very last state: the flag seems wrong, and the state's "
        "value is learned as 0.",
        "after a true end comes a start, which is another state",
    ),
    Rule(
        DOUBTFUL, "change across a termination over a usual one", BELOW, 2,
        "The step after a termination begins near where it ended: the flag may be wrong, and the state's value is "
        "learned as 0.",
        "a start is farther from a failure than one step's change, unless episodes begin where they end",
    ),
    Rule(
        FATAL, "share of steps whose next observation is their own", FROM, 0.5,
        "The next observations are the observations themselves: there is no dynamics in the data to learn from.",
        "a state that is its own successor at every second step is a mistake of storing",
    ),
    Rule(
        DOUBTFUL, "share of steps whose next observation is their own", FROM, 0.05,
        "Many steps change nothing: was the state written down more often than it was measured?",
        "a few standstills happen; one step in twenty is a rate of sampling",
    ),
    Rule(
        DOUBTFUL, "share of steps whose next observation is not the one that follows", FROM, 0.01,
        "Inside of episodes the next observation is not the observation of the next step: rows are out of order, "
        "columns were stored with a shift, or an end is not marked. Returns and lengths mean nothing then.",
        "rounding does not do this; unmarked ends do it once per episode",
    ),
    Rule(
        DOUBTFUL, "share of episodes of one step", FROM, 0.5,
        "Most episodes are one step: values have nothing to look ahead to, and returns are single rewards.",
        "then most targets hold no next value",
    ),
    # Observations.
    Rule(
        FATAL, "share of observation columns that are constant", FROM, 1,
        "No observation ever changes: a policy cannot tell one state from another.",
        "then nothing varies",
    ),
    Rule(
        GOOD_TO_KNOW, "share of observation columns that are constant", ABOVE, 0,
        "Some observation columns never change: they tell a policy nothing, and where they change in use it has never "
        "seen it.",
        "one is enough to say so",
    ),
    Rule(
        GOOD_TO_KNOW, "observation columns that repeat another", ABOVE, 0,
        "Some observation columns say the same as another one: nothing breaks, the network is wider than it need be.",
        "one is enough to say so",
    ),
    Rule(
        DOUBTFUL, "largest distance of an observation from its column's mean, in standard deviations", ABOVE, 20,
        "Single observations lie very far out: an unplugged sensor or a wrong unit? They pull the normalisation and "
        "reach the network far outside of what it is made for.",
        "normalised inputs are about 1; at 20, a unit's sum is one input's",
    ),
    Rule(
        GOOD_TO_KNOW, "widest observation column over the narrowest", FROM, 1000,
        "Observation columns differ greatly in scale: keep normalise_observations on.",
        "without it the narrow columns move the first layer a thousandth as much",
    ),
    # Actions.
    Rule(
        FATAL, "share of actions outside the bounds", FROM, 0.5,
        "Most actions lie outside the bounds that are known: a policy cannot take them. Say the true action_limit.",
        "then the bound is wrong, not the actions",
    ),
    Rule(
        DOUBTFUL, "share of actions outside the bounds", ABOVE, 0,
        "Some actions lie outside the bounds: a policy cannot take them, and the critic learns values of them that it "
        "is never asked for. Clip them, or say the true action_limit.",
        "one is enough to say so: the simulator would have clipped it",
    ),
    Rule(
        DOUBTFUL, "share of action coordinates at a bound", FROM, 0.25,
        "Many actions lie at the bound itself, which a squashed Gaussian policy reaches only in the limit: CQL raises "
        "values there of actions that the policy never draws, and cloning by likelihood (bc_warm_start) meets "
        "densities that are cut off 1e-6 from the bound. See action_clip.",
        "a quarter of what is learned from then lies where the policy does not go",
    ),
    Rule(
        DOUBTFUL, "99.9 % of action sizes, over the bound", BELOW, 0.1,
        "The actions use a small part of the range between the bounds: is the bound in the same unit? CQL compares the "
        "data with actions drawn from the whole range.",
        "in three dimensions the data then fill a thousandth of the range",
    ),
    Rule(
        FATAL, "share of action columns that are constant", FROM, 1,
        "Every action is the same one: the data do not say what any other would do.",
        "then nothing varies",
    ),
    Rule(
        DOUBTFUL, "share of action columns that are constant", ABOVE, 0,
        "Some action columns never change: what any other value of them would do is not in the data.",
        "one is enough to say so",
    ),
    Rule(
        DOUBTFUL, "distinct actions", UP_TO, 32,
        "The actions are a handful of fixed ones: choices rather than quantities? Between them there are no data.",
        "a controller of five levels in two dimensions has 25",
    ),
    Rule(
        GOOD_TO_KNOW, "choices", ABOVE, 0,
        "Actions are choices, loaded as one column each: behaviour cloning trains on them, the actor-critic methods "
        "are made for quantities.",
        "one is enough to say so",
    ),
    # Rewards.
    Rule(
        FATAL, "standard deviation of rewards, without any termination", UP_TO, 0,
        "Every step earns the same and nothing ever terminates: all policies are worth the same.",
        "then there is nothing to prefer",
    ),
    Rule(
        DOUBTFUL, "share of rewards that are 0", FROM, 0.99,
        "Rewards are very sparse: a batch of 256 then holds two or three that are not 0, and values spread from them "
        "one step per update.",
        "256 transitions, 1 % of them",
    ),
    Rule(
        GOOD_TO_KNOW, "share of rewards that are 0", FROM, 0.9,
        "Rewards are sparse: values spread from the few that are not 0.",
        "one step in ten",
    ),
    Rule(
        DOUBTFUL, "share of episodes that earn anything but 0", BELOW, 0.05,
        "Hardly any episode earns anything: what success needs is in a handful of them.",
        "one episode in twenty",
    ),
    Rule(
        DOUBTFUL, "usual size of a value", ABOVE, 10_000,
        "Rewards are large: the squared TD error then outweighs any penalty of the usual cql_alpha (1 to 10). Set "
        "reward_scale.",
        "on the tasks cql_alpha was chosen for, values are in the hundreds",
    ),
    Rule(
        DOUBTFUL, "usual size of a value", BELOW, 1,
        "Rewards are small: a penalty of the usual cql_alpha (1 to 10) then outweighs what is to be learned. Set "
        "reward_scale.",
        "on the tasks cql_alpha was chosen for, values are in the hundreds",
    ),
    Rule(
        GOOD_TO_KNOW, "standard deviation of returns, over their mean size", BELOW, 0.01,
        "All episodes earn nearly the same: there is little to be better than, and cloning the behaviour is hard to "
        "beat by following the better episodes.",
        "one per cent is less than evaluations tell apart",
    ),
    # Duplicates.
    Rule(
        DOUBTFUL, "share of transitions that repeat another", FROM, 0.01,
        "Transitions are in the data several times: they weigh as often, and held-out data are not held out.",
        "continuous states do not meet by chance",
    ),
    Rule(
        GOOD_TO_KNOW, "share of transitions that repeat another", ABOVE, 0,
        "Some transitions are in the data several times.",
        "one is enough to say so",
    ),
    Rule(
        DOUBTFUL, "episodes that repeat another", ABOVE, 0,
        "Whole episodes are in the data several times: were files joined twice?",
        "even one start with one policy differs by its noise",
    ),
    # Coverage.
    Rule(
        GOOD_TO_KNOW, "share of the actions' variance that like states leave open", UP_TO, 0.05,
        "The behaviour is nearly one action per state: values of every other action are guesses, a larger cql_alpha is "
        "safer, and behaviour cloning a strong rival.",
        "a twentieth",
    ),
    Rule(
        GOOD_TO_KNOW, "share of the actions' variance that like states leave open", FROM, 0.95,
        "The actions do not follow from the states: the behaviour is like a random one, and cloning it gives that.",
        "a twentieth",
    ),
    Rule(
        GOOD_TO_KNOW, "effective dimensions of the observations", BELOW, 1.5,
        "The observations vary in one direction only: the data cover a line through the states.",
        "nearer to one than to two",
    ),
    Rule(
        DOUBTFUL, "distance to the nearest state of another episode, over a usual distance", BELOW, 0.01,
        "Episodes pass through the very same states: they are copies of a few, or the simulator and the behaviour have "
        "no noise. Fewer data are there than it seems.",
        "states of independent episodes meet to a hundredth only where there are hardly any dimensions",
    ),
    # The environment.
    Rule(
        DOUBTFUL, "share of tried steps that come out otherwise", FROM, 0.2,
        "A step of the simulator from a stored state does not lead to the stored next one: policies would be judged in "
        "another simulator than the data's, or actions and observations are stored with a shift.",
        "single steps may miss in a collision; another simulator misses most",
    ),
    Rule(
        DOUBTFUL, "share of tried rewards that come out otherwise", FROM, 0.2,
        "The simulator's reward for a stored step is not the stored one: policies would be trained for one task and "
        "judged by another.",
        "as for a step",
    ),
    Rule(
        GOOD_TO_KNOW, "simulators", BELOW, 1,
        "There is no simulator for these data: a policy's worth can only be estimated, not measured.",
        "without one there is nothing to act in",
    ),
    Rule(
        GOOD_TO_KNOW, "references", BELOW, 2,
        "No reference returns are known: there are returns and no scores.",
        "a score needs that of a random and that of an expert policy",
    ),
]  # fmt: skip
