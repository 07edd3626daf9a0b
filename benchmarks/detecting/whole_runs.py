"""The whole system on whole runs, beside peers who watch the same statistics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from claims import Claim
from detecting.judging import judged
from detecting.peer_series import TUNING_SEED
from detecting.peers import PEERS, Peer, tuned
from detecting.plan import SEED
from detecting.scoring import HORIZON, Seen, Share

from bifurk_service.detect.registry import WATCHES
from bifurk_service.detect.streams import RUN_EVENTS, RUN_NULLS, RunStream
from bifurk_service.domain import Alert
from bifurk_service.stats.registry import BY_NAME, Nature

TOGETHER: Final = 10
"""Runs that are judged at once."""
WARMED_UP: Final = 30
"""Values by whose mean and spread a peer's series is brought to unit noise."""
RULES: Final = {"any series": 1, "three tensors": 3}
"""Tensors that must alarm within ``AGREEING_WITHIN`` snapshots for a peer's alarm on a run."""
AGREEING_WITHIN: Final = 6
QUIET: Final = 24
"""Snapshots for which a peer's alarm is the only one."""
LONGEST_DELAY: Final = 15
LEAST_POWER: Final = 0.95
MOST_FALSE: Final = 5
"""Alerts of warning or more in 100 sound runs."""
PEER_SHARE: Final = 10
"""Peers judge one run in so many."""
TOO_SLOW: Final = ("KSWIN",)
"""Would need hours for the series of whole runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one contender made of the runs.

    Attributes:
        false: alarms in sound runs. false_runs: sound runs with any.
        seen: by event, runs with a right alarm. early: runs with an event and an alarm before it.
        delays: snapshots from the onset on, the onset's own counted as 1.
        false_by_family: alarms in sound runs by family and kind.
    """

    name: str
    rule: str
    false: int
    false_runs: Share
    seen: dict[str, Share]
    early: Share
    delays: dict[str, tuple[int, ...]]
    false_by_family: dict[str, dict[str, int]]

    @property
    def power(self) -> Share:
        return Share(
            count=sum(share.count for share in self.seen.values()),
            of=sum(share.of for share in self.seen.values()),
        )

    @property
    def every_delay(self) -> list[int]:
        return [delay for delays in self.delays.values() for delay in delays]

    @property
    def f1(self) -> float:
        """As if there were as many sound runs as runs with an event."""
        recall = self.power.value
        false = self.false_runs.value + self.early.value
        return 2 * recall / (1 + recall + false) if recall else 0.0


Alarm = tuple[int, str]
"""Snapshot and what raised it."""


