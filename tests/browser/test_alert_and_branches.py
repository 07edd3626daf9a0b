"""The page of an alert, and the branches of a role, as a person uses them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit, Watched, asked, fits

pytestmark = pytest.mark.timeout(400)

Start = Callable[..., Visit]


def test_an_alert_s_evidence_is_drawn_and_its_controls_redraw_it(
    visit: Start, watched: Watched
) -> None:
    seen = visit()
    page = seen.go(f"/alerts/{watched.alert}")
    for name in ("evidence", "onsets"):
        expect(page.locator(f"#{name} canvas").first).to_be_visible()
    for label, value, name in (
        ("Values", "linear", "values"),
        ("Unaffected tensors", "hidden", "others"),
        ("Shown", "run", "span"),
        ("Steps", "log", "axis"),
    ):
        with page.expect_response(lambda answer: "/figures/evidence" in answer.url) as drawn:
            page.get_by_label(label, exact=True).select_option(value)
        assert drawn.value.ok
        seen.settled()
        assert asked(page)[name] == value
    expect(page.get_by_role("heading", name="What it may mean")).to_be_visible()


def test_an_alert_is_acknowledged_and_resolved_and_its_history_tells(
    visit: Start, watched: Watched
) -> None:
    page = visit().go(f"/alerts/{watched.doomed}?axis=log")
    page.get_by_label("Note").fill("looked at <b>twice</b>")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator("h1")).to_contain_text("acknowledged")
    expect(page.get_by_text("looked at <b>twice</b>")).to_be_visible()
    assert asked(page)["axis"] == "log"
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator("h1")).to_contain_text("resolved")
    expect(page.get_by_role("button", name="Resolve")).to_have_count(0)


def test_an_alert_leads_to_its_tensors_and_to_its_evidence(visit: Start, watched: Watched) -> None:
    page = visit().go(f"/alerts/{watched.alert}")
    with page.expect_download() as loaded:
        page.get_by_role("link", name="Evidence bundle").click()
    assert loaded.value.path().stat().st_size > 1_000
    page.locator("table a[href*='/tensors/']").first.click()
    expect(page.get_by_role("heading", name="Alerts that name it")).to_be_visible()


def test_branches_are_drawn_and_their_controls_redraw_them(visit: Start, watched: Watched) -> None:
    seen = visit()
    page = seen.go(f"/runs/{watched.run}/branches")
    for name in ("trajectories", "depth"):
        expect(page.locator(f"#{name} canvas").first).to_be_visible()
    for label, value, name in (
        ("Layers of", "mlp.up", "role"),
        ("Statistic", "l2_norm", "stat"),
        ("Values", "relative", "values"),
        ("Steps", "log", "axis"),
    ):
        with page.expect_response(lambda answer: "/figures/trajectories" in answer.url) as drawn:
            page.get_by_label(label).and_(page.locator("select")).select_option(value)
        assert drawn.value.ok
        seen.settled()
        assert asked(page)[name] == value


def test_a_run_without_layers_has_no_branches(visit: Start, watched: Watched) -> None:
    page = visit().go(f"/runs/{watched.empty}/branches")
    expect(page.get_by_text("No role of this run has two layers")).to_be_visible()


@pytest.mark.parametrize("path", ["/alerts/{alert}", "/runs/{run}/branches"])
def test_a_phone_shows_them(visit: Start, watched: Watched, path: str) -> None:
    page = visit(phone=True).go(path.format(run=watched.run, alert=watched.alert))
    assert fits(page)
