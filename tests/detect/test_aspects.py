"""Aspects of one tensor agree when they began together, also when the noisier is seen later."""

from __future__ import annotations

from bifurk_service.detect.finding import Finding
from bifurk_service.detect.merge import Merger
from bifurk_service.domain import TensorInfo
from bifurk_service.stats.registry import BY_NAME

TENSORS = [TensorInfo(id=1, name="output.weight", layer=None, role="unembedding", shape=(59, 256))]


def shift(statistic: str, *, seen: int, began: int) -> Finding:
    return Finding(
        kind="regime_shift",
        statistic=statistic,
        log_scale=BY_NAME[statistic].log_scale,
        tensor=0,
        sequence=seen,
        step=10 * seen,
        onset_first_step=10 * (began - 1),
        onset_last_step=10 * began,
        before=1.0,
        after=2.0,
        score=1.5,
        details={"scale": 12, "snapshots_since_onset": seen - began + 1},
    )


def events_of(*findings: Finding) -> list[int]:
    """Sequences at which an event is told."""
    merger = Merger("run")
    return [
        sequence
        for sequence in range(200)
        if merger.update(sequence, [f for f in findings if f.sequence == sequence], TENSORS)
    ]


def test_three_aspects_that_began_together_are_an_event_when_the_last_is_seen() -> None:
    told = events_of(
        shift("stable_rank", seen=124, began=122),
        shift("spectral_norm", seen=126, began=124),
        shift("cosine_to_first", seen=134, began=127),
    )
    assert told == [134]


def test_three_aspects_that_began_apart_are_none() -> None:
    told = events_of(
        shift("stable_rank", seen=120, began=110),
        shift("spectral_norm", seen=126, began=124),
        shift("cosine_to_first", seen=134, began=131),
    )
    assert told == []


def test_two_aspects_are_none_however_close() -> None:
    assert (
        events_of(
            shift("spectral_norm", seen=124, began=122),
            shift("std", seen=124, began=122),
            shift("stable_rank", seen=125, began=122),
        )
        == []
    )


def test_an_aspect_waits_no_longer_than_the_longest_scale() -> None:
    told = events_of(
        shift("stable_rank", seen=110, began=109),
        shift("spectral_norm", seen=111, began=109),
        shift("cosine_to_first", seen=140, began=112),
    )
    assert told == []
