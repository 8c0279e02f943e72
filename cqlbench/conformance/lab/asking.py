"""Asks a critic's loss every probe, in torch or NumPy, and reads what it answers. A loss that fails says how."""

from __future__ import annotations

import inspect
import traceback
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from cqlbench.conformance.lab.hypotheses import TERMS, Numbers
from cqlbench.conformance.lab.probes import Probe, probes
from cqlbench.conformance.lab.problem import CriticLoss, Problem
from cqlbench.conformance.oracle import Array
from cqlbench.errors import UserError

# The whole loss, where that is all the function returns, and the same at alpha = 0.
TOTAL, UNWEIGHTED = "total", "unweighted"


# How torch's warning starts where a tensor becomes a plain number and its gradient is lost.
LOST_GRADIENT = "Converting a tensor with requires_grad=True to a scalar"


@dataclass(frozen=True)
class Answers:
    """All answers of one function.

    `numbers` and `slopes` by term; slopes are a list over probes of (DIRECTIONS,), of those terms that are tensors.
    """

    library: str
    lagrangian: bool
    numbers: dict[str, Numbers]
    slopes: dict[str, list[Array]]

    @property
    def whole(self) -> bool:
        """Whether the function returns its total only."""
        return TOTAL in self.numbers


def ask_all(critic_loss: CriticLoss) -> Answers:
    """Asks every probe. Raises UserError where the function fails, draws numbers of its own or returns no loss."""
    asker = _Asker(critic_loss)
    first = probes()[0].problem
    before, again = asker.ask(first), asker.ask(first)
    for term in before:
        one, two = before[term].numbers, again[term].numbers
        if not np.allclose(one, two, rtol=1e-9, atol=1e-12):
            raise UserError(
                f"{asker.name}: asked the same twice, it answers {_show(one)}, then {_show(two)}: it draws random "
                "numbers of its own; use the sampled actions that it is given."
            )
    numbers: dict[str, Numbers] = {}
    slopes: dict[str, list[Array]] = {}
    for probe in probes():
        answers = [asker.ask_terms(problem) for problem in probe.problems]
        if any(answer.keys() != answers[0].keys() for answer in answers):
            raise UserError(f"{asker.name}: it does not always return the same terms; return td and conservative.")
        for term in answers[0]:
            numbers.setdefault(term, []).append(np.stack([answer[term].numbers for answer in answers]))
            slope = answers[0][term].slopes_along(probe)
            if slope is not None:
                slopes.setdefault(term, []).append(slope)
    return Answers(asker.library, asker.lagrangian, numbers, slopes)


@dataclass(frozen=True)
class _Term:
    """One answered term: its number or one per critic, (C,), and what it can be differentiated by."""

    numbers: Array
    tensor: torch.Tensor | None
    parameters: list[torch.Tensor]

    def slopes_along(self, probe: Probe) -> Array | None:
        if self.tensor is None:
            return None
        if not self.tensor.requires_grad:
            return np.zeros(len(probe.directions))
        gradients = torch.autograd.grad(self.tensor.sum(), self.parameters, retain_graph=True, allow_unused=True)
        slopes = []
        for direction in probe.directions:
            parts = [part for layers in direction for layer in layers for part in layer]
            pairs = zip(gradients, parts, strict=True)
            slopes.append(sum(float((g.double().numpy() * part).sum()) for g, part in pairs if g is not None))
        return np.array(slopes)


