"""Stored runs judged anew: with other parameters, and as evidence that gives the same verdict."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from bifurk_service.access.requiring import ANYONE
from bifurk_service.api import replays
from bifurk_service.cli import app
from bifurk_service.detect.silent import silent_alert
from bifurk_service.errors import InvalidError
from bifurk_service.replay import evidence as module
from bifurk_service.replay.arrays import pack_array, unpack_array
from bifurk_service.replay.evidence import verify
from bifurk_service.store.alert_keeping import keep_alert
from bifurk_service.store.models import Attempt
from tests.api.filling import Caller
from tests.api.test_imports import STEPS, layer_courses, made, post
from tests.database import fresh_database
from tests.written_run import WrittenRun

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def run(anyone: Caller) -> int:
    """A run whose second layer's matrices triple at step 600, and a statistic of its own."""
    run_id = made(anyone, "replayed")
    own = [(10 * index, f"layers.{index % 2}.query.weight", "own", 1.0) for index in range(STEPS)]
    status, answer = post(anyone, run_id, [*layer_courses(3), *own])
    assert status == 200, answer
    anyone.wait_until_judged(run_id, STEPS)
    return run_id


@pytest.fixture(scope="module")
def alert(anyone: Caller, run: int) -> dict[str, Any]:
    found = anyone.get(f"/api/v1/alerts?run={run}&severity=warning&severity=critical")["items"]
    [told] = [one for one in found if one["parent"] is None]
    return dict(told)


@pytest.fixture(scope="module")
def document(anyone: Caller, alert: dict[str, Any]) -> dict[str, Any]:
    return dict(anyone.get(f"/api/v1/alerts/{alert['id']}/evidence"))


def _replay(caller: Caller, run_id: int, **wish: Any) -> tuple[int, Any]:
    path = f"/api/v1/runs/{run_id}/replay"
    return caller.request("POST", path, body=json.dumps(wish).encode(), headers=JSON)


def _stored(caller: Caller, run_id: int) -> set[str]:
    return {one["fingerprint"] for one in caller.get(f"/api/v1/alerts?run={run_id}")["items"]}


def test_a_replay_with_the_same_parameters_raises_the_same(anyone: Caller, run: int) -> None:
    status, answer = _replay(anyone, run)
    assert status == 200, answer
    assert answer["snapshots"] == STEPS
    assert {one["fingerprint"] for one in answer["alerts"]} == _stored(anyone, run)
    assert all(one["stored"] for one in answer["alerts"])
    assert (answer["not_raised"], answer["kept"]) == ([], 0)


def test_other_parameters_tell_what_they_would_not_have_raised(
    anyone: Caller, run: int, alert: dict[str, Any]
) -> None:
    before = _stored(anyone, run)
    kinds = ("layer_departure", "variance_burst", "one_bad_snapshot", "branch_split")
    status, answer = _replay(
        anyone, run, detectors={"regime_shift": {"least_change": 100.0}}, without=list(kinds)
    )
    assert status == 200, answer
    assert alert["id"] in answer["not_raised"]
    assert _stored(anyone, run) == before


@pytest.mark.parametrize(
    ("when", "missed"),
    [pytest.param("before", True, id="before"), pytest.param("meanwhile", False, id="meanwhile")],
)
def test_only_what_was_there_before_can_have_been_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, *, missed: bool
) -> None:
    database = fresh_database(tmp_path)
    run = WrittenRun(database)

    def raised(at: str) -> list[Any]:
        if at == when:
            with database.write() as session:
                attempt = session.get_one(Attempt, run.attempt)
                keep_alert(session, attempt, silent_alert(
                    "r", last_step=10, last_sequence=1, seconds_since_last=1.0,
                    usual_interval_seconds=None,
                ), now=0.0)  # fmt: skip
        return []

    monkeypatch.setattr(replays, "replay_run", lambda *_, **__: raised("meanwhile"))
    raised("before")
    state = SimpleNamespace(services=SimpleNamespace(database=database))
    request: Any = SimpleNamespace(app=SimpleNamespace(state=state))
    answer = replays.replay(request, ANYONE, run.id, replays.ReplayWish())
    assert bool(answer.not_raised) is missed
    database.close()


def test_a_stretch_is_judged_by_itself(anyone: Caller, run: int) -> None:
    status, answer = _replay(anyone, run, from_step=100, to_step=500)
    assert (status, answer["snapshots"]) == (200, 41)
    assert [one for one in answer["alerts"] if one["severity"] != "info"] == []
    assert answer["not_raised"] == []


