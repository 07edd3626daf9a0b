"""The list of runs and the page of one run, as a person uses them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import FAULT, HOSTILE, Visit, Watched, asked, fits

pytestmark = pytest.mark.timeout(400)

Start = Callable[..., Visit]


def test_runs_are_listed_searched_and_followed(visit: Start, watched: Watched) -> None:
    page = visit().go("/")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.last).to_contain_text("finished")
    expect(rows.last.locator(".badge.warning")).to_be_visible()
    expect(rows.last.locator("svg.spark path")).to_have_count(1)
    page.get_by_label("Search").fill("fau")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_label("State").select_option("lost")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No run matches.")).to_be_visible()
    page.get_by_role("link", name="Show all").click()
    page.get_by_role("link", name="fault").click()
    expect(page.locator("h1")).to_contain_text("fault")


def test_a_hostile_name_is_text(visit: Start, watched: Watched) -> None:
    page = visit().go(f"/runs/{watched.run}")
    expect(page.locator("h1")).to_contain_text(HOSTILE)
    expect(page.locator("img[src=x]")).to_have_count(0)


def test_a_run_s_figure_is_drawn_and_every_control_redraws_it(
    visit: Start, watched: Watched
) -> None:
    seen = visit()
    page = seen.go(f"/runs/{watched.run}")
    expect(page.locator("#overview canvas").first).to_be_visible()
    for label, value, name in (
        ("Statistic", "update_ratio", "stat"),
        ("Tensors", "attention.qkv", "role"),
        ("Colour", "log", "color"),
        ("Steps", "log", "axis"),
        ("Scalar", "loss", "scalar"),
        ("Marks", "all", "alerts"),
    ):
        with page.expect_response(lambda answer: "/figures/overview" in answer.url) as drawn:
            page.get_by_label(label, exact=True).select_option(value)
        assert drawn.value.ok
        assert parse_qs(urlparse(drawn.value.url).query)[name] == [value]
        seen.settled()
        assert asked(page)[name] == value
    expect(page.locator("#overview canvas").first).to_be_visible()


def test_the_address_is_a_permanent_link(visit: Start, watched: Watched) -> None:
    seen = visit()
    page = seen.go(f"/runs/{watched.run}?stat=update_ratio&axis=log&from=10&to=100&color=linear")
    expect(page.get_by_label("Statistic", exact=True)).to_have_value("update_ratio")
    expect(page.get_by_label("Steps", exact=True)).to_have_value("log")
    shown = page.evaluate_handle("Bokeh.documents.at(-1).get_model_by_name('steps')")
    start, end = (10 ** shown.get_property(name).json_value() - 1 for name in ("start", "end"))
    assert (round(start), round(end)) == (10, 100)


def test_a_zoom_goes_into_the_address(visit: Start, watched: Watched) -> None:
    page = visit().go(f"/runs/{watched.run}")
    box = page.locator("#overview canvas").first.bounding_box()
    assert box is not None
    y = box["y"] + 150
    page.mouse.move(box["x"] + 0.4 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], y, steps=6)
    page.mouse.up()
    page.wait_for_url("**from=*")
    steps = asked(page)
    assert 0 < int(steps["from"]) < int(steps["to"]) < FAULT.steps


def test_the_data_come_as_a_table(visit: Start, watched: Watched) -> None:
    page = visit().go(f"/runs/{watched.run}?stat=std&role=norm")
    with page.expect_download() as loaded:
        page.get_by_role("link", name="Data as CSV").click()
    with loaded.value.path().open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["role"] for row in rows} == {"norm"}
    assert {int(row["step"]) for row in rows} >= {0, 4, FAULT.fault_step, FAULT.steps}
    assert all(float(row["std"]) >= 0 for row in rows)


def test_an_alert_of_the_list_leads_to_its_page(visit: Start, watched: Watched) -> None:
    page = visit().go(f"/runs/{watched.run}")
    link = page.locator(f"#alerts a[href$='/alerts/{watched.alert}']")
    expect(link).to_be_visible()
    link.click()
    page.wait_for_url(f"**/alerts/{watched.alert}")


def test_light_and_dark_are_chosen_and_kept(visit: Start, watched: Watched) -> None:
    seen = visit(dark=True)
    page = seen.go(f"/runs/{watched.run}")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    with page.expect_response(lambda answer: "theme=light" in answer.url):
        page.get_by_label("Switch between light and dark").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_a_run_without_a_snapshot_says_so(visit: Start, watched: Watched) -> None:
    page = visit().go(f"/runs/{watched.empty}")
    expect(page.get_by_text("Nothing to draw yet.")).to_be_visible()
    expect(page.get_by_text("Nothing was told of this run.")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/alerts", "/runs/{run}"])
def test_a_page_listens_from_the_moment_it_was_made(
    visit: Start, watched: Watched, path: str
) -> None:
    page = visit().page
    with page.expect_request(lambda one: "/api/v1/stream" in one.url) as listening:
        page.goto(watched.url + path.format(run=watched.run))
    made = page.locator("#live").get_attribute("data-after")
    assert int(made or 0) > 0
    assert parse_qs(urlparse(listening.value.url).query)["after"] == [made]


def test_a_page_that_comes_back_listens_again(visit: Start, watched: Watched) -> None:
    page = visit().go("/alerts")
    with page.expect_request(lambda one: "/api/v1/stream" in one.url):
        page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")


def test_live_can_be_paused_and_goes_on(visit: Start, watched: Watched) -> None:
    page = visit().go(f"/runs/{watched.run}")
    page.get_by_role("button", name="Live").click()
    paused = page.get_by_role("button", name="Paused")
    expect(paused).to_have_attribute("aria-pressed", "false")
    with page.expect_response(lambda answer: "/figures/overview" in answer.url):
        paused.click()
    expect(page.get_by_role("button", name="Live")).to_have_attribute("aria-pressed", "true")


@pytest.mark.parametrize("path", ["/", "/runs/{run}"])
def test_a_phone_shows_no_page_wider_than_itself(visit: Start, watched: Watched, path: str) -> None:
    page = visit(phone=True).go(path.format(run=watched.run))
    assert fits(page)


def test_controls_are_reached_by_keyboard(visit: Start, watched: Watched) -> None:
    page = visit().go(f"/runs/{watched.run}")
    reached = []
    for _ in range(24):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(document.activeElement.name || document.activeElement.id)"))
    assert {"theme", "stat", "role", "color", "axis", "scalar", "alerts", "live"} <= set(reached)


def test_what_is_not_there_is_a_page_too(visit: Start, watched: Watched) -> None:
    seen = visit()
    page = seen.go("/runs/999999")
    expect(page.locator("h1")).to_have_text("Not found")
    seen.complaints.clear()  # Chromium itself writes of a status of 404
    page.get_by_role("link", name="All runs").click()
    expect(page.locator("h1")).to_have_text("Runs")
