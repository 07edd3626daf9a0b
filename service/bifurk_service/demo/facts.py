"""What the five runs gave, as values that the checks and the story read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bifurk_service.demo.api import Json
from bifurk_service.demo.runs import DemoRun

GENERALISED: Final = 0.5
"""Test accuracy above which a run counts as generalising; chance is 1 in 59."""
_GRAVE: Final = frozenset({"warning", "critical"})


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecord:
    """What a training told of itself.

    Attributes:
        losses: of steps 1, 2, ...; nats. accuracy: (step, test accuracy), ascending.
    """

    losses: tuple[float, ...]
    accuracy: tuple[tuple[int, float], ...] = ()

    @property
    def generalised_step(self) -> int | None:
        """The first evaluated step with a test accuracy above one half, or None."""
        return next((step for step, value in self.accuracy if value > GENERALISED), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """One run: what it told of itself, and what the service says of it.

    Attributes:
        run_id, tensor_ids: in REST paths, the latter by name. alerts: as REST gives them.
        snapshots: how many are still received or measured, how many judged, late, failed, and
            ``total``. dropped: how many the client could not deliver.
    """

    run: DemoRun
    run_id: int
    tensor_ids: Mapping[str, int]
    record: TrainingRecord
    alerts: tuple[Json, ...]
    snapshots: Mapping[str, int]
    dropped: int

    @property
    def grave_alerts(self) -> tuple[Json, ...]:
        """Those of severity warning or more, as they were detected."""
        grave = (alert for alert in self.alerts if alert["severity"] in _GRAVE)
        return tuple(sorted(grave, key=lambda alert: int(alert["detected_step"])))

    def split(self, tensor: str) -> Json | None:
        """The first ``mode_split`` alert that names this tensor, or None."""
        return self._first("mode_split", lambda alert: _named(alert, tensor) is not None)

    def fall_of_stable_rank(self, tensor: str) -> Json | None:
        """The first ``turning_point`` alert by which this tensor's stable rank fell, or None."""

        def falls(alert: Json) -> bool:
            entry = _named(alert, tensor)
            return (
                entry is not None
                and "stable_rank" in entry["statistics"]
                and entry["after"] < entry["before"]
            )

        return self._first("turning_point", falls)

    def _first(self, kind: str, holds: Callable[[Json], bool]) -> Json | None:
        found = [alert for alert in self.alerts if alert["kind"] == kind and holds(alert)]
        return min(found, key=lambda alert: int(alert["detected_step"]), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFacts:
    """The five runs of the demo."""

    true_labels: RunFacts
    shuffled_labels: RunFacts
    no_decay: RunFacts
    sound_gpt: RunFacts
    faulty_gpt: RunFacts

    @property
    def runs(self) -> tuple[RunFacts, ...]:
        """All five, in the order they are told of."""
        return (
            self.true_labels,
            self.shuffled_labels,
            self.no_decay,
            self.sound_gpt,
            self.faulty_gpt,
        )


def _named(alert: Json, tensor: str) -> Json | None:
    return next((entry for entry in alert["tensors"] if entry["name"] == tensor), None)
