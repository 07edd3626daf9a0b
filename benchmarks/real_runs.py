"""Real trainings under the detectors: what was told of them, when, and what was told for nothing.

With ``--train`` every training of ``trainings/families.py`` that has no recording yet is trained
through the hook against a server of its own on loopback, and what its judge was fed is kept in the
cache, a file a run: about a minute a run on two idle cores. Where there are recordings they are
judged by the detectors of this tree, which takes seconds a run, and the outcome is written to
``benchmarks/results/real_runs.json``; without, that file is read. Either way the numbers of
``docs/detectors/real-runs.md`` are rewritten from it. ``--only fault`` judges the runs whose names
begin so, prints what was told of them and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from claims import Claim, report

PROJECT_FOLDER = Path(__file__).parents[1]
CACHE = PROJECT_FOLDER / "benchmarks/.cache"
RESULTS = PROJECT_FOLDER / "benchmarks/results/real_runs.json"
PAGE = PROJECT_FOLDER / "docs/detectors/real-runs.md"
ONE_PASSIVE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Before torch and numpy are loaded, here and in the processes that train and judge."""
UNSEEN = "of 0"
"""A family of which nothing is recorded claims nothing."""


def main() -> int:
    """Trains if asked, judges what is recorded, writes the page and checks the claims."""
    asked = _options()
    os.environ.update(ONE_PASSIVE_THREAD)
    from trainings.alert_tables import alert_tables
    from trainings.page import filled

    if asked.train:
        _train(asked.cache, asked.only)
    if any(asked.cache.glob("*.npz")):
        results = _judged(asked.cache, asked.only, at_once=asked.at_once)
    else:
        results = json.loads(RESULTS.read_text(encoding="utf-8"))
    if asked.only:
        return _show(results["runs"])
    RESULTS.write_text(_as_text(results), encoding="utf-8")
    made = alert_tables(results)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), made), encoding="utf-8")
    if not asked.json:
        for name, table in made.items():
            print(f"\n{name}\n\n{table}")
        print()
    return report(_claims(results["runs"]), as_json=asked.json)


def _train(cache: Path, only: str) -> None:
    from trainings.families import all_trainings
    from trainings.recorder import record_missing

    wanted = [training for training in all_trainings() if training.name.startswith(only)]
    for training in record_missing(wanted, cache=cache):
        print(f"recorded {training.name}", file=sys.stderr, flush=True)


def _judged(cache: Path, only: str, *, at_once: int) -> dict[str, Any]:
    from trainings.families import all_trainings

    wanted = [training for training in all_trainings() if training.name.startswith(only)]
    paths = {training: cache / f"{training.name}.npz" for training in wanted}
    there = [(training, path) for training, path in paths.items() if path.exists()]
    if not there:
        raise SystemExit(f"no recording in {cache} has a name that begins with {only!r}")
    with ProcessPoolExecutor(at_once, mp_context=get_context("spawn")) as processes:
        documents = list(processes.map(_judge, there))
    return {"made_with": documents[0]["made_with"], "runs": [one["run"] for one in documents]}


def _judge(recorded: tuple[Any, Path]) -> dict[str, Any]:
    from trainings.judging import judged
    from trainings.recording import load

    training, path = recorded
    recording = load(path)
    return {"made_with": dict(recording.made_with), "run": judged(training, recording)}


def _show(runs: list[dict[str, Any]]) -> int:
    """Everything told of some runs, for people who work on detectors."""
    for run in runs:
        print(f"\n{run['name']}: {run['loss']}, info {run['info']}")
        for alert in run["alerts"]:
            part = "  part of another: " if alert["parent"] else "  "
            print(f"{part}step {alert['step']}, {alert['severity']}: {alert['sentence']}")
            print(f"    blocks {alert['layers']}; {'; '.join(alert['named'])}")
    return 0


def _claims(runs: list[dict[str, Any]]) -> list[Claim]:
    from trainings.alert_tables import (
        after_event,
        before_doubling,
        fell_before_generalising,
        named_rightly,
        of,
        rate_interval,
    )
    from trainings.families import (
        BLOW_UP,
        CORRUPTED,
        DYING,
        FAULT,
        FINE_TUNE,
        HEALTHY_CONSTANT,
        HEALTHY_COSINE,
        MODULAR_SHUFFLED,
        MODULAR_TRUE,
        RESUMED,
        RUNAWAY,
    )

    healthy = [*of(runs, HEALTHY_CONSTANT), *of(runs, HEALTHY_COSINE)]
    alerts = sum(len(run["alerts"]) for run in healthy)
    low, high = rate_interval(alerts, len(healthy))

    def every(claim: str, family: Any, holds: Any, *, required: bool = True) -> Claim:
        found = of(runs, family)
        return Claim(
            claim=claim,
            value=sum(bool(holds(run)) for run in found),
            unit=f"of {len(found)}",
            target=len(found) if required else None,
            better="higher",
        )

    claims = [
        Claim(
            claim="alerts of warning or more in a healthy GPT",
            value=alerts / len(healthy),
            unit="a run",
        ),
        Claim(claim="  lower end of its 95 % interval", value=low, unit="a run"),
        Claim(claim="  upper end", value=high, unit="a run"),
        every(
            "learning rate x 10: told before the loss has doubled",
            BLOW_UP,
            lambda run: before_doubling(run, BLOW_UP),
        ),
        every(
            "runaway learning rate: told before the loss has doubled",
            RUNAWAY,
            lambda run: before_doubling(run, RUNAWAY),
        ),
        every(
            "fault in block 2: told, and no other block named",
            FAULT,
            lambda run: named_rightly(run, FAULT),
        ),
        every("resumed: quiet after the seam", RESUMED, lambda run: not after_event(run, RESUMED)),
        every(
            "corrupted targets: told",
            CORRUPTED,
            lambda run: after_event(run, CORRUPTED),
            required=False,
        ),
        every(
            "dying units of block 2: told, and no other block named",
            DYING,
            lambda run: named_rightly(run, DYING),
            required=False,
        ),
        every(
            "modular addition, true labels: fall told before half is right",
            MODULAR_TRUE,
            fell_before_generalising,
        ),
        every(
            "modular addition, shuffled labels: no fall told",
            MODULAR_SHUFFLED,
            lambda run: run["fall_step"] is None,
        ),
        every(
            "fine-tune from pretrained weights: no alert of warning or more",
            FINE_TUNE,
            lambda run: not run["alerts"],
            required=False,
        ),
    ]
    return [claim for claim in claims if claim.unit != UNSEEN]


def _as_text(results: dict[str, Any]) -> str:
    """JSON with a run's alert a line, so that changes can be read."""
    runs = []
    for run in results["runs"]:
        alerts = ",\n".join(f"   {json.dumps(alert)}" for alert in run["alerts"])
        head = json.dumps({name: value for name, value in run.items() if name != "alerts"})
        runs.append(f'  {head[:-1]}, "alerts": [\n{alerts}\n  ]}}')
    made_with, listed = json.dumps(results["made_with"]), ",\n".join(runs)
    return f'{{"made_with": {made_with}, "runs": [\n{listed}\n]}}\n'


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train", action="store_true", help="train what has no recording yet")
    parser.add_argument("--only", default="", help="only runs whose name begins so")
    parser.add_argument(
        "--cache", type=Path, default=CACHE, metavar="DIR", help="folder of recordings"
    )
    parser.add_argument("--at-once", type=int, default=1, help="processes that judge")
    parser.add_argument("--json", action="store_true", help="one JSON object a claim")
    parser.add_argument("--rounds", type=int, help="as other benchmarks have it; ignored")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
