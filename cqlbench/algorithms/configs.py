"""Every setting of every method, with its default: one commented dataclass each. Needs no torch.

A config checks itself when it is built and says what to change.
"""

from __future__ import annotations

import dataclasses
import types
from dataclasses import dataclass
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from cqlbench.errors import UserError

# How a network's weights start; networks/mlp.py says what each does.
INITIALISATIONS = ("torch", "small-output", "orthogonal", "rlkit")
# The discount at which the values of a method are compared whose config has none.
DISCOUNT = 0.99


@dataclass(frozen=True)
class MethodConfig:
    """What the harness itself reads from a method's config; a user's own config dataclass derives from this one."""

    # Transitions per update.
    batch_size: int = 256
    # Shift and scale observations by the dataset's mean and standard deviation, for training and acting alike.
    normalise_observations: bool = True
    # Train on this many transitions, drawn once from the dataset (smaller draws are part of larger ones); null: all.
    num_transitions: int | None = None
    # Draw batches from so many transitions in memory, through which the dataset's shuffled blocks pass; null: from all.
    buffer_transitions: int | None = None
    # Train on actions clipped to +- this, of at most 1.
    action_clip: float = 1.0
    # Train on reward_scale * reward + reward_shift. Returns and values are reported in the task's own rewards.
    reward_scale: float = 1.0
    reward_shift: float = 0.0

    # Allowed range of a key: (lowest, highest, whether the lowest is itself allowed).
    RANGES: ClassVar[dict[str, tuple[float, float, bool]]] = {
        "batch_size": (1, 1_000_000, True),
        "num_transitions": (1, 1_000_000_000, True),
        "buffer_transitions": (1 << 14, 1_000_000_000, True),
        "action_clip": (0, 1, False),
        "reward_scale": (0, 1e6, False),
        "reward_shift": (-1e6, 1e6, True),
        "width": (1, 65_536, True),
        "depth": (1, 64, True),
        "num_critics": (1, 1000, True),
        "learning_rate": (0, 1, False),
        "actor_learning_rate": (0, 1, False),
        "critic_learning_rate": (0, 1, False),
        "temperature_learning_rate": (0, 1, True),
        "initial_temperature": (0, 1e6, False),
        "discount": (0, 0.9999, False),
        "polyak": (0, 1, False),
        "cql_alpha": (0, 1e6, True),
        "num_action_samples": (1, 10_000, True),
        "backward_actions": (1, 10_000, True),
        "target_action_samples": (1, 10_000, True),
        "target_entropy": (-1e6, 1e6, True),
        "log_std_min": (-100, 100, True),
        "log_std_max": (-100, 100, True),
        "bc_warm_start": (0, 1_000_000_000, True),
        "penalty_temperature": (0, 1e6, False),
        "variance_radius": (0, 1e6, False),
        "lagrange_threshold": (-1e6, 1e6, True),
        "lagrange_learning_rate": (0, 1, False),
        "initial_lagrange_multiplier": (0, 1e6, False),
    }
    CHOICES: ClassVar[dict[str, tuple[str, ...]]] = {
        "target_action": ("sample", "mean"),
        "multipliers_first": ("none", "temperature", "all"),
        "temperature_loss_of": ("temperature", "log_temperature"),
        "policy_init": INITIALISATIONS,
        "critic_init": INITIALISATIONS,
        "networks": ("fused", "readable"),
        "variant": ("H", "rho", "expectation", "variance"),
        "sampling_distribution": ("uniform", "policy", "mixture"),
        "next_actions": ("scored_at_s", "scored_at_next_s", "unused"),
        "threshold_of": ("gap", "weighted_gap"),
    }

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            self._check(field.name, getattr(self, field.name))

    @classmethod
    def _check(cls, key: str, value: Any) -> None:
        """Raises UserError where one value is out of range, whatever the others are."""
        if key in cls.RANGES and value is not None:
            low, high, inclusive = cls.RANGES[key]
            if not (low <= value <= high) or (value == low and not inclusive):
                bounds = f"from {low:g}" if inclusive else f"above {low:g}"
                raise UserError(f"{key}: {value!r} is not allowed; it must be {bounds} to {high:g}.")
        if key in cls.CHOICES and value is not None and value not in cls.CHOICES[key]:
            raise UserError(f"{key}: {value!r} is not allowed; it must be one of {', '.join(cls.CHOICES[key])}.")

    @classmethod
    def read(cls, key: str, value: Any) -> Any:
        """One value as its key's type: YAML's 5 becomes 5.0, a command line's 'true' becomes True.

        Raises UserError for an unknown key or a value that is not allowed, naming both and what is.
        """
        hints = get_type_hints(cls)
        keys = [field.name for field in dataclasses.fields(cls)]
        if key not in keys:
            raise UserError(f"{key}: no such setting; the allowed ones are {', '.join(keys)}.")
        value = _as_type(key, value, hints[key])
        cls._check(key, value)
        return value

    @classmethod
    def resolve(cls, settings: dict[str, Any]) -> MethodConfig:
        """The config with `settings` over the defaults, each as `read` reads it.

        Raises UserError as `read` does, and for values that contradict each other.
        """
        return cls(**{key: cls.read(key, value) for key, value in settings.items()})

    @property
    def remark(self) -> str:
        """What a run with these settings should say of itself before it starts; empty where there is nothing."""
        return ""

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


