"""A monitor as notebooks and prompts show it: one table, one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bifurk.alerts import Alert

MOST_ALERTS: Final = 5
"""Shown; how many more there are is said."""

SEVERITIES: Final = ("critical", "warning", "info")
"""The gravest first."""

STYLE: Final = """
.bifurk {font: 13px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff;
  border: 1px solid #d4d4d4; border-radius: 4px; padding: 8px 12px; max-width: 60em}
.bifurk table {border-collapse: collapse; margin: 4px 0 0; color: inherit; font: inherit}
.bifurk td, .bifurk th {text-align: left; vertical-align: top; padding: 1px 12px 1px 0;
  background: none; border: 0; color: inherit; font-weight: normal}
.bifurk th {color: #666} .bifurk a {color: #0b5fa5}
.bifurk .critical {color: #b3261e} .bifurk .warning {color: #8a5a00} .bifurk .info {color: #555}
@media (prefers-color-scheme: dark) {
  .bifurk {color: #e6e6e6; background: #1c1c1c; border-color: #444}
  .bifurk th {color: #9a9a9a} .bifurk a {color: #7ab8f5}
  .bifurk .critical {color: #ff8a80} .bifurk .warning {color: #f0c36d}
  .bifurk .info {color: #aaa}}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """What is shown of one watch at one moment.

    Attributes:
        place: where snapshots go: a url or a folder. page: the run's page, where it is known.
        snapshots: due so far. dropped: requests lost, by reason.
        overhead: share of the training time, 0 to 1; None before the first step.
        alerts: as last heard of, the newest last.
    """

    project: str
    run: str
    attempt: str
    state: str
    place: str
    page: str | None
    step: int
    snapshots: int
    dropped: Mapping[str, int]
    overhead: float | None
    alerts: tuple[Alert, ...]


def as_text(portrait: Portrait) -> str:
    """One line."""
    facts = (f"{name} {value}" for name, value in _facts(portrait))
    return (
        f"<bifurk.Monitor {portrait.project}/{portrait.run}: {portrait.state}; {', '.join(facts)}>"
    )


def as_html(portrait: Portrait) -> str:
    """A table that needs nothing else: no script, no address but the server's; all text escaped."""
    name = escape(f"{portrait.project}/{portrait.run}")
    title = f"<b>{name}</b>" if portrait.page is None else _link(portrait.page, f"<b>{name}</b>")
    rows = [
        ("attempt", portrait.attempt),
        ("state", portrait.state),
        ("to", portrait.place),
        *_facts(portrait),
    ]
    table = "".join(f"<tr><th>{escape(n)}</th><td>{escape(v)}</td></tr>" for n, v in rows)
    return _framed(f"bifurk watches {title}<table>{table}</table>{_alerts(portrait.alerts)}")


def inert_html(reason: str) -> str:
    """What a monitor shows that does nothing."""
    return _framed(f"bifurk watches nothing: {escape(reason)}")


def _framed(content: str) -> str:
    return f'<div class="bifurk"><style>{STYLE}</style>{content}</div>'


def _facts(portrait: Portrait) -> list[tuple[str, str]]:
    dropped = ", ".join(f"{reason} {count}" for reason, count in sorted(portrait.dropped.items()))
    overhead = "not known yet" if portrait.overhead is None else f"{portrait.overhead:.2%}"
    return [
        ("step", f"{portrait.step:,}"),
        ("snapshots", f"{portrait.snapshots:,}"),
        ("dropped", dropped or "none"),
        ("overhead", overhead),
        ("alerts", _counted(portrait.alerts)),
    ]


def _counted(alerts: Iterable[Alert]) -> str:
    firing = [alert.severity for alert in alerts if alert.firing]
    counts = ((severity, firing.count(severity)) for severity in SEVERITIES)
    return ", ".join(f"{severity} {count}" for severity, count in counts if count) or "none firing"


def _alerts(alerts: tuple[Alert, ...]) -> str:
    newest_first = alerts[::-1]
    gravest = sorted(newest_first, key=lambda one: (not one.firing, SEVERITIES.index(one.severity)))
    rows = "".join(map(_row, gravest[:MOST_ALERTS]))
    if len(gravest) > MOST_ALERTS:
        rows += f"<tr><td></td><td>and {len(gravest) - MOST_ALERTS} more</td></tr>"
    return f"<table>{rows}</table>" if rows else ""


def _row(alert: Alert) -> str:
    sentence = escape(alert.sentence)
    told = sentence if alert.url is None else _link(alert.url, sentence)
    state = "" if alert.firing else f" ({alert.state})"
    severity = alert.severity
    return f'<tr><td class="{severity}">{escape(severity + state)}</td><td>{told}</td></tr>'


def _link(url: str, content: str) -> str:
    return f'<a href="{escape(url)}" target="_blank" rel="noopener">{content}</a>'
