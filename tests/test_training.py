"""The loop, the batch stream, normalisation and divergence, on a real small dataset."""

from itertools import islice

import numpy as np
import pytest
import torch

from cqlbench.algorithms.configs import MethodConfig
from cqlbench.errors import UserError
from cqlbench.normalisation import Normaliser
from cqlbench.runs import Protocol
from cqlbench.seeding import generator_for
from cqlbench.training import TRANSITIONS_PER_DRAW, Diverged, Replay, draw_transitions, train

CPU = torch.device("cpu")


def replay(dataset) -> Replay:
    return Replay(dataset, Normaliser.for_dataset(dataset, MethodConfig()), CPU)


class Recorder:
    """Notes the batches it is given; its metric is the number of updates so far, or NaN from `breaks_at` on."""

    def __init__(self, breaks_at: int = 10**9) -> None:
        self.rewards, self.breaks_at = [], breaks_at

    def update(self, batch):
        self.rewards.append(batch.rewards)
        count = len(self.rewards)
        return {"count": float(count) if count < self.breaks_at else float("nan")}


def test_batches_depend_on_dataset_and_seed_only(pendulum):
    per_draw = TRANSITIONS_PER_DRAW // 256

    def stream(seed, count=per_draw + 3):
        return torch.stack([batch.observations for batch in islice(replay(pendulum).batches(seed, 256), count)])

    assert torch.equal(stream(0), stream(0))
    assert not torch.equal(stream(0), stream(1))
    blocks = stream(0)
    assert not torch.equal(blocks[:3], blocks[per_draw:])  # the second draw goes on, it does not repeat


def test_batches_are_the_rows_that_the_generator_draws_one_update_at_a_time(pendulum):
    data, generator = replay(pendulum), generator_for("batches", pendulum.id, 5)
    for batch in islice(data.batches(5, 300), TRANSITIONS_PER_DRAW // 300 + 3):
        rows = torch.from_numpy(generator.integers(data.size, size=300))
        for name, column in zip(batch._fields, data.tensors, strict=True):
            assert torch.equal(getattr(batch, name), column[rows]), name
            assert getattr(batch, name).is_contiguous(), name


def test_a_batch_holds_whole_transitions(pendulum):
    data = replay(pendulum)
    rows = {tuple(row) for row in torch.cat([part.reshape(data.size, -1) for part in data.tensors], 1).tolist()}
    batch = next(data.batches(0, 64))
    for row in torch.cat([part.reshape(64, -1) for part in batch], 1).tolist():
        assert tuple(row) in rows


def test_smaller_draws_are_part_of_larger_ones(pendulum):
    def observations(count):
        return {tuple(row) for row in draw_transitions(pendulum, count).observations.tolist()}

    assert len(observations(100)) == 100
    assert observations(100) < observations(300)
    with pytest.raises(UserError, match="num_transitions"):
        draw_transitions(pendulum, len(pendulum.rewards) + 1)


def test_a_draw_keeps_what_belongs_together(pendulum):
    drawn = draw_transitions(pendulum, 50)
    whole = {row.tobytes(): index for index, row in enumerate(pendulum.observations)}
    for position, row in enumerate(drawn.observations):
        index = whole[row.tobytes()]
        for name in ("actions", "rewards", "next_observations", "terminals", "qpos", "qvel"):
            np.testing.assert_array_equal(getattr(drawn, name)[position], getattr(pendulum, name)[index])


def test_normalised_observations_are_centred_and_actions_in_unit_bounds(pendulum):
    tensors = replay(pendulum).tensors
    assert tensors.observations.mean(0).abs().max() < 1e-5
    assert (tensors.observations.std(0) - 1).abs().max() < 0.01
    assert 0.5 < tensors.actions.abs().max() <= 1  # Pendulum's own bound is 2
    normaliser = Normaliser.for_dataset(pendulum, MethodConfig())
    np.testing.assert_allclose(
        normaliser.actions_to_simulator(normaliser.actions_from_simulator(pendulum.actions)),
        pendulum.actions,
        rtol=1e-6,
    )


def test_without_normalisation_observations_stay_as_they_are(pendulum):
    normaliser = Normaliser.for_dataset(pendulum, MethodConfig(normalise_observations=False))
    np.testing.assert_array_equal(normaliser.observations(pendulum.observations), pendulum.observations)


def test_metrics_are_means_since_the_last_row_and_the_last_update_is_logged(pendulum):
    rows = list(train(Recorder(), replay(pendulum), 0, 4, stops=[3, 6, 7]))
    assert rows == [(3, {"count": 2.0}), (6, {"count": 5.0}), (7, {"count": 7.0})]


def test_divergence_is_noticed_and_named(pendulum):
    with pytest.raises(Diverged, match="count is not finite") as caught:
        list(train(Recorder(breaks_at=5), replay(pendulum), 0, 4, stops=range(3, 21, 3)))
    assert caught.value.update == 6


@pytest.mark.parametrize(("updates", "every"), [(1000, 333), (1536, 512), (40, 20), (3, 7), (10, 1)])
def test_every_evaluation_point_is_a_stop_of_the_loop(updates, every):
    """Whatever the interval: 333 updates are not five times a whole number."""
    protocol = Protocol(updates=updates, evaluate_every=every)
    stops = protocol.log_points()
    assert set(protocol.evaluation_points()) <= set(stops) and stops[-1] == updates and sorted(set(stops)) == stops
