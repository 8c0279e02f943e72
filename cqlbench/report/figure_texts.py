"""What stands under each figure of the report: a title, how to read it, and words for those who cannot see it."""

from __future__ import annotations

from typing import NamedTuple


class FigureText(NamedTuple):
    """Title, a few sentences on how to read the figure, and its alternative text."""

    title: str
    reading: str
    alternative: str


FIGURE_TEXTS = {
    "score-and-value": FigureText(
        "What each method gets, and what it promises",
        "Left is the score at the last evaluation: 0 is the random policy, 100 the expert that made the data. Right is "
        "how much more discounted return the critic promises for its own policy, from states of the data, than the "
        "simulator then pays: left of 0 the estimate is the lower bound that CQL is built to give, right of 0 it is "
        "fantasy. A faint dot is one seed, trained from scratch; an interval that touches the edge of its panel goes "
        "on beyond it, as where seeds explode to different heights.",
        "Two panels per dataset with a row per method: mean final score, and mean predicted minus true value, each "
        "with its interval and one dot per seed.",
    ),
    "aggregates": FigureText(
        "Summary over all datasets",
        "The point is the summary of all runs of a method, the bar its 95 % bootstrap interval over seeds; methods "
        "whose bars overlap widely are not told apart by these runs. IQM, the mean of the middle half of the runs, is "
        "the one to read first; the optimality gap is how far the runs stay below the expert, so less is better.",
        "Interquartile mean, median, mean and optimality gap of each method with intervals.",
    ),
    "profile": FigureText(
        "How many runs get how far",
        "Read upwards from a score: the height of a curve is the fraction of a method's runs, over all datasets, that "
        "score more than that. A curve that lies above another everywhere belongs to the better method; where they "
        "cross, one has more good runs and the other fewer bad ones.",
        "Curves of the fraction of runs above each score, one per method, with intervals.",
    ),
    "improvement": FigureText(
        "How often one method beats another",
        "Each cell is the probability, in percent, that a run of the row's method scores above a run of the column's "
        "on the same dataset, with its 95 % interval; 50 is a coin's toss. It says how sure an improvement is, not how "
        "large.",
        "Table of probabilities that a run of one method scores above a run of another.",
    ),
    "comparisons": FigureText(
        "How far each method is from the first",
        "The point is the method's mean score minus that of the first method, which is CQL's where there is one; the "
        "bar is its 95 % interval, of this comparison alone. A filled point is told from zero when all comparisons of "
        "the suite are corrected for; an open one is not, and no evidence of a difference is not evidence of none.",
        "Differences of scores with intervals, a panel per dataset and a row per method.",
    ),
    "learning-curves": FigureText(
        "Score while training",
        "The line is the mean over the seeds that got so far, the band runs from the lowest seed to the highest. A "
        "curve that is still rising at its end would need a larger budget before it says what the method can do.",
        "Mean score against updates for each method, one panel per dataset.",
    ),
    "value-curves": FigureText(
        "Predicted and true value while training",
        "Solid lines are what the critics predict, dashed lines of the same colour what the policies truly get; the "
        "scale is logarithmic. A solid line that climbs away from its dashed one is extrapolation feeding on itself.",
        "Predicted and true value against updates for each method, one panel per dataset.",
    ),
    "action-gap": FigureText(
        "Actions of the data against others",
        "Above 0 the critic prefers what the data did. Solid is its value of the data's own actions minus that of the "
        "policy's, dashed minus that of actions drawn uniformly, both at states of the data and in the units it is "
        "trained in; the band runs from the lowest seed to the highest and the scale is logarithmic. CQL's penalty is "
        "there to widen this gap; below 0 the critic takes the policy's actions for better than those of the data.",
        "Mean value of actions of the data minus that of actions of the policy and of uniform ones, against updates, "
        "one panel per dataset.",
    ),
    "off-data": FigureText(
        "Does the policy leave the data?",
        "Solid is the share of the policy's actions that are farther from what the data does in the nearest states "
        "than any of those actions is from its own nearest: about 3 % or less for the policy that made the data. "
        "Dashed is impossible optimism: the share of states of the data where the critic promises more than the best "
        "discounted return that the data holds anywhere. A method without a value has no dashed line; nor has a "
        "dataset whose episodes are all cut too early to know their discounted return.",
        "Share of actions off the data and of states with impossible optimism against updates, one panel per dataset.",
    ),
    "sample-efficiency": FigureText(
        "Summary over all datasets while training",
        "The line is the IQM, the mean of the middle half of all runs, after so many updates, with its 95 % interval. "
        "The method that is higher early learns from fewer updates, which is not the same as ending higher.",
        "Interquartile mean of the score against updates for each method, with intervals.",
    ),
    "safety": FigureText(
        "How bad it gets",
        "Read the values of cql_alpha downwards, where there are several: more conservatism is safer where the open "
        "mark (the mean of each seed's worst tenth of episodes) moves right or fewer episodes end early, and weaker "
        "where the filled one (the mean of all) moves left.",
        "Two panels per dataset with a row per method and cql_alpha: mean score, mean of the worst episodes and the "
        "worst one, and the share of episodes that ended early.",
    ),
}


# In place of the text of score-and-value where no method has a value: the figure then has no panels of them.
SCORES_TEXT = FigureText(
    "What each method gets",
    "The score at the last evaluation: 0 is the random policy, 100 the expert. A faint dot is one seed, trained from "
    "scratch; an interval that touches the edge of its panel goes on beyond it.",
    "A panel per dataset with a row per method: mean final score with its interval and one dot per seed.",
)

# Of the suites that ask for estimates.
ESTIMATES_TEXT = FigureText(
    "What logs alone say of each policy",
    "A row per method and a mark per seed: what its own critic promises from initial states (hollow), what fitted Q "
    "evaluation makes of the same policy (filled) and, where there is a simulator, what it truly gets (upright line). "
    "The axis is logarithmic beyond 100. An estimate straight above or below the truth is right; powers of ten away "
    "it is what a network says of actions that the data never took.",
    "Estimated and, where known, true discounted return of each method's policy, one mark per seed.",
)


def sweep_text(axis: str) -> FigureText:
    """The text of the figure of a swept setting."""
    return FigureText(
        f"What {axis} changes",
        f"Final score, and where there is one the predicted (solid) beside the true value (dashed), against {axis}; "
        "vertical lines run from the lowest seed to the highest. The main comparison uses the one value that the suite "
        "declared before the runs; picking the best value by these returns would be choosing with the answer in hand.",
        f"Final score and values against {axis}, one column per dataset.",
    )
