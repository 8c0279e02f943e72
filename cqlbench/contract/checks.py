"""What a method is asked, and what is wrong with its answers.

A check is a function of a `Subject`. It returns a sentence on what it found, raises Wrong with what was expected and
what came, or LeftOut with what the method has chosen not to have. Whatever else it raises, the method's code raised.
"""

from __future__ import annotations

import inspect
import pickle
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from cqlbench.algorithms.algorithm import Resumable
from cqlbench.algorithms.configs import MethodConfig, discount_of
from cqlbench.algorithms.registry import find_algorithm, load_class
from cqlbench.checkpoints import Checkpoint, Checkpoints
from cqlbench.errors import UserError
from cqlbench.runs import readable
from cqlbench.seeding import generator_for
from cqlbench.tasks import Batch, TaskSpec

SPEC = TaskSpec(observation_size=5, action_size=2)
# One and six dimensions of actions as the tasks have, and sizes that none has.
SIZES = (TaskSpec(1, 1), TaskSpec(3, 1), TaskSpec(17, 6), TaskSpec(29, 8))
CPU = torch.device("cpu")
# Updates that are looked at one by one, and updates of every other check.
WATCHED_UPDATES, UPDATES = 20, 5
# Rounding of tanh and of float32 is no action out of bounds.
TOLERANCE = 1e-6

# What the harness calls, with what.
METHODS = {"update": ("batch",), "act": ("observations",), "state_dict": (), "load_state_dict": ("state",)}
OPTIONAL_METHODS = {"value": ("observations", "actions"), "sample": ("observations", "generator")}


class Wrong(Exception):
    """What was expected and what came, in one sentence."""


class LeftOut(Exception):
    """What the method does not have, and what follows."""


@dataclass(frozen=True)
class Subject:
    """The method that is asked: `my_method.py:MyMethod` or a known name, with settings as the command line has them."""

    method: str
    settings: dict[str, Any]

    @cached_property
    def own_class(self) -> type:
        return load_class(find_algorithm(self.method).path)

    @cached_property
    def config(self) -> MethodConfig:
        return find_algorithm(self.method).config.resolve(self.settings)

    def build(self, spec: TaskSpec = SPEC, seed: int = 0, device: torch.device = CPU) -> Any:
        return self.own_class(spec, self.config, seed, device)

    def batches(self, count: int, spec: TaskSpec = SPEC, device: torch.device = CPU) -> Iterator[Batch]:
        """The same ones at every call, of the method's own batch size."""
        generator = generator_for("contract", "batches", spec.observation_size, spec.action_size)
        for _ in range(count):
            observations, next_observations = generator.normal(size=(2, self.config.batch_size, spec.observation_size))
            # As in real data, many are exactly at a bound, where an inverse tanh is infinite.
            actions = generator.normal(size=(self.config.batch_size, spec.action_size)).clip(-1, 1)
            rewards = generator.normal(size=self.config.batch_size)
            terminals = generator.random(self.config.batch_size) < 0.1
            columns = (observations, actions, rewards, next_observations, terminals)
            yield Batch(*(torch.from_numpy(column.astype(np.float32)).to(device) for column in columns))

    def trained(self, seed: int = 0) -> Any:
        """A method after a few updates."""
        algorithm = self.build(seed=seed)
        for batch in self.batches(UPDATES):
            algorithm.update(batch)
        return algorithm


@contextmanager
def during(what: str) -> Iterator[None]:
    """Whatever is raised inside says during what."""
    try:
        yield
    except Exception as error:  # a user's method may raise anything; it is raised again, with the note
        error.add_note(what)
        raise


def check_class(subject: Subject) -> str:
    """The file can be imported, holds the class, and its Config can be written on a command line and read again."""
    config = find_algorithm(subject.method).config
    settings = subject.config.settings()
    for name, value in settings.items():
        try:
            again = config.read(name, readable(value))
        except UserError as error:
            raise Wrong(f"a setting is read from text as bool, int, float, str or None; {error}") from error
        if again != value or type(again) is not type(value):
            raise Wrong(f"{name}: written as {readable(value)}, {value!r} is read as {again!r}.")
    own_settings = ", ".join(name for name in settings if name not in MethodConfig().settings())
    return f"its own settings are {own_settings}." if own_settings else "it has the common settings only."


