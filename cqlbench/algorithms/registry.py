"""Names of methods, and how a name becomes a class. Imports an algorithm only when it is asked for."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.util
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from cqlbench.algorithms import configs
from cqlbench.algorithms.configs import MethodConfig
from cqlbench.algorithms.dialects import DIALECTS
from cqlbench.errors import UserError


@dataclass(frozen=True)
class Entry:
    """A known algorithm: its config, where its class is, and what scores.csv calls it.

    `source` is the SHA-256 (12 hex digits) of the file a user's own class stands in, None for ours.
    """

    config: type[MethodConfig]
    path: str
    algorithm: str
    implementation: str
    source: str | None = None


# Words of `cqlbench train` and of the workflow that a user's own config cannot take for itself.
RESERVED = {
    "run", "suite",
    "dataset", "method", "seed", "updates", "evaluate_every", "episodes", "value_states", "out", "results", "device",
    "checkpoint_every", "resume", "tensorboard", "keep_going", "time_limit",
}  # fmt: skip


ALGORITHMS = {
    "bc": Entry(configs.BCConfig, "cqlbench.algorithms.bc:BC", "bc", "cqlbench"),
    "sac": Entry(configs.SACConfig, "cqlbench.algorithms.sac:SAC", "sac", "cqlbench"),
    "cql": Entry(configs.CQLConfig, "cqlbench.algorithms.cql:CQL", "cql", "cqlbench"),
    **{
        f"cql@{name}": Entry(config, "cqlbench.algorithms.cql:CQL", "cql", "cqlbench")
        for name, config in DIALECTS.items()
    },
    "d3rlpy-bc": Entry(configs.D3rlpyBCConfig, "cqlbench.algorithms.d3rlpy:D3rlpyBC", "bc", "d3rlpy"),
    "d3rlpy-sac": Entry(configs.D3rlpySACConfig, "cqlbench.algorithms.d3rlpy:D3rlpySAC", "sac", "d3rlpy"),
    "d3rlpy-cql": Entry(configs.D3rlpyCQLConfig, "cqlbench.algorithms.d3rlpy:D3rlpyCQL", "cql", "d3rlpy"),
    "d3rlpy-bear": Entry(configs.D3rlpyBEARConfig, "cqlbench.algorithms.d3rlpy:D3rlpyBEAR", "bear", "d3rlpy"),
}


def find_algorithm(name: str) -> Entry:
    """The entry of a known name, or of a user's own class given as `my_method.py:MyMethod` or `package.module:Class`.

    A user's class carries its config dataclass as `Config` (a subclass of MethodConfig); without one it gets the
    common settings only. Raises UserError for a name that is neither, or a class that stands in no file.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    if ":" not in name:
        raise UserError(
            f"method: {name!r} is not known; it must be one of {', '.join(ALGORITHMS)}, "
            "or one's own class as my_method.py:MyMethod."
        )
    own = load_class(name)
    config = getattr(own, "Config", MethodConfig)
    if not (isinstance(config, type) and issubclass(config, MethodConfig)):
        raise UserError(f"method: the Config of {name} must derive from cqlbench.algorithms.configs.MethodConfig.")
    fields = {field.name for field in dataclasses.fields(config)}
    for key, value in vars(config).items():
        if key not in fields and not key.startswith("_") and isinstance(value, bool | int | float | str):
            raise UserError(
                f"method: {key} of the Config of {name} is no setting: decorate the Config with "
                f"@dataclass(frozen=True) and write its type, {key}: {type(value).__name__} = {value!r}."
            )
    if taken := sorted(RESERVED & fields):
        raise UserError(f"method: {taken[0]!r} in the Config of {name} is a word of cqlbench's own; rename it.")
    try:
        source = hashlib.sha256(Path(inspect.getfile(own)).read_bytes()).hexdigest()[:12]
    except (TypeError, OSError) as error:
        raise UserError(f"method: {name} stands in no file that can be read; name the class of a method.") from error
    place, _, class_name = name.rpartition(":")
    return Entry(config, name, class_name, place, source)


def load_class(path: str) -> type:
    """Imports the class named by `module:Class` or `file.py:Class`; a file may import others beside it.

    Raises UserError where it is not there, or is no class.
    """
    place, _, class_name = path.rpartition(":")
    if place.endswith(".py") and not Path(place).is_file():
        raise UserError(f"method: the file {place!r} does not exist.")
    try:
        module = _import_file(place) if place.endswith(".py") else importlib.import_module(place)
    except (Exception, SystemExit) as error:  # a user's file may raise anything while it is imported
        raise UserError(f"method: cannot import {place!r} ({type(error).__name__}: {error}).") from error
    if not hasattr(module, class_name):
        raise UserError(f"method: {place} has no class {class_name!r}.")
    found = getattr(module, class_name)
    if not isinstance(found, type):
        raise UserError(f"method: {class_name} in {place} is a {type(found).__name__}; name the class of the method.")
    return found


def _import_file(file: str) -> ModuleType:
    # At the end, so that a neighbour's name hides no package.
    if (neighbours := str(Path(file).resolve().parent)) not in sys.path:
        sys.path.append(neighbours)
    module_name = f"cqlbench_own_{Path(file).stem}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec and spec.loader, file
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module  # dataclasses look their module up by name
    spec.loader.exec_module(module)
    return module
