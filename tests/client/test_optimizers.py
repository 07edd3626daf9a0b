"""What is read from the user's optimizers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import bifurk
from bifurk.optimizers import as_optimizers, learning_rates, name_of, own_step, settings
from bifurk.testing import InMemoryTransport


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


def test_many_of_a_kind_are_counted() -> None:
    weight = nn.Parameter(torch.zeros(1))
    several = [torch.optim.AdamW([weight]) for _ in range(120)] + [torch.optim.SGD([weight])]
    assert name_of(several) == "AdamW x120+SGD"
    kinds = [type(f"Optimizer{n}", (torch.optim.SGD,), {})([weight]) for n in range(100)]
    assert len(name_of(kinds)) == 512


def test_settings_that_the_wire_would_refuse_are_left_out() -> None:
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.5)
    optimizer.param_groups[0] |= {"note": "x" * 5_000, "seed": 1 << 70, "n" * 600: 1}
    optimizer.param_groups[0]["many"] = tuple(range(2_000))
    found = settings(optimizer)
    assert found["lr"] == 0.5
    assert not {"note", "seed", "n" * 600} & set(found)
    assert len(found) == 1_000


def test_a_model_with_an_optimizer_for_every_weight_sends_what_a_server_reads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    weights = [nn.Parameter(torch.full((2,), float(n))) for n in range(1_100)]
    optimizers = [torch.optim.AdamW([weight], lr=n / 2048) for n, weight in enumerate(weights)]
    transport = InMemoryTransport()
    with bifurk.watch(
        nn.ParameterList(weights), optimizers, transport=transport, overhead_budget=None
    ) as monitor:
        trained(optimizers[0], 2)
        assert monitor.flush()
    manifests = [part.manifest for part in transport.parts()]
    assert [manifest.step for manifest in manifests] == [0, 1, 2]
    assert {manifest.optimizer for manifest in manifests} == {"AdamW x1100"}
    assert manifests[0].learning_rates == tuple(n / 2048 for n in range(1_000))
    warning = "1100 parameter groups: the learning rates of the first 1000 are recorded"
    assert caplog.messages == [warning]


def test_a_wrapper_is_seen_through() -> None:
    inner = torch.optim.SGD(nn.Linear(2, 2).parameters())

    class Wrapper:
        optimizer = inner

    assert as_optimizers(Wrapper()) == (inner,)


def test_anything_else_is_refused() -> None:
    with pytest.raises(TypeError, match="got int"):
        as_optimizers(3)


def test_one_that_runs_no_hooks_is_refused_before_anything_begins() -> None:
    class Wrapper(torch.optim.Optimizer):
        def __init__(self, inner: torch.optim.Optimizer) -> None:
            self.inner, self.param_groups = inner, inner.param_groups

    model = nn.Linear(2, 2)
    wrapper = Wrapper(torch.optim.SGD(model.parameters()))
    transport = InMemoryTransport()
    with pytest.raises(TypeError, match=r"Wrapper runs no hooks.*pass the optimizer that it wraps"):
        bifurk.watch(model, wrapper, run="r", transport=transport)
    assert not transport.requests
