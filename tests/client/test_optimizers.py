"""What is read from the user's optimizers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bifurk.optimizers import as_optimizers, learning_rates, name_of, own_step, settings


def trained(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.Optimizer:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    for _ in range(steps):
        optimizer.step()
    return optimizer


def test_the_first_optimizer_s_own_step_counts() -> None:
    model = nn.Linear(2, 2)
    adam = trained(torch.optim.Adam(model.parameters()), 3)
    sgd = trained(torch.optim.SGD(model.parameters()), 5)
    assert own_step([adam, sgd]) == 3
    assert own_step([sgd, adam]) == 0
    assert own_step([torch.optim.Adam(model.parameters())]) == 0


def test_rates_come_one_a_group_also_as_tensors() -> None:
    weight, bias = nn.Linear(2, 2).parameters()
    groups = [{"params": [weight], "lr": torch.tensor(0.5)}, {"params": [bias], "lr": 0.25}]
    assert learning_rates([torch.optim.AdamW(groups)]) == (0.5, 0.25)


def test_settings_are_scalars_and_tuples_are_flattened() -> None:
    optimizer = torch.optim.AdamW(nn.Linear(2, 2).parameters(), betas=(0.8, 0.95))
    found = settings(optimizer)
    assert (found["betas.0"], found["betas.1"]) == (0.8, 0.95)
    assert "params" not in found
    assert found["amsgrad"] is False


def test_several_are_named_together() -> None:
    model = nn.Linear(2, 2)
    several = as_optimizers(
        (torch.optim.SGD(model.parameters()), torch.optim.Adam(model.parameters()))
    )
    assert name_of(several) == "SGD+Adam"


def test_a_wrapper_is_seen_through() -> None:
    inner = torch.optim.SGD(nn.Linear(2, 2).parameters())

    class Wrapper:
        optimizer = inner

    assert as_optimizers(Wrapper()) == (inner,)


def test_anything_else_is_refused() -> None:
    with pytest.raises(TypeError, match="got int"):
        as_optimizers(3)
