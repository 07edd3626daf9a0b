"""Where snapshots stand that are aligned by something else than steps."""

from __future__ import annotations

import numpy as np

from bifurk_service.pages.aligning import placed_at


def test_a_step_stands_where_the_last_known_before_it_does() -> None:
    known, places = np.array([10, 20]), np.array([5.0, 3.0])
    found = placed_at(np.array([0, 10, 15, 20, 99]), known, places)
    assert np.isnan(found[0])
    assert found[1:].tolist() == [5.0, 5.0, 3.0, 3.0]


def test_where_nothing_is_known_no_step_has_a_place() -> None:
    assert np.isnan(placed_at(np.array([0, 10]), np.zeros(0, dtype=np.int64), np.zeros(0))).all()
