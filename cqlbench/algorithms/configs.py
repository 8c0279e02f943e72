"""Every setting of every method, with its default: one commented dataclass each. Needs no torch.

A config checks itself when it is built and says what to change.
"""

from __future__ import annotations

import dataclasses
import types
from dataclasses import dataclass
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from cqlbench.errors import UserError


@dataclass(frozen=True)
class MethodConfig:
    """What the harness itself reads from a method's config; a user's own config dataclass derives from this one."""

    # Transitions per update.
    batch_size: int = 256
    # Shift and scale observations by the dataset's mean and standard deviation, for training and acting alike.
    normalise_observations: bool = True
    # Train on this many transitions, drawn once from the dataset (smaller draws are part of larger ones); null: all.
    num_transitions: int | None = None

    # Allowed range of a key: (lowest, highest, whether the lowest is itself allowed).
    RANGES: ClassVar[dict[str, tuple[float, float, bool]]] = {
        "batch_size": (1, 1_000_000, True),
        "num_transitions": (1, 1_000_000_000, True),
        "width": (1, 65_536, True),
        "depth": (1, 64, True),
        "learning_rate": (0, 1, False),
        "actor_learning_rate": (0, 1, False),
        "critic_learning_rate": (0, 1, False),
        "temperature_learning_rate": (0, 1, True),
        "initial_temperature": (0, 1e6, False),
        "discount": (0, 0.9999, False),
        "polyak": (0, 1, False),
        "cql_alpha": (0, 1e6, True),
        "num_action_samples": (1, 10_000, True),
    }
    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {"target_action": ("sample", "mean")}

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in self.RANGES and value is not None:
                low, high, inclusive = self.RANGES[field.name]
                if not (low <= value <= high) or (value == low and not inclusive):
                    bounds = f"from {low:g}" if inclusive else f"above {low:g}"
                    raise UserError(f"{field.name}: {value!r} is not allowed; it must be {bounds} to {high:g}.")
            if field.name in self.CHOICES and value not in self.CHOICES[field.name]:
                raise UserError(
                    f"{field.name}: {value!r} is not allowed; it must be one of {', '.join(self.CHOICES[field.name])}."
                )

    @classmethod
    def resolve(cls, settings: dict[str, Any]) -> MethodConfig:
        """The config with `settings` over the defaults; strings from a command line are read as the key's type.

        Raises UserError for an unknown key or a value of the wrong kind, naming both and what is allowed.
        """
        hints = get_type_hints(cls)
        keys = [field.name for field in dataclasses.fields(cls)]
        for key in settings:
            if key not in keys:
                raise UserError(f"{key}: no such setting; the allowed ones are {', '.join(keys)}.")
        return cls(**{key: _read(key, value, hints[key]) for key, value in settings.items()})

    def settings(self) -> dict[str, Any]:
        """Every key with its value, defaults included."""
        return dataclasses.asdict(self)

    def changed(self) -> dict[str, Any]:
        """Only the keys whose value is not the default."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
        }


def _read(key: str, value: Any, hint: Any) -> Any:
    """`value` as the type of its field: YAML's 5 becomes 5.0, a command line's 'true' becomes True."""
    allowed = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if value is None or value == "null":
        if type(None) in allowed:
            return None
    elif bool in allowed:
        if isinstance(value, bool):
            return value
        if value in ("true", "false"):
            return value == "true"
    elif str in allowed and isinstance(value, str):
        return value
    elif not isinstance(value, bool):
        for number in (int, float):
            if number in allowed:
                try:
                    read = number(value)
                except (TypeError, ValueError, OverflowError):
                    continue
                # 2.5 is not an int; a command line's '256' is.
                if isinstance(value, str) or read == value:
                    return read
    names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in allowed)
    raise UserError(f"{key}: {value!r} is not allowed; it must be {names}.")


@dataclass(frozen=True)
class BCConfig(MethodConfig):
    """Behaviour cloning: mean squared error of the policy's mean action."""

    width: int = 256
    depth: int = 2
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class ActorCriticConfig(MethodConfig):
    """What SAC and CQL share in every implementation."""

    # Units per hidden layer and number of hidden layers, of the policy and of each critic.
    width: int = 256
    depth: int = 2
    actor_learning_rate: float = 3e-4
    critic_learning_rate: float = 3e-4
    # 0 keeps the temperature at its initial value.
    temperature_learning_rate: float = 3e-4
    initial_temperature: float = 1.0
    discount: float = 0.99
    # The target critics move this fraction of the way to the critics after each update.
    polyak: float = 0.005


@dataclass(frozen=True)
class SACConfig(ActorCriticConfig):
    """Soft actor-critic, here trained on a fixed dataset with nothing added: the naive baseline."""

    # The action of the next state in the TD target: sampled from the policy, or its mean.
    target_action: str = "sample"
    # Subtract temperature * log pi from the target's value (SAC does; CQL, as the authors' code, does not).
    entropy_in_target: bool = True
    # null: minus the number of action dimensions.
    target_entropy: float | None = None
    log_std_min: float = -20.0
    log_std_max: float = 2.0


@dataclass(frozen=True)
class CQLConfig(SACConfig):
    """CQL(H), equation 4 of the paper, with a fixed weight."""

    actor_learning_rate: float = 1e-4
    entropy_in_target: bool = False
    # Weight of the conservative gap beside an unhalved squared TD error; the paper halves it, so its alpha is half.
    cql_alpha: float = 5.0
    # Sampled actions per source: uniform, policy at s, policy at s'.
    num_action_samples: int = 10


@dataclass(frozen=True)
class D3rlpyBCConfig(BCConfig):
    """d3rlpy's BC (deterministic policy, mean squared error)."""


@dataclass(frozen=True)
class D3rlpySACConfig(ActorCriticConfig):
    """d3rlpy's SAC: sampled target action, entropy in the target, target entropy minus the action size."""


@dataclass(frozen=True)
class D3rlpyCQLConfig(ActorCriticConfig):
    """d3rlpy's CQL with a fixed weight. Its target takes tanh(mean), not a sample, and leaves the entropy out."""

    actor_learning_rate: float = 1e-4
    cql_alpha: float = 5.0
    num_action_samples: int = 10
