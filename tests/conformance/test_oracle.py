"""The oracle against finite differences and integrals; the torch losses against the oracle."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize

from cqlbench import losses
from cqlbench.conformance import checks, oracle, reference
from cqlbench.conformance.reference import layers_of, pairs
from cqlbench.networks import policy
from cqlbench.networks.critic import CriticEnsemble

CRITICS = 2

# Derandomised: a finite difference over a kink, or float32 over a cancellation, would fail one night in a thousand.
fixed = settings(max_examples=15, derandomize=True)
# B states, N samples, seed; the least of everything is always tried.
sizes = st.tuples(st.integers(1, 6), st.integers(1, 8), st.integers(0, 2**31))


def edges(test: Callable) -> Callable:
    return fixed(given(sizes)(example((1, 1, 0))(test)))


# What each term is given, by the names both sides use.
TERMS: dict[str, tuple[str, Callable[[np.random.Generator, int, int], dict[str, Any]]]] = {
    "td_target": (
        "td_target",
        lambda rng, b, n: {
            "rewards": rng.normal(size=b),
            "terminals": rng.integers(0, 2, b).astype(float),
            "next_values": rng.normal(size=b),
            "discount": 0.97,
        },
    ),
    "td_loss": (
        "td_loss",
        lambda rng, b, n: {"values": rng.normal(size=(CRITICS, b)), "targets": rng.normal(size=b)},
    ),
    "soft maximum": (
        "soft_maximum",
        lambda rng, b, n: {
            "sampled_values": 3 * rng.normal(size=(CRITICS, b, n)),
            "log_densities": rng.normal(size=(b, n)),
        },
    ),
    "soft maximum, temperature": (
        "soft_maximum",
        lambda rng, b, n: {
            "sampled_values": 3 * rng.normal(size=(CRITICS, b, n)),
            "log_densities": rng.normal(size=(b, n)),
            "temperature": float(rng.uniform(0.3, 3)),
        },
    ),
    "soft maximum, no importance weights": (
        "soft_maximum",
        lambda rng, b, n: {
            "sampled_values": 3 * rng.normal(size=(CRITICS, b, n)),
            "log_densities": None,
            "temperature": float(rng.uniform(0.3, 3)),
        },
    ),
    "softmax average": (
        "softmax_average",
        lambda rng, b, n: {
            "sampled_values": 3 * rng.normal(size=(CRITICS, b, n)),
            "temperature": float(rng.uniform(0.3, 3)),
        },
    ),
    "robust average": (
        "robust_average",
        lambda rng, b, n: {"sampled_values": rng.normal(size=(CRITICS, b, n)), "radius": float(rng.uniform(0, 2))},
    ),
    "robust average, a radius per state": (
        "robust_average",
        lambda rng, b, n: {"sampled_values": rng.normal(size=(CRITICS, b, n)), "radius": rng.uniform(0, 2, b)},
    ),
    "conservative gap": (
        "conservative_gap",
        lambda rng, b, n: {
            "pushed_down": rng.normal(size=(CRITICS, b)),
            "data_values": rng.normal(size=(CRITICS, b)),
        },
    ),
    "conservative gap, equation 1": (
        "conservative_gap",
        lambda rng, b, n: {"pushed_down": rng.normal(size=(CRITICS, b)), "data_values": None},
    ),
    "lagrange loss": (
        "lagrange_loss",
        lambda rng, b, n: {"log_multiplier": rng.normal(), "excess": rng.normal(size=CRITICS)},
    ),
    "lagrange loss, at the limit": (
        "lagrange_loss",
        lambda rng, b, n: {"log_multiplier": rng.uniform(14, 40), "excess": rng.normal(size=CRITICS)},
    ),
    "actor loss": (
        "actor_loss",
        lambda rng, b, n: {
            "values": rng.normal(size=b),
            "log_densities": rng.normal(size=b),
            "temperature": rng.uniform(0, 2),
        },
    ),
    "temperature loss": (
        "temperature_loss",
        lambda rng, b, n: {
            "log_temperature": rng.normal(),
            "log_densities": rng.normal(size=b),
            "target_entropy": -3.0,
        },
    ),
    "temperature loss, logarithmic": (
        "temperature_loss",
        lambda rng, b, n: {
            "log_temperature": rng.normal(),
            "log_densities": rng.normal(size=b),
            "target_entropy": -3.0,
            "logarithmic": True,
        },
    ),
}
HELD = {"softmax average": "its weights are constants: the gradient is not the slope of the value"}
every_term = pytest.mark.parametrize("term", TERMS)
every_dtype = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def assert_agrees(actual: Any, expected: Any, dtype: torch.dtype, of: str = "value") -> None:
    """To 1e-6 in float64, to 1e-4 in float32; the absolute part is for what cancels to nearly nothing."""
    relative, absolute = (1e-6, 1e-12) if dtype == torch.float64 else (1e-4, 1e-5)
    np.testing.assert_allclose(actual, expected, rtol=relative, atol=absolute, err_msg=of)


def backward(gradient: np.ndarray, cotangent: np.ndarray, argument: np.ndarray) -> np.ndarray:
    """The gradient of sum(cotangent * output) in `argument`, from the oracle's derivative of each output."""
    cotangent = np.asarray(cotangent)
    each = cotangent.reshape(cotangent.shape + (1,) * (gradient.ndim - cotangent.ndim)) * gradient
    return each.sum(axis=tuple(range(gradient.ndim - np.ndim(argument))))


