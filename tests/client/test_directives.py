"""What the server asks for after an alert: followed within the user's own limits, or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import torch

import bifurk
from bifurk.answers import document
from bifurk.cadence import Cadence, FullRotation
from bifurk.directives import MOST_DIRECTIVES, Directives
from bifurk.testing import InMemoryTransport
from bifurk.transport import Response

WISH = {"tensors": ["0.weight"], "every": 5, "first_step": 20, "last_step": 40}


def _answer(*wishes: Mapping[str, Any]) -> Response:
    return Response(status=201, body=json.dumps({"created": True, "directives": wishes}).encode())


def _told(*wishes: Mapping[str, Any]) -> Directives:
    directives = Directives()
    directives.read(document(_answer(*wishes)))
    return directives


def test_a_wish_holds_from_its_first_step_up_to_its_last() -> None:
    directives = _told(WISH)
    steps = [step for step in range(60) if directives.asks_for_snapshot(step)]
    assert steps == [20, 25, 30, 35]
    assert directives.wanted_in_full(39) == {"0.weight"}
    assert directives.wanted_in_full(40) == frozenset()


def test_an_answer_replaces_all_wishes_and_one_without_a_word_none() -> None:
    directives = _told(WISH)
    directives.read(document(Response(status=200, body=b'{"created": false}')))
    assert directives.asks_for_snapshot(20)
    directives.read(document(_answer()))
    assert not directives.asks_for_snapshot(20)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[1, 2]",
        b'{"directives": 7}',
        b'{"directives": [7]}',
        b'{"directives": [{"tensors": ["a"], "every": 0, "first_step": 0, "last_step": 9}]}',
        b'{"directives": [{"tensors": ["a"], "every": 1.5, "first_step": 0, "last_step": 9}]}',
        b'{"directives": [{"tensors": "a", "first_step": 0, "last_step": 9}]}',
        b'{"directives": [' + b"[" * 60_000,
    ],
)
def test_an_answer_that_cannot_be_understood_changes_nothing(body: bytes) -> None:
    directives = _told(WISH)
    directives.read(document(Response(status=200, body=body)))
    assert directives.asks_for_snapshot(20)


def test_no_server_can_ask_for_more_than_so_many_things() -> None:
    wishes = [{**WISH, "first_step": n, "last_step": n + 1, "every": 1} for n in range(100)]
    directives = _told(*wishes)
    assert sum(directives.asks_for_snapshot(step) for step in range(100)) == MOST_DIRECTIVES


def test_what_is_wanted_travels_before_the_next_turn_and_within_the_same_limit() -> None:
    rotation = FullRotation([4, 4, 4, 100], full_bytes=8)
    assert rotation.take(wanted={2, 3}) == (0, 2)
    assert rotation.take() == (1, 2)
    assert rotation.take(wanted={1}, rotate=False) == (1,)
    assert rotation.take() == (0, 1)


def test_a_snapshot_off_the_grid_is_taken_only_within_the_budget_and_by_a_single_rank() -> None:
    cadence = Cadence(every=10, budget=0.01)
    assert cadence.affords_more(elapsed_seconds=100, cost_seconds=1)
    assert not cadence.affords_more(elapsed_seconds=100, cost_seconds=1.1)
    assert not Cadence(every=10, budget=None, ranks=2).affords_more(
        elapsed_seconds=100, cost_seconds=0
    )


def _train(
    answers: Iterable[Response], steps: int = 60, **settings: Any
) -> list[tuple[int, bool, int | None, tuple[str, ...]]]:
    """Step, off the grid, previous step, tensors in full, of every snapshot."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(160, 160), torch.nn.Linear(160, 160))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    transport = InMemoryTransport(answers)
    given: dict[str, Any] = {"every": 20, "log_start": False, "overhead_budget": None, **settings}
    with bifurk.watch(model, optimizer, run="wishes", transport=transport, **given) as monitor:
        for step in range(steps):
            if step == 10:
                monitor.mark("evaluation")
            model(torch.ones(1, 160)).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            monitor.log(loss=1.0)
            assert monitor.flush()
    return [
        (
            part.manifest.step,
            part.manifest.off_grid,
            part.manifest.previous_step,
            tuple(tensor.name for tensor in part.tensors if tensor.full is not None),
        )
        for part in transport.parts()
    ]


def test_an_alerted_tensor_is_sent_more_often_and_in_full() -> None:
    wish = {**WISH, "tensors": ["1.weight"], "first_step": 20, "last_step": 35}
    full_bytes = 160 * 160 * 4 + 64
    snapshots = _train([_answer(wish)], full_bytes=full_bytes)
    off_grid = [(step, full) for step, off, _, full in snapshots if off]
    assert off_grid == [(25, ("1.weight",)), (30, ("1.weight",))]
    grid = {step: (previous, full) for step, off, previous, full in snapshots if not off}
    assert [*grid] == [0, 20, 40, 60]
    assert grid[20] == (0, ("1.weight",))
    assert grid[40][0] == 20


def test_marks_and_scalars_wait_for_the_grid() -> None:
    wish = {**WISH, "first_step": 0, "last_step": 20}
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    transport = InMemoryTransport([_answer(wish)])
    with bifurk.watch(
        model, optimizer, run="marks", transport=transport, every=20, overhead_budget=None
    ) as monitor:
        assert monitor.flush()
        for step in range(20):
            model(torch.ones(1, 4)).sum().backward()
            optimizer.step()
            monitor.log(loss=float(step))
            if step == 3:
                monitor.mark("evaluation")
            assert monitor.flush()
    manifests = {part.manifest.step: part.manifest for part in transport.parts()}
    assert manifests[5].off_grid
    assert (manifests[5].marks, dict(manifests[5].scalars)) == ((), {})
    assert [mark.kind for mark in manifests[8].marks] == ["evaluation"]
    assert manifests[8].scalars["loss"].count == 4


@pytest.mark.parametrize("settings", [{"directives": False}, {"payload": "sketch"}])
def test_the_users_own_settings_come_first(settings: dict[str, Any]) -> None:
    snapshots = _train([_answer({**WISH, "every": 5})], **settings)
    if "directives" in settings:
        assert not any(off for _, off, _, _ in snapshots)
    else:
        assert not any(full for _, _, _, full in snapshots)


def test_what_the_server_asked_for_does_not_thin_the_grid() -> None:
    cadence = Cadence(every=100, budget=0.05)
    reliefs, cost = [], 0.0
    for step in range(1, 4_001):
        elapsed = step / 10
        if cadence.due(step) and step >= 100:
            reliefs.append(cadence.judge(step, elapsed_seconds=elapsed, cost_seconds=cost))
            cost += 0.3
        elif (
            500 < step <= 900
            and step % 25 == 0
            and cadence.affords_more(elapsed_seconds=elapsed, cost_seconds=cost)
        ):
            cost += 0.3
    assert set(reliefs) == {None}
    assert cost > 0.3 * 40
