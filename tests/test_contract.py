"""What `cqlbench check-method` says of methods that are right, and of each way to be wrong."""

import csv
import json
import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cqlbench import runs
from cqlbench.algorithms.algorithm import Algorithm
from cqlbench.algorithms.registry import ALGORITHMS, load_class
from cqlbench.cli import app
from cqlbench.contract.asking import LEFT_OUT, NOT_ASKED, OK, WRONG, Finding, check_method
from cqlbench.contract.checks import CHECKS, METHODS, OPTIONAL_METHODS
from cqlbench.suites import load_suite

METHODS_FOLDER = Path(__file__).parent / "methods"
TEMPLATE = CliRunner().invoke(app, ["check-method", "--example"]).output
ACT = "        return torch.tanh(self.policy(torch.as_tensor(observations, device=self.device))).detach().cpu().numpy()"
LOSS = '        return {"loss": loss.detach()}'
STEP = "        self.optimiser.step()\n"
SUPER = "        super().__init__()\n"
OPTIMISER = "        self.device, self.optimiser"
# What every method here is asked with.
SMALL = {"width": 8, "batch_size": 32}
Edit = tuple[str, str]


def write(folder: Path, *edits: Edit) -> str:
    """The template with some of its text replaced, as a method that can be named."""
    source = TEMPLATE
    for old, new in edits:
        assert source.count(old) == 1, (old, source.count(old))
        source = source.replace(old, new)
    (folder / "my_method.py").write_text(source)
    return f"{folder / 'my_method.py'}:MyMethod"


def findings(method: str, last: str = "", seconds: int = 60) -> dict[str, Finding]:
    """By check, up to the last one that is of interest."""
    found = {}
    for finding in check_method(method, SMALL, seconds):
        found[finding.check] = finding
        if finding.check == last:
            break
    return found


def before(line: str, *more: str) -> Edit:
    """Some lines in front of one, indented as a method's body is."""
    return line, "".join(f"        {text}\n" for text in more) + line


def more_methods(*lines: str) -> Edit:
    """At the end of the class."""
    return ACT, "\n".join([ACT, "", *(f"    {line}" for line in lines)])


def test_the_template_is_short_and_passes(tmp_path):
    assert len(TEMPLATE.splitlines()) < 30
    found = findings(write(tmp_path))
    assert {name: finding.outcome for name, finding in found.items()} == {
        name: LEFT_OUT if name in ("value", "resume") else OK for name in CHECKS
    }
    assert all(finding.sentence.endswith(".") and not finding.lines for finding in found.values())


@pytest.mark.parametrize("method", ["td3_bc.py:TD3BC", "iql.py:IQL", "sac", "cql"])
def test_methods_with_values_pass(method):
    path = str(METHODS_FOLDER / method) if ".py" in method else method
    left = {name: finding.outcome for name, finding in findings(path).items() if finding.outcome != OK}
    assert left == ({"resume": LEFT_OUT} if "TD3BC" in method else {})


@pytest.mark.slow
def test_d3rlpy_is_right_but_for_the_generator_it_draws_from():
    load_class(ALGORITHMS["d3rlpy-cql"].path)  # once here instead of once per check
    found = findings("d3rlpy-cql")
    assert [name for name, finding in found.items() if finding.outcome != OK] == ["globals"]
    assert "torch's global generator" in found["globals"].sentence


def test_what_is_asked_for_is_the_contract():
    assert set(METHODS) == {name for name in vars(Algorithm) if callable(getattr(Algorithm, name)) and name[0] != "_"}
    assert all(f"`{name}({', '.join(arguments)})`" in Algorithm.__doc__ for name, arguments in OPTIONAL_METHODS.items())


