"""Tries bifurk with older and newer torch and trainers, and writes the table of docs/versions.md.

Each combination gets an environment of its own, with bifurk's client and nothing of the service's;
``probe`` then trains in it. Old releases of torch come with gigabytes of CUDA. Run by
``make versions``; an environment is deleted once it is tried.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "versions.md"
RESULTS: Final = ROOT / "tests" / "versions" / "tried.json"
BEGIN, END = "<!-- tried: made by make versions -->", "<!-- end -->"
PARTS: Final = {
    "watch": "loop",
    "transformers": "callback",
    "lightning": "callback",
    "accelerate": "tracker",
    "peft": "adapters",
    "run": "`bifurk run`",
    "fsdp": "FSDP1",
    "tensor_parallel": "tensor parallel",
    "fully_shard": "`fully_shard`",
}
"""Of the probe, and how the page calls them."""
FINE: Final = ("ok", "not on CPU")
NAMES: Final = ("torch", "transformers", "lightning", "accelerate", "peft")


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """Packages of about one time."""

    torch: str
    transformers: str
    lightning: str
    accelerate: str
    peft: str

    def requirements(self) -> list[str]:
        """As pip takes them."""
        return [f"{name}=={getattr(self, name)}" for name in NAMES]


COMBINATIONS: Final = (
    Combination(
        torch="2.4.1", transformers="4.46.3", lightning="2.4.0", accelerate="1.8.1", peft="0.13.2"
    ),
    Combination(
        torch="2.6.0", transformers="4.50.3", lightning="2.5.1", accelerate="1.8.1", peft="0.15.2"
    ),
    Combination(
        torch="2.8.0", transformers="4.57.3", lightning="2.5.6", accelerate="1.10.1", peft="0.17.1"
    ),
    Combination(
        torch="2.10.0", transformers="5.5.4", lightning="2.6.1", accelerate="1.13.0", peft="0.18.1"
    ),
    Combination(
        torch="2.13.0", transformers="5.24.0", lightning="2.6.6", accelerate="1.15.0", peft="0.21.2"
    ),
)


def main() -> int:
    """Tries what was asked for; 0 where all of it works."""
    asked = _options()
    tried = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for combination in COMBINATIONS:
        if asked.torch and combination.torch not in asked.torch:
            continue
        print(f"== {', '.join(combination.requirements())}", flush=True)
        found = attempt(combination)
        print(json.dumps(found["parts"]), flush=True)
        tried = [one for one in tried if one["asked"] != found["asked"]] + [found]
        RESULTS.write_text(json.dumps(sorted(tried, key=_age), indent=1) + "\n")
    write_page(sorted(tried, key=_age))
    return int(any(outcome not in FINE for one in tried for outcome in one["parts"].values()))


def attempt(combination: Combination) -> dict[str, Any]:
    """What the probe says in a fresh environment; what cannot be installed is an outcome too."""
    asked = {name: getattr(combination, name) for name in NAMES}
    with tempfile.TemporaryDirectory(prefix="bifurk-versions-") as folder:
        python = _environment(Path(folder))
        installed = _pip(python, [*combination.requirements(), str(ROOT)])
        if installed.returncode:
            why = f"not installed: {installed.stderr.strip().splitlines()[-1]}"
            return {"asked": asked, "packages": asked, "parts": dict.fromkeys(PARTS, why)}
        probe = [str(python), str(ROOT / "tests" / "versions" / "probe.py")]
        done = subprocess.run(
            probe, capture_output=True, text=True, cwd=folder, env=_quiet(os.environ), check=False
        )
    if done.returncode:
        why = f"ended with {done.returncode}: {done.stderr.strip().splitlines()[-1]}"
        return {"asked": asked, "packages": asked, "parts": dict.fromkeys(PARTS, why)}
    return {"asked": asked, **json.loads(done.stdout)}


def write_page(tried: Sequence[Mapping[str, Any]]) -> None:
    """Replaces the table of the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    head = ["Python", *NAMES, *PARTS.values()]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for one in tried:
        packages = [str(one["packages"].get(name) or "-") for name in NAMES]
        outcomes = ["works" if one["parts"][part] == "ok" else one["parts"][part] for part in PARTS]
        cells = [one.get("python", "-"), *packages, *outcomes]
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    PAGE.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + after)


def _environment(folder: Path) -> Path:
    venv.create(folder / "venv", with_pip=True)
    return folder / "venv" / "bin" / "python"


def _pip(python: Path, requirements: Sequence[str]) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-m", "pip", "install", "--quiet", "--no-cache-dir", *requirements]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _quiet(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if not name.startswith("BIFURK_")}
    return {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _age(one: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(part) for part in one["asked"]["torch"].split("."))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torch", action="append", help="only this version; may be repeated")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
