"""The ledger of losses: counts by reason, and the lost sequences as ranges."""

from __future__ import annotations

import itertools
import threading

from hypothesis import given
from hypothesis import strategies as st

from bifurk.losses import MAX_RANGES, LossLedger


def test_a_new_ledger_reports_nothing_lost() -> None:
    report = LossLedger().report()
    assert report.dropped == {}
    assert report.lost_sequences == ()
    assert report.overhead_ratio is None


def test_drops_are_counted_by_reason_with_or_without_a_sequence() -> None:
    ledger = LossLedger()
    ledger.drop("busy", 4)
    ledger.drop("busy")
    ledger.drop("disk_full", 5)
    report = ledger.report(0.004)
    assert report.dropped == {"busy": 2, "disk_full": 1}
    assert report.lost_sequences == ((4, 5),)
    assert report.overhead_ratio == 0.004


@given(st.lists(st.integers(min_value=0, max_value=60)))
def test_ranges_hold_exactly_the_lost_sequences_in_the_fewest_pieces(lost: list[int]) -> None:
    ledger = LossLedger()
    for sequence in lost:
        ledger.drop("busy", sequence)
    ranges = ledger.report().lost_sequences
    assert [n for first, last in ranges for n in range(first, last + 1)] == sorted(set(lost))
    assert all(after[0] > before[1] + 1 for before, after in itertools.pairwise(ranges))


def test_the_report_stays_small_by_forgetting_the_oldest_ranges() -> None:
    ledger = LossLedger()
    for sequence in range(0, 4 * MAX_RANGES, 2):
        ledger.drop("busy", sequence)
    report = ledger.report()
    assert len(report.lost_sequences) == MAX_RANGES
    assert report.lost_sequences[-1] == (4 * MAX_RANGES - 2, 4 * MAX_RANGES - 2)
    assert report.dropped == {"busy": 2 * MAX_RANGES}


def test_threads_lose_no_count() -> None:
    ledger = LossLedger()

    def drop_many(start: int) -> None:
        for sequence in range(start, 2_000, 4):
            ledger.drop("busy", sequence)

    threads = [threading.Thread(target=drop_many, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.report().dropped == {"busy": 2_000}
    assert ledger.report().lost_sequences == ((0, 1_999),)
