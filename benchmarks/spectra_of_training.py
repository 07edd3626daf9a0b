"""What a small GPT's weights do in training, beside a control that has nothing to learn.

With ``--train`` three runs and three controls (see ``trainings/with_control.py``) are trained
through the hook against a server of its own on loopback, and what the service says of them is
collected over REST into ``benchmarks/results/spectra_of_training.json``: about ten minutes on two
cores. Without, that file is read. Either way the numbers of ``docs/methods/real-runs.md`` are
rewritten from it, and printed. ``--smoke`` trains for a minute and writes neither file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROJECT_FOLDER = Path(__file__).parents[1]
RESULTS = PROJECT_FOLDER / "benchmarks/results/spectra_of_training.json"
PAGE = PROJECT_FOLDER / "docs/methods/real-runs.md"
SMOKE_STEPS = 60
ONE_PASSIVE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Before torch and numpy are loaded, here and in the processes that train."""


def main() -> int:
    """Trains if asked, writes and prints the tables."""
    asked = _options()
    os.environ.update(ONE_PASSIVE_THREAD)
    from trainings.page import filled
    from trainings.spectra_tables import tables

    if asked.train or asked.smoke:
        results = _trained(smoke=asked.smoke)
        if not asked.smoke:
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.write_text(_as_text(results), encoding="utf-8")
    else:
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    made = tables(results)
    if not asked.smoke:
        PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")
    for name, table in made.items():
        print(f"\n{name}\n\n{table}")
    return 0


def _trained(*, smoke: bool) -> dict[str, Any]:
    from trainings.collecting import Rest, collect
    from trainings.with_control import SEEDS, STEPS, RealRun, train_all, unigram_entropy

    from bifurk_service.demo.server import serving

    runs = [
        RealRun(seed=seed, control=control, steps=SMOKE_STEPS if smoke else STEPS)
        for seed in (SEEDS[:1] if smoke else SEEDS)
        for control in (False, True)
    ]
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as api:
        losses = train_all(runs, url=api.url, folder=Path(folder))
        rest = Rest(api.url)
        documents = [collect(rest, run, losses[run.name]) for run in runs]
    return {
        "made_with": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "scipy")},
        },
        "unigram_entropy": round(unigram_entropy(), 4),
        "runs": documents,
    }


def _as_text(results: dict[str, Any]) -> str:
    """JSON with a matrix a line, so that changes can be read."""
    runs = []
    for run in results["runs"]:
        matrices = ",\n".join(f"   {json.dumps(matrix)}" for matrix in run["matrices"])
        head = json.dumps({name: value for name, value in run.items() if name != "matrices"})
        runs.append(f'  {head[:-1]}, "matrices": [\n{matrices}\n  ]}}')
    head = json.dumps({name: value for name, value in results.items() if name != "runs"})
    listed = ",\n".join(runs)
    return f'{head[:-1]}, "runs": [\n{listed}\n]}}\n'


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train", action="store_true", help="train anew; about ten minutes")
    parser.add_argument("--smoke", action="store_true", help="one seed, 60 steps; writes nothing")
    parser.add_argument(
        "--json", action="store_true", help="as other benchmarks have it; no claims"
    )
    parser.add_argument("--rounds", type=int, help="as other benchmarks have it; ignored")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