# By name: which check finds it, words of its sentence, and what makes the template wrong.
SETTING = "width: int = 256"
POLICY = "torch.tanh(self.policy(torch.as_tensor(observations, device=self.device)))"
NUMPY = ".detach().cpu().numpy()"
COUNT = (STEP, STEP + "        self.count = getattr(self, 'count', 0) + 1\n")
DEFECTS: dict[str, tuple[str, str, list[Edit]]] = {
    "not python": ("class", "cannot import", [("class MyMethod", "klass MyMethod")]),
    "missing import": ("class", "No module named 'nowhere'", [("import torch\n", "import nowhere\nimport torch\n")]),
    "other class": ("class", "has no class 'MyMethod'", [("class MyMethod", "class Method")]),
    "not a class": ("class", "is a function", [("class MyMethod(torch.nn.Module):", "def MyMethod():")]),
    "foreign config": ("class", "must derive from", [("Config(MethodConfig)", "Config")]),
    "no decorator": ("class", "width of the Config of", [("    @dataclass(frozen=True)\n", "")]),
    "no annotation": ("class", "its type, width: int = 256", [(SETTING, "width = 256")]),
    "list setting": ("class", "read from text", [(SETTING, SETTING + "\n        sizes: tuple = (1, 2)")]),
    "reserved word": ("class", "'episodes'", [(SETTING, SETTING + "\n        episodes: int = 3")]),
    "default out of range": ("class", "discount: 1", [(SETTING, SETTING + "\n        discount: float = 1")]),
    "no device": ("construction", "MyMethod(spec, config, seed, device)", [("config, seed, device)", "config, seed)")]),
    "constructor raises": ("construction", "raised KeyError: 'what'", [before(SUPER, "{}['what']")]),
    "constructor exits": ("construction", "raised SystemExit: 3", [before(SUPER, "raise SystemExit(3)")]),
    "constructor ends all": ("construction", "exit code 3", [before(SUPER, "__import__('os')._exit(3)")]),
    "constructor is killed": (
        "construction",
        "killed by SIGKILL",
        [before(SUPER, "import os", "os.kill(os.getpid(), 9)")],
    ),
    "no act": ("construction", "expected a method act(observations)", [("def act(", "def action(")]),
    "no method": ("construction", "state_dict is a dict", [(SUPER, SUPER + "        self.state_dict = {}\n")]),
    "act takes more": (
        "construction",
        "act(observations)",
        [("act(self, observations)", "act(self, observations, t)")],
    ),
    "update raises": ("update", "(in update 1)", [before(STEP, "torch.ones(2) @ torch.ones(3)")]),
    "no metrics": ("update", "update 1 returned a NoneType", [(LOSS, "")]),
    "metric of a batch": ("update", "Tensor of shape (2,) as loss", [("loss.detach()}", "torch.ones(2)}")]),
    "metric in words": ("update", "a str as loss", [("loss.detach()}", "'small'}")]),
    "metric with its graph": ("update", "loss.detach()", [("loss.detach()}", "loss}")]),
    "metric called update": ("update", "other than 'update'", [('{"loss"', '{"update"')]),
    "metrics now and then": (
        "update",
        "update 1 returned loss, update 3 loss, extra",
        [COUNT, (LOSS, LOSS + " | ({'extra': 1.0} if self.count == 3 else {})")],
    ),
    "nan": (
        "update",
        "update 4 returned loss = nan",
        [COUNT, ("detach()}", "detach() * [1, float('nan')][self.count == 4]}")],
    ),
    "actions at the bounds": ("update", "update 1 returned loss = inf", [("batch.actions)", "batch.actions.atanh())")]),
    "one action": ("act", "expected act to return shape (1, 2)", [(NUMPY, NUMPY + "[0]")]),
    "tensor": ("act", "returned a Tensor", [(NUMPY, ".detach()")]),
    "whole numbers": ("act", "an array of int64", [(NUMPY, NUMPY + ".round().astype(int)")]),
    "out of bounds": ("act", "expected actions in [-1, 1]", [(POLICY, POLICY.removeprefix("torch.tanh"))]),
    "nan in act": ("act", "finite numbers", [(NUMPY, NUMPY + " * float('nan')")]),
    "noisy act": ("act", "without noise", [(POLICY, f"(torch.rand(1) * {POLICY})")]),
    "act writes into its input": ("act", "has changed the array", [before(ACT, "observations *= 0")]),
    "act raises for one": ("act", "raised IndexError", [before(ACT, "observations[1]")]),
    "value of a state": (
        "value",
        "expected value to return shape (C, 1)",
        [more_methods("def value(self, observations, actions):", "    return observations[:, :, None]")],
    ),
    "value of sample's own noise": (
        "value",
        "from the generator that sample is given",
        [
            more_methods(
                "def sample(self, observations, generator):",
                "    actions = self.act(observations) * torch.rand(1).numpy()",
                "    return actions, actions[:, 0]",
            )
        ],
    ),
    "sample without bonus": (
        "value",
        "actions and their bonus",
        [more_methods("def sample(self, observations, generator):", "    return self.act(observations)")],
    ),
    "state of numbers": (
        "state_dict",
        "weight of the state_dict is a float",
        [more_methods("def state_dict(self):", "    return {'weight': 1.0}")],
    ),
    "state under our name": (
        "state_dict",
        "normaliser.mean",
        [more_methods("def state_dict(self):", "    return {'normaliser.mean': torch.ones(1)}")],
    ),
    "tensor twice": ("state_dict", "safetensors can write", [before(OPTIMISER, "self.again = self.policy")]),
    "state left out": (
        "state_dict",
        "is not in the state_dict",
        [
            more_methods(
                "def state_dict(self):",
                "    return {'bias': self.policy[0].bias.detach()}",
                "",
                "def load_state_dict(self, state):",
                "    self.policy[0].bias.data.copy_(state['bias'])",
            )
        ],
    ),
    "not restored": (
        "state_dict",
        "does not restore policy.0.weight",
        [more_methods("def load_state_dict(self, state):", "    pass")],
    ),
    "no learning": ("state_dict", "changed no tensor", [(STEP, "")]),
    "optimiser not resumed": (
        "resume",
        "differs: what update reads must be in it",
        [
            more_methods(
                "def training_state(self):",
                "    return self.state_dict()",
                "def load_training_state(self, state):",
                "    self.load_state_dict(state)",
            )
        ],
    ),
    "unseeded": ("seed", "two objects of seed 0", [("            torch.manual_seed(seed)\n", "")]),
    "seed ignored": ("seed", "other weights", [("manual_seed(seed)", "manual_seed(0)")]),
    "training mode": (
        "asking",
        "policy.0.weight differs",
        [before(ACT, "self.eval()"), before(STEP, "self.policy[0].weight.grad.mul_(1 + self.training)")],
    ),
    "torch's generator": ("globals", "the constructor has changed it", [before(SUPER, "torch.manual_seed(seed)")]),
    "noise of torch's generator": ("globals", "update has changed it", [before(STEP, "torch.randn(1)")]),
    "NumPy's generator": ("globals", "NumPy's global", [before(SUPER, "import numpy", "numpy.random.seed(seed)")]),
    "threads": ("globals", "importing the file", [("\n\n\nclass", "\n\ntorch.set_num_threads(2)\n\n\nclass")]),
    "gradient mode": ("asking", "does not require grad", [before(ACT, "torch.set_grad_enabled(False)")]),
    "one action dimension": (
        "sizes",
        "(with sizes of observation and action (1, 1))",
        [before(STEP, "batch.actions.squeeze().shape[1]")],
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_found_by_its_check(tmp_path, defect):
    check, words, edits = DEFECTS[defect]
    found = findings(write(tmp_path, *edits), last=check)
    finding = found.pop(check)
    assert finding.outcome == WRONG and words in finding.sentence, finding
    # No check before it is misled.
    assert {finding.outcome for finding in found.values()} <= {OK, LEFT_OUT}


def test_what_follows_from_a_wrong_answer_is_not_asked(tmp_path):
    found = findings(write(tmp_path, ("class MyMethod", "class Method")))
    assert [finding.outcome for finding in found.values()] == [WRONG, *[NOT_ASKED] * (len(CHECKS) - 1)]
    found = findings(write(tmp_path, before(ACT, "observations[1]")))
    assert [name for name, finding in found.items() if finding.outcome == OK] == [
        "class", "construction", "update", "seed",
    ]  # fmt: skip


@pytest.mark.parametrize("source", ["while True: pass", "__import__('time').sleep(1000)"])
def test_a_hang_is_found_with_its_line(tmp_path, source):
    method = write(tmp_path, before(ACT, source))
    finding = findings(method, last="act", seconds=3)["act"]
    assert finding.outcome == WRONG and "within 3 seconds" in finding.sentence
    line = Path(method.rpartition(":")[0]).read_text().splitlines().index(f"        {source}") + 1
    assert finding.lines == (f'  File "{tmp_path}/my_method.py", line {line} in act',)


def test_only_the_users_own_lines_are_shown(tmp_path):
    method = write(tmp_path, before(STEP, "torch.nn.functional.linear(torch.ones(2), torch.ones(3, 3))"))
    lines = findings(method, last="update")["update"].lines
    assert f'File "{tmp_path}/my_method.py"' in lines[0] and "in update" in lines[0]
    assert "torch.nn.functional.linear" in lines[1] and all("File" not in line for line in lines[1:])


def test_a_value_needs_a_sample_for_the_value_figures(tmp_path):
    method = write(tmp_path, more_methods("def value(self, observations, actions):", "    return observations.sum(1)"))
    finding = findings(method, last="value")["value"]
    assert finding.outcome == LEFT_OUT and finding.sentence.startswith("no sample:")


# The command.


def run(*words: str):
    return CliRunner().invoke(app, ["check-method", *words])


def test_the_exit_code_says_whether_something_is_wrong(tmp_path):
    good = run(write(tmp_path), "--width", "8")
    assert good.exit_code == 0 and good.output.splitlines()[-1] == "10 ok, 2 left out"
    # What the method prints is not on standard output.
    bad = subprocess.run(
        [sys.executable, "-m", "cqlbench", "check-method", write(tmp_path, (LOSS, "        print('loud')"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert bad.returncode == 1 and "wrong  update" in bad.stdout and "Traceback" not in bad.stderr
    assert "loud" in bad.stderr and "loud" not in bad.stdout
    unknown = run(write(tmp_path), "--depth", "8")
    assert unknown.exit_code == 1 and "depth: no such setting" in unknown.output


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "give either"), (["--example", "my.py:My"], "give either"), (["--width", "8"], "stands first")],
)
def test_what_is_missing_on_the_command_line_is_said(words, said):
    assert said in str(run(*words).exception)


# The page.

PAGE = (Path(__file__).parent.parent / "docs" / "own-method.md").read_text()
COMMANDS = [shlex.split(line)[1:] for line in re.findall(r"^    (cqlbench .*)", PAGE, re.MULTILINE)]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_of_the_page_exists_with_its_options(words):
    commands = [word for word in words[:2] if word.replace("-", "").isalpha() and not word.startswith("--")]
    outcome = CliRunner().invoke(app, [*commands, "--help"], terminal_width=200)
    assert outcome.exit_code == 0, outcome.output
    options = {word for word in words if word.startswith("--")} - {"--width"}  # the method's own
    assert all(option in outcome.output for option in options)


def test_the_page_names_every_check():
    assert re.findall(r"^\| `(\w+)` \| (?!a frozen)", PAGE.split("## Check it")[1], re.MULTILINE) == list(CHECKS)


def test_the_suite_of_the_page_shares_its_baselines_with_quick(tmp_path, monkeypatch):
    write(tmp_path)
    (tmp_path / "mine.yaml").write_text(PAGE.split("```yaml\n")[1].split("```")[0])
    quick = load_suite(Path(__file__).parent.parent / "workflow" / "config" / "quick.yaml").runs()
    monkeypatch.chdir(tmp_path)
    shared = {run.folder(tmp_path) for _, run in quick}
    mine = load_suite("mine.yaml")
    new = {method.family for method, run in mine.runs() + mine.taken_runs() if run.folder(tmp_path) not in shared}
    assert new == {"mine"} and {method.family for method, _ in mine.taken_runs()} == {"cql"}


# Real runs.


@pytest.mark.slow
@pytest.mark.parametrize("method", ["td3_bc.py:TD3BC", "iql.py:IQL"])
def test_the_worked_methods_train(results, tmp_path, method):
    words = f"""train --dataset pendulum/medium-v0 --method {METHODS_FOLDER / method} --width 16 --updates 200
        --evaluate-every 100 --episodes 2 --value-states 4 --results {results} --out {tmp_path / "run"}"""
    outcome = subprocess.run(
        [sys.executable, "-m", "cqlbench", *words.split()], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads((tmp_path / "run" / runs.STATUS).read_text())["status"] == "done"
    with (tmp_path / "run" / runs.VALUES).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 and all(math.isfinite(float(row["predicted_value"])) for row in rows)