def discount_of(config: MethodConfig) -> float:
    """The method's discount; a method of one's own need not have one."""
    return getattr(config, "discount", DISCOUNT)


def _as_type(key: str, value: Any, hint: Any) -> Any:
    """`value` as the type of its field."""
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
    # As for SAC.
    networks: str = "fused"


@dataclass(frozen=True)
class ActorCriticConfig(MethodConfig):
    """What SAC and CQL share in every implementation."""

    # Units per hidden layer and number of hidden layers, of the policy and of each critic.
    width: int = 256
    depth: int = 2
    # Of equal shape, started apart; targets and policy take the smallest value of all.
    num_critics: int = 2
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
    # Sample this many in the TD target and take the one of highest value (the smallest critic's).
    target_action_samples: int = 1
    # Subtract temperature * log pi from the target's value (SAC does; CQL, as the authors' code, does not).
    entropy_in_target: bool = True
    # null: minus the number of action dimensions.
    target_entropy: float | None = None
    # The temperature's loss is this times (entropy - target); the gradients differ by the factor `temperature`.
    temperature_loss_of: str = "temperature"
    # The policy's log standard deviation is clamped to these.
    log_std_min: float = -20.0
    log_std_max: float = 2.0
    # Before that, multiply and shift it by two learned numbers that start at 1 and -1.
    log_std_scaling: bool = False
    # Layer normalisation before each hidden ReLU of the critics.
    critic_layer_norm: bool = False
    policy_init: str = "torch"
    critic_init: str = "torch"
    # Target critics start with weights of their own instead of as copies.
    independent_targets: bool = False
    # For the first so many updates the policy maximises the log-density of the data's actions instead of Q.
    bc_warm_start: int = 0
    # Gradients by formula (networks/fused.py), or by autograd through every layer: the same numbers, rounded otherwise.
    # Critics with layer normalisation are readable in either case.
    networks: str = "fused"
    # Policy and critics step from the same parameters; otherwise the policy's loss sees the critics already stepped.
    joint_update: bool = False
    # Which of the learned multipliers (temperature, Lagrange) step before the losses that use them.
    multipliers_first: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.target_action == "mean" and self.target_action_samples > 1:
            raise UserError(
                f"target_action_samples: {self.target_action_samples} is not allowed with target_action: mean, which "
                "is one action; set target_action: sample, or target_action_samples: 1."
            )
        if self.target_action == "mean" and self.entropy_in_target:
            raise UserError(
                "entropy_in_target: true is not allowed with target_action: mean, which has no entropy; "
                "set target_action: sample, or entropy_in_target: false."
            )
        if self.log_std_min >= self.log_std_max:
            raise UserError(
                f"log_std_min: {self.log_std_min:g} is not allowed; it must be below log_std_max, {self.log_std_max:g}."
            )

    @property
    def remark(self) -> str:
        if self.critic_layer_norm and self.networks == "fused":
            return "networks: critic_layer_norm has no fused form; these critics are readable, which is slower."
        return ""


