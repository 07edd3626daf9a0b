"""What a judge keeps of a run: taken up again it goes on, and a foreign state is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import zstandard

from bifurk_service.detect import state_pieces
from bifurk_service.detect.judge import Judge
from bifurk_service.detect.recovery import RETURNED_SNAPSHOTS
from bifurk_service.detect.registry import WATCHES
from bifurk_service.detect.renumbering import piece_with_tensor_ids, with_tensor_ids
from bifurk_service.detect.state_archive import ForeignStateError
from bifurk_service.detect.state_pieces import unpacked
from bifurk_service.detect.streams import clocks
from bifurk_service.domain import Alert, TensorInfo
from bifurk_service.stats.registry import BY_NAME
from tests.detect.runs import (
    LENGTH,
    ONSET,
    Values,
    faulty,
    gpt,
    judged,
    marked,
    sound_run,
    worth_telling,
)


def test_a_restored_judge_continues_as_if_nothing_had_happened() -> None:
    tensors = gpt(3)
    values, times = faulty(tensors), marked(25, "checkpoint", path="a")(clocks(LENGTH, every=2))
    whole = judged(values, tensors, clock=times)
    judge, alerts = Judge("gpt-small"), dict[str, Alert]()
    for part in (slice(1), slice(1, ONSET + 1), slice(ONSET + 1, None)):
        before = judge.snapshot()
        judge = _taken_up_again(judge)
        rows = {name: series[part] for name, series in values.items()}
        alerts |= judged(rows, tensors, clock=times[part], judge=judge)
        assert judge.snapshot() != before
    assert alerts == whole


def _norms(values: Values) -> Values:
    """What the fault is in."""
    return {name: values[name] for name in ("std", "spectral_norm")}


def test_tensors_added_later_are_judged_from_then_on() -> None:
    tensors, judge = gpt(3), Judge("gpt-small")
    values, times = _norms(faulty(tensors)), clocks(LENGTH, every=2)
    early = {name: series[:15, :20] for name, series in values.items()}
    judged(early, tensors[:20], clock=times[:15], judge=judge)
    rest = {name: series[15:] for name, series in values.items()}
    (alert,) = worth_telling(judged(rest, tensors, clock=times[15:], judge=judge))
    assert {one.tensor.layer for one in alert.tensors} == {2}


def test_a_fault_that_is_undone_returns(tensors: list[TensorInfo]) -> None:
    values = _norms(sound_run(tensors, seed=1))
    for tensor in tensors:
        if tensor.layer == 2 and len(tensor.shape) == 2:
            values["std"][30:38, tensor.id] *= 3
    judge, raised, returned = Judge("gpt-small"), dict[str, str](), list[tuple[int, str]]()
    for index, clock in enumerate(clocks(LENGTH, every=2)):
        row = {name: series[index] for name, series in values.items()}
        known = {name: np.isfinite(series) for name, series in row.items()}
        verdict = judge.update(clock, tensors, row, known)
        raised |= {alert.fingerprint: alert.kind for alert in verdict.alerts}
        returned += [(index, raised[fingerprint]) for fingerprint in verdict.returned]
        if index == 45:
            judge = _taken_up_again(judge)
    assert [kind for _, kind in returned if kind == "regime_shift"] == ["regime_shift"]
    assert min(index for index, _ in returned) >= 37 + RETURNED_SNAPSHOTS


def _taken_up_again(judge: Judge) -> Judge:
    copy, of_pieces = Judge("gpt-small"), Judge("gpt-small")
    copy.restore(judge.snapshot())
    of_pieces.take_up(judge.put_away())
    assert of_pieces.snapshot() == copy.snapshot()
    return of_pieces


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a few rows each."""
    monkeypatch.setattr(state_pieces, "PIECE_BYTES", 20_000)


