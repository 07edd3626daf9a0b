"""The quickstart does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.server import Server

LEAST_SNAPSHOTS = 70
"""Of about 130: on a busy machine the hook leaves some out rather than wait. With fewer, the
detectors would hardly be calibrated when the fault comes."""
LATEST_DETECTION_STEP = 240
"""A shift is seen in the third snapshot after it, however many were left out between."""
QUICKSTART = Path(__file__).parents[2] / "docs" / "quickstart.md"


def test_the_script_of_the_quickstart_runs_and_its_fault_is_alerted(
    server: Server, tmp_path: Path
) -> None:
    [script] = re.findall(r"```python\n(.*?)```", QUICKSTART.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "train.py").write_text(script, encoding="utf-8")
    environment = {**os.environ, "BIFURK_URL": server.url, "BIFURK_SPOOL_DIR": str(tmp_path / "s")}
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = server.wait_until_judged(1, LEAST_SNAPSHOTS)
    assert (run["run"], run["state"]) == ("first", "finished")
    alerts = server.get("/api/v1/alerts?run=1&severity=warning&severity=critical&children=false")[
        "items"
    ]
    assert [200 <= alert["detected_step"] <= LATEST_DETECTION_STEP for alert in alerts] == [True]
