"""What the log says of baselines: once, and again only where it has changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from bifurk_service.notify.baselines import Baseline

log = logging.getLogger("bifurk.service")


class BaselineNotes:
    """Remembers what it has said."""

    def __init__(self) -> None:
        self._said: dict[object, object] = {}

    def absent(self, baseline: Baseline, there: Sequence[str]) -> None:
        """Which good runs are missing of those that the file names."""
        absent = tuple(name for name in baseline.good if name not in there)
        if not self._is_new((baseline.name, "absent"), absent):
            return
        if not absent:
            log.info("baseline %s: all of its good runs are there by name", baseline.name)
            return
        log.warning(
            "baseline %s: of its good runs %s are deleted, renamed or not yet there, %s are left%s",
            baseline.name, ", ".join(absent), len(there), _too_few(baseline, len(there)),
        )  # fmt: skip

    def strange(self, baseline: Baseline, run: str, strange: tuple[str, ...], *, left: int) -> None:
        """Which good runs have nothing in common with a run, and how many are left without."""
        if self._is_new((baseline.name, run, "strange"), strange) and strange:
            log.warning(
                "baseline %s: its good runs %s have no course in common with run %s (another model "
                "under that name, or values of none of the statistics), %s are left%s",
                baseline.name, ", ".join(strange), run, left, _too_few(baseline, left),
            )  # fmt: skip

    def unlike(self, baseline: Baseline, good_out: Mapping[str, int], *, enough: int) -> None:
        """Which good runs would themselves be told of: less of others is told for it."""
        unlike = tuple(name for name, count in good_out.items() if count >= enough)
        if self._is_new((baseline.name, tuple(good_out)), unlike) and unlike:
            log.warning(
                "baseline %s: its good runs %s leave the band of the others; until they are taken "
                "out, only what leaves it further is told",
                baseline.name, ", ".join(unlike),
            )  # fmt: skip

    def too_large(self, baseline: Baseline, run: str, *, points: int, most: int) -> None:
        """A run is not held, or not any more."""
        if self._is_new((baseline.name, run), "too large"):
            log.warning(
                "run %s is not held against baseline %s: it and the good runs are %s values, more "
                "than %s; name roles, a match or fewer statistics",
                run, baseline.name, f"{points:,}", f"{most:,}",
            )  # fmt: skip

    def _is_new(self, about: object, said: object) -> bool:
        known = self._said.get(about, ())
        self._said[about] = said
        return known != said


def _too_few(baseline: Baseline, left: int) -> str:
    few = left < baseline.least_good
    return f"; fewer than {baseline.least_good} say nothing" if few else ""
