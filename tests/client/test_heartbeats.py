"""When a client says that it lives, and asks what was found."""

from __future__ import annotations

from bifurk.heartbeats import Heartbeats


def test_who_listens_has_news_asked_for_soon_after_a_snapshot() -> None:
    beats = Heartbeats(60.0, 0.0)
    beats.delivered(1.0)
    assert beats.due == 60.0
    beats.listening = True
    beats.delivered(10.0)
    assert beats.due == 12.0
    beats.delivered(11.5)
    assert beats.due == 13.5
    asked = []
    for _ in range(6):
        asked.append(beats.due - 11.5)
        beats.beaten(beats.due)
    assert asked == [2, 6, 14, 30, 62, 122]


def test_snapshots_that_come_fast_do_not_keep_the_regular_heartbeat_away() -> None:
    beats = Heartbeats(60.0, 0.0)
    beats.listening = True
    for second in range(60):
        beats.delivered(float(second))
    assert beats.due == 60.0
