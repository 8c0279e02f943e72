from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cqlbench.errors import UserError
from cqlbench.suites import Comparison, Estimates, find_suite_file, load_suite

CONFIGS = Path(__file__).parents[1] / "workflow" / "config"

CONTENT: dict[str, Any] = {
    "name": "mine",
    "datasets": ["pendulum/medium-v0", "hopper/random-expert-v0"],
    "seeds": [0, 3],
    "protocol": {"updates": 50, "evaluate_every": 25},
    "common": {"width": [16, 32], "initial_temperature": 0.5},
    "methods": {
        "cql": {"cql_alpha": [1, 10]},
        "small-cql": {"algorithm": "cql", "width": 8},
        "bc": {},
    },
    "headline": {"cql_alpha": 10, "width": 32},
    "claims": [
        {"kind": "score-above", "method": "cql", "reference": "bc", "dataset": "pendulum/medium-v0", "margin": 0}
    ],
}


def write(folder: Path, content: Any) -> Path:
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_lists_become_methods_and_one_of_each_family_is_the_headline(tmp_path):
    suite = load_suite(write(tmp_path, CONTENT))
    assert [method.label for method in suite.methods] == [
        "cql width=16 cql_alpha=1",
        "cql width=16 cql_alpha=10",
        "cql width=32 cql_alpha=1",
        "cql width=32 cql_alpha=10",
        "small-cql",
        "bc width=16",
        "bc width=32",
    ]
    assert [method.label for method in suite.methods if method.headline] == [
        "cql width=32 cql_alpha=10",
        "small-cql",
        "bc width=32",
    ]
    assert suite.axes == ["cql_alpha", "width"]
    assert suite.methods[3].axes == {"width": 32, "cql_alpha": 10.0}


def test_common_settings_reach_the_methods_that_have_them(tmp_path):
    configs = {method.label: method.config.settings() for method in load_suite(write(tmp_path, CONTENT)).methods}
    assert configs["small-cql"]["initial_temperature"] == 0.5
    assert configs["small-cql"]["width"] == 8
    assert "initial_temperature" not in configs["bc width=16"]


def test_runs_are_datasets_by_methods_by_seeds(tmp_path):
    suite = load_suite(write(tmp_path, CONTENT))
    runs = [run for _, run in suite.runs()]
    assert len({run.folder(tmp_path) for run in runs}) == len(runs) == 2 * 7 * 2
    assert all(run.protocol.updates == 50 for run in runs)


@given(seeds=st.lists(st.integers(0, 10**6), min_size=1, max_size=5, unique=True), title=st.text(max_size=20))
def test_title_and_seeds_leave_the_other_runs_where_they_are(tmp_path_factory, seeds, title):
    folder = tmp_path_factory.mktemp("suites")
    before = {run.folder(folder) for _, run in load_suite(write(folder, CONTENT)).runs()}
    more = {**CONTENT, "seeds": [*CONTENT["seeds"], *(seed + 4 for seed in seeds)], "title": title, "name": "other"}
    assert before < {run.folder(folder) for _, run in load_suite(write(folder, more)).runs()}