def check_construction(subject: Subject) -> str:
    """It is built from (spec, config, seed, device) and has the methods that the harness calls."""
    own = subject.own_class
    _takes(own, own.__name__, ("spec", "config", "seed", "device"))
    algorithm = subject.build()
    for name, arguments in (METHODS | OPTIONAL_METHODS).items():
        if hasattr(algorithm, name):
            _takes(getattr(algorithm, name), name, arguments)
        elif name in METHODS:
            raise Wrong(f"expected a method {name}({', '.join(arguments)}); {own.__name__} has none.")
    return f"{own.__name__}(spec, config, seed, device) has {', '.join(METHODS)}."


def _takes(function: Any, name: str, arguments: tuple[str, ...]) -> None:
    if not callable(function):
        raise Wrong(f"expected {name}({', '.join(arguments)}); {name} is a {type(function).__name__}.")
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError as error:
        raise Wrong(f"expected {name}({', '.join(arguments)}); it cannot be called so: {error}.") from error


def check_update(subject: Subject) -> str:
    """Every update returns the same finite numbers by name."""
    algorithm = subject.build()
    names: list[str] | None = None
    for number, batch in enumerate(subject.batches(WATCHED_UPDATES), 1):
        with during(f"in update {number}"):
            metrics = algorithm.update(batch)
        if not isinstance(metrics, Mapping):
            raise Wrong(f"expected a dict of numbers by name; update {number} returned a {type(metrics).__name__}.")
        for name, value in metrics.items():
            _check_metric(number, name, value)
        names = list(metrics) if names is None else names
        if sorted(names) != sorted(metrics):
            raise Wrong(
                f"expected the same metrics at every update, as they are averaged; update 1 returned "
                f"{', '.join(names)}, update {number} {', '.join(metrics) or 'none'}."
            )
    return f"{WATCHED_UPDATES} updates returned finite {', '.join(names or ['nothing'])}."


def _check_metric(number: int, name: Any, value: Any) -> None:
    if not isinstance(name, str) or name == "update":
        raise Wrong(f"expected names of metrics other than 'update'; update {number} returned one called {name!r}.")
    size = value.numel() if isinstance(value, Tensor) else np.size(value)
    if size != 1 or not isinstance(value, Real | Tensor | np.ndarray):
        shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
        raise Wrong(f"expected a number; update {number} returned a {type(value).__name__}{shape} as {name}.")
    if isinstance(value, Tensor) and value.requires_grad:
        raise Wrong(f"{name} still carries its gradient, which holds on to the memory of its update: {name}.detach().")
    if not np.isfinite(float(value)):
        raise Wrong(f"expected finite numbers; update {number} returned {name} = {float(value)}.")


def check_act(subject: Subject) -> str:
    """Actions in [-1, 1] for any number of observations, the same ones when asked again."""
    algorithm = subject.trained()
    for count in (1, 7, 256):
        observations = _observations(count)
        asked = observations.copy()
        first, second = (_actions(algorithm, observations) for _ in range(2))
        if not np.array_equal(observations, asked):
            raise Wrong("expected the observations to stay as they are; act has changed the array it was given.")
        if not np.array_equal(first, second):
            raise Wrong(
                f"expected the same actions for the same observations; asked twice, one differs by "
                f"{np.abs(first - second).max():.3g}: act is the evaluation policy, without noise."
            )
        # Far from the data too: the policy goes there by itself.
        _actions(algorithm, 100 * observations)
    return f"{first.dtype} actions of shape (B, {SPEC.action_size}) in [-1, 1], without noise."


