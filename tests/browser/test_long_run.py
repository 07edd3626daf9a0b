"""Ten thousand snapshots, names like formulas, and what changes under a reader's eyes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, Watched, fits
from tests.browser.long_run import FORMULA, LOSS, LongRun, write_long_run

pytestmark = pytest.mark.timeout(400)

Start = Callable[..., Visit]
HIDE = """label => {
  for (const one of Bokeh.documents.flatMap(d => d.roots()).flatMap(r => [...r.references()])) {
    if (one.type !== "Legend") continue;
    for (const item of one.items.filter(i => i.label.value === label)) {
      for (const drawn of item.renderers) drawn.visible = false;
    }
  }
}"""
SHOWN = """label => Bokeh.documents.flatMap(d => d.roots()).flatMap(r => [...r.references()])
  .filter(one => one.type === "Legend").flatMap(one => one.items)
  .filter(item => item.label.value === label).map(item => item.renderers.some(r => r.visible))"""


@pytest.fixture(scope="module")
def long(watched: Watched) -> Iterator[LongRun]:
    found = write_long_run(watched.server)
    yield found
    watched.server.request("DELETE", f"/api/v1/runs/{found.id}")
    found.database.close()


def titles(page: Page) -> list[str]:
    """Of the figures drawn; a text that is no string is of a kind that Bokeh does not parse."""
    return list(
        page.evaluate(
            "() => Bokeh.documents.flatMap(d => d.roots()).flatMap(r => [...r.references()])"
            ".filter(one => one.type === 'Title').map(one => one.text.text ?? one.text)"
        )
    )


def test_ten_thousand_snapshots_are_drawn_and_no_name_is_a_formula(
    visit: Start, long: LongRun
) -> None:
    seen = visit()
    page = seen.go(f"/runs/{long.id}?color=linear")
    expect(page.locator("#overview canvas").first).to_be_visible()
    assert LOSS in titles(page)
    page.get_by_label("Scalar", exact=True).select_option("steps")
    seen.settled()
    expect(page.locator("#overview .state")).to_have_text("")
    assert "steps" in titles(page)


def test_a_step_of_ten_thousand_is_drawn_from_quantiles_and_hidden_lines_stay_hidden(
    visit: Start, long: LongRun
) -> None:
    seen = visit(phone=True)
    page = seen.go(f"/runs/{long.id}/tensors/{long.tensor}?step=50005")
    expect(page.locator("h1")).to_contain_text(FORMULA)
    for name in ("garden", "histogram"):
        expect(page.locator(f"#{name} canvas").first).to_be_visible()
    assert "Values at step 50,000, from quantiles" in titles(page)
    assert any(
        title.startswith("Garden: density from stored quantiles at ")
        and title.endswith(" of about 10,000 snapshots")
        for title in titles(page)
    )
    expect(page.locator("#left-out")).to_contain_text("Of about 10,000 snapshots")
    page.evaluate(HIDE, "extremes")
    page.evaluate("bifurk.drawAll()")
    seen.settled()
    assert page.evaluate(SHOWN, "extremes") == [False]
    assert page.evaluate(SHOWN, "median") == [True]
    assert fits(page)


def test_what_is_new_appears_and_choices_and_focus_stay(visit: Start, long: LongRun) -> None:
    seen = visit()
    page = seen.go(f"/runs/{long.id}?color=linear")
    expect(page.locator("#state")).to_have_text("running")
    page.get_by_label("Scalar", exact=True).select_option("steps")
    seen.settled()
    held = page.locator("#tensors summary").first
    held.focus()
    long.grow("late.role", "late scalar")
    expect(page.locator("#state")).to_have_text("finished")
    expect(page.locator("#choose-role option", has_text="late.role")).to_have_count(1)
    expect(page.locator("#choose-scalar option", has_text="late scalar")).to_have_count(1)
    expect(page.get_by_label("Scalar", exact=True)).to_have_value("steps")
    expect(page.locator("#tensors")).to_contain_text("late.role")
    expect(page.locator("#tensors details[data-key='mlp.up']")).to_have_attribute("open", "")
    assert page.evaluate("document.activeElement.parentElement.dataset.key") == "mlp.up"
    seen.settled()
