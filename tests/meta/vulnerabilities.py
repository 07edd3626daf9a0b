"""Fails if a pinned dependency has a known hole; says so where no database of them is reachable.

What is asked is OSV (https://osv.dev), by name and version. torch is left out: the pinned build is
of an index of its own. With ``--required`` an unreachable database fails too.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
TIMEOUT_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Audit:
    """What the database says: the holes, a line each; how many packages it was asked of."""

    holes: list[str]
    asked: int


def audited(pins: list[str], ask: Callable[[Path], str]) -> Audit | None:
    """What is known of these pins (``name==version``); None: no database answered.

    Args:
        ask: given a file of pins, what ``pip-audit --format json`` prints of it.
    """
    with TemporaryDirectory() as folder:
        file = Path(folder, "pinned.txt")
        file.write_text("\n".join(pins) + "\n", encoding="utf-8")
        printed = ask(file)
    try:
        packages: list[dict[str, Any]] = json.loads(printed)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        return None
    return Audit([line for package in known for line in _lines(package)], len(known))


def pinned() -> list[str]:
    """The pins that can be asked for."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if "==" in line and not line.startswith(("#", "torch=="))]


def ask_pip_audit(file: Path) -> str:
    """What ``pip-audit`` prints; nothing readable where it cannot reach its database."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(file), "--no-deps"]
    command += ["--disable-pip", "--vulnerability-service", "osv", "--format", "json"]
    command += ["--progress-spinner", "off", "--timeout", str(TIMEOUT_SECONDS)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _lines(package: dict[str, Any]) -> list[str]:
    named = f"{package['name']} {package['version']}"
    return [
        f"{named}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'no version yet'}"
        for hole in package["vulns"]
    ]


def main(arguments: list[str]) -> int:
    """Prints what is known; 1 if something is, or if nothing could be asked and must be."""
    audit = audited(pinned(), ask_pip_audit)
    if audit is None:
        print("not looked up: no database of known holes could be reached from here")
        return int("--required" in arguments)
    print(f"{audit.asked} packages asked of, {len(audit.holes)} known holes")
    print("".join(f"  {line}\n" for line in audit.holes), end="")
    return int(bool(audit.holes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
