"""Every arrow between the parts is held: broken on purpose, each breach is caught."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

BREACHES = [
    ("service/bifurk_service/stats/distributions/spread.py", "import bifurk_service.detect.judge"),
    ("service/bifurk_service/stats/distributions/spread.py", "import sqlalchemy"),
    (
        "service/bifurk_service/stats/elements/weibull.py",
        "import bifurk_service.stats.spectra.gram",
    ),
    (
        "service/bifurk_service/stats/distributions/spread.py",
        "import bifurk_service.stats.measure",
    ),
    ("service/bifurk_service/detect/judge.py", "import bifurk_service.store.runs"),
    ("service/bifurk_service/detect/judge.py", "import urllib3"),
    ("service/bifurk_service/store/runs.py", "import bifurk_service.pipeline.loop"),
    ("service/bifurk_service/pipeline/loop.py", "import bifurk_service.api.runs"),
    ("service/bifurk_service/api/runs.py", "import bifurk_service.ingest.routes"),
    ("service/bifurk_service/api/runs.py", "import sqlalchemy"),
    ("service/bifurk_service/ingest/routes.py", "import bifurk_service.app"),
    ("service/bifurk_service/pipeline/loop.py", "import bifurk.sender"),
    ("client/bifurk/wire/part.py", "import bifurk.sender"),
    ("client/bifurk/sketch.py", "import bifurk.wire"),
    ("client/bifurk/sender.py", "import bifurk_service.domain"),
    ("client/bifurk/sender.py", "import pydantic"),
    ("client/bifurk/sender.py", "import bifurk.integrations.memory"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("contracts")
    leave_out = shutil.ignore_patterns("__pycache__")
    for folder in ("client", "service"):
        shutil.copytree(PROJECT / folder, target / folder, ignore=leave_out)
    shutil.copy(PROJECT / ".importlinter", target)
    return target


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = (
        "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    )
    path = f"{folder / 'client'}{os.pathsep}{folder / 'service'}"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_contracts_are_kept(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("file", "line"), BREACHES)
def test_a_breach_is_caught(copy: Path, file: str, line: str) -> None:
    module = copy / file
    sound = module.read_text(encoding="utf-8")
    module.write_text(f"{sound}\n{line}\n", encoding="utf-8")
    try:
        done = lint(copy)
    finally:
        module.write_text(sound, encoding="utf-8")
    assert done.returncode == 1
    assert line.split()[1] in done.stdout
    assert "BROKEN" in done.stdout