@dataclass(frozen=True)
class CQLConfig(SACConfig):
    """CQL: SAC plus a penalty that pushes Q down on sampled actions and up on the data's.

    Equations and appendices are those of Kumar et al. 2020 (arXiv 2006.04779); docs/variants.md goes through them.
    """

    actor_learning_rate: float = 1e-4
    entropy_in_target: bool = False
    # Weight of the conservative gap beside an unhalved squared TD error; the paper halves it, so its alpha is half.
    # With a Lagrange multiplier it multiplies that.
    cql_alpha: float = 5.0

    # What is pushed down, over actions a:
    #   H            log sum exp Q(s, a), equation 4: over all actions, estimated with importance weights (appendix F);
    #   rho          the average of Q under the weights softmax Q, which are not differentiated, over actions of the
    #                policy before this update: equation 3 with the KL divergence to that policy (appendix A);
    #   expectation  the plain average of Q over `sampling_distribution`: equation 2, with mu given;
    #   variance     the average plus sqrt(variance_radius * variance) of Q over `sampling_distribution`: a proxy for
    #                CQL(var) (appendix A), whose radius depends on how often the data visits the state.
    variant: str = "H"
    # mu of `expectation` and `variance`; a mixture is half uniform, half policy.
    sampling_distribution: str | None = None
    variance_radius: float | None = None
    # Push Q up on the data's actions (equation 2); without it, equation 1.
    data_term: bool = True
    # Sampled actions per source; the sources of H are uniform, policy at s, policy at s'.
    num_action_samples: int = 10
    # At which state H scores the policy's actions at s'. The paper has no such source (unused), every codebase has.
    next_actions: str = "scored_at_s"
    # Divide by the density each action was drawn from (appendix F). The authors' code calls the loss without them rho.
    importance_weights: bool = True
    # Divides Q before the log-density is subtracted; multiplies the result.
    penalty_temperature: float = 1.0
    # null: the gradient of the penalty goes through all sampled actions. A number: through so many of them per state
    # and critic, drawn from the softmax in it (of Q / T, less the log-density for H); the same on average, noisier and
    # cheaper. Variants H and rho.
    backward_actions: int | None = None

    # null: the weight is fixed. A number: a Lagrange multiplier keeps the gap near it (appendix F).
    lagrange_threshold: float | None = None
    # Subtracted from the gap, or from cql_alpha * gap.
    threshold_of: str = "gap"
    lagrange_learning_rate: float = 3e-4
    initial_lagrange_multiplier: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        sampled = self.variant in ("expectation", "variance")
        contradictions = [
            (
                sampled and self.sampling_distribution is None,
                f"sampling_distribution is missing; variant: {self.variant} needs uniform, policy or mixture.",
            ),
            (
                not sampled and self.sampling_distribution is not None,
                f"sampling_distribution: {self.sampling_distribution!r} is not allowed with variant: {self.variant}, "
                "whose actions are given; leave it out, or set variant: expectation or variance.",
            ),
            (
                self.variant == "variance" and self.variance_radius is None,
                "variance_radius is missing; variant: variance needs one, such as 1.",
            ),
            (
                self.variant != "variance" and self.variance_radius is not None,
                f"variance_radius: {self.variance_radius} is not allowed with variant: {self.variant}; "
                "leave it out, or set variant: variance.",
            ),
            (
                self.variant != "H" and not self.importance_weights,
                f"importance_weights: false is not allowed with variant: {self.variant}, which has none to leave out; "
                "leave it out, or set variant: H.",
            ),
            (
                self.variant != "H" and self.next_actions == "scored_at_next_s",
                f"next_actions: scored_at_next_s is not allowed with variant: {self.variant}, which samples no actions "
                "at s'; leave it out, or set variant: H.",
            ),
            (
                sampled and self.penalty_temperature != 1,
                f"penalty_temperature: {self.penalty_temperature:g} is not allowed with variant: {self.variant}, "
                "which has no exponential; leave it out, or set variant: H or rho.",
            ),
            (
                self.backward_actions is not None and sampled,
                f"backward_actions: {self.backward_actions} is not allowed with variant: {self.variant}, whose "
                "gradient has no softmax to draw from; leave it out, or set variant: H or rho.",
            ),
            (
                self.backward_actions is not None and self.next_actions == "scored_at_next_s",
                f"backward_actions: {self.backward_actions} is not allowed with next_actions: scored_at_next_s; "
                "leave it out, or set next_actions: scored_at_s.",
            ),
            (
                self.lagrange_threshold is not None and self.cql_alpha == 0,
                "cql_alpha: 0.0 is not allowed with a lagrange_threshold, whose multiplier it multiplies; "
                "set cql_alpha: 1, or leave lagrange_threshold out.",
            ),
        ]
        for found, advice in contradictions:
            if found:
                raise UserError(advice)

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the actions to push down come from: of `uniform`, `policy` (at s) and `next` (the policy at s')."""
        if self.variant == "H":
            return ("uniform", "policy") if self.next_actions == "unused" else ("uniform", "policy", "next")
        if self.variant == "rho":
            return ("policy",)
        return ("uniform", "policy") if self.sampling_distribution == "mixture" else (str(self.sampling_distribution),)


@dataclass(frozen=True)
class D3rlpyBCConfig(MethodConfig):
    """d3rlpy's BC (deterministic policy, mean squared error)."""

    width: int = 256
    depth: int = 2
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class D3rlpySACConfig(ActorCriticConfig):
    """d3rlpy's SAC: sampled target action, entropy in the target, target entropy minus the action size."""


@dataclass(frozen=True)
class D3rlpyCQLConfig(ActorCriticConfig):
    """d3rlpy's CQL. Its target takes tanh(mean), not a sample, and leaves the entropy out."""

    actor_learning_rate: float = 1e-4
    cql_alpha: float = 5.0
    num_action_samples: int = 10
    # null: the weight is fixed. d3rlpy's own default is 10.
    lagrange_threshold: float | None = None
    lagrange_learning_rate: float = 1e-4


@dataclass(frozen=True)
class D3rlpyBEARConfig(ActorCriticConfig):
    """d3rlpy's BEAR (Kumar et al. 2019, arXiv 1906.00949): SAC whose policy is kept near a clone of the behaviour.

    Near is a small MMD between samples of both (4 each, Laplacian kernel of sigma 20), by a Lagrange multiplier. The
    clone is a variational autoencoder of the policy's width and depth.
    """

    actor_learning_rate: float = 1e-4
    temperature_learning_rate: float = 1e-4
    # For the first so many updates the policy is moved by the MMD alone.
    bc_warm_start: int = 40_000
    # The MMD that the multiplier allows, and the rate at which it learns (unrepaired, that is the actor's).
    lagrange_threshold: float = 0.05
    lagrange_learning_rate: float = 1e-3
    # In d3rlpy 2.8.1 the constraint's gradient cancels once the warm start is over, which leaves SAC, and the clone's
    # actions are not those of the data but their tanh; true: both are mended (algorithms/d3rlpy.py).
    repaired: bool = False