def test_what_is_kept_is_stored_once(anyone: Caller) -> None:
    run_id = made(anyone, "kept")
    assert post(anyone, run_id, layer_courses(7))[0] == 200
    anyone.wait_until_judged(run_id, STEPS)
    before = _stored(anyone, run_id)
    wish = {"to_step": 700, "from_step": 300, "keep": True}
    _, first = _replay(anyone, run_id, **wish)
    new = {one["fingerprint"] for one in first["alerts"] if not one["stored"]}
    assert first["kept"] == len(new)
    assert _stored(anyone, run_id) == before | new
    assert _replay(anyone, run_id, **wish)[1]["kept"] == 0


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"detectors": {"regime_shift": {"treshold": 5}}}, "has no parameter 'treshold'"),
        ({"detectors": {"regime_shift": {"threshold": "5"}}}, "threshold is a number"),
        ({"detectors": {"regime_shift": {"threshold": -1}}}, "threshold is a number"),
        ({"detectors": {"regime_shift": {"reference": 0}}}, "a whole number above 0"),
        ({"detectors": {"regime_shift": {"scales": 6}}}, "scales is a list"),
        ({"detectors": {"regime_shit": {}}}, "no detector 'regime_shit'"),
        ({"without": ["nothing"]}, "no detector 'nothing'"),
        ({"from_step": 9, "to_step": 3}, "lies behind to_step 3"),
        ({"keep": "yes"}, "valid boolean"),
        ({"from_step": -1}, "greater than or equal to 0"),
        ({"thresholds": {}}, "Extra inputs"),
    ],
)
def test_a_wrong_wish_is_refused(
    anyone: Caller, run: int, wish: dict[str, Any], problem: str
) -> None:
    status, answer = _replay(anyone, run, **wish)
    assert status == 422
    assert problem in answer["detail"]


def test_evidence_gives_the_same_verdict(document: dict[str, Any], alert: dict[str, Any]) -> None:
    assert document["alert"]["sentence"] == alert["sentence"]
    assert document["alert"]["fingerprint"] == alert["fingerprint"]
    assert verify(json.loads(json.dumps(document))) == []


def test_other_numbers_give_another_verdict(document: dict[str, Any]) -> None:
    forged = copy.deepcopy(document)
    values = unpack_array(forged["series"]["std"])
    values[:] = 0.02
    forged["series"]["std"] = pack_array(values)
    assert verify(_signed(forged)) == ["no such alert is raised"]


def test_another_word_in_the_alert_is_named(document: dict[str, Any]) -> None:
    forged = copy.deepcopy(document)
    forged["alert"]["severity"] = "info"
    forged["alert"]["tensors"][0]["score"] *= 1 + 1e-6
    found = verify(_signed(forged))
    assert [line.partition(":")[0] for line in found] == ["severity", "tensors[0].score"]


def _signed(document: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in document.items() if name != "digest"}
    return {**rest, "digest": module._digest(rest)}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"digest": "0"}, "changed or cut off"),
        ({"format": 99}, "of format 99"),
        ({"definition": "another"}, "made by the detectors of bifurk"),
        ({"memory": "AAAA"}, "not base64 of a zstd frame"),
        ({"memory": 7}, "packed bytes are text"),
        ({"clocks": []}, "no evidence"),
        ({"tensors": [{}]}, "no evidence"),
        ({"series": {"std": {"shape": [1 << 40], "float64": ""}}}, "no evidence"),
    ],
)
def test_what_is_no_evidence_is_refused(
    document: dict[str, Any], change: dict[str, Any], problem: str
) -> None:
    changed = {**document, **change}
    with pytest.raises(InvalidError, match=problem):
        verify(changed if "digest" in change else _signed(changed))
    for nonsense in ({}, {"format": 1}, []):
        with pytest.raises(InvalidError, match="no evidence"):
            verify(nonsense)  # type: ignore[arg-type]


def test_the_command_line_fetches_and_verifies(
    anyone: Caller, alert: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "evidence.json"
    url = ["--url", anyone.server.url]
    runner = CliRunner()
    fetched = runner.invoke(app, ["alerts", "evidence", str(alert["id"]), "-o", str(path), *url])
    assert fetched.exit_code == 0, fetched.output
    verified = runner.invoke(app, ["alerts", "verify", str(path)])
    assert (verified.exit_code, "the same verdict" in verified.output) == (0, True)
    document = json.loads(path.read_text())
    document["alert"]["kind"] = "collapsed"
    path.write_text(json.dumps(_signed(document)))
    refuted = runner.invoke(app, ["alerts", "verify", str(path)])
    assert refuted.exit_code == 1
    assert refuted.output.startswith("kind: 'collapsed' in the document")
    path.write_text("no JSON")
    assert isinstance(runner.invoke(app, ["alerts", "verify", str(path)]).exception, InvalidError)
