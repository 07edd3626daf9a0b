"""A run of series computed elsewhere: what it brought can be chosen, and is drawn."""

from __future__ import annotations

import csv
import html
import io
import json

from tests.api.test_imports import post
from tests.pages.serving import Browser, Served

OWN = "fisher $$<b>$$"


def test_what_a_run_brought_is_chosen_from_and_drawn(served: Served, admin: Browser) -> None:
    body = json.dumps({"project": "imports", "run": "pages"}).encode()
    headers = {"content-type": "application/json"}
    _, made = served.admin.request("POST", "/api/v1/runs", body=body, headers=headers)
    run = made["id"]
    points = [
        (step, f"blocks.{layer}.w", OWN, 0.5 * step + layer)
        for step in range(6)
        for layer in range(2)
    ]
    status, answer = post(served.admin, run, points)
    assert status < 300, answer
    text = admin.get(f"/runs/{run}").text
    assert f'<option value="{html.escape(OWN)}">' in text
    stat = "stat=fisher+%24%24%3Cb%3E%24%24&color=linear"
    drawn = json.dumps(admin.json(f"/runs/{run}/figures/overview?{stat}"))
    assert "blocks.1.w" in drawn
    assert "PlainText" in drawn
    rows = list(
        csv.DictReader(io.StringIO(admin.get(f"/runs/{run}/figures/overview.csv?{stat}").text))
    )
    assert [(row["tensor"], row["step"], float(row[OWN])) for row in rows][-1] == (
        "blocks.1.w",
        "5",
        3.5,
    )
    unknown = admin.get(f"/runs/{run}/figures/overview?stat=no_such")
    assert (unknown.status, "no statistic 'no_such'" in unknown.text) == (422, True)
