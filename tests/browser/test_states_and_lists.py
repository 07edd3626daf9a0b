"""Tags and lists by hand, every page by keyboard, and what is seen while or where nothing comes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import DEADLINE_MS, PROJECT, Visit, Watched, asked, fits

pytestmark = pytest.mark.timeout(400)

Start = Callable[..., Visit]
FIGURE = "**/figures/overview?*"
CONTROLS = """() => [...document.querySelectorAll("main :is(select, input, button), .bar *")]
  .filter(one => one.tabIndex >= 0 && one.checkVisibility() && !one.disabled)
  .map((one, place) => { one.dataset.place = place; return place; })"""
MOST_TABS = 400
POLL_MS = 20
LEAST_WIDTH = 110
"""Pixels of a heatmap, of the 390 that a phone has."""
OVERTAKEN = """async () => {
  const slot = document.getElementById("overview"), real = fetch;
  const [begins, begin] = later(), [comes, come] = later();
  window.fetch = async (...asked) => {
    window.fetch = real;
    const answer = await real(...asked);
    const json = () => { begin(); return comes.then(() => answer.json()); };
    return { ok: answer.ok, status: answer.status, json };
  };
  const first = bifurk.draw(slot);
  await begins;
  document.getElementById("choose-stat").value = "l2_norm";
  await bifurk.draw(slot);
  come();
  await first;
  function later() { let done; return [new Promise(resolve => { done = resolve; }), done]; }
}"""
"""The answer to a first request is read only when that to a second one is drawn."""
OVERLAPPED = """async () => {
  const slot = document.getElementById("overview"), real = Bokeh.embed.embed_item;
  Bokeh.embed.embed_item = async (...item) => {
    Bokeh.embed.embed_item = real;
    await real(...item);
    await bifurk.draw(slot);
  };
  await bifurk.draw(slot);
}"""
"""A figure is asked for again, and drawn, while it is being put into the page."""
TITLES = """() => Bokeh.documents.flatMap(d => d.roots()).flatMap(r => [...r.references()])
  .filter(one => one.type === "Title").map(one => one.text.text ?? one.text)"""
NAMED = "main select, main input:not([type=hidden]), button"
NAMELESS = """all => all.filter(
  one => !one.labels?.length && !one.ariaLabel && !one.textContent.trim()
).map(one => one.outerHTML)"""
PATHS = ("/", "/alerts", "/runs/{run}", "/runs/{run}/branches", "/alerts/{alert}", "/docs",
         "/compare?a={run}", "/runs/{run}/tensors/{tensor}")  # fmt: skip


def test_a_tag_is_put_on_by_hand_found_by_and_taken_off(visit: Start, watched: Watched) -> None:
    page = visit().go(f"/runs/{watched.empty}?stat=mean")
    page.get_by_label("New tag").fill("größe")
    page.keyboard.press("Enter")
    expect(page.locator(".tag", has_text="größe")).to_be_visible()
    assert asked(page)["stat"] == "mean"
    page.get_by_role("link", name="größe").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("Search").fill("no such")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No run matches.")).to_be_visible()
    assert asked(page)["tag"] == "größe"
    page.get_by_label("Do not filter by tag größe").click()
    page.wait_for_url("**search=no*")
    page.goto(f"{watched.url}/runs/{watched.empty}")
    page.get_by_label("Remove tag größe").click()
    expect(page.locator(".tag")).to_have_count(0)


def test_a_badge_leads_to_its_alerts_and_every_filter_filters(
    visit: Start, watched: Watched
) -> None:
    page = visit().go(f"/?search={PROJECT}")
    page.locator("a .badge.warning").first.click()
    page.wait_for_url("**/alerts?*severity=warning*")
    expect(page.locator("tbody .badge.info")).to_have_count(0)
    expect(page.locator("tbody .badge.warning").first).to_be_visible()
    for label, value, name in (
        ("Severity", "info", "severity"),
        ("State", "firing", "state"),
        ("Parts of others", "hidden", "parts"),
        ("Silenced", "hidden", "silenced"),
        ("Kind", "frozen", "kind"),
    ):
        page.get_by_label(label, exact=True).select_option(value)
        page.get_by_role("button", name="Show").click()
        page.wait_for_url(f"**{name}={value}*")
    page.get_by_label("Alerts of all runs").click()
    page.get_by_label("Project", exact=True).select_option(PROJECT)
    page.get_by_label("Search").fill("100 % no alert says this")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="Show all").click()
    page.locator(f"a[href$='/alerts/{watched.alert}']").click()
    page.wait_for_url(f"**/alerts/{watched.alert}")
    expect(page.locator("h1 .badge")).to_be_visible()


def test_every_control_is_reached_by_keyboard_and_has_a_name(
    visit: Start, watched: Watched
) -> None:
    page = visit().page
    for path in PATHS:
        page.goto(watched.url + place(path, watched))
        assert missed_by_keyboard(page) == [], path
        assert page.locator(NAMED).evaluate_all(NAMELESS) == [], path


def missed_by_keyboard(page: Page) -> list[str]:
    """The visible controls that no Tab leads to."""
    wanted = set(page.evaluate(CONTROLS))
    assert wanted
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        at = page.evaluate("document.activeElement.dataset.place")
        wanted.discard(int(at) if at else -1)
        if not wanted:
            break
    return [page.locator(f"[data-place='{one}']").evaluate("e => e.outerHTML") for one in wanted]


def place(path: str, watched: Watched) -> str:
    tensors = watched.server.get(f"/api/v1/runs/{watched.run}/tensors?name=*.2.mlp.up.weight")
    tensor = tensors["items"][0]["id"]
    return path.format(run=watched.run, alert=watched.alert, tensor=tensor)


def test_a_phone_shows_the_lists(visit: Start, watched: Watched) -> None:
    seen = visit(phone=True, dark=True)
    for path in ("/alerts", "/docs", f"/runs/{watched.empty}"):
        assert fits(seen.go(path)), path


def test_a_phone_leaves_a_picture_room_beside_long_names(visit: Start, watched: Watched) -> None:
    page = visit(phone=True).go(f"/runs/{watched.run}")
    [heatmap, *_] = page.evaluate(
        "() => Bokeh.documents.flatMap(d => d.roots()).flatMap(r => r.children)"
        ".map(one => [one.inner_width, [...one.left[0].major_label_overrides.values()]])"
    )
    width, names = heatmap
    assert width > LEAST_WIDTH
    assert "b.2.a.qkv.weight" in names


def test_the_other_controls_redraw_too(visit: Start, watched: Watched) -> None:
    seen = visit()
    page = seen.go(f"/runs/{watched.run}/branches")
    redrawn(
        seen, "/figures/trajectories", lambda: page.locator("#choose-alert").select_option("none")
    )
    field = page.get_by_label("Profile at step")
    field.fill("50")
    redrawn(seen, "/figures/depth", lambda: field.press("Enter"))
    assert (asked(page)["alert"], asked(page)["at"]) == ("none", "50")
    page = seen.go(f"/alerts/{watched.alert}")
    chosen = page.get_by_label("Statistic", exact=True)
    redrawn(seen, "/figures/evidence", lambda: chosen.select_option("l2_norm"))
    page.goto(f"{watched.url}/docs")
    page.locator("#get_series > summary").click()
    expect(page.locator("#get_series table")).to_be_visible()


def test_live_and_the_theme_are_pressed_on_every_page(visit: Start, watched: Watched) -> None:
    page = visit().page
    for path in ("/", "/alerts", "/runs/{run}/branches", "/runs/{run}/tensors/{tensor}"):
        page.goto(watched.url + place(path, watched))
        page.get_by_role("button", name="Live").click()
        page.get_by_role("button", name="Paused").click()
        expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "true")
        theme = page.locator("html").get_attribute("data-theme")
        page.get_by_label("Switch between light and dark").click()
        expect(page.locator("html")).not_to_have_attribute("data-theme", theme or "")
    expect(page.locator("[data-figure][aria-busy=true]")).to_have_count(0)


def test_a_comparison_s_tensors_and_good_runs_are_chosen(visit: Start, watched: Watched) -> None:
    seen = visit()
    page = seen.go(f"/compare?a={watched.run}&stat=l2_norm")
    page.get_by_label("Role", exact=True).select_option("mlp.up")
    page.wait_for_url("**role=mlp.up*")
    seen.settled()
    chosen = page.get_by_label("Tensor in the figures")
    redrawn(seen, "/figures/densities", lambda: chosen.select_option("blocks.3.mlp.up.weight"))
    page.get_by_label("Name (* and ?)").fill("*.2.*")
    page.keyboard.press("Enter")
    page.wait_for_url("**match=*")
    page.get_by_text("Choose from the list").click()
    page.locator(f"[data-good='{watched.empty}']").check()
    page.get_by_role("button", name="Hold against these").click()
    page.wait_for_url(f"**good={watched.empty}*")
    seen.settled()


def redrawn(seen: Visit, figure: str, act: Callable[[], object]) -> None:
    with seen.page.expect_response(lambda answer: figure in answer.url) as drawn:
        act()
    assert drawn.value.ok
    seen.settled()


def test_a_figure_says_that_it_is_drawn_and_why_it_cannot_be(
    visit: Start, watched: Watched
) -> None:
    seen = visit()
    page = seen.page
    held: list[Route] = []
    page.route(FIGURE, lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks it
    page.goto(f"{watched.url}/runs/{watched.run}")
    state = page.locator("#overview .state")
    expect(state).to_have_text("Drawing…")
    expect(page.locator("#overview")).to_have_attribute("aria-busy", "true")
    problem = {"title": "Storage does not answer", "detail": "<b>disk</b> full", "status": 503}
    next_of(held, page).fulfill(
        status=503, content_type="application/problem+json", body=json.dumps(problem)
    )
    expect(state).to_have_text("Storage does not answer: <b>disk</b> full")
    again(page, "log")
    next_of(held, page).abort()
    expect(state).to_contain_text("The server did not answer")
    page.unroute(FIGURE)
    again(page, "linear")
    expect(page.locator("#overview canvas").first).to_be_visible()
    expect(state).to_have_text("")
    seen.settled()
    seen.complaints.clear()  # Chromium itself writes of both failures


def test_what_is_drawn_later_is_not_drawn_over_by_what_was_asked_for_before(
    visit: Start, watched: Watched
) -> None:
    page = visit().go(f"/runs/{watched.run}")
    page.evaluate(OVERTAKEN)
    assert page.evaluate(TITLES)[0].startswith("l2_norm")
    page.evaluate(OVERLAPPED)
    assert page.evaluate("Bokeh.documents.length") == 1


def next_of(held: list[Route], page: Page) -> Route:
    """The request that is held back; Playwright hands it over when it is its turn."""
    for _ in range(DEADLINE_MS // POLL_MS):
        if held:
            break
        page.wait_for_timeout(POLL_MS)
    return held.pop()


def again(page: Page, axis: str) -> None:
    with page.expect_request(FIGURE):
        page.get_by_label("Steps", exact=True).select_option(axis)
