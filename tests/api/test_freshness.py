"""Entity tags: what a caller holds already is not sent again, and never answers for another."""

from __future__ import annotations

import pytest
import urllib3

from tests.api.filling import Caller, Filled, broken_part
from tests.asking import asked

ANSWERS = [
    "statistics?step=20",
    "distribution?step=20",
    "distribution?step=20&bins=9",
    "statistics",
    "quantiles?step=20",
    "probability?step=20&low=0",
    "draws?step=20",
    "draws?step=20&seed=1",
    "spectrum?step=20",
]


def ask(caller: Caller, path: str, held: str | None = None) -> urllib3.BaseHTTPResponse:
    headers = {} if held is None else {"If-None-Match": held}
    return asked("GET", caller.server.url + path, headers=headers, retries=False)


@pytest.mark.parametrize("what", ANSWERS)
def test_what_is_held_already_is_not_sent_again(anyone: Caller, filled: Filled, what: str) -> None:
    path = f"/api/v1/runs/{filled.run}/tensors/{filled.tensor}/{what}"
    first = ask(anyone, path)
    tag = first.headers["ETag"]
    assert tag[0] == tag[-1] == '"'
    for held in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = ask(anyone, path, held)
        assert (again.status, again.data, again.headers["ETag"]) == (304, b"", tag)
    assert ask(anyone, path, '"other"').data == first.data


def test_what_is_pooled_is_tagged_too(anyone: Caller, filled: Filled) -> None:
    tags = set()
    for what in ("pooled?role=bias", "pooled?layer=0", "pooled/distribution?layer=0"):
        path = f"/api/v1/runs/{filled.run}/{what}"
        tag = ask(anyone, path).headers["ETag"]
        assert ask(anyone, path, tag).status == 304
        tags.add(tag)
    assert len(tags) == 3


def test_caches_keep_it_and_ask(anyone: Caller, filled: Filled) -> None:
    answer = ask(anyone, f"/api/v1/runs/{filled.run}/tensors/{filled.tensor}/statistics?step=20")
    assert answer.headers["Cache-Control"] == "private, no-cache"


def test_every_question_has_a_tag_of_its_own(anyone: Caller, filled: Filled) -> None:
    base = f"/api/v1/runs/{filled.run}/tensors/{filled.tensor}"
    paths = [f"{base}/{what}" for what in (*ANSWERS, "statistics?step=30", "distribution?step=30")]
    tags = [ask(anyone, path).headers["ETag"] for path in paths]
    assert len(set(tags)) == len(paths)


def test_the_last_step_gets_another_tag_when_another_comes(anyone: Caller) -> None:
    def newest() -> tuple[int, str]:
        answer = ask(anyone, path)
        return answer.json()["step"], answer.headers["ETag"]

    anyone.post_part(broken_part(0, project="fresh", run="run"))
    run = anyone.run_id("fresh", "run")
    anyone.wait_until_judged(run, 1)
    tensor = anyone.get(f"/api/v1/runs/{run}/tensors")["items"][0]["id"]
    path = f"/api/v1/runs/{run}/tensors/{tensor}/statistics"
    step, tag = newest()
    anyone.post_part(broken_part(1, project="fresh", run="run"))
    anyone.wait_until_judged(run, 2)
    assert (step, newest()[0]) == (0, 10)
    assert ask(anyone, path, tag).status == 200


def test_a_run_that_takes_a_deleted_ones_place_has_other_tags(anyone: Caller) -> None:
    def first_tag() -> str:
        anyone.post_part(broken_part(0, project="reborn", run="run"))
        run = anyone.run_id("reborn", "run")
        anyone.wait_until_judged(run, 1)
        tensor = anyone.get(f"/api/v1/runs/{run}/tensors")["items"][0]["id"]
        tag = ask(anyone, f"/api/v1/runs/{run}/tensors/{tensor}/statistics?step=0").headers["ETag"]
        anyone.request("DELETE", f"/api/v1/runs/{run}")
        return str(tag)

    assert first_tag() != first_tag()