def check_value(subject: Subject) -> str:
    """Values of shape (C, B) or (B,) and samples of the policy, where the method has them."""
    algorithm = subject.trained()
    for count in (1, 7):
        answers, again = (_answers(algorithm, _observations(count)) for _ in range(2))
        for first, second in zip(answers, again, strict=True):
            if not np.array_equal(first, second):
                raise Wrong(
                    "expected the same answers to the same questions; asked twice with generators of one seed, value "
                    "or sample differ: draw from the generator that sample is given, and from nothing else."
                )
    if missing := [name for name in OPTIONAL_METHODS if not hasattr(algorithm, name)]:
        raise LeftOut(f"no {' and no '.join(missing)}: the method is left out of value figures, by name.")
    values = answers[1]
    critics = f"{len(values)} critics" if values.ndim == 2 else "one critic"
    discount, own = discount_of(subject.config), hasattr(subject.config, "discount")
    said = f"its own discount {discount}" if own else f"the discount {discount}, as the Config has none"
    return f"{critics} and samples of the policy; they are compared with true returns at {said}."


def check_state_dict(subject: Subject) -> str:
    """What it writes can be read by a fresh one of another seed, which then acts and values alike."""
    start, trained = _tensors(subject.build()), subject.trained()
    state = _tensors(trained)
    if state and state == start:
        raise Wrong(f"expected training to change something; {UPDATES} updates changed no tensor of the state_dict.")
    fresh = subject.build(seed=1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "policy.safetensors"
        tensors = {name: tensor.contiguous() for name, tensor in trained.state_dict().items()}
        try:
            safetensors.torch.save_file(tensors, file)
        except (RuntimeError, ValueError) as error:
            raise Wrong(f"expected tensors that safetensors can write; {' '.join(str(error).split())}") from error
        fresh.load_state_dict(safetensors.torch.load_file(file))
    if lost := _differing(state, _tensors(fresh)):
        raise Wrong(f"expected load_state_dict to restore every tensor; it does not restore {lost}.")
    observations = _observations(7)
    for ours, theirs in zip(_answers(trained, observations), _answers(fresh, observations), strict=True):
        if not np.array_equal(ours, theirs):
            raise Wrong(
                "expected a fresh object to act and value as the trained one whose state_dict it was given; it does "
                "not: something that act, value or sample uses is not in the state_dict."
            )
    return f"{len(state)} tensors restore what acts and values in an object of another seed."


def check_resume(subject: Subject) -> str:
    """One that goes on from a checkpoint, as a killed run does, becomes what it would have become."""
    batches, algorithm = list(subject.batches(UPDATES)), subject.build()
    resumable = isinstance(algorithm, Resumable)
    if not resumable:
        raise LeftOut("no training_state and load_training_state: a run that is killed starts from its beginning.")
    half = UPDATES // 2
    for batch in batches[:half]:
        algorithm.update(batch)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), {}, every=0)
        checkpoints.save(Checkpoint(half, algorithm.training_state(), {}, {}))
        for batch in batches[half:]:
            algorithm.update(batch)
        fresh = subject.build(seed=1)
        saved = checkpoints.newest(print)
        assert saved
        fresh.load_training_state(saved.method)
    for batch in batches[half:]:
        fresh.update(batch)
    if differing := _differing(_tensors(algorithm), _tensors(fresh)):
        raise Wrong(
            f"expected a fresh object that was given the training_state after {half} updates to be equal after "
            f"{UPDATES}; {differing} differs: what update reads must be in it, optimisers, generators and counters too."
        )
    return f"goes on after {half} of {UPDATES} updates to the same bytes."


def check_seed(subject: Subject) -> str:
    """One seed gives the same weights to the last bit, another seed gives others."""
    states = []
    for global_seed, seed in enumerate((0, 0, 1)):
        # A run starts from none of these: what depends on them is not a function of the seed.
        random.seed(global_seed)
        np.random.seed(global_seed)
        torch.manual_seed(global_seed)
        states.append(_tensors(subject.trained(seed)))
    first, second, other = states
    if differing := _differing(first, second):
        raise Wrong(
            f"expected two objects of seed 0 to be equal after {UPDATES} updates; {differing} differs: draw weights "
            "and noise from generators that start from the seed."
        )
    if first == other:
        raise Wrong("expected seed 1 to give other weights than seed 0; they are equal: seeds stand for repetitions.")
    return f"the same bytes after {UPDATES} updates of one seed, others of another."


