"""What a server says of alerts is believed as far as it can be understood, and no further."""

from __future__ import annotations

from typing import Any

import pytest

from bifurk.alerts import MOST_ALERTS, MOST_KNOWN, MOST_TENSORS, AlertBook
from tests.client.alerting import found


@pytest.mark.parametrize(
    "said",
    [
        {"alerts": 7},
        {"alerts": {"0": found()}},
        {"alerts": [7, None, [], "alert"]},
        *(
            {"alerts": [found(**wrong)]}
            for wrong in (
                {"severity": "apocalyptic"},
                {"severity": ["warning"]},
                {"state": None},
                {"kind": "<script>"},
                {"kind": 7},
                {"fingerprint": ""},
                {"sentence": None},
                {"id": True},
                {"id": -1},
                {"detected_step": 1 << 63},
                {"onset_first_step": 1.5},
                {"tensors": 7},
                {"tensors": [7]},
            )
        ),
    ],
)
def test_an_alert_that_cannot_be_understood_is_left_out(said: dict[str, Any]) -> None:
    book = AlertBook("http://h")
    assert book.read(said) == []
    assert [alert.id for alert in book.read({"alerts": [found()]})] == [7]


def test_a_server_can_fill_neither_memory_nor_lines() -> None:
    book = AlertBook("http://h")
    many = [found(str(n)) for n in range(MOST_ALERTS + 10)]
    assert len(book.read({"alerts": many})) == MOST_ALERTS
    for round_ in range(10):
        book.read({"alerts": [found(f"{round_}-{n}") for n in range(MOST_ALERTS)]})
    assert len(book.known) == MOST_KNOWN
    loud = found("loud", sentence="a\nb\x1b[31m" + "x" * 9_000, tensors=["t" * 900] * 99)
    [alert] = book.read({"alerts": [loud]})
    assert alert.sentence.startswith("a b [31m")
    assert len(alert.sentence) == 4_096
    assert [len(name) for name in alert.tensors] == [512] * MOST_TENSORS


@pytest.mark.parametrize("path", ["javascript:alert(1)", "//evil.test/x", "/alerts/7?x=<b>", 7, ""])
def test_no_alert_leads_elsewhere_than_to_the_server(path: Any) -> None:
    book = AlertBook("http://h")
    [alert] = book.read({"alerts": [found(path=path)], "page": path})
    assert (alert.url, book.page) == (None, None)
