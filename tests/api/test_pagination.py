"""Lists in pages: whatever comes in between, each item that was there is seen exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.api.filling import SNAPSHOTS, Caller, Filled


def pages(
    caller: Caller, path: str, limit: int, *, between: Callable[[], None] = lambda: None
) -> Iterator[dict[str, Any]]:
    """All items of a list, with something happening after every page."""
    glue = "&" if "?" in path else "?"
    cursor, seen = "", {""}
    while True:
        page = caller.get(f"{path}{glue}limit={limit}{cursor}")
        assert len(page["items"]) <= limit
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        cursor = f"&cursor={page['next_cursor']}"
        assert cursor not in seen, "the list goes in circles"
        seen.add(cursor)
        between()


@pytest.mark.parametrize("limit", [1, 2, 3, SNAPSHOTS - 1, SNAPSHOTS, SNAPSHOTS + 1, 1000])
def test_pages_of_any_size_make_the_same_list(anyone: Caller, filled: Filled, limit: int) -> None:
    steps = [s["step"] for s in pages(anyone, f"/api/v1/runs/{filled.run}/snapshots", limit)]
    assert steps == [sequence * 10 for sequence in range(SNAPSHOTS)]


def test_runs_that_begin_meanwhile_come_last_and_none_comes_twice(anyone: Caller) -> None:
    for name in ("a", "b", "c", "d", "e"):
        anyone.report("paging", name)
    born = iter(["f", "g", "h"])

    def begin() -> None:
        name = next(born, None)
        if name is not None:
            anyone.report("paging", name)

    found = [run["run"] for run in pages(anyone, "/api/v1/runs?project=paging", 2, between=begin)]
    assert found == list("abcdefgh")


def test_runs_that_go_meanwhile_take_no_other_along(anyone: Caller) -> None:
    for name in ("a", "b", "c", "d", "e"):
        anyone.report("leaving", name)
    doomed = anyone.run_id("leaving", "b")

    def end() -> None:
        anyone.request("DELETE", f"/api/v1/runs/{doomed}")

    found = [run["run"] for run in pages(anyone, "/api/v1/runs?project=leaving", 2, between=end)]
    assert found == list("abcde")


def test_alerts_come_in_pages(anyone: Caller, filled: Filled) -> None:
    everything = anyone.get("/api/v1/alerts?limit=1000")["items"]
    assert len(everything) >= 2
    assert list(pages(anyone, "/api/v1/alerts", 1)) == everything


def test_projects_come_in_pages(anyone: Caller, filled: Filled) -> None:
    everything = anyone.get("/api/v1/projects")["items"]
    assert {"tests", "other"} <= {project["project"] for project in everything}
    assert list(pages(anyone, "/api/v1/projects", 1)) == everything


def test_the_last_page_may_be_full(anyone: Caller) -> None:
    for name in ("a", "b"):
        anyone.report("even", name)
    assert [run["run"] for run in pages(anyone, "/api/v1/runs?project=even", 2)] == ["a", "b"]


def test_nothing_is_one_empty_page(anyone: Caller) -> None:
    assert anyone.get("/api/v1/runs?project=nothing") == {"items": [], "next_cursor": None}
