"""A model that holds its monitor can be copied and saved; only the original is watched."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

import bifurk
from bifurk.monitor import InertMonitor
from bifurk.testing import InMemoryTransport
from tests.client.training import new_training, steps_of, train


def pickled(model: torch.nn.Module) -> Any:
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_the_monitor_of_a_copied_model_does_nothing(
    copied: Callable[[torch.nn.Module], Any],
) -> None:
    transport = InMemoryTransport()
    model, optimizer = new_training()
    with bifurk.watch(model, optimizer, run="r", every=4, transport=transport) as monitor:
        model.monitor = monitor  # type: ignore[assignment]
        average = copied(model)
        assert isinstance(average.monitor, InertMonitor)
        average.monitor.mark("checkpoint")
        average.monitor.close()
        train(model, optimizer, steps=2, monitor=monitor)
        assert model.monitor is monitor
    assert steps_of(transport.parts()) == [0, 1, 2]