@pytest.mark.usefixtures("small")
def test_pieces_of_series_without_a_value_stay_as_they_are(tensors: list[TensorInfo]) -> None:
    judge, times, values = Judge("a"), clocks(4), sound_run(tensors, seed=1, length=4)
    judged({n: one[:3] for n, one in values.items()}, tensors, clock=times[:3], judge=judge)
    before = list(judge.put_away())
    assert list(judge.put_away()) == before
    seen = {"std": values["std"][3], "dip_ratio": values["dip_ratio"][3]}
    known = np.arange(len(tensors)) < 20
    judge.update(times[3], tensors, seen, dict.fromkeys(seen, known))
    after = list(judge.put_away())
    changed = {
        (one.group, one.first)
        for old, new in zip(before, after, strict=True)
        if old != new
        for one in (unpacked(new),)
        if one.first is not None and one.group.startswith("series/")
    }
    pieces_of_std = [one for one in map(unpacked, after) if one.group == "series/std"]
    assert len(pieces_of_std) > 5
    assert {group for group, _ in changed} == {"series/std", "series/dip_ratio"}
    assert max(first for _, first in changed) < 20
    again = Judge("a")
    again.take_up(after)
    assert list(again.put_away()) == after


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda pieces: [*pieces[:-1], pieces[-1][:-1]], "no piece of a state"),
        (lambda pieces: [*pieces[:-1], b"garbage"], "no piece of a state"),
        (lambda pieces: pieces[:-1], "of other parts|some are missing"),
        (lambda pieces: pieces[:12], "of 38 rows of series/std some are missing"),
        (lambda pieces: pieces[:20], "a state without its pieces of series/"),
        (lambda pieces: [*pieces[:9], *pieces[10:]], "goes on at row"),
        (lambda pieces: pieces[1:], "of definition ''"),
        (lambda pieces: [*pieces, pieces[0]], "a state of other parts"),
    ],
)
def test_pieces_that_are_not_all_there_are_refused(
    damage: Callable[[list[bytes]], list[bytes]], match: str, tensors: list[TensorInfo]
) -> None:
    judge = Judge("a")
    judge.update(clocks(1)[0], tensors, {}, {})
    with pytest.raises(ForeignStateError, match=match):
        Judge("a").take_up(damage(list(judge.put_away())))


def test_a_piece_that_would_unpack_to_too_much_is_refused() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(state_pieces.MOST_BYTES + 1))
    with pytest.raises(ForeignStateError, match="no piece of a state"):
        unpacked(bomb)


def test_tensors_get_other_ids_piece_by_piece(tensors: list[TensorInfo]) -> None:
    judge, other = Judge("a"), Judge("a")
    judge.update(clocks(1)[0], tensors, {}, {})
    other.take_up(piece_with_tensor_ids(one, _moved(tensors)) for one in judge.put_away())
    assert other.tensor_ids == tuple(tensor.id + 100 for tensor in tensors)
    whole = Judge("a")
    whole.restore(with_tensor_ids(judge.snapshot(), _moved(tensors)))
    assert whole.snapshot() == other.snapshot()


def _moved(tensors: list[TensorInfo]) -> dict[int, int]:
    return {tensor.id: tensor.id + 100 for tensor in tensors}


def test_another_definition_of_a_statistic_is_another_definition_of_the_judge() -> None:
    statistics = {**BY_NAME, "std": replace(BY_NAME["std"], definition_version=99)}
    assert Judge("a", statistics=statistics).definition != Judge("a").definition


def _garbage(_: bytes) -> bytes:
    return b"garbage"


def _truncated(state: bytes) -> bytes:
    return state[: len(state) // 2]


@pytest.mark.parametrize("damage", [_garbage, _truncated])
def test_a_damaged_state_is_refused(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ForeignStateError, match="no state"):
        Judge("a").restore(damage(Judge("a").snapshot()))


def test_a_state_of_other_watches_is_refused() -> None:
    other = Judge("a", watches=WATCHES[:2])
    assert other.definition != Judge("a").definition
    with pytest.raises(ForeignStateError, match="definition"):
        Judge("a").restore(other.snapshot())


def test_a_snapshot_out_of_order_is_refused(tensors: list[TensorInfo]) -> None:
    judge, clock = Judge("a"), clocks(2)[1]
    judge.update(clock, tensors, {}, {})
    with pytest.raises(ValueError, match="sequence 1 does not follow 1"):
        judge.update(clock, tensors, {}, {})


def test_other_tensors_than_before_are_refused(tensors: list[TensorInfo]) -> None:
    judge, (first, second) = Judge("a"), clocks(2)
    judge.update(first, tensors, {}, {})
    with pytest.raises(ValueError, match="first 38 tensors are not those judged so far"):
        judge.update(second, tensors[1:], {}, {})


def test_an_array_of_another_length_is_refused(tensors: list[TensorInfo]) -> None:
    with pytest.raises(ValueError, match="std: expected 38 values"):
        Judge("a").update(clocks(1)[0], tensors, {"std": np.ones(3)}, {"std": np.ones(3, bool)})
