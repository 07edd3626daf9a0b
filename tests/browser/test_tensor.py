"""The garden of one tensor: its controls, its steps, its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlparse

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import FAULT, Visit, Watched, asked, fits

pytestmark = pytest.mark.timeout(400)

Start = Callable[..., Visit]


def tensor(watched: Watched, name: str) -> str:
    items = watched.server.get(f"/api/v1/runs/{watched.run}/tensors?name={name}")["items"]
    return f"/runs/{watched.run}/tensors/{items[0]['id']}"


@pytest.fixture
def matrix(watched: Watched) -> str:
    """The page of a matrix in the block with the fault."""
    return tensor(watched, "blocks.2.mlp.up.weight")


def test_every_figure_of_a_matrix_is_drawn_and_every_control_redraws(
    visit: Start, matrix: str
) -> None:
    seen = visit()
    page = seen.go(matrix)
    for name in ("garden", "histogram", "spectrum"):
        expect(page.locator(f"#{name} canvas").first).to_be_visible()
    for label, value, name in (
        ("Values", "sigma", "unit"),
        ("Range", "all", "span"),
        ("Density", "linear", "density"),
        ("Steps", "log", "axis"),
        ("Marks", "warning", "alerts"),
    ):
        with page.expect_response(lambda answer: "/figures/garden" in answer.url) as drawn:
            page.get_by_label(label, exact=True).select_option(value)
        assert drawn.value.ok
        seen.settled()
        assert asked(page)[name] == value


def test_a_step_is_scrubbed_by_keys_and_its_figures_and_numbers_follow(
    visit: Start, matrix: str
) -> None:
    page = visit().go(matrix)
    page.get_by_label(f"Step {FAULT.steps}").focus()
    with page.expect_response(lambda answer: "/figures/histogram" in answer.url) as drawn:
        page.keyboard.press("ArrowLeft")
    assert "step=108" in drawn.value.url
    expect(page.get_by_role("heading", name="Statistics at step 108")).to_be_visible()
    assert asked(page)["step"] == "108"
    page.keyboard.press("Home")
    expect(page.get_by_role("heading", name="Statistics at step 0")).to_be_visible()
    page.keyboard.press("End")
    expect(page.get_by_role("heading", name=f"Statistics at step {FAULT.steps}")).to_be_visible()
    assert "step" not in asked(page)


def test_a_step_that_is_chosen_while_the_page_is_renewed_is_told_of(
    visit: Start, matrix: str
) -> None:
    page = visit().go(matrix)
    held: list[Route] = []

    def is_page(url: str) -> bool:
        return urlparse(url).path == matrix

    def hold_first(route: Route) -> None:
        if route.request.resource_type == "fetch" and not held:
            held.append(route)
        else:
            route.continue_()

    page.get_by_role("button", name="Live").click()
    page.route(is_page, hold_first)
    with page.expect_request(lambda one: is_page(one.url)):
        page.get_by_role("button", name="Paused").click()
    page.get_by_label(f"Step {FAULT.steps}").focus()
    page.keyboard.press("ArrowLeft")
    told = page.get_by_role("heading", name="Statistics at step 108")
    expect(told).to_be_visible()
    with page.expect_response(lambda one: is_page(one.url) and "step=108" in one.url):
        held[0].continue_()
    expect(told).to_be_visible()


def test_a_click_on_the_garden_chooses_its_step(visit: Start, matrix: str) -> None:
    page = visit().go(matrix)
    box = page.locator("#garden canvas").first.bounding_box()
    assert box is not None
    with page.expect_response(lambda answer: "/figures/histogram" in answer.url):
        page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 150)
    assert 20 < int(asked(page)["step"]) < 90


def test_neighbours_in_depth_keep_the_view(visit: Start, matrix: str) -> None:
    seen = visit()
    page = seen.go(f"{matrix}?unit=sigma&axis=log")
    page.locator("a[rel=next]").click()
    expect(page.locator("h1")).to_have_text("blocks.3.mlp.up.weight")
    assert (asked(page)["unit"], asked(page)["axis"]) == ("sigma", "log")
    seen.settled()


def test_a_vector_says_why_it_has_no_spectrum(visit: Start, watched: Watched) -> None:
    page = visit().go(tensor(watched, "blocks.2.norm1.weight"))
    expect(page.locator("#histogram canvas").first).to_be_visible()
    expect(page.locator("#spectrum-note")).to_be_visible()
    expect(page.locator("#spectrum")).to_be_hidden()


def test_the_fault_s_alert_is_among_those_that_name_it(
    visit: Start, matrix: str, watched: Watched
) -> None:
    page = visit().go(matrix)
    links = page.locator("#naming a[href*='/alerts/']")
    expect(links.first).to_be_visible()


@pytest.mark.parametrize("link", ["Data as CSV", "singular values"])
def test_data_come_as_tables(visit: Start, matrix: str, link: str) -> None:
    page = visit().go(matrix)
    with page.expect_download() as loaded:
        page.get_by_role("link", name=link).first.click()
    assert loaded.value.path().read_text(encoding="utf-8").count("\n") > 10


def test_a_phone_shows_it(visit: Start, matrix: str) -> None:
    page: Page = visit(phone=True, dark=True).go(matrix)
    assert fits(page)
