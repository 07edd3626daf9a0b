"""What an alert rests on, in one document that re-runs to the same verdict anywhere.

It holds the detectors' memory some snapshots before the onset, and every watched statistic of
every tensor from there until the alert stood as it does. Nothing else enters a verdict.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np

import bifurk
from bifurk_service.detect import leaves_baseline
from bifurk_service.detect.judge import Judge
from bifurk_service.detect.merge import AFTERMATH_SNAPSHOTS
from bifurk_service.detect.state_archive import ForeignStateError
from bifurk_service.domain import Alert, Clock, Mark, TensorInfo
from bifurk_service.errors import ConflictError, InvalidError, NotFoundError
from bifurk_service.pipeline.judges import JudgingInput, judge_for
from bifurk_service.pipeline.memories import take_up
from bifurk_service.replay.arrays import pack, pack_array, unpack, unpack_array
from bifurk_service.replay.stored import fresh_judge, inputs_of
from bifurk_service.stats.registry import BY_NAME, Family, Nature, Statistic
from bifurk_service.store.alerts import get_alert
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.runs import get_run
from bifurk_service.store.states import SavedState
from bifurk_service.store.thinning_blocks import memory_behind

FORMAT: Final = 1
WINDOW_SNAPSHOTS: Final = 60
"""Before the detection, for whoever looks: a verdict needs the memory and what came after it."""
TOLERANCE: Final = 1e-9
"""Relative, of numbers in the two verdicts: sums are rounded otherwise on another processor."""


def evidence_of(database: Database, alert_id: int) -> dict[str, Any]:
    """The document of one alert, JSON-ready.

    Raises:
        NotFoundError: there is no such alert, or its statistics are no longer stored.
        ConflictError: it rests on no statistic (the silence of an attempt, say), or on other runs;
            or what it rests on is thinned, or was so meanwhile.
    """
    with database.read() as session:
        stored = get_alert(session, alert_id)
        run = get_run(session, stored.run_id).slug
    if not stored.tensors:
        raise ConflictError(f"a {stored.kind} alert rests on no statistic: there is nothing to run")
    if stored.kind == leaves_baseline.KIND:
        raise ConflictError(
            f"a {stored.kind} alert rests on other runs, which no document holds; its `evidence` "
            "names them, and the page of comparisons holds the run against them again"
        )
    judge = fresh_judge(database, stored.attempt_id)
    after = _taken_up(database, judge, stored)
    memory, window, alert = _run(database, judge, stored, after)
    _check_whole_behind(database, stored, after)
    if alert is None or not window:
        raise NotFoundError(
            f"the stored statistics do not give alert {alert_id} again: it was raised by other "
            "detectors (an earlier version, a replay with other parameters), or they are gone"
        )
    document = {
        "format": FORMAT,
        "bifurk": bifurk.__version__,
        "definition": judge.definition,
        "run": run,
        "own_statistics": [
            _jsonable(asdict(one)) for one in judge.statistics if one.name not in BY_NAME
        ],
        "alert": _jsonable(asdict(alert)),
        "memory": pack(memory),
        "tensors": [asdict(tensor) for tensor in window[-1].tensors],
        "clocks": [_jsonable(asdict(one.clock)) for one in window],
        "tensor_counts": [len(one.tensors) for one in window],
        "series": {one.name: pack_array(_stacked(window, one.name)) for one in judge.statistics},
    }
    return {**document, "digest": _digest(document)}


def verify(document: Mapping[str, Any]) -> list[str]:
    """Re-runs the detectors; what differs from the alert in the document, one line each.

    Raises:
        InvalidError: it is no such document, is damaged, or was made by other detectors.
    """
    try:
        return _verify(document)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InvalidError(f"no evidence of an alert: {error!r}") from error


def _taken_up(database: Database, judge: Judge, stored: StoredAlert) -> int:
    """The sequence behind which a judge goes on: -1, or where the attempt's thinned past ends."""
    with database.read() as session:
        memory = memory_behind(session, stored.attempt_id)
        if memory is not None:
            _give(session, judge, stored, memory)
    return -1 if memory is None else memory.sequence


def _check_whole_behind(database: Database, stored: StoredAlert, after: int) -> None:
    """Raises ``ConflictError`` where the attempt was thinned beyond a sequence meanwhile."""
    with database.read() as session:
        memory = memory_behind(session, stored.attempt_id)
    if memory is not None and memory.sequence != after:
        raise ConflictError(
            f"the attempt of alert {stored.id} was thinned while its evidence was made: ask again"
        )


def _give(session: Session, judge: Judge, stored: StoredAlert, memory: SavedState) -> None:
    if stored.detected_sequence <= memory.sequence:
        raise ConflictError(
            f"what the detectors were given before sequence {memory.sequence + 1} is thinned, and "
            f"alert {stored.id} was detected at {stored.detected_sequence}: its evidence can no "
            "longer be made; the statistics around it are still there"
        )
    try:
        take_up(session, judge, stored.attempt_id, memory)
    except ForeignStateError as error:
        raise ConflictError(
            f"the attempt's past is thinned, and its memory is of other detectors: {error}"
        ) from error


