"""Tags of runs over REST: put on, found by, taken off; what is no tag is refused in words."""

from __future__ import annotations

import unicodedata
from typing import Any
from urllib.parse import quote

import pytest

from bifurk.wire import AttemptReport, encode_attempt
from bifurk.wire.tags import MAX_TAGS
from bifurk_service.errors import InvalidError
from bifurk_service.store.tags import checked_tag
from tests.api.filling import Caller


def run_of(anyone: Caller, name: str, *, project: str = "tagged") -> int:
    anyone.report(project, name)
    return anyone.run_id(project, name)


def put(anyone: Caller, run: int, tag: str) -> tuple[int, Any]:
    return anyone.request("PUT", f"/api/v1/runs/{run}/tags/{quote(tag, safe='')}")


def listed(anyone: Caller, project: str, *tags: str) -> list[str]:
    query = "&".join(f"tag={quote(tag)}" for tag in tags)
    return [run["run"] for run in anyone.get(f"/api/v1/runs?project={project}&{query}")["items"]]


def test_runs_are_found_by_all_of_some_tags(anyone: Caller) -> None:
    one, other = (run_of(anyone, run, project="found-by-tags") for run in ("one", "other"))
    for run, tag in ((one, "sweep:lr=3e-4"), (one, "größe"), (other, "größe")):
        status, answer = put(anyone, run, tag)
        assert (status, tag in answer["tags"]) == (200, True)
    assert listed(anyone, "found-by-tags", "größe") == ["one", "other"]
    assert listed(anyone, "found-by-tags", "größe", "sweep:lr=3e-4") == ["one"]
    assert listed(anyone, "found-by-tags", "GRÖSSE") == []
    assert put(anyone, one, "größe")[1]["tags"] == ["größe", "sweep:lr=3e-4"]
    path = f"/api/v1/runs/{one}/tags/{quote('größe')}"
    for _ in range(2):
        status, answer = anyone.request("DELETE", path)
        assert (status, answer["tags"]) == (200, ["sweep:lr=3e-4"])
    assert listed(anyone, "found-by-tags", "größe") == ["other"]


def test_a_deleted_run_takes_its_tags_along(anyone: Caller) -> None:
    run = run_of(anyone, "doomed")
    put(anyone, run, "doomed-tag")
    anyone.request("DELETE", f"/api/v1/runs/{run}")
    assert listed(anyone, "tagged", "doomed-tag") == []


@pytest.mark.parametrize(
    "tag", ["two words", "-first", "a\u202eb", "<b>", "x" * 65, "😀", "a%00", "$$x$$"]
)
def test_what_is_no_tag_is_refused(anyone: Caller, tag: str) -> None:
    run = run_of(anyone, "refusing")
    status, problem = put(anyone, run, tag)
    assert (status, problem["where"]) == (422, "tag")
    assert "expected a tag of 1 to 64" in problem["detail"]
    assert anyone.get(f"/api/v1/runs/{run}")["tags"] == []


def test_a_run_has_so_many_tags_and_no_more(anyone: Caller) -> None:
    run = run_of(anyone, "many")
    for number in range(MAX_TAGS):
        assert put(anyone, run, f"t{number}")[0] == 200
    status, problem = put(anyone, run, "one-more")
    assert status == 422
    assert f"{MAX_TAGS} tags" in problem["detail"]
    assert put(anyone, run, "t0")[0] == 200


def test_one_word_is_one_tag_however_it_is_typed() -> None:
    composed = unicodedata.normalize("NFC", "größe")
    assert checked_tag(f" {unicodedata.normalize('NFD', composed)} ") == composed
    assert checked_tag("हिन्दी") == unicodedata.normalize("NFC", "हिन्दी")
    for empty in ("", "  "):
        with pytest.raises(InvalidError):
            checked_tag(empty)


def test_an_attempt_brings_its_tags_once(anyone: Caller) -> None:
    def report(attempt: str, *tags: str) -> list[str]:
        path = f"/api/v1/projects/tagged/runs/brought/attempts/{attempt}"
        body = encode_attempt(AttemptReport(state="running", tags=tags))
        assert anyone.request("PUT", path, body=body)[0] == 200
        found = anyone.get(f"/api/v1/runs/{anyone.run_id('tagged', 'brought')}")
        return list(found["tags"])

    assert report("first") == []
    assert report("first", "größe", "lr=3e-4") == ["größe", "lr=3e-4"]
    run = anyone.run_id("tagged", "brought")
    anyone.request("DELETE", f"/api/v1/runs/{run}/tags/lr=3e-4")
    assert report("first", "größe", "lr=3e-4") == ["größe"]
    assert report("second", "lr=3e-4") == ["größe", "lr=3e-4"]


def test_tags_beyond_what_a_run_may_have_stop_no_attempt(anyone: Caller) -> None:
    run = run_of(anyone, "crowded")
    for number in range(MAX_TAGS - 1):
        put(anyone, run, f"t{number}")
    path = "/api/v1/projects/tagged/runs/crowded/attempts/first"
    body = encode_attempt(AttemptReport(state="finished", tags=("z1", "z2")))
    assert anyone.request("PUT", path, body=body)[0] == 200
    found = anyone.get(f"/api/v1/runs/{run}")
    assert (found["state"], len(found["tags"])) == ("finished", MAX_TAGS)
    assert "z1" in found["tags"]
