"""Two sides beside one another, and a run as one file that is opened without any server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from bifurk_service.cli import app
from tests.browser.conftest import HOSTILE, Visit, Watched, asked, fits

pytestmark = pytest.mark.timeout(400)

Start = Callable[..., Visit]


def test_a_run_s_end_is_compared_with_its_beginning_and_every_control_redraws(
    visit: Start, watched: Watched
) -> None:
    seen = visit()
    page = seen.go(f"/compare?a={watched.run}")
    expect(page.locator("#differences[aria-busy=false] table").first).to_be_visible()
    for name in ("densities", "profiles", "courses"):
        expect(page.locator(f"#{name} canvas").first).to_be_visible()
    for label, value, name, figure in (
        ("Statistic", "l2_norm", "stat", "courses"),
        ("Aligned by", "loss", "align", "courses"),
        ("That axis", "log", "axis", "courses"),
        ("Values", "linear", "values", "courses"),
        ("Density over", "sigma", "unit", "densities"),
        ("Density shown", "all", "span", "densities"),
        ("Densities", "log", "density", "densities"),
    ):
        with page.expect_response(lambda answer, f=figure: f"/figures/{f}" in answer.url) as drawn:
            page.get_by_label(label, exact=True).select_option(value)
        assert drawn.value.ok
        seen.settled()
        assert asked(page)[name] == value


def test_another_step_and_another_run_are_other_pages(visit: Start, watched: Watched) -> None:
    seen = visit()
    page = seen.go(f"/compare?a={watched.run}&stat=l2_norm")
    page.get_by_label("at step").first.fill("51")
    page.keyboard.press("Enter")
    page.wait_for_url("**a_step=51*")
    expect(page.get_by_text("nearest stored to 51")).to_be_visible()
    assert asked(page)["stat"] == "l2_norm"
    page.get_by_label("with", exact=True).select_option(str(watched.empty))
    page.wait_for_url(f"**b={watched.empty}*")
    expect(page.get_by_role("alert")).to_be_visible()


def test_nothing_chosen_asks_for_a_run(visit: Start, watched: Watched) -> None:
    page = visit().go("/compare")
    expect(page.get_by_text("Choose a run.")).to_be_visible()
    page.get_by_label("This run").select_option(str(watched.run))
    page.wait_for_url(f"**a={watched.run}*")


def test_a_phone_shows_a_comparison(visit: Start, watched: Watched) -> None:
    page = visit(phone=True, dark=True).go(f"/compare?a={watched.run}")
    assert fits(page)


def test_a_report_opens_from_a_file_without_any_server(
    visit: Start, watched: Watched, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    with pytest.raises(SystemExit) as ended:
        app(["report", str(watched.run), "-o", str(file), "--url", watched.url])
    assert ended.value.code in (0, None)
    seen = visit(url=f"file://{tmp_path}/")
    seen.page.context.set_offline(offline=True)
    page = seen.go("report.html")
    expect(page.locator("h1")).to_contain_text(HOSTILE)
    expect(page.locator("canvas").first).to_be_visible()
    page.locator("#theme").click()
    expect(page.locator("canvas").first).to_be_visible()
    assert len(seen.requests) == 1
