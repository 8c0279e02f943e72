"""Names of methods, and how a name becomes a class. Imports an algorithm only when it is asked for."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path

from cqlbench.algorithms import configs
from cqlbench.algorithms.configs import MethodConfig
from cqlbench.errors import UserError


@dataclass(frozen=True)
class Entry:
    """A known algorithm: its config, where its class is, and what scores.csv calls it."""

    config: type[MethodConfig]
    path: str
    algorithm: str
    implementation: str


ALGORITHMS = {
    "bc": Entry(configs.BCConfig, "cqlbench.algorithms.bc:BC", "bc", "cqlbench"),
    "sac": Entry(configs.SACConfig, "cqlbench.algorithms.sac:SAC", "sac", "cqlbench"),
    "cql": Entry(configs.CQLConfig, "cqlbench.algorithms.cql:CQL", "cql", "cqlbench"),
    "d3rlpy-bc": Entry(configs.D3rlpyBCConfig, "cqlbench.algorithms.d3rlpy:D3rlpyBC", "bc", "d3rlpy"),
    "d3rlpy-sac": Entry(configs.D3rlpySACConfig, "cqlbench.algorithms.d3rlpy:D3rlpySAC", "sac", "d3rlpy"),
    "d3rlpy-cql": Entry(configs.D3rlpyCQLConfig, "cqlbench.algorithms.d3rlpy:D3rlpyCQL", "cql", "d3rlpy"),
}


def find_algorithm(name: str) -> Entry:
    """The entry of a known name, or of a user's own class given as `my_method.py:MyMethod` or `package.module:Class`.

    A user's class carries its config dataclass as `Config` (a subclass of MethodConfig); without one it gets the
    common settings only. Raises UserError for a name that is neither.
    """
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    if ":" not in name:
        raise UserError(
            f"method: {name!r} is not known; it must be one of {', '.join(ALGORITHMS)}, "
            "or one's own class as my_method.py:MyMethod."
        )
    config = getattr(load_class(name), "Config", MethodConfig)
    if not (isinstance(config, type) and issubclass(config, MethodConfig)):
        raise UserError(f"method: the Config of {name} must derive from cqlbench.algorithms.configs.MethodConfig.")
    return Entry(config, name, name.rpartition(":")[2], name.rpartition(":")[0])


def load_class(path: str) -> type:
    """Imports the class named by `module:Class` or `file.py:Class`. Raises UserError where it is not there."""
    place, _, class_name = path.rpartition(":")
    if place.endswith(".py"):
        if not Path(place).is_file():
            raise UserError(f"method: the file {place!r} does not exist.")
        module_name = f"cqlbench_own_{Path(place).stem}"
        spec = importlib.util.spec_from_file_location(module_name, place)
        assert spec and spec.loader, place
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module  # dataclasses look their module up by name
        spec.loader.exec_module(module)
    else:
        try:
            module = importlib.import_module(place)
        except ModuleNotFoundError as error:
            raise UserError(f"method: cannot import {place!r} ({error}).") from error
    if not hasattr(module, class_name):
        raise UserError(f"method: {place} has no class {class_name!r}.")
    return getattr(module, class_name)