@pytest.mark.parametrize("name", ["smoke", "quick", "full"])
def test_shipped_suites_are_allowed(name):
    suite = load_suite(CONFIGS / f"{name}.yaml")
    assert suite.name == name
    assert {method.family for method in suite.methods} >= {"cql", "d3rlpy-cql", "sac", "bc"}


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (["sedes"], [0], ["sedes", "no such key", "seeds"]),
        (["seeds"], [], ["seeds: []", "at least 1"]),
        (["seeds"], [1, 1], ["seeds: [1, 1]", "twice"]),
        (["seeds"], 3, ["seeds: 3", "a list"]),
        (["seeds"], [-1], ["seeds.0: -1", "from 0"]),
        (["datasets"], ["hopper/mediun-v0"], ["hopper/mediun-v0", "medium-replay"]),
        (["protocol", "updates"], 0, ["protocol.updates: 0", "from 1"]),
        (["protocol", "updates"], "many", ["protocol.updates: 'many'", "a whole number"]),
        (["common", "widht"], 4, ["common.widht", "no method"]),
        (["common", "initial_temperature"], 0, ["common.initial_temperature: 0", "above 0"]),
        (["methods"], {}, ["methods: {}", "at least 1"]),
        (["methods", "cql", "cql_alpha"], [1, -2], ["methods.cql.cql_alpha: -2", "from 0"]),
        (["methods", "cql", "cql_alpha"], [10, "10"], ["methods.cql.cql_alpha", "twice"]),
        (["methods", "cql", "alpha"], 5, ["methods.cql.alpha", "no such setting", "cql_alpha"]),
        (["methods", "iql"], {}, ["methods.iql", "d3rlpy-cql"]),
        (["methods", "a,b"], {}, ["methods: 'a,b'", "of the form"]),
        (["headline"], {"width": 32}, ["headline.cql_alpha is missing", "1, 10"]),
        (["headline", "cql_alpha"], 5, ["headline.cql_alpha: 5", "1, 10"]),
        (["common", "width"], float("inf"), ["common.width: inf", "int"]),
        (["name"], "mine\n", ["name: 'mine\\n'", "of the form"]),
        (["name"], "m" * 101, ["name: ", "at most 100 characters"]),
        (["methods"], {"m" * 101: {}}, ["methods: ", "at most 100 characters"]),
        (["seeds"], [10**30], ["seeds.0: 1", "at most 9,223"]),
        (["protocol", "updates"], 1e300, ["protocol.updates: 1e+300", "at most 1,000,000,000"]),
        (["time_limit"], float("inf"), ["time_limit: inf", "at most 525,600"]),
        (["time_limit"], float("nan"), ["time_limit: nan", "above 0"]),
        (["datasets"], [f"file:{'x' * 300}.npz"], ["304 bytes", "at most 255"]),
        (["headline", "depth"], 2, ["headline.depth", "leave it out"]),
        (["claims", 0, "kind"], "better", ["claims.0.kind: 'better'", "lower-bound"]),
        (["claims", 0, "method"], "iql", ["claims.0.method: 'iql'", "small-cql"]),
        (["claims", 0, "dataset"], "hopper/expert-v0", ["claims.0.dataset: 'hopper/expert-v0'", "pendulum/medium-v0"]),
        (["claims", 0, "factor"], 2, ["claims.0.factor", "no such key"]),
    ],
)
def test_a_mistake_is_one_line_with_file_key_value_and_what_is_allowed(tmp_path, keys, value, words):
    content = copy.deepcopy(CONTENT)
    inner: Any = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    path = write(tmp_path, content)
    with pytest.raises(UserError) as raised:
        load_suite(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("key", ["name", "datasets", "seeds", "methods"])
def test_a_missing_key_is_named(tmp_path, key):
    with pytest.raises(UserError, match=f"{key} is missing"):
        load_suite(write(tmp_path, {name: value for name, value in CONTENT.items() if name != key}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"methods:\n  cql: {cql_alpha: 1}\n  bc: {}\n  cql: {cql_alpha: 10}\n", ["line 4: ", " cql ", "line 2"]),
        (b"name: mine\nseeds: [0]\nseeds: [1]\n", ["line 3: ", " seeds ", "line 2"]),
        (b"methods:\n  1: {}\n", ["line 2: ", "'1'", "text"]),
        (b"methods:\n  on: {}\n", ["line 2: ", "'on'", "text"]),
        (b"methods:\n  ? [a, b]\n  : {}\n", ["line 2: ", "text"]),
        (b'"na\\nme": mine\n', ["line 1: ", "'na\\nme'"]),
        (b"name: mi\x07ne\n", ["not YAML", "#x0007"]),
        (b"name: mi\xffne\n", ["not YAML", "UTF-8", "0xff"]),
        (b"name: !mine 3\n", ["line 1: ", "!mine"]),
        (b"name: !!python/object/apply:os.system [touch pwned]\n", ["line 1: ", "python/object/apply:os.system"]),
        (b"title: !!python/name:os.system\n", ["line 1: ", "python/name:os.system"]),
        (b"name: 2024-13-45\n", ["not YAML", "month"]),
        (b"name: " + b"[" * 5000, ["not YAML"]),
    ],
)  # fmt: skip
def test_a_text_that_cannot_be_read_is_one_line(tmp_path, text, words):
    path = tmp_path / "suite.yaml"
    path.write_bytes(text)
    with pytest.raises(UserError) as raised:
        load_suite(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert all(word in message for word in words), message


def test_the_same_key_in_two_mappings_and_a_merged_one_are_allowed(tmp_path):
    text = yaml.safe_dump({**CONTENT, "methods": {"bc": {}}, "common": {}, "headline": {}, "claims": []})
    path = tmp_path / "suite.yaml"
    path.write_text(text.replace("  bc: {}\n", "  bc: &bc {width: 8}\n  wide: {<<: *bc, algorithm: bc, width: 16}\n"))
    assert [method.config.settings()["width"] for method in load_suite(path).methods] == [8, 16]


def test_whole_numbers_written_as_decimals_are_whole_numbers(tmp_path):
    plain = load_suite(write(tmp_path, CONTENT))
    decimal = load_suite(
        write(tmp_path, {**CONTENT, "seeds": [0.0, 3.0], "protocol": {"updates": 50.0, "evaluate_every": 25}})
    )
    assert decimal == plain
    assert [repr(run) for _, run in decimal.runs()] == [repr(run) for _, run in plain.runs()]


def test_what_is_not_a_suite_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        load_suite(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("seeds: [1\nname: x")
    with pytest.raises(UserError, match="line 2: this is not YAML"):
        load_suite(tmp_path / "broken.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(UserError, match="a mapping"):
        load_suite(tmp_path / "empty.yaml")


def test_a_drawn_backward_stands_in_the_label_swept_or_not(tmp_path):
    content = copy.deepcopy(CONTENT) | {"common": {}, "headline": {"backward_actions": None}, "claims": []}
    content["methods"] = {
        "cql": {"backward_actions": [None, 4]},
        "mine": {"algorithm": "cql", "backward_actions": 2},
        "plain": {"algorithm": "cql"},
    }
    labels = [method.label for method in load_suite(write(tmp_path, content)).methods]
    assert labels == ["cql backward_actions=null", "cql backward_actions=4", "mine backward_actions=2", "plain"]


def test_a_suite_is_named_by_its_file_or_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(CONFIGS.parents[1])
    assert find_suite_file("quick") == Path("workflow/config/quick.yaml")
    own = write(tmp_path, CONTENT)
    assert find_suite_file(str(own)) == own
    with pytest.raises(
        UserError, match="'quik' is neither a file nor a suite's name; .* are .*choose-alpha, .*, smoke"
    ):
        find_suite_file("quik")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="'quick' is neither .* there is no workflow/config here"):
        find_suite_file("quick")


def test_what_is_compared_the_time_limit_and_what_is_not_trained(tmp_path):
    methods = {**CONTENT["methods"], "bc": {"taken_from": "results/reference/quick"}}
    further = {"compare": {"method": "small-cql", "against": ["cql", "bc"]}, "time_limit": 2.5, "methods": methods}
    suite = load_suite(write(tmp_path, {**CONTENT, **further}))
    assert suite.compare == Comparison("small-cql", ("cql", "bc")) and suite.time_limit == 2.5
    assert {method.family for method, _ in suite.taken_runs()} == {"bc"}
    plain = load_suite(write(tmp_path, CONTENT))
    assert plain.compare is plain.time_limit is None and not plain.taken_runs()
    assert {run for _, run in plain.runs()} == {run for _, run in (*suite.runs(), *suite.taken_runs())}


def test_what_is_estimated_from_logs_alone(tmp_path):
    assert load_suite(write(tmp_path, CONTENT)).estimates is None
    assert load_suite(write(tmp_path, {**CONTENT, "estimates": {}})).estimates == Estimates(10_000, {})
    asked = {"updates": 50, "held_out": {CONTENT["datasets"][0]: "file:later.npz"}}
    suite = load_suite(write(tmp_path, {**CONTENT, "estimates": asked}))
    assert suite.estimates == Estimates(50, asked["held_out"])


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("estimates", {"held_out": {"file:x.npz": "file:y.npz"}}, "estimates.held_out: 'file:x.npz' is not in this"),
        (
            "estimates",
            {"held_out": {CONTENT["datasets"][0]: "y.npz"}},
            "estimates.held_out: dataset: 'y.npz' is not known",
        ),
        ("estimates", {"updates": 0}, "estimates.updates: 0 is not allowed"),
        (
            "compare",
            {"method": "iql", "against": ["cql"]},
            "compare.method: 'iql' is not in this suite; it must be cql",
        ),
        ("compare", {"method": "cql", "against": ["bc", "sac"]}, "compare.against: 'sac' is not in this suite"),
        ("compare", {"method": "cql", "against": ["cql"]}, "compare.against: 'cql' cannot be compared with itself"),
        ("compare", {"method": "cql", "against": []}, r"compare.against: \[\] is not allowed"),
        ("time_limit", 0, "time_limit: 0 is not allowed; it must be above 0"),
    ],
)
def test_mistakes_in_what_is_compared(tmp_path, key, value, said):
    with pytest.raises(UserError, match=said):
        load_suite(write(tmp_path, {**CONTENT, key: value}))
