"""The stopwatch behind the budget."""

from __future__ import annotations

import pytest

from bifurk.overhead import Overhead


class Hands:
    now = 100.0


def test_cost_is_stall_and_background_over_the_training_time() -> None:
    clock = Hands()
    overhead = Overhead(background_seconds=lambda: 0.25, now=lambda: clock.now)
    assert overhead.ratio is None
    overhead.start()
    with overhead.stall():
        clock.now += 0.5
    clock.now += 9.5
    overhead.start()
    assert overhead.elapsed_seconds == 10.0
    assert overhead.cost_seconds == 0.75
    assert overhead.ratio == 0.075


def test_a_stall_that_raises_still_counts() -> None:
    clock = Hands()
    overhead = Overhead(background_seconds=lambda: 0.0, now=lambda: clock.now)

    def fail() -> None:
        clock.now += 1.0
        raise RuntimeError

    with pytest.raises(RuntimeError), overhead.stall():
        fail()
    assert overhead.cost_seconds == 1.0
