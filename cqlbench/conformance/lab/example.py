"""CQL(H) in the signature of the lab: a loss to start from."""

import torch


def critic_loss(q, batch, sampled_actions, log_densities, alpha):
    values = q(batch.observations, batch.actions)  # (2, B), as there are two critics
    next_values = batch.next_values.min(0).values  # (B,), the smaller target critic
    targets = batch.rewards + batch.discount * (1 - batch.terminals) * next_values
    td = (values - targets).square().mean(1)

    sampled_values = q(batch.observations, sampled_actions)  # (2, B, 3N)
    pushed_down = torch.logsumexp(sampled_values - log_densities, 2)
    gap = (pushed_down - values).mean(1)
    return {"td": td, "conservative": alpha * gap}