def assert_slope(
    function: Callable[[np.ndarray], float], at: np.ndarray, gradient: np.ndarray, seed: int, step: float = 1e-5
) -> None:
    """The gradient, along a random direction, is the central difference."""
    direction = np.random.default_rng(seed).normal(size=np.shape(at))
    slope = (function(at + step * direction) - function(at - step * direction)) / (2 * step)
    np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-6, atol=1e-7)


def cotangent_like(value: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed + 1).normal(size=np.shape(value))


def to_torch(value: Any, dtype: torch.dtype, differentiable: bool) -> Any:
    if not isinstance(value, np.ndarray) and not differentiable:
        return torch.tensor(value, dtype=dtype) if isinstance(value, np.floating) else value
    return torch.tensor(value, dtype=dtype).requires_grad_(differentiable)


def in_dtype(arguments: dict[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """The same numbers on both sides: rounded to `dtype`, held in float64."""
    return {
        name: torch.tensor(value, dtype=dtype).double().numpy() if isinstance(value, np.ndarray) else value
        for name, value in arguments.items()
    }


def assert_torch_agrees(name: str, arguments: dict[str, Any], dtype: torch.dtype, seed: int) -> None:
    """Value and autograd gradient of `losses.<name>` against the oracle's."""
    arguments = in_dtype(arguments, dtype)
    value, gradients = getattr(oracle, name)(**arguments)
    tensors = {key: to_torch(argument, dtype, key in gradients) for key, argument in arguments.items()}
    output = getattr(losses, name)(**tensors)
    assert output.shape == np.shape(value)
    assert_agrees(output.detach(), value, dtype)
    cotangent = cotangent_like(value, seed)
    (output * torch.tensor(cotangent, dtype=dtype)).sum().backward()
    for key, gradient in gradients.items():
        expected = backward(gradient, cotangent, arguments[key])
        assert_agrees(tensors[key].grad, expected, dtype, f"gradient by {key}")


@pytest.mark.parametrize("term", [term for term in TERMS if term not in HELD])
@edges
def test_each_gradient_of_the_oracle_is_the_slope_of_its_value(term, size):
    batch, count, seed = size
    name, draw = TERMS[term]
    arguments = draw(np.random.default_rng(seed), batch, count)
    function = getattr(oracle, name)
    value, gradients = function(**arguments)
    cotangent = cotangent_like(value, seed)
    for key, gradient in gradients.items():

        def along(argument: np.ndarray, key: str = key) -> float:
            return float(np.sum(cotangent * function(**arguments | {key: argument})[0]))

        assert_slope(along, arguments[key], backward(gradient, cotangent, arguments[key]), seed)


@every_dtype
@every_term
@edges
def test_each_torch_loss_agrees_with_the_oracle(term, dtype, size):
    batch, count, seed = size
    name, draw = TERMS[term]
    assert_torch_agrees(name, draw(np.random.default_rng(seed), batch, count), dtype, seed)


@edges
def test_the_plain_average_is_torchs_mean_over_samples(size):
    batch, count, seed = size
    sampled = np.random.default_rng(seed).normal(size=(CRITICS, batch, count))
    tensor = torch.tensor(sampled, requires_grad=True)
    tensor.mean(2).sum().backward()
    value, gradients = oracle.plain_average(sampled)
    np.testing.assert_allclose(tensor.detach().mean(2), value, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(tensor.grad, gradients["sampled_values"], rtol=1e-12)


@edges
def test_the_softmax_average_is_held_at_the_slope_of_the_soft_maximum(size):
    """max over mu of E_mu[Q] - T KL(mu, rho) is T log E_rho[exp(Q / T)], and its slope in Q is the mu it takes."""
    batch, count, seed = size
    sampled = 3 * np.random.default_rng(seed).normal(size=(CRITICS, batch, count))
    mu = oracle.softmax_average(sampled, 0.7)[1]["sampled_values"]
    np.testing.assert_allclose(mu, oracle.soft_maximum(sampled, None, 0.7)[1]["sampled_values"], rtol=1e-12)
    np.testing.assert_allclose(mu.sum(2), 1, rtol=1e-12)


# The policy's density


def policy_draw(seed: int, batch: int, count: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    shape = (batch, count, size)
    return 0.5 * rng.normal(size=shape), 0.5 * rng.normal(size=shape) - 0.5, rng.normal(size=shape)


@pytest.mark.parametrize("action_size", [1, 3])
@edges
def test_the_gradients_of_the_squashed_density_are_slopes(action_size, size):
    batch, count, seed = size
    mean, log_std, noise = policy_draw(seed, batch, count, action_size)
    given_actions = np.tanh(policy_draw(seed + 1, batch, count, action_size)[2])
    functions: list[Callable[..., oracle.Term]] = [
        lambda mean, log_std: oracle.squash(mean, log_std, noise)[0],
        lambda mean, log_std: oracle.squash(mean, log_std, noise)[1],
        lambda mean, log_std: oracle.squashed_log_density(mean, log_std, given_actions),
    ]
    for function in functions:
        value, gradients = function(mean, log_std)
        cotangent = cotangent_like(value, seed)
        pulled = {key: backward(gradient, cotangent, mean) for key, gradient in gradients.items()}
        assert_slope(lambda m, f=function, w=cotangent: np.sum(w * f(m, log_std)[0]), mean, pulled["mean"], seed)
        assert_slope(lambda s, f=function, w=cotangent: np.sum(w * f(mean, s)[0]), log_std, pulled["log_std"], seed)


@pytest.mark.parametrize("action_size", [1, 3])
@every_dtype
@edges
def test_torchs_squash_agrees_with_the_oracle(dtype, action_size, size):
    batch, count, seed = size
    names = ["mean", "log_std", "noise"]
    drawn = in_dtype(dict(zip(names, policy_draw(seed, batch, count, action_size), strict=True)), dtype)
    for output in range(2):
        tensors = {name: to_torch(drawn[name], dtype, name != "noise") for name in names}
        actual = policy.squash(**tensors)[output]
        value, gradients = oracle.squash(**drawn)[output]
        assert_agrees(actual.detach(), value, dtype)
        cotangent = cotangent_like(value, seed)
        (actual * torch.tensor(cotangent, dtype=dtype)).sum().backward()
        for key, gradient in gradients.items():
            expected = backward(gradient, cotangent, drawn[key])
            assert_agrees(tensors[key].grad, expected, dtype, f"gradient by {key}")


@pytest.mark.parametrize("action_size", [1, 3])
@every_dtype
@edges
def test_torchs_density_of_given_actions_agrees_with_the_oracle(dtype, action_size, size):
    batch, count, seed = size
    mean, log_std, noise = policy_draw(seed, batch, count, action_size)
    drawn = in_dtype({"mean": mean, "log_std": log_std, "actions": 0.99 * np.tanh(noise)}, dtype)
    tensors = {name: to_torch(value, dtype, name != "actions") for name, value in drawn.items()}
    actual = policy.squashed_log_density(**tensors)
    value, gradients = oracle.squashed_log_density(**drawn)
    assert_agrees(actual.detach(), value, dtype)
    actual.sum().backward()
    for key, gradient in gradients.items():
        assert_agrees(tensors[key].grad, gradient, dtype, f"gradient by {key}")


@edges
def test_the_density_of_a_sample_is_the_density_of_that_action(size):
    batch, count, seed = size
    mean, log_std, noise = policy_draw(seed, batch, count, 2)
    (actions, _), (log_densities, _) = oracle.squash(mean, log_std, noise)
    # Past the margin the given action is pulled back inside, and the two are no longer meant to agree.
    inside = (np.abs(actions) < 1 - 2 * oracle.ACTION_MARGIN).all(-1)
    given_density, _ = oracle.squashed_log_density(mean, log_std, actions)
    np.testing.assert_allclose(given_density[inside], log_densities[inside], rtol=1e-7)


@pytest.mark.parametrize("mean, log_std", [(0.0, 0.0), (1.0, -1.0), (-0.3, 0.5)])
def test_the_density_integrates_to_one(mean, log_std):
    def density(action: float) -> float:
        one = np.array([mean]), np.array([log_std]), np.array([action])
        return math.exp(oracle.squashed_log_density(*one)[0])

    assert integrate.quad(density, -1, 1, limit=200)[0] == pytest.approx(1, abs=1e-4)


@every_dtype
@pytest.mark.parametrize("noise", [-20.0, 20.0])
def test_saturated_actions_keep_a_finite_density_on_both_sides(dtype, noise):
    drawn = {"mean": np.zeros((1, 1)), "log_std": np.array([[1.0]]), "noise": np.array([[noise]])}
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        (actions, by_action), (log_densities, by_density) = oracle.squash(**drawn)
    assert abs(actions[0, 0]) == 1 and np.isfinite(log_densities).all()
    tensors = {name: to_torch(value, dtype, name != "noise") for name, value in drawn.items()}
    torch_actions, torch_densities = policy.squash(**tensors)
    assert_agrees(torch_densities.detach(), log_densities, dtype)
    (torch_actions.sum() + torch_densities.sum()).backward()
    for key in ("mean", "log_std"):
        assert_agrees(tensors[key].grad, by_action[key] + by_density[key], dtype)


def test_given_actions_at_the_bounds_keep_a_finite_density_on_both_sides():
    drawn = {"mean": np.zeros((2, 1)), "log_std": np.zeros((2, 1)), "actions": np.array([[-1.0], [1.0]])}
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value, gradients = oracle.squashed_log_density(**drawn)
    tensors = {name: to_torch(array, torch.float64, name != "actions") for name, array in drawn.items()}
    actual = policy.squashed_log_density(**tensors)
    np.testing.assert_allclose(actual.detach(), value, rtol=1e-6)
    actual.sum().backward()
    for key, gradient in gradients.items():
        np.testing.assert_allclose(tensors[key].grad, gradient, rtol=1e-6)


# Integrals over one-dimensional actions

STATES = 48
REPLICAS = np.random.default_rng(0)
# Q(a) = s (sin(f a + p) + 0.5 a) for each critic and state.
SCALE, FREQUENCY, PHASE = (REPLICAS.uniform(low, high, (CRITICS, STATES)) for low, high in [(1, 4), (1, 4), (-2, 2)])
# Wide policies: one over a tanh-Gaussian's density has no finite variance, and where it is narrow a test feels that.
MEAN, LOG_STD = REPLICAS.uniform(-0.3, 0.3, (STATES, 1, 1)), REPLICAS.uniform(-0.1, 0.2, (STATES, 1, 1))


def value_of(actions: np.ndarray) -> np.ndarray:
    """Q of one action for all, or (B, N) actions -> (C, B, N)."""
    s, f, p = (part if np.ndim(actions) == 0 else part[:, :, None] for part in (SCALE, FREQUENCY, PHASE))
    return s * (np.sin(f * actions + p) + 0.5 * actions)


def oracle_samples(noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    (actions, _), (log_densities, _) = oracle.squash(MEAN, LOG_STD, noise)
    return actions[..., 0], log_densities


def torch_samples(noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    actions, log_densities = policy.squash(*map(torch.tensor, (MEAN, LOG_STD, noise)))
    return actions[..., 0].numpy(), log_densities.numpy()


def torch_soft_maximum(sampled: np.ndarray, log_densities: np.ndarray, temperature: float) -> np.ndarray:
    return losses.soft_maximum(torch.tensor(sampled), torch.tensor(log_densities), temperature).numpy()


IMPLEMENTATIONS: dict[str, tuple[Callable, Callable]] = {
    "oracle": (oracle_samples, lambda *arguments: oracle.soft_maximum(*arguments)[0]),
    "torch": (torch_samples, torch_soft_maximum),
}


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("side", IMPLEMENTATIONS)
def test_the_soft_maximum_tends_to_the_integral_like_one_over_the_root_of_the_samples(side, temperature):
    """Uniform and policy samples, each by its own density: each half of the sum estimates the integral n times over."""
    sample, soft_maximum = IMPLEMENTATIONS[side]
    integral, _ = integrate.quad_vec(lambda action: np.exp(value_of(action) / temperature), -1, 1)
    truth = temperature * np.log(integral)
    rng = np.random.default_rng(1)
    errors = []
    for count in (64, 1024, 16384):
        uniform = rng.uniform(-1, 1, (STATES, count))
        drawn, log_drawn = sample(rng.normal(size=(STATES, count, 1)))
        actions = np.concatenate([uniform, drawn], 1)
        log_densities = np.concatenate([np.full_like(uniform, -math.log(2)), log_drawn], 1)
        estimate = soft_maximum(value_of(actions), log_densities, temperature)
        errors.append(np.sqrt(np.mean((estimate - temperature * math.log(2 * count) - truth) ** 2)))
    # 16 times the samples: a quarter of the error.
    assert 2.5 < errors[0] / errors[1] < 6 and 2.5 < errors[1] / errors[2] < 6, errors
    assert errors[2] < 0.01 * temperature


def test_without_importance_weights_the_soft_maximum_tends_to_the_integral_under_the_sampling_density():
    """Uniform samples alone: the integral short of the volume 2, so log 2 under it. Leaving weights out is a bias."""
    integral, _ = integrate.quad_vec(lambda action: np.exp(value_of(action)), -1, 1)
    count = 16384
    actions = np.random.default_rng(2).uniform(-1, 1, (STATES, count))
    estimate = losses.soft_maximum(torch.tensor(value_of(actions)), None).numpy() - math.log(count)
    np.testing.assert_allclose(estimate, np.log(integral) - math.log(2), atol=0.05)


def test_the_softmax_average_tends_to_its_integral_under_the_prior():
    """E_rho[Q exp Q] / E_rho[exp Q] with rho a tanh-Gaussian, integrated over u = atanh(a)."""

    def moments(noise: float) -> np.ndarray:
        action = np.tanh(MEAN + np.exp(LOG_STD) * noise)[:, :, 0]
        values = value_of(action)[:, :, 0]
        return np.stack([values * np.exp(values), np.exp(values)]) * math.exp(-0.5 * noise**2)

    weighted, total = integrate.quad_vec(moments, -10, 10)[0]
    actions, _ = oracle_samples(np.random.default_rng(3).normal(size=(STATES, 16384, 1)))
    sampled = value_of(actions)
    np.testing.assert_allclose(oracle.softmax_average(sampled)[0], weighted / total, atol=0.06)
    np.testing.assert_allclose(losses.softmax_average(torch.tensor(sampled)), weighted / total, atol=0.06)


# CQL(var) as a supremum


def largest_average(values: np.ndarray, radius: float) -> float:
    """max over mu >= 0, sum mu = 1, chi^2(mu, uniform) <= radius of mu . values, found by search."""
    count = len(values)
    found = optimize.minimize(
        lambda mu: -mu @ values,
        np.full(count, 1 / count),
        jac=lambda mu: -values,
        bounds=[(0, 1)] * count,
        constraints=[
            {"type": "eq", "fun": lambda mu: mu.sum() - 1},
            {"type": "ineq", "fun": lambda mu: radius - count * np.sum((mu - 1 / count) ** 2)},
        ],
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    return -found.fun


@fixed
@given(st.integers(2, 7), st.floats(0.05, 0.95), st.integers(0, 2**31))
def test_the_robust_average_is_the_supremum_over_the_chi_square_ball(count, share, seed):
    """Exact probabilities (uniform over all actions) and a radius per state: the tabular form."""
    values = np.random.default_rng(seed).normal(size=(1, 3, count))
    # The largest radius at which the maximising mu is still nowhere negative.
    limit = values.var(2)[0] / (values.mean(2) - values.min(2))[0] ** 2
    radius = share * limit
    expected = [[largest_average(values[0, state], radius[state]) for state in range(3)]]
    value, gradients = oracle.robust_average(values, radius)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)
    mu = gradients["sampled_values"]
    assert (mu >= 0).all()
    np.testing.assert_allclose(mu.sum(2), 1, rtol=1e-12)
    np.testing.assert_allclose((mu * values).sum(2), value, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose((count * np.square(mu - 1 / count)).sum(2)[0], radius, rtol=1e-9)
    actual = losses.robust_average(torch.tensor(values), torch.tensor(radius))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7)


def test_past_that_radius_the_robust_average_lies_above_the_supremum():
    """The formula's mu turns negative on the smallest value; the result can exceed every value there is."""
    values = np.array([[[0.0, 2.9, 3.0]]])
    value, gradients = oracle.robust_average(values, 1.0)
    assert gradients["sampled_values"].min() < 0
    assert value.item() > values.max() > largest_average(values[0, 0], 1.0)


@every_dtype
@pytest.mark.parametrize("count", [1, 3, 30])
@pytest.mark.parametrize("level", [0.0, 0.1, -1e5])
def test_equal_values_have_no_spread_and_the_gradient_of_a_mean(count, level, dtype):
    """0.1 three times: its rounded mean is not 0.1, and a spread of that rounding must not steer the gradient."""
    assert_torch_agrees("robust_average", {"sampled_values": np.full((2, 2, count), level), "radius": 0.5}, dtype, 0)
    _, gradients = oracle.robust_average(np.full((2, 2, count), level), 0.5)
    np.testing.assert_array_equal(gradients["sampled_values"], 1 / count)


# Large values

LARGE = {
    "soft_maximum": {"log_densities": np.zeros((2, 5))},
    "softmax_average": {},
    "robust_average": {"radius": 0.5},
}


@every_dtype
@pytest.mark.parametrize("level", [1e4, 1e5, 1e6, -1e6])
@pytest.mark.parametrize("name", LARGE)
def test_large_values_neither_overflow_nor_part_the_two(name, level, dtype):
    sampled = level * np.random.default_rng(4).uniform(0.5, 1.5, (CRITICS, 2, 5))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        value, _ = getattr(oracle, name)(sampled, **LARGE[name])
    assert np.isfinite(value).all()
    assert_torch_agrees(name, {"sampled_values": sampled, **LARGE[name]}, dtype, 0)


def test_the_multiplier_stops_at_its_limit():
    at = [oracle.lagrange_loss(np.array(log), np.array([2.0, 4.0])) for log in (13.0, 14.0, 400.0)]
    assert [float(value) for value, _ in at] == pytest.approx([-3 * math.exp(13), -3e6, -3e6])
    assert [float(gradients["log_multiplier"]) for _, gradients in at] == pytest.approx([-3 * math.exp(13), 0, 0])


# Whole losses, through the networks

VARIANTS: dict[str, Callable[[np.ndarray], tuple[Callable, Callable]]] = {
    "CQL(H)": lambda densities: (
        partial(oracle.soft_maximum, log_densities=densities),
        partial(losses.soft_maximum, log_densities=torch.tensor(densities)),
    ),
    "CQL(rho)": lambda densities: (oracle.softmax_average, losses.softmax_average),
    "CQL(var)": lambda densities: (
        partial(oracle.robust_average, radius=0.5),
        partial(losses.robust_average, radius=0.5),
    ),
    "plain": lambda densities: (oracle.plain_average, lambda values: values.mean(2)),
}


def whole_draw(seed: int, batch: int, count: int, depth: int) -> tuple[CriticEnsemble, dict[str, np.ndarray]]:
    torch.manual_seed(seed % 2**31)
    rng = np.random.default_rng(seed)
    return CriticEnsemble(3, 2, 8, depth), {
        "observations": rng.normal(size=(batch, 3)),
        "actions": rng.uniform(-1, 1, (batch, 2)),
        "rewards": rng.normal(size=batch),
        "terminals": rng.integers(0, 2, batch).astype(float),
        "next_values": rng.normal(size=batch),
        "sampled_actions": rng.uniform(-1, 1, (batch, count, 2)),
        "log_densities": rng.normal(size=(batch, count)),
    }


def oracle_critic_loss(
    critics: list[oracle.Layers], drawn: dict[str, np.ndarray], push_down: Callable, maximise_data: bool
) -> tuple[float, list[oracle.Layers]]:
    targets, _ = oracle.td_target(drawn["rewards"], drawn["terminals"], drawn["next_values"], 0.99)
    data = pairs(drawn["observations"], drawn["actions"])
    sampled = pairs(drawn["observations"], drawn["sampled_actions"])
    return oracle.critic_loss(critics, data, targets, sampled, push_down, 5.0, maximise_data)


@pytest.mark.parametrize("maximise_data", [True, False], ids=["equation 2 or later", "equation 1"])
@pytest.mark.parametrize("variant", VARIANTS)
@fixed
@given(sizes, st.integers(1, 3))
def test_the_whole_critic_loss_agrees_by_every_parameter(variant, maximise_data, size, depth):
    batch, count, seed = size
    critic, drawn = whole_draw(seed, batch, count, depth)
    push_down, torch_push_down = VARIANTS[variant](drawn["log_densities"])
    total, gradients = oracle_critic_loss(layers_of(critic), drawn, push_down, maximise_data)

    critic.double()
    tensors = {name: torch.tensor(array) for name, array in drawn.items()}
    values = critic(tensors["observations"], tensors["actions"])
    targets = losses.td_target(tensors["rewards"], tensors["terminals"], tensors["next_values"], 0.99)
    pushed = torch_push_down(critic(tensors["observations"], tensors["sampled_actions"]))
    gap = losses.conservative_gap(pushed, values if maximise_data else None)
    loss = losses.td_loss(values, targets).sum() + 5.0 * gap.sum()
    loss.backward()
    assert float(loss.detach()) == pytest.approx(total, rel=1e-6)
    for one, expected in zip(critic.critics, gradients, strict=True):
        layers = [layer for layer in one.modules() if isinstance(layer, torch.nn.Linear)]
        for layer, (weight, bias) in zip(layers, expected, strict=True):
            assert_agrees(layer.weight.grad, weight, torch.float64)
            assert_agrees(layer.bias.grad, bias, torch.float64)


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "CQL(rho)"])
@fixed
@given(sizes, st.integers(1, 3))
def test_the_whole_critic_gradient_of_the_oracle_is_the_slope_of_its_loss(variant, size, depth):
    batch, count, seed = size
    critic, drawn = whole_draw(seed, batch, count, depth)
    critics = layers_of(critic)
    push_down, _ = VARIANTS[variant](drawn["log_densities"])
    _, gradients = oracle_critic_loss(critics, drawn, push_down, True)
    flat = flatten(critics)

    def along(parameters: np.ndarray) -> float:
        return oracle_critic_loss(unflatten(parameters, critics), drawn, push_down, True)[0]

    # So short a step that no ReLU turns on or off within it.
    assert_slope(along, flat, flatten(gradients), seed, step=1e-7)


def flatten(critics: list[oracle.Layers]) -> np.ndarray:
    return np.concatenate([array.ravel() for layers in critics for layer in layers for array in layer])


def unflatten(flat: np.ndarray, like: list[oracle.Layers]) -> list[oracle.Layers]:
    arrays = [array for layers in like for layer in layers for array in layer]
    pieces = iter(np.split(flat, np.cumsum([array.size for array in arrays])[:-1]))
    return [[(next(pieces).reshape(w.shape), next(pieces).reshape(b.shape)) for w, b in layers] for layers in like]


@edges
def test_the_actor_loss_agrees_by_the_policys_mean_and_spread(size):
    """T log pi(a) - min Q(s, a) with a = tanh(mean + std noise), down to mean and log_std through critic and tanh."""
    batch, _, seed = size
    critic, drawn = whole_draw(seed, batch, 1, 2)
    rng = np.random.default_rng(seed + 1)
    mean, log_std, noise = rng.normal(size=(batch, 2)), rng.normal(size=(batch, 2)) - 1, rng.normal(size=(batch, 2))

    (actions, action_by), (log_densities, density_by) = oracle.squash(mean, log_std, noise)
    layers = layers_of(critic)
    scored = [oracle.critic_values(one, pairs(drawn["observations"], actions)) for one in layers]
    values = np.stack([value for value, _ in scored])
    total, by = oracle.actor_loss(values.min(0), log_densities, np.float64(0.3))
    by_action = sum(
        oracle.critic_gradients(one, inputs, by["values"] * (values.argmin(0) == c))[1][:, 3:]
        for c, (one, (_, inputs)) in enumerate(zip(layers, scored, strict=True))
    )

    critic.double()
    tensors = {"mean": torch.tensor(mean, requires_grad=True), "log_std": torch.tensor(log_std, requires_grad=True)}
    torch_actions, torch_densities = policy.squash(**tensors, noise=torch.tensor(noise))
    torch_values = critic(torch.tensor(drawn["observations"]), torch_actions).amin(0)
    loss = losses.actor_loss(torch_values, torch_densities, torch.tensor(0.3, dtype=torch.float64))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(total), rel=1e-6, abs=1e-12)
    for key, tensor in tensors.items():
        expected = by_action * action_by[key] + by["log_densities"][:, None] * density_by[key]
        assert_agrees(tensor.grad, expected, torch.float64)


# The algorithm itself: which actions, from where, scored at which state, against which target


@pytest.mark.parametrize("variant", reference.VARIANTS)
def test_the_algorithms_critic_loss_is_the_oracles_for_every_variant(variant):
    assert max(checks.critic_difference(checks.REAL, reference.VARIANTS[variant])) <= 1e-6


@pytest.mark.parametrize("target", reference.TARGETS)
def test_the_algorithms_critic_loss_is_the_oracles_for_every_target(target):
    assert max(checks.critic_difference(checks.REAL, reference.TARGETS[target])) <= 1e-6


@pytest.mark.parametrize("threshold_of, threshold", [("gap", 0.5 * 5.0 * 2.0), ("weighted_gap", 0.5 * 2.0)])
def test_a_lagrange_multiplier_is_a_weight_beside_cql_alpha_and_the_threshold_a_constant(threshold_of, threshold):
    """The multiplier is used as it was before its own step."""
    settings = {"lagrange_threshold": 2.0, "threshold_of": threshold_of, "initial_lagrange_multiplier": 0.5}
    variant = reference.Variant(settings, reference.AT_S, reference.weighted)
    multiplier, _, constant = checks.lagrange_answer(variant)
    assert (multiplier, constant) == pytest.approx((0.5, CRITICS * threshold))
    assert max(checks.critic_difference(checks.REAL, variant)) <= 1e-6
