"""What the audit of dependencies makes of answers, and of none."""

import json
from pathlib import Path

import pytest

from tests.meta import vulnerabilities
from tests.meta.vulnerabilities import Audit, audited, main, pinned

HOLE = {"id": "PYSEC-2023-1", "fix_versions": ["1.2"], "description": "it falls over"}
KNOWN = {"name": "holed", "version": "1.1", "vulns": [HOLE]}
SOUND = {"name": "sound", "version": "3.0", "vulns": []}
UNKNOWN = {"name": "other", "skip_reason": "not found"}


def answered(*packages: object) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_holes_are_told_with_the_version_that_mends_them() -> None:
    audit = audited(["holed==1.1"], lambda _: answered(KNOWN, SOUND, UNKNOWN))
    assert audit == Audit(["holed 1.1: PYSEC-2023-1, mended in 1.2"], asked=2)


@pytest.mark.parametrize("printed", ["", "Traceback ...", "[]", answered(UNKNOWN)])
def test_no_answer_is_not_taken_for_a_good_one(printed: str) -> None:
    assert audited(["holed==1.1"], lambda _: printed) is None


def test_what_is_asked_for_are_the_pins() -> None:
    seen: list[str] = []

    def ask(file: Path) -> str:
        seen.extend(file.read_text().split())
        return answered(SOUND)

    audited(pinned(), ask)
    assert any(line.startswith("fastapi==") for line in seen)
    assert not any(line.startswith("torch==") for line in seen)


@pytest.mark.parametrize(
    ("printed", "arguments", "status"),
    [
        (answered(SOUND), [], 0),
        (answered(KNOWN), [], 1),
        ("", [], 0),
        ("", ["--required"], 1),
    ],
)
def test_a_hole_fails_and_silence_does_where_it_must(
    monkeypatch: pytest.MonkeyPatch, printed: str, arguments: list[str], status: int
) -> None:
    monkeypatch.setattr(vulnerabilities, "ask_pip_audit", lambda _: printed)
    assert main(arguments) == status
