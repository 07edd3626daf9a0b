"""Rules on alerts: in their order, the first that matches decides who is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final, Protocol

from bifurk_service.domain import Alert, Severity
from bifurk_service.notify.alerts_file import Match, Rule, environment, read_alerts_file
from bifurk_service.notify.baselines import Baseline
from bifurk_service.notify.channels import Channel, channel_of

SECONDS_PER_MINUTE: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What the rules say of one alert.

    Attributes:
        silenced_by: name of the rule that keeps it from people; None where none does.
        channels: names of those to tell; empty where it is silenced or too slight.
    """

    silenced_by: str | None = None
    channels: tuple[str, ...] = ()


class Ruler(Protocol):
    """What rules on alerts: a policy, or a file of one that is followed while it changes."""

    def rule(
        self,
        alert: Alert,
        *,
        project: str,
        run: str,
        seconds_since_told: Callable[[str], float | None],
    ) -> Ruling:
        """What is to happen with an alert that is raised now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Rules, channels, baselines; without, nobody is told, nothing silenced or held against."""

    rules: tuple[Rule, ...] = ()
    channels: tuple[Channel, ...] = ()
    baselines: tuple[Baseline, ...] = ()

    @classmethod
    def load(cls, path: Path | None) -> Policy:
        """The policy of a file, with what its variables and files hold; an empty one without.

        Raises:
            SetupError: the file, the line and the field that is wrong are named.
        """
        if path is None:
            return cls()
        found = read_alerts_file(path)
        return cls(
            rules=found.rules,
            channels=tuple(
                channel_of(name, settings, path=path, environment=environment())
                for name, settings in found.channels.items()
            ),
            baselines=found.baselines,
        )

    def rule(
        self,
        alert: Alert,
        *,
        project: str,
        run: str,
        seconds_since_told: Callable[[str], float | None],
    ) -> Ruling:
        """What is to happen with an alert that is raised now.

        Args:
            seconds_since_told: of a kind, how long ago an alert of it was last told of in this
                run; None: never. Asked only where a rule has a cooldown.
        """
        for rule in self.rules:
            if _matches(rule, alert, project=project, run=run):
                return self._ruling(rule, alert, seconds_since_told)
        return Ruling(channels=self._names()) if alert.severity.rank >= LEAST.rank else Ruling()

    def channel(self, name: str) -> Channel | None:
        """The channel of this name, or None."""
        return next((channel for channel in self.channels if channel.name == name), None)

    def _ruling(
        self, rule: Rule, alert: Alert, seconds_since_told: Callable[[str], float | None]
    ) -> Ruling:
        if rule.action == "silence" or alert.detected_step < rule.minimum_step:
            return Ruling(silenced_by=rule.name)
        if rule.cooldown_minutes > 0:
            since = seconds_since_told(alert.kind)
            if since is not None and since < rule.cooldown_minutes * SECONDS_PER_MINUTE:
                return Ruling(silenced_by=rule.name)
        return Ruling(channels=rule.channels or self._names())

    def _names(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in self.channels)


LEAST: Final = Severity.WARNING
"""What is slighter is told only where a rule names its severity."""


def _matches(rule: Rule, alert: Alert, *, project: str, run: str) -> bool:
    match = rule.match
    return (
        _matches_severity(rule, alert.severity)
        and any(fnmatchcase(alert.kind, glob) for glob in match.kind)
        and fnmatchcase(project, match.project)
        and fnmatchcase(run, match.run)
        and _matches_tensors(match, alert, every=rule.action == "silence")
    )


def _matches_severity(rule: Rule, severity: Severity) -> bool:
    """Where none is named: a silence is for all, telling is not for the slightest."""
    if rule.match.severity is not None:
        return severity in rule.match.severity
    return rule.action == "silence" or severity.rank >= LEAST.rank


def _matches_tensors(match: Match, alert: Alert, *, every: bool) -> bool:
    """A silence must not hide a tensor that it does not name; an alert of none has none to name."""
    if match.tensor is None:
        return True
    hits = [fnmatchcase(affected.tensor.name, match.tensor) for affected in alert.tensors]
    return bool(hits) and (all(hits) if every else any(hits))
