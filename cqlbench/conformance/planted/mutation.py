"""The loss that trains, loaded a second time with one piece of its text changed."""

from __future__ import annotations

import importlib
import inspect
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

# Every file a mutant may change, each after those it imports.
MODULES = ("networks.policy", "networks.critic", "losses", "algorithms.sac", "algorithms.cql")


@dataclass(frozen=True)
class Mutant:
    """A defect planted in one of MODULES: `old` becomes `new`. Where it shows only under some settings, those."""

    name: str
    module: str
    old: str
    new: str
    seen: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Code:
    """The modules that make up the loss, real or mutated."""

    policy: ModuleType
    critic: ModuleType
    losses: ModuleType
    sac: ModuleType
    cql: ModuleType


def load(mutant: Mutant | None = None) -> Code:
    """The code with the mutant in it, beside the imported package, which stays as it is; without one, that package's.

    Raises ValueError where the mutant's old text is not in its file exactly once: the code has moved on.
    """
    names = [f"cqlbench.{module}" for module in MODULES]
    imported = {name: importlib.import_module(name) for name in names}
    if mutant is None:
        return Code(*imported.values())
    try:
        for module, name in zip(MODULES, names, strict=True):
            source = inspect.getsource(imported[name])
            if module == mutant.module:
                if source.count(mutant.old) != 1:
                    raise ValueError(
                        f"mutant {mutant.name!r}: its old text is {source.count(mutant.old)} times in {name}, not once"
                    )
                source = source.replace(mutant.old, mutant.new)
            fresh = sys.modules[name] = ModuleType(name)
            exec(compile(source, f"<{name}, {mutant.name}>", "exec"), fresh.__dict__)
        return Code(*(sys.modules[name] for name in names))
    finally:
        sys.modules.update(imported)
