"""Ranks that share the sending of what all hold: one that is lost takes its share along."""

from __future__ import annotations

import torch
from torch import nn

import bifurk
from bifurk.testing import InMemoryTransport
from bifurk.transport import Request
from tests.distributed.compared import run_id, snapshots_of, statistics
from tests.distributed.conftest import PART_TIMEOUT_SECONDS, Trained
from tests.distributed.placed import as_rank

RUN = "lost-sender"


def requests_of(rank: int) -> list[Request]:
    """What a rank of two sends of the two snapshots around a step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    transport = InMemoryTransport()
    settings = {"run": RUN, "attempt": "first", "split": True}
    with as_rank(rank, 2), bifurk.watch(model, optimizer, transport=transport, **settings):  # type: ignore[arg-type]
        optimizer.step()
    return [one for one in transport.requests if "/parts/" in one.path]


def test_the_snapshot_has_half_its_parts_and_the_living_ranks_tensors(trained: Trained) -> None:
    living, lost = requests_of(0), requests_of(1)
    assert len(living) == len(lost) == 2
    for request in [*living, lost[0]]:
        status, answer = trained.server.request(
            "PUT", request.path, body=request.body, headers=dict(request.headers)
        )
        assert status == 201, answer
    trained.server.wait_until_judged(run_id(trained, RUN), 2)
    snapshots = snapshots_of(trained, RUN)
    assert [one["coverage"] for one in snapshots] == [1.0, 0.5]
    assert [one["state"] for one in snapshots] == ["judged", "judged"]
    assert snapshots[1]["measured_at"] - snapshots[1]["received_at"] > PART_TIMEOUT_SECONDS - 1
    rows = statistics(trained, RUN)
    assert {name for step, name in rows if step == 0} == {
        "0.weight", "0.bias", "1.weight", "1.bias",
    }  # fmt: skip
    assert {name for step, name in rows if step == 1} == {"0.weight"}
    status, answer = trained.server.request(
        "PUT", lost[1].path, body=lost[1].body, headers=dict(lost[1].headers)
    )
    assert status == 409
    assert "came too late" in answer["detail"]
    assert [one["coverage"] for one in snapshots_of(trained, RUN)] == [1.0, 0.5]
