"""What can wait goes on while nothing comes; what comes waits for no more than a bit of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from bifurk.testing import ManualClock
from bifurk_service.errors import StorageError
from bifurk_service.pipeline.loop import Pipeline
from bifurk_service.pipeline.pauses import Pauses
from bifurk_service.pipeline.workers import Workers
from tests.parts import make_part
from tests.pipeline.house import House
from tests.server import DEADLINE_SECONDS

SECONDS = 1.0
A_LITTLE = 0.125


class Work:
    """What can wait: each bit takes a while of the clock."""

    def __init__(self, *, bits: int = 1_000) -> None:
        self.left = bits
        self.done = 0
        self.meanwhile: dict[int, Callable[[], None]] = {}
        """By the number of bits that are done, what happens in the next."""
        self.clock = ManualClock()
        self.pauses = Pauses(SECONDS, do_a_little=self.do_a_little, monotonic=self.clock.now)

    def do_a_little(self) -> bool:
        self.meanwhile.pop(self.done, lambda: None)()
        self.done += 1
        self.left -= 1
        self.clock.advance(A_LITTLE)
        return self.left > 0


def test_what_can_wait_goes_on_for_as_long_as_a_pause() -> None:
    work = Work()
    work.pauses.pause(has_time=True)
    assert work.done == SECONDS / A_LITTLE


def test_it_stops_when_something_comes() -> None:
    work = Work()
    work.meanwhile[1] = work.pauses.end
    work.pauses.pause(has_time=True)
    assert work.done == 2
    work.pauses.pause(has_time=True)
    assert work.done == 2 + SECONDS / A_LITTLE


def test_it_does_not_begin_where_something_came_before_or_there_is_no_time() -> None:
    work = Work()
    for has_time in (True, False):
        work.pauses.end()
        work.pauses.pause(has_time=has_time)
    assert work.done == 0


def test_a_fault_of_it_ends_nothing_but_this_pause() -> None:
    work = Work(bits=3)

    def fails() -> None:
        work.pauses.end()
        raise StorageError("gone")

    work.meanwhile[1] = fails
    work.meanwhile[2] = work.pauses.end
    work.pauses.pause(has_time=True)
    assert work.done == 1
    work.pauses.pause(has_time=True)
    assert work.done == 3


@pytest.mark.parametrize("comes_at", [0, 3])
def test_the_pipeline_goes_on_with_it_and_first_with_what_comes(
    house: House, comes_at: int
) -> None:
    seen: list[list[str]] = []
    all_done = threading.Event()

    def do_a_little() -> bool:
        if len(seen) == comes_at:
            house.receive(make_part(0))
            pipeline.wake()
        seen.append(house.states())
        if seen[-1] == ["judged"]:
            all_done.set()
        return not all_done.is_set()

    pipeline = Pipeline(
        house.database,
        house.blobs,
        Workers(1, ThreadPoolExecutor),
        house.presence,
        part_timeout_seconds=60.0,
        spectra=house.spectra,
        chores=lambda: None,
        in_spare_time=do_a_little,
        observe=lambda _outcome, _seconds: None,
    )
    house.presence.start()
    pipeline.start()
    assert all_done.wait(DEADLINE_SECONDS)
    pipeline.stop()
    assert seen[comes_at:] == [["received"], ["judged"]]