def check_asking(subject: Subject) -> str:
    """To be asked in between, as at every evaluation, changes nothing of the training."""
    asked = subject.build()
    for batch in subject.batches(UPDATES):
        asked.update(batch)
        _answers(asked, _observations(7))
    if differing := _differing(_tensors(subject.trained()), _tensors(asked)):
        raise Wrong(
            f"expected training to go the same way whether the method is evaluated in between or not; {differing} "
            "differs: act, value and sample must leave weights, modes and generators as they are."
        )
    return "evaluations in between leave the training as it is."


# What belongs to the whole process, how to look at it, and what to do instead of changing it.
GLOBALS: dict[str, tuple[Callable[[], Any], str]] = {
    "torch's global generator": (
        lambda: torch.random.get_rng_state().numpy().tobytes(),
        "draw noise from a torch.Generator of its own, and weights inside torch.random.fork_rng(devices=[])",
    ),
    "NumPy's global generator": (lambda: pickle.dumps(np.random.get_state()), "use np.random.default_rng(seed)"),
    "torch's number of threads": (torch.get_num_threads, "leave it at one: a run is one thread"),
    "torch's default dtype": (torch.get_default_dtype, "give tensors their dtype"),
    "torch's gradient mode": (torch.is_grad_enabled, "use torch.no_grad() as a context or a decorator"),
}


def check_globals(subject: Subject) -> str:
    """Nothing that belongs to the whole process is changed, by import, construction, update or questions."""
    before = {name: look() for name, (look, _) in GLOBALS.items()}

    def compare(what: str) -> None:
        for name, (look, advice) in GLOBALS.items():
            if look() != before[name]:
                raise Wrong(f"expected {name} to be left alone; {what} has changed it: {advice}.")

    assert subject.own_class
    compare("importing the file")
    algorithm = subject.build()
    compare("the constructor")
    for batch in subject.batches(UPDATES):
        algorithm.update(batch)
    compare("update")
    _answers(algorithm, _observations(7))
    compare("act, value or sample")
    return f"{', '.join(GLOBALS)} are left alone."


def check_device(subject: Subject) -> str:
    """Its tensors lie where it was told to put them, and it is asked in arrays all the same."""
    devices = [CPU, *([torch.device("cuda", 0)] if torch.cuda.is_available() else [])]
    for device in devices:
        with during(f"on device {device}"):
            algorithm = subject.build(device=device)
            for batch in subject.batches(UPDATES, device=device):
                algorithm.update(batch)
            _answers(algorithm, _observations(7))
        for name, tensor in algorithm.state_dict().items():
            if tensor.device.type != device.type:
                raise Wrong(f"expected every tensor on {device}; {name} is on {tensor.device}.")
    if len(devices) == 1:
        return "every tensor on cpu; cuda was not tried, as there is none here."
    return f"every tensor on the device it was given: {', '.join(map(str, devices))}."


def check_sizes(subject: Subject) -> str:
    """One action dimension, six, and sizes that no task has."""
    words = [f"({spec.observation_size}, {spec.action_size})" for spec in SIZES]
    for spec, word in zip(SIZES, words, strict=True):
        with during(f"with sizes of observation and action {word}"):
            algorithm = subject.build(spec)
            for batch in subject.batches(2, spec):
                algorithm.update(batch)
            for count in (1, 7):
                _answers(algorithm, _observations(count, spec), spec)
    return f"sizes of observation and action {', '.join(words)} work."


class Check(NamedTuple):
    """A check, and the ones without which it would only repeat what they say."""

    check: Callable[[Subject], str]
    needs: tuple[str, ...] = ()


_TRAINED = ("class", "construction", "update")
_ASKED = (*_TRAINED, "act", "value")
CHECKS = {
    "class": Check(check_class),
    "construction": Check(check_construction, ("class",)),
    "update": Check(check_update, ("class", "construction")),
    "act": Check(check_act, _TRAINED),
    "value": Check(check_value, (*_TRAINED, "act")),
    "state_dict": Check(check_state_dict, _ASKED),
    "resume": Check(check_resume, _ASKED),
    "seed": Check(check_seed, _TRAINED),
    "asking": Check(check_asking, _ASKED),
    "globals": Check(check_globals, _ASKED),
    "device": Check(check_device, _ASKED),
    "sizes": Check(check_sizes, _ASKED),
}