class _Asker:
    """Knows how to call one function."""

    def __init__(self, critic_loss: CriticLoss) -> None:
        self.critic_loss = critic_loss
        self.name = getattr(critic_loss, "__name__", type(critic_loss).__name__)
        try:
            self.lagrangian = "threshold" in inspect.signature(critic_loss).parameters
        except (TypeError, ValueError):  # a builtin has no signature
            self.lagrangian = False
        self.library = self._choose(probes()[0].problem)

    def _choose(self, problem: Problem) -> str:
        """torch where the function takes its tensors and returns some, else NumPy.

        A function of arrays may take tensors too, number by number; the gradient that it loses is not its fault.
        """
        failures: dict[str, BaseException] = {}
        for library in ("torch", "NumPy"):
            try:
                answer, _ = self._call(problem, library, "error")
            except (Exception, SystemExit) as error:  # a user's function may raise anything, or end all
                failures[library] = error
                continue
            if library == "NumPy" or _holds_tensors(answer):
                return library
        if isinstance(failures.get("torch"), UserWarning) or "torch" not in failures:
            return "torch"  # it takes no arrays, and makes plain numbers of tensors for its own reasons
        told = "; ".join(f"given {library}, it raised {_describe(error)}" for library, error in failures.items())
        raise UserError(f"{self.name}: {told}. `cqlbench conformance --example` shows a loss.")

    def _call(
        self, problem: Problem, library: str, lost_gradients: Literal["error", "ignore"] = "ignore"
    ) -> tuple[Any, list[torch.Tensor]]:
        extra = {"threshold": problem.threshold} if self.lagrangian else {}
        always = torch.is_warn_always_enabled()
        torch.set_warn_always(True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.filterwarnings(lost_gradients, LOST_GRADIENT)
                if library == "torch":
                    return problem.ask_torch(self.critic_loss, **extra)
                return problem.ask(self.critic_loss, **extra), []
        finally:
            torch.set_warn_always(always)

    def ask(self, problem: Problem) -> dict[str, _Term]:
        try:
            answer, parameters = self._call(problem, self.library)
        except (Exception, SystemExit) as error:  # a user's function may raise anything, or end all
            raise UserError(f"{self.name}: given {self.library}, it raised {_describe(error)}.") from error
        if not isinstance(answer, Mapping):
            return {TOTAL: self._read(TOTAL, answer, parameters)}
        if missing := [term for term in TERMS[:2] if term not in answer]:
            raise UserError(
                f"{self.name}: its answer has no {missing[0]!r}, only {', '.join(map(str, answer)) or 'nothing'}; "
                "return td and conservative, or the loss itself."
            )
        return {term: self._read(term, answer[term], parameters) for term in TERMS if term in answer}

    def ask_terms(self, problem: Problem) -> dict[str, _Term]:
        """As `ask`; a total also comes without its penalty."""
        answer = self.ask(problem)
        if TOTAL in answer:
            answer[UNWEIGHTED] = self.ask(replace(problem, alpha=0.0))[TOTAL]
        return answer

    def _read(self, term: str, value: Any, parameters: list[torch.Tensor]) -> _Term:
        tensor = None
        try:
            if value is None:
                raise TypeError
            if isinstance(value, (list, tuple)) and any(isinstance(part, torch.Tensor) for part in value):
                value = torch.stack([torch.as_tensor(part).reshape(()) for part in value])
            if isinstance(value, torch.Tensor):
                tensor, value = value, value.detach().cpu().double().numpy()
            numbers = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{self.name}: its {term} is a {type(value).__name__}, not a number or one per critic."
            ) from error
        if numbers.size not in (1, 2):
            raise UserError(
                f"{self.name}: its {term} has shape {numbers.shape}; return a number or one per critic, (2,): "
                "the mean over the batch."
            )
        if not np.isfinite(numbers).all():
            raise UserError(f"{self.name}: its {term} is {_show(numbers)} on inputs that are all finite.")
        return _Term(numbers.reshape(-1), tensor, parameters)


def _holds_tensors(answer: Any) -> bool:
    if isinstance(answer, Mapping):
        return any(_holds_tensors(part) for part in answer.values())
    if isinstance(answer, (list, tuple)):
        return any(isinstance(part, torch.Tensor) for part in answer)
    return isinstance(answer, torch.Tensor)


def _describe(error: BaseException) -> str:
    """What was raised, and the last line of the user's own code on the way to it."""
    frames = traceback.extract_tb(error.__traceback__)
    others = (str(Path(__file__).parent), "site-packages")
    own = [frame for frame in frames if not any(other in frame.filename for other in others)]
    place = f" (line {own[-1].lineno} of {own[-1].filename})" if own else ""
    message = str(error).splitlines()[0] if str(error) else ""
    return f"{type(error).__name__}: {message}".rstrip(": .") + place


def _show(numbers: Array) -> str:
    return ", ".join(f"{number:.6g}" for number in np.ravel(numbers))
