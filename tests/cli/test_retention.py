"""What is kept of a run, said and changed at the command line; a whole run out and in again."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tests.api.filling import Caller, Filled
from tests.cli.conftest import Run
from tests.retention import spoiling
from tests.server import Server, wait_for


def test_how_long_and_how_much_of_a_run_is_kept(bifurk: Run, server: Server) -> None:
    Caller(server).report("keeping", "kept")
    at = ("--url", server.url)
    kept = bifurk("runs", "keep", "keeping/kept", "--days", "30", "--bytes", "5000000", *at)
    assert kept.returncode == 0, kept.stderr
    facts = [line.split("  ", 1) for line in kept.stdout.splitlines()]
    told = {name.strip(): value.strip() for name, value in facts}
    assert told == {"size": "about 0 B", "kept for days": "30.0", "kept within": "5.0 MB"}
    back = bifurk("runs", "keep", "keeping/kept", "--days", "default", *at)
    assert "kept for days" not in back.stdout
    assert "5.0 MB" in back.stdout
    for wrong in (["--days", "long"], []):
        refused = bifurk("runs", "keep", "keeping/kept", *wrong, *at)
        assert refused.returncode == 2
    assert bifurk("runs", "keep", "keeping/kept", "--bytes", "0", *at).returncode == 1

    pinned = bifurk("runs", "pin", "keeping/kept", "--from", "10", "--to", "20", *at)
    assert pinned.stdout.endswith("steps 10 to 20 stay whole\n")
    number = pinned.stdout.split()[1].rstrip(":")
    assert f"pin {number}" in bifurk("runs", "show", "keeping/kept", *at).stdout
    assert bifurk("runs", "unpin", "keeping/kept", number, *at).returncode == 0
    again = bifurk("runs", "unpin", "keeping/kept", number, *at)
    assert again.returncode == 1
    assert f"has no pin {number}" in again.stderr
    backwards = bifurk("runs", "pin", "keeping/kept", "--from", "20", "--to", "10", *at)
    assert backwards.returncode == 1
    assert "from 20 to 10 there is no step" in backwards.stderr


def test_a_whole_run_goes_out_and_comes_in_beside_a_running_server(
    bifurk: Run, server: Server, filled: Filled, tmp_path: Path
) -> None:
    folder = {"BIFURK_DATA_DIR": str(server.data_dir)}
    written = bifurk("export", "tests/run", "run.bifurk", **folder)
    assert written.returncode == 0, written.stderr
    assert "tests/run, 6 snapshots, 6 blobs" in written.stdout
    taken = bifurk("import", "run", "run.bifurk", **folder)
    assert taken.returncode == 1
    assert "tests/run is there already" in taken.stderr
    made = bifurk("import", "run", "run.bifurk", "--project", "moved", "--run", "copy", **folder)
    assert made.returncode == 0, made.stderr
    rest = Caller(server)
    copy = rest.run_id("moved", "copy")
    check_same(rest, filled.run, copy)

    at = ("--url", server.url)
    asked = bifurk("runs", "rm", "moved/copy", *at)
    assert asked.returncode == 2
    assert "6 snapshots, about" in re.sub(r"[\s│]+", " ", asked.stderr)
    assert bifurk("runs", "rm", "moved/copy", "--yes", *at).returncode == 0
    blobs = server.data_dir / "blobs" / "moved"
    wait_for(lambda: not any(names for _, _, names in os.walk(blobs)), "the end of its blobs")
    audit = {one["action"] for one in rest.get("/api/v1/audit")["items"]}
    assert {"run_exported", "run_imported", "run_deleted"} <= audit

    unknown = bifurk("export", "nobody/run", "run.bifurk", **folder)
    assert unknown.returncode == 1
    assert "no run 'nobody/run'" in unknown.stderr
    (tmp_path / "noise.bifurk").write_bytes(b"noise")
    noise = bifurk("import", "run", "noise.bifurk", **folder)
    assert noise.returncode == 1
    assert "noise.bifurk is no whole archive" in noise.stderr
    members = spoiling.members_of(tmp_path / "run.bifurk")
    spoiling.at("spectra", "document", {"raw": {"sigma": "wide"}})(members)
    spoiling.packed(tmp_path / "spoilt.bifurk", members)
    spoilt = bifurk("import", "run", "spoilt.bifurk", "--run", "spoilt", **folder)
    assert spoilt.returncode == 1
    assert "spectra.document is of another form (" in spoilt.stderr
    assert "Traceback" not in spoilt.stderr


PATHS = (
    "",
    "/tensors",
    "/snapshots",
    "/marks",
    "/series?stat=std",
    "/series?stat=update_ratio",
    "/scalars/loss",
    "/profile",
)
OWN = {
    "stored_bytes",
    "id",
    "run_id",
    "run",
    "project",
    "piece_of",
    "updated_at",
    "seen_at",
    "created_at",
}
"""What is another after an import: numbers, names, when it was last heard of, a few bytes."""


def check_same(rest: Caller, run: int, copy: int) -> None:
    """Every answer about two runs is the same, but for numbers and names."""
    for path in PATHS:
        one, other = (rest.get(f"/api/v1/runs/{number}{path}") for number in (run, copy))
        assert without_own(one) == without_own(other), path
    tensors = [rest.get(f"/api/v1/runs/{number}/tensors")["items"] for number in (run, copy)]
    for one, other in zip(*tensors, strict=True):
        for kind in ("distribution", "quantiles", "statistics", "draws"):
            first, second = (
                rest.get(f"/api/v1/runs/{number}/tensors/{tensor['id']}/{kind}")
                for number, tensor in ((run, one), (copy, other))
            )
            assert without_own(first) == without_own(second), kind
    alerts = [rest.get(f"/api/v1/alerts?run={number}")["items"] for number in (run, copy)]
    assert alerts[0]
    assert without_own(alerts[0]) == without_own(alerts[1])


def without_own(document: object) -> object:
    if isinstance(document, dict):
        return {
            key: without_own(value)
            for key, value in document.items()
            if key not in OWN and not (key == "tensor" and isinstance(value, int))
        }
    return [without_own(one) for one in document] if isinstance(document, list) else document