def _observations(count: int, spec: TaskSpec = SPEC) -> np.ndarray:
    generator = generator_for("contract", "observations", count)
    return generator.normal(size=(count, spec.observation_size)).astype(np.float32)


def _array(name: str, answer: Any, shape: str, fits: Callable[[tuple[int, ...]], bool]) -> np.ndarray:
    """`answer`, where it is a finite array of floats whose shape fits; `shape` says which that are."""
    if not isinstance(answer, np.ndarray) or not np.issubdtype(answer.dtype, np.floating):
        kind = f"an array of {answer.dtype}" if isinstance(answer, np.ndarray) else f"a {type(answer).__name__}"
        raise Wrong(f"expected {name} to return a float array of shape {shape}; it returned {kind}.")
    if not fits(answer.shape):
        raise Wrong(f"expected {name} to return shape {shape}; it returned {answer.shape}.")
    if not np.isfinite(answer).all():
        raise Wrong(f"expected {name} to return finite numbers; it returned {answer[~np.isfinite(answer)][0]}.")
    return answer


def _bounded(name: str, answer: Any, count: int, spec: TaskSpec) -> np.ndarray:
    shape = (count, spec.action_size)
    actions = _array(name, answer, str(shape), lambda other: other == shape)
    if np.abs(actions).max() > 1 + TOLERANCE:
        raise Wrong(f"expected actions in [-1, 1]; {name} returned {actions.flat[np.abs(actions).argmax()]:.6g}.")
    return actions


def _actions(algorithm: Any, observations: np.ndarray, spec: TaskSpec = SPEC) -> np.ndarray:
    return _bounded("act", algorithm.act(observations), len(observations), spec)


def _answers(algorithm: Any, observations: np.ndarray, spec: TaskSpec = SPEC) -> list[np.ndarray]:
    """What it acts, values and samples, each of the right shape."""
    count = len(observations)
    answers = [_actions(algorithm, observations, spec)]
    if hasattr(algorithm, "value"):
        uniform = generator_for("contract", "actions", count).uniform(-1, 1, (count, spec.action_size))
        values = algorithm.value(observations, uniform.astype(np.float32))
        shape = f"(C, {count}) for C critics or ({count},) for one"
        answers.append(_array("value", values, shape, lambda other: len(other) in (1, 2) and other[-1] == count))
    if hasattr(algorithm, "sample"):
        drawn = algorithm.sample(observations, torch.Generator().manual_seed(0))
        if not isinstance(drawn, tuple) or len(drawn) != 2:
            raise Wrong(f"expected sample to return actions and their bonus; it returned a {type(drawn).__name__}.")
        answers.append(_bounded("sample", drawn[0], count, spec))
        answers.append(_array("sample's bonus", drawn[1], f"({count},)", lambda other: other == (count,)))
    return answers


def _tensors(algorithm: Any) -> dict[str, bytes]:
    """Every tensor of its state_dict as the bytes that a file would hold."""
    state = algorithm.state_dict()
    if not isinstance(state, Mapping):
        raise Wrong(f"expected state_dict to return a dict of tensors by name; it returned a {type(state).__name__}.")
    for name, value in state.items():
        if not isinstance(name, str) or name.startswith("normaliser."):
            raise Wrong(
                f"expected names of tensors that do not start with 'normaliser.', as ours do; state_dict has {name!r}."
            )
        if not isinstance(value, Tensor):
            raise Wrong(f"expected tensors by name; {name} of the state_dict is a {type(value).__name__}.")
    return {name: safetensors.torch.save({"tensor": tensor.contiguous()}) for name, tensor in state.items()}


def _differing(first: dict[str, bytes], second: dict[str, bytes]) -> str:
    """The first name by which two states differ; empty where they are equal."""
    return next((name for name in {**first, **second} if first.get(name) != second.get(name)), "")
