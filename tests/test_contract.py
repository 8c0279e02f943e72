"""What `cqlbench check-method` says of methods that are right, and of each way to be wrong."""

import ast
import math
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cqlbench.algorithms.algorithm import Algorithm
from cqlbench.cli import app
from cqlbench.contract.asking import LEFT_OUT, NOT_ASKED, OK, WRONG, check_method
from cqlbench.contract.checks import CHECKS, METHODS, OPTIONAL_METHODS

METHODS_FOLDER = Path(__file__).parent / "methods"
TEMPLATE = CliRunner().invoke(app, ["check-method", "--example"]).output
VALUED = (
    TEMPLATE
    + """
    def value(self, observations, actions):
        return np.stack([observations.sum(1), actions.sum(1)])

    def sample(self, observations, generator):
        noise = torch.randn((len(observations), 1), generator=generator).numpy()
        return np.tanh(self.act(observations) + noise), np.zeros(len(observations))
"""
).replace("import torch\n", "import numpy as np\nimport torch\n", 1)

ACT = "        return torch.tanh(self.policy(torch.as_tensor(observations, device=self.device))).detach().cpu().numpy()"
LOSS = '        return {"loss": loss.detach()}'
STEP = "        self.optimiser.step()\n"
SUPER = "        super().__init__()\n"
Edit = tuple[str, str]


def findings(folder: Path, *edits: Edit, source: str = TEMPLATE, seconds: int = 60, **settings):
    for old, new in edits:
        assert source.count(old) == 1, (old, source.count(old))
        source = source.replace(old, new)
    file = folder / "my_method.py"
    file.write_text(source)
    return {finding.check: finding for finding in check_method(f"{file}:MyMethod", {"width": 8, **settings}, seconds)}


def before(line: str, *more: str) -> Edit:
    """Some lines in front of one, indented as a method's body is."""
    return line, "".join(f"        {text}\n" for text in more) + line


def after_act(edit: str) -> Edit:
    return ACT, ACT + "\n" + edit


def test_the_template_is_short_and_passes(tmp_path):
    assert len(TEMPLATE.splitlines()) < 30
    found = findings(tmp_path)
    assert {name: finding.outcome for name, finding in found.items()} == {
        name: LEFT_OUT if name == "value" else OK for name in CHECKS
    }
    assert all(finding.sentence.endswith(".") and not finding.lines for finding in found.values())


@pytest.mark.parametrize("method", ["td3_bc.py:TD3BC", "iql.py:IQL", "sac", "cql"])
def test_methods_with_values_pass(method):
    path = str(METHODS_FOLDER / method) if ".py" in method else method
    assert {finding.outcome for finding in check_method(path, {"width": 8}, 60)} == {OK}


def test_d3rlpy_is_right_but_for_the_generator_it_draws_from():
    found = {finding.check: finding for finding in check_method("d3rlpy-cql", {"width": 8}, 60)}
    assert [name for name, finding in found.items() if finding.outcome != OK] == ["globals"]
    assert "torch's global generator" in found["globals"].sentence


def test_what_is_asked_for_is_the_contract():
    assert set(METHODS) == {name for name in vars(Algorithm) if callable(getattr(Algorithm, name)) and name[0] != "_"}
    assert all(f"`{name}({', '.join(arguments)})`" in Algorithm.__doc__ for name, arguments in OPTIONAL_METHODS.items())


