"""The page of sharded training promises no form that is not tried, and tells of all that are."""

from __future__ import annotations

import re
from pathlib import Path

from tests.distributed.forms import FORMS
from tests.distributed.training import AXES

PAGE = Path(__file__).parents[2] / "docs" / "sharded.md"


def test_every_row_names_a_form_that_is_trained_and_every_form_has_a_row() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## What is read")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    named = [re.findall(r"`(\w+)`", row.rstrip("|").rpartition("|")[2]) for row in rows]
    assert all(len(forms) == 1 for forms in named)
    assert sorted(forms[0] for forms in named) == sorted([*AXES, *FORMS[2], *FORMS[4]])
