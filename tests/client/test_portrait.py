"""What a monitor looks like in a notebook or at a prompt."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import bifurk
from bifurk.identity import Rank
from bifurk.monitor import InertMonitor
from bifurk.portrait import MOST_ALERTS, Portrait, as_html
from bifurk.testing import InMemoryTransport
from tests.client.alerting import answer, found
from tests.client.training import new_training


class Tags(HTMLParser):
    """Elements, and where they lead."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.links: list[str | None] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data


@pytest.fixture
def portrait() -> Callable[..., Portrait]:
    def portrait(**changed: Any) -> Portrait:
        fields: dict[str, Any] = {
            "project": "default",
            "run": "gpt-small",
            "attempt": "a1",
            "state": "watching",
            "place": "http://h",
            "page": "http://h/runs/1",
            "step": 12_345,
            "snapshots": 124,
            "dropped": {"busy": 2},
            "overhead": 0.00321,
            "alerts": (),
            **changed,
        }
        return Portrait(**fields)

    return portrait


def alert(**changed: Any) -> bifurk.Alert:
    told = {**found(), **changed}
    told["tensors"] = tuple(told["tensors"])
    path = told.pop("path")
    return bifurk.Alert(**told, url=f"http://h{path}")


def test_the_view_says_what_matters_and_leads_to_the_server_alone(portrait: Any) -> None:
    tags = Tags(as_html(portrait(alerts=(alert(),))))
    assert tags.open == []
    assert set(tags.names) <= {"div", "style", "b", "a", "table", "tbody", "tr", "th", "td"}
    assert tags.links == ["http://h/runs/1", "http://h/alerts/7"]
    for fact in ("12,345", "124", "busy 2", "0.32%", "warning 1", "The rms of head.weight rose."):
        assert fact in tags.text
    assert "prefers-color-scheme: dark" in as_html(portrait())


def test_no_text_becomes_markup(portrait: Any) -> None:
    evil = '"><img src=x onerror=alert(1)>'
    html = as_html(
        portrait(
            state=evil,
            place=evil,
            page=f"http://h/{evil}",
            dropped={evil: 1},
            alerts=(alert(sentence=evil),),
        )
    )
    tags = Tags(html)
    assert "img" not in tags.names
    assert evil in tags.text
    assert "<img" not in html


def test_the_gravest_alerts_come_first_and_the_rest_are_counted(portrait: Any) -> None:
    infos = [alert(fingerprint=str(n), severity="info", sentence=f"Info {n}.") for n in range(9)]
    over = alert(fingerprint="o", severity="critical", state="resolved", sentence="Over.")
    critical = alert(fingerprint="c", severity="critical", sentence="Critical.")
    text = Tags(as_html(portrait(alerts=(critical, over, *infos)))).text
    shown = text[text.index("Critical.") :]
    assert [f"Info {n}." in shown for n in (8, 7, 6, 5, 4)] == [True, True, True, True, False]
    assert "Over." not in text
    assert f"and {11 - MOST_ALERTS} more" in text
    assert "critical 1, info 9" in text


def test_the_page_of_the_run_is_linked_once_the_server_has_told_it() -> None:
    model, optimizer = new_training()
    transport = InMemoryTransport([answer(page="/runs/5")])
    with bifurk.watch(model, optimizer, url="http://h/x", run="r", transport=transport) as monitor:
        assert monitor.flush()
        assert 'href="http://h/x/runs/5"' in monitor._repr_html_()  # type: ignore[attr-defined]


def test_a_monitor_that_does_nothing_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = new_training()
    disabled = bifurk.watch(model, optimizer, mode="disabled")
    monkeypatch.setattr("bifurk.watching.current_rank", lambda: Rank(rank=1, ranks=4))
    ranked = bifurk.watch(model, optimizer, run="r", transport=InMemoryTransport())
    for monitor, why in (
        (disabled, "mode is 'disabled'"),
        (ranked, "this is rank 1 of 4, and rank 0 posts"),
        (InertMonitor(), "nothing is watched"),
    ):
        assert why in repr(monitor)
        assert why in Tags(monitor._repr_html_()).text  # type: ignore[attr-defined]


def test_where_no_server_is_the_folder_is_shown(tmp_path: Path) -> None:
    model, optimizer = new_training()
    with bifurk.watch(model, optimizer, run="r", offline_dir=tmp_path) as monitor:
        assert str(tmp_path) in monitor._repr_html_()  # type: ignore[attr-defined]
        assert "waiting for the first step" in repr(monitor)