# By name: which check finds it, words of its sentence, and the edits that make the template wrong.
DEFECTS: dict[str, tuple[str, str, list[Edit]]] = {
    "not python": ("class", "cannot import", [("class MyMethod", "klass MyMethod")]),
    "missing import": ("class", "No module named 'nowhere'", [("import torch\n", "import nowhere\nimport torch\n")]),
    "other class": ("class", "has no class 'MyMethod'", [("class MyMethod", "class Method")]),
    "not a class": ("class", "is a function", [("class MyMethod(torch.nn.Module):", "def MyMethod():")]),
    "foreign config": ("class", "must derive from", [("Config(MethodConfig)", "Config")]),
    "no decorator": ("class", "width of the Config is no setting", [("    @dataclass(frozen=True)\n", "")]),
    "no annotation": ("class", "type, width: int = 256", [("width: int = 256", "width = 256")]),
    "list setting": (
        "class",
        "read from text",
        [("width: int = 256", "width: int = 256\n        sizes: tuple = (1, 2)")],
    ),
    "reserved word": ("class", "'episodes'", [("width: int = 256", "width: int = 256\n        episodes: int = 3")]),
    "default out of range": (
        "class",
        "discount",
        [("width: int = 256", "width: int = 256\n        discount: float = 1")],
    ),
    "no device": ("construction", "MyMethod(spec, config, seed, device)", [("config, seed, device", "config, seed")]),
    "raises": ("construction", "raised KeyError: 'what'", [before(SUPER, "{}['what']")]),
    "exits": ("construction", "raised SystemExit: 3", [before(SUPER, "raise SystemExit(3)")]),
    "dies": ("construction", "killed by SIGSEGV", [before(SUPER, "import os; os.kill(os.getpid(), 11)")]),
    "no act": ("construction", "expected a method act(observations)", [("def act(", "def action(")]),
    "no state": ("construction", "state_dict", [("        super().__init__()\n", "        super().__init__()\n        self.state_dict = {}\n")]),
    "act needs more": ("construction", "act(observations)", [("def act(self, observations)", "def act(self, observations, noise)")]),
    "update raises": ("update", "(in update 1)", [(STEP, "        torch.ones(2) @ torch.ones(3)\n")]),
    "no metrics": ("update", "update 1 returned a NoneType", [(LOSS, "")]),
    "metric of a batch": ("update", "a Tensor of shape (2,) as loss", [(LOSS, '        return {"loss": torch.ones(2)}')]),
    "metric in words": ("update", "a str as loss", [(LOSS, '        return {"loss": "small"}')]),
    "metric with its graph": ("update", "loss.detach()", [(LOSS, '        return {"loss": loss}')]),
    "metric called update": ("update", "other than 'update'", [(LOSS, '        return {"update": loss.detach()}')]),
    "metrics now and then": (
        "update",
        "update 3 loss, extra",
        [
            before(LOSS, "self.count = getattr(self, 'count', 0) + 1"),
            (LOSS, '        return {"loss": loss.detach()} | ({"extra": 1.0} if self.count == 3 else {})'),
        ][1:]
        + [(STEP, STEP + "        self.count = getattr(self, 'count', 0) + 1\n")],
    ),
    "nan": (
        "update",
        "update 4 returned loss = nan",
        [
            (STEP, STEP + "        self.count = getattr(self, 'count', 0) + 1\n"),
            (LOSS, '        return {"loss": loss.detach() * (float("nan") if self.count == 4 else 1)}'),
        ],
    ),
    "nan at the bounds of actions": ("update", "update 1 returned loss = nan", [("- batch.actions)", "- batch.actions.atanh())")]),
    "one action": ("act", "expected act to return shape (1, 2)", [(".numpy()", ".numpy()[0]")]),
    "tensor": ("act", "returned a Tensor", [(".detach().cpu().numpy()", ".detach()")]),
    "whole numbers": ("act", "an array of int64", [(".numpy()", ".numpy().round().astype(int)")]),
    "out of bounds": ("act", "expected actions in [-1, 1]", [("return torch.tanh(self.policy(torch.as_tensor(observations, device=self.device)))", "return self.policy(torch.as_tensor(observations, device=self.device))")]),
    "nan in act": ("act", "finite numbers", [(".numpy()", ".numpy() * float('nan')")]),
    "noisy act": ("act", "without noise", [("torch.tanh(self.policy(torch.as_tensor(", "torch.tanh(torch.rand(1) + self.policy(torch.as_tensor(")]),
    "act writes into its input": ("act", "has changed the array", [before(ACT, "observations *= 0")]),
    "state of numbers": ("state_dict", "weight of the state_dict is a float", [after_act("\n    def state_dict(self):\n        return {'weight': 1.0}")]),
    "state under our name": (
        "state_dict",
        "normaliser.mean",
        [after_act("\n    def state_dict(self):\n        return {'normaliser.mean': torch.ones(1)}")],
    ),
    "tensor twice": (
        "state_dict",
        "safetensors can write",
        [("        self.device, self.optimiser", "        self.again = self.policy\n        self.device, self.optimiser")],
    ),
    "state left out": (
        "state_dict",
        "is not in the state_dict",
        [
            after_act(
                "\n    def state_dict(self):\n        return {'bias': self.policy[0].bias.detach()}\n"
                "\n    def load_state_dict(self, state):\n        self.policy[0].bias.data.copy_(state['bias'])"
            )
        ],
    ),
    "not restored": (
        "state_dict",
        "does not restore policy.0.weight",
        [after_act("\n    def load_state_dict(self, state):\n        pass")],
    ),
    "no learning": ("state_dict", "changed no tensor", [(STEP, "")]),
    "unseeded": ("seed", "two objects of seed 0", [("            torch.manual_seed(seed)\n", "")]),
    "seed ignored": ("seed", "other weights", [("manual_seed(seed)", "manual_seed(0)")]),
    "dropout mode": (
        "asking",
        "evaluated in between",
        [before(ACT, "self.policy[0].weight.data.mul_(1 + 1e-6) if self.training else None", "self.eval()"), ("def update(self, batch):", "def update(self, batch, train=True):")],
    ),
    "torch's generator": ("globals", "the constructor has changed it", [before(SUPER, "torch.manual_seed(seed)")]),
    "noise from torch's generator": ("globals", "update has changed it", [(STEP, STEP + "        torch.randn(1)\n")]),
    "numpy's generator": ("globals", "NumPy's global generator", [before(SUPER, "import numpy; numpy.random.seed(seed)")]),
    "threads": ("globals", "importing the file", [("\n\nclass", "\n\ntorch.set_num_threads(2)\n\n\nclass")]),
    "gradient mode": ("globals", "act, value or sample", [before(ACT, "torch.set_grad_enabled(False)")]),
    "one action dimension": (
        "sizes",
        "(with sizes of observation and action (1, 1))",
        [(".square().mean()", ".square().mean() / batch.actions.squeeze().shape[1]")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_found_by_its_check(tmp_path, defect):
    check, words, edits = DEFECTS[defect]
    found = findings(tmp_path, *edits)
    assert found[check].outcome == WRONG, found[check]
    assert words in found[check].sentence
    # Those before it are right: nothing is blamed on them.
    earlier = list(CHECKS)[: list(CHECKS).index(check)]
    assert {found[name].outcome for name in earlier} <= {OK, LEFT_OUT}
