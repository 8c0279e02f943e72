"""The dialects page's table is the code's."""

from pathlib import Path

from cqlbench.algorithms.dialects import DIALECTS
from cqlbench.conformance.differences import differences, markdown

PAGE = Path(__file__).parents[2] / "docs" / "dialects.md"


def test_the_page_shows_every_difference_between_the_dialects():
    table = PAGE.read_text().partition("<!-- dialects -->\n")[2].partition("<!-- /dialects -->")[0]
    assert table == markdown(), "docs/dialects.md: replace the table by what `cqlbench dialects` prints"


def test_the_page_explains_every_setting_in_which_they_differ():
    text = PAGE.read_text().partition("<!-- /dialects -->")[2]
    explained_in_other_words = {
        "normalise_observations": "normalises observations",
        "action_clip": "clips the data's",
        "depth": "Three layers",
        "actor_learning_rate": "Learning rates run",
        "temperature_learning_rate": "Its learning rate is the policy's",
        "log_std_min": "clamp it at -5",
        "policy_init": "`small-output`",
        "critic_init": "`orthogonal`",
        "bc_warm_start": "Warm start",
        "lagrange_threshold": "threshold of 10",
        "lagrange_learning_rate": "multiplier",
        "initial_lagrange_multiplier": "logarithm starts at 1",
    }
    for key in differences():
        assert explained_in_other_words.get(key, key) in text, key


def test_every_dialect_is_another_algorithm():
    columns = list(zip(*differences().values(), strict=True))
    assert len(set(columns)) == len(columns) == len(DIALECTS) + 1
