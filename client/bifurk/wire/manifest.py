"""What a part says about itself and its run, read from untrusted JSON."""

from __future__ import annotations

import re
from typing import Any, Final

from bifurk.wire.errors import WireError
from bifurk.wire.fields import Fields, shown
from bifurk.wire.limits import MAX_ENTRIES, MAX_INTEGER, MAX_LOST_RANGES, MAX_MARKS, MAX_PARTS
from bifurk.wire.part import WIRE_VERSION, LossReport, Manifest, Mark, ScalarSummary

MINORS_BACK: Final = 2
"""Clients this many minor versions older are still read."""

_KIND_CHARACTERS: Final = 64
_VERSION: Final = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")


def read_manifest(document: dict[str, Any]) -> Manifest:
    """The manifest without its tensors; unknown fields are ignored.

    Raises:
        WireError: a field is missing or wrong; the error names it.
    """
    f = Fields(document, "manifest")
    version = read_version(f)
    expected_parts = f.integer("expected_parts", 1, least=1, most=MAX_PARTS)
    return Manifest(
        project=f.slug("project"),
        run=f.slug("run"),
        attempt=f.slug("attempt"),
        step=f.integer("step"),
        sequence=f.integer("sequence"),
        previous_step=f.optional_integer("previous_step"),
        off_grid=f.flag("off_grid"),
        rank=f.integer("rank", 0, most=expected_parts - 1),
        expected_parts=expected_parts,
        wall_clock_seconds=f.finite("wall_clock_seconds", 0.0),
        display_name=f.optional_text("display_name"),
        optimizer=f.text("optimizer", ""),
        optimizer_settings=f.details("optimizer_settings"),
        learning_rates=_learning_rates(f),
        scalars=read_scalars(f),
        marks=read_marks(f),
        loss_report=read_loss_report(document.get("loss_report", {}), "manifest.loss_report"),
        client=f.texts("client"),
        wire_version=version,
    )


def read_version(f: Fields) -> str:
    """The field ``wire_version``, where it is one that this reader takes."""
    version = f.text("wire_version")
    match = _VERSION.fullmatch(version)
    if match is None:
        f.fail("wire_version", "major.minor")
    major, minor = int(match[1]), int(match[2])
    own_major, own_minor = (int(number) for number in WIRE_VERSION.split("."))
    oldest = max(0, own_minor - MINORS_BACK)
    if major != own_major or minor < oldest:
        f.fail("wire_version", f"{own_major}.{oldest} or a later minor of {own_major}")
    return version


def read_scalars(f: Fields) -> dict[str, ScalarSummary]:
    """The field ``scalars``: one summary a name; empty where it is missing.

    Raises:
        WireError: an entry is missing a field, or one is wrong.
    """
    return {
        name: _scalar(value, f"{f.where}.scalars.{shown(name)}")
        for name, value in f.mapping("scalars").items()
    }


def read_marks(f: Fields) -> tuple[Mark, ...]:
    """The field ``marks``, in the order they were set; empty where it is missing.

    Raises:
        PartTooLargeError: there are too many.
        WireError: a field of one is missing or wrong.
    """
    return tuple(
        read_mark(mark, f"{f.where}.marks[{index}]")
        for index, mark in enumerate(f.items("marks", MAX_MARKS))
    )


def read_mark(document: Any, where: str) -> Mark:
    """One mark from its JSON; ``where`` stands in errors.

    Raises:
        WireError: a field is missing or wrong.
    """
    f = Fields(document, where)
    kind = f.text("kind", limit=_KIND_CHARACTERS)
    return Mark(kind=kind, step=f.integer("step"), details=f.details("details"))


def read_loss_report(document: Any, where: str) -> LossReport:
    """A loss report from its JSON; ``where`` stands in errors.

    Raises:
        WireError: a field is missing or wrong.
    """
    f = Fields(document, where)
    dropped = Fields(f.mapping("dropped"), f"{where}.dropped")
    return LossReport(
        dropped={reason: dropped.integer(reason) for reason in f.mapping("dropped")},
        lost_sequences=tuple(
            _range(pair, f"{where}.lost_sequences[{index}]")
            for index, pair in enumerate(f.items("lost_sequences", MAX_LOST_RANGES))
        ),
        overhead_ratio=f.optional_finite("overhead_ratio"),
    )


def _range(pair: Any, where: str) -> tuple[int, int]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise WireError(where, f"expected [first, last], got {shown(pair)}")
    first, last = Fields({"range": pair}, where).integers(
        "range", least=0, most=MAX_INTEGER, limit=2
    )
    if last < first:
        raise WireError(where, f"expected first <= last, got {shown(pair)}")
    return first, last


def _learning_rates(f: Fields) -> tuple[float, ...]:
    rates = f.items("learning_rates", MAX_ENTRIES)
    return tuple(
        Fields({str(index): rate}, "manifest.learning_rates").number(str(index))
        for index, rate in enumerate(rates)
    )


def _scalar(document: Any, where: str) -> ScalarSummary:
    f = Fields(document, where)
    return ScalarSummary(
        last=f.number("last"),
        mean=f.number("mean"),
        min=f.number("min"),
        max=f.number("max"),
        count=f.integer("count", least=1),
    )