def _run(
    database: Database, judge: Judge, stored: StoredAlert, after: int
) -> tuple[bytes, list[JudgingInput], Alert | None]:
    """Memory before the window, the window, and the alert as it stood at its end."""
    start = max(0, stored.detected_sequence - WINDOW_SNAPSHOTS)
    end = stored.detected_sequence + AFTERMATH_SNAPSHOTS
    memory, window, alert = b"", [], None
    for one in inputs_of(database, stored.attempt_id, judge, after=after):
        if one.clock.sequence > end:
            break
        if one.clock.sequence < start:
            one.given_to(judge)
            continue
        memory = memory or judge.snapshot()
        window.append(one)
        for found in one.given_to(judge).alerts:
            if found.fingerprint == stored.fingerprint:
                alert = found
    return memory, window, alert


def _verify(document: Mapping[str, Any]) -> list[str]:
    if document["format"] != FORMAT:
        raise InvalidError(f"evidence of format {document['format']!r}, this reads {FORMAT}")
    rest = {name: value for name, value in document.items() if name != "digest"}
    if document["digest"] != _digest(rest):
        raise InvalidError("the document was changed or cut off: its digest does not fit")
    said = document["alert"]
    own = [_statistic(one) for one in document["own_statistics"]]
    judge = judge_for(document["run"], own)
    if judge.definition != document["definition"]:
        raise InvalidError(
            f"made by the detectors of bifurk {document['bifurk']} ({document['definition']}), "
            f"these are of {bifurk.__version__} ({judge.definition}): only the same give a verdict"
        )
    try:
        judge.restore(unpack(document["memory"]))
    except ForeignStateError as error:
        raise InvalidError(str(error)) from error
    again = None
    for one in _inputs(document):
        for found in one.given_to(judge).alerts:
            if found.fingerprint == said["fingerprint"]:
                again = _jsonable(asdict(found))
    if again is None:
        return ["no such alert is raised"]
    return _differences(said, again)


def _inputs(document: Mapping[str, Any]) -> list[JudgingInput]:
    tensors = [
        TensorInfo(**{**tensor, "shape": tuple(tensor["shape"])}) for tensor in document["tensors"]
    ]
    series = {name: unpack_array(packed) for name, packed in document["series"].items()}
    inputs = []
    for index, (clock, count) in enumerate(
        zip(document["clocks"], document["tensor_counts"], strict=True)
    ):
        values = {name: array[index, :count] for name, array in series.items()}
        inputs.append(
            JudgingInput(
                clock=_clock(clock),
                tensors=tuple(tensors[:count]),
                values=values,
                valid={name: np.isfinite(value) for name, value in values.items()},
            )
        )
    return inputs


def _statistic(document: Mapping[str, Any]) -> Statistic:
    family, nature = Family(document["family"]), Nature(document["nature"])
    labels = tuple(document["labels"])
    return Statistic(**{**document, "family": family, "nature": nature, "labels": labels})


def _clock(document: Mapping[str, Any]) -> Clock:
    rates = tuple(math.nan if rate is None else rate for rate in document["learning_rates"])
    marks = tuple(Mark(**mark) for mark in document["marks"])
    return Clock(**{**document, "learning_rates": rates, "marks": marks})


def _stacked(window: list[JudgingInput], name: str) -> Any:
    """One statistic over the window, float64 [snapshots, tensors], NaN without a value."""
    stacked = np.full((len(window), len(window[-1].tensors)), np.nan)
    for row, one in zip(stacked, window, strict=True):
        if name in one.values:
            row[: len(one.tensors)] = one.values[name]
    return stacked


def _digest(document: Mapping[str, Any]) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _jsonable(value: Any) -> Any:
    """The same without tuples, enumerations and numbers that JSON has not."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, str) else value


def _differences(said: Any, again: Any, where: str = "") -> list[str]:
    if where == ".evidence":
        return []
    if isinstance(said, Mapping) and isinstance(again, Mapping):
        return [
            line
            for key in sorted({*said, *again})
            for line in _differences(said.get(key), again.get(key), f"{where}.{key}")
        ]
    if isinstance(said, list) and isinstance(again, list) and len(said) == len(again):
        return [
            line
            for index, (one, other) in enumerate(zip(said, again, strict=True))
            for line in _differences(one, other, f"{where}[{index}]")
        ]
    if _same(said, again):
        return []
    return [f"{where.removeprefix('.')}: {said!r} in the document, {again!r} now"]


def _same(said: Any, again: Any) -> bool:
    numbers = all(isinstance(one, int | float) for one in (said, again))
    if numbers and not isinstance(said, bool):
        return math.isclose(said, again, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(said == again)