def outcomes(*, null_runs: int, event_runs: int, say: Callable[[str], None]) -> list[Outcome]:
    """The system's outcome and the peers', of this many runs in all, sound and with events."""
    ours = _Tally("bifurk", "alerts of warning or more")
    peers = [
        contender for peer in PEERS if peer.name not in TOO_SLOW for contender in _contenders(peer)
    ]
    for place, (name, generate) in enumerate(RUN_NULLS.items()):
        each = max(null_runs // len(RUN_NULLS), 1)
        for first in range(0, each, TOGETHER):
            batch = _drawn(generate, place, range(first, min(first + TOGETHER, each)))
            _take(ours, name, batch, [_raised(alerts) for alerts in judged(batch)])
            _ask(peers, name, batch)
        say(f"{name:<34} {ours.sound_summary(name)}")
    for place, (name, generate) in enumerate(RUN_EVENTS.items()):
        each = max(event_runs // len(RUN_EVENTS), 1)
        for first in range(0, each, TOGETHER):
            numbers = range(first, min(first + TOGETHER, each))
            batch = _drawn(generate, 100 + place, numbers)
            right = [_right(run, alerts) for run, alerts in zip(batch, judged(batch), strict=True)]
            _take(ours, name, batch, right)
            _ask(peers, name, batch)
        say(f"{name:<34} {ours.event_summary(name)}")
    tallies = [tally for peer in peers for tally in peer.tallies.values()]
    return [ours.outcome(), *(tally.outcome() for tally in tallies)]


def claims_of(found: Sequence[Outcome]) -> Iterator[Claim]:
    """What is claimed of the system as a whole."""
    ours, *peers = found
    yield Claim(
        claim="whole system: events seen",
        value=ours.power.value,
        unit="of runs",
        target=LEAST_POWER,
        better="higher",
    )
    yield Claim(
        claim="whole system: median delay",
        value=float(np.median(ours.every_delay)) if ours.delays else float("nan"),
        unit="snapshots",
        target=LONGEST_DELAY,
    )
    yield Claim(
        claim="whole system: alerts of warning or more in 100 sound runs",
        value=100 * ours.false / ours.false_runs.of,
        unit="alerts",
        target=MOST_FALSE,
    )
    best = max(peers, key=lambda peer: peer.f1)
    yield Claim(claim="whole system: F1", value=ours.f1, unit="")
    yield Claim(
        claim=f"whole system: F1 less that of the best peer ({best.name}, {best.rule})",
        value=ours.f1 - best.f1,
        unit="",
        target=0.0,
        better="higher",
    )


class _Tally:
    """Counts alarms of one contender, run by run."""

    def __init__(self, name: str, rule: str) -> None:
        self._name, self._rule = name, rule
        self._false: dict[str, list[int]] = {}
        self._kinds: dict[str, Counter[str]] = {}
        self._seen: dict[str, list[int | None]] = {}
        self._early: list[bool] = []

    def sound(self, family: str, alarms: Sequence[Alarm]) -> None:
        self._false.setdefault(family, []).append(len(alarms))
        self._kinds.setdefault(family, Counter()).update(what for _, what in alarms)

    def event(self, family: str, onset: int, alarms: Sequence[Alarm]) -> None:
        self._early.append(any(snapshot < onset for snapshot, _ in alarms))
        hits = [
            snapshot - onset + 1
            for snapshot, what in alarms
            if onset <= snapshot < onset + HORIZON and not what.startswith("beside")
        ]
        self._seen.setdefault(family, []).append(min(hits, default=None))

    def sound_summary(self, family: str) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in self._kinds[family].items())
        return f"{sum(self._false[family])} alerts in {len(self._false[family])} runs {kinds}"

    def event_summary(self, family: str) -> str:
        seen = [delay for delay in self._seen[family] if delay is not None]
        middle = float(np.median(seen)) if seen else float("nan")
        return f"seen in {len(seen)} of {len(self._seen[family])}, after {middle:g}"

    def outcome(self) -> Outcome:
        counts = [count for counts in self._false.values() for count in counts]
        return Outcome(
            name=self._name,
            rule=self._rule,
            false=sum(counts),
            false_runs=Share(count=sum(count > 0 for count in counts), of=len(counts)),
            seen={
                name: Share(count=sum(one is not None for one in seen), of=len(seen))
                for name, seen in self._seen.items()
            },
            early=Share(count=sum(self._early), of=len(self._early)),
            delays={
                name: tuple(one for one in seen if one is not None)
                for name, seen in self._seen.items()
            },
            false_by_family={name: dict(kinds) for name, kinds in self._kinds.items()},
        )


def _drawn(
    generate: Callable[..., RunStream], place: int, numbers: Iterable[int]
) -> list[RunStream]:
    return [generate(np.random.default_rng([SEED + 4, place, number])) for number in numbers]


def _take(
    tally: _Tally, family: str, runs: Sequence[RunStream], alarms: Sequence[Sequence[Alarm]]
) -> None:
    for run, own in zip(runs, alarms, strict=True):
        if run.event is None:
            tally.sound(family, own)
        else:
            tally.event(family, run.event.onset, own)


def _raised(alerts: dict[str, Alert]) -> list[Alarm]:
    """Alerts that a person is warned by."""
    return [
        (alert.detected_sequence, alert.kind)
        for alert in alerts.values()
        if alert.severity.rank >= 1
    ]


def _right(run: RunStream, alerts: dict[str, Alert]) -> list[Alarm]:
    """The same, those of a wrong kind or of others' tensors named so."""
    assert run.event is not None
    told = []
    for alert in alerts.values():
        if alert.severity.rank < 1:
            continue
        of = {tensor.tensor.id for tensor in alert.tensors}
        right = alert.kind in run.event.kinds and of & run.event.tensors
        told.append((alert.detected_sequence, alert.kind if right else f"beside: {alert.kind}"))
    return told


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Contender:
    """A peer with one setting on levels or on increments, and what each rule makes of it."""

    peer: Peer
    setting: float
    increments: bool
    tallies: dict[str, _Tally]


def _contenders(peer: Peer) -> Iterator[_Contender]:
    white = np.random.default_rng(TUNING_SEED).standard_normal((400, 100))
    chosen = tuned(peer, white)
    for setting, how, increments in (
        (peer.recommended, "recommended", False),
        (chosen, "tuned", False),
        (chosen, "tuned, on increments", True),
    ):
        tallies = {rule: _Tally(peer.name, f"{how}; {rule}") for rule in RULES}
        yield _Contender(peer=peer, setting=setting, increments=increments, tallies=tallies)


def _ask(peers: Sequence[_Contender], family: str, runs: Sequence[RunStream]) -> None:
    for run in runs[::PEER_SHARE]:
        forms = {
            increments: _unit_noise(run, increments=increments) for increments in (False, True)
        }
        for contender in peers:
            values, tensor_of = forms[contender.increments]
            alarms = contender.peer.alarms(values, contender.setting)
            for rule, tally in contender.tallies.items():
                _take(tally, family, [run], [_by_rule(alarms, tensor_of, rule)])


def _unit_noise(run: RunStream, *, increments: bool) -> tuple[np.ndarray, np.ndarray]:
    """Series of what ``regime_shift`` watches, on its scale, in units of their first noise.

    As increments, what sums up updates is taken as differences of neighbours.
    """
    names = next(watch.statistics for watch in WATCHES if watch.kind == "regime_shift")
    blocks, tensors = [], []
    for name in names:
        known = run.valid[name].any(axis=0)
        values = np.where(run.valid[name], run.values[name], np.nan)[:, known]
        course = np.log(values) if BY_NAME[name].log_scale else values
        if increments and BY_NAME[name].nature is Nature.INTEGRATED:
            course = np.diff(course, axis=0, prepend=course[:1])
        blocks.append(course)
        tensors.append(np.flatnonzero(known))
    series = np.concatenate(blocks, axis=1)
    first = series[1:WARMED_UP]
    spread = np.nanstd(np.diff(first, axis=0), axis=0) / np.sqrt(2)
    level = np.nanmean(first, axis=0)
    return (series - level) / np.where(spread > 0, spread, 1.0), np.concatenate(tensors)


def _by_rule(alarms: Sequence[Seen], tensor_of: np.ndarray, rule: str) -> list[Alarm]:
    """Snapshots at which the rule raises an alarm, with none for ``QUIET`` before."""
    ordered = sorted(alarms, key=lambda one: one.snapshot)
    raised: list[Alarm] = []
    recent: list[Seen] = []
    for one in ordered:
        recent = [*(r for r in recent if one.snapshot - r.snapshot < AGREEING_WITHIN), one]
        agreeing = len({int(tensor_of[r.series]) for r in recent})
        needed = RULES[rule]
        if agreeing >= needed and (not raised or one.snapshot - raised[-1][0] >= QUIET):
            raised.append((one.snapshot, rule))
    return raised
