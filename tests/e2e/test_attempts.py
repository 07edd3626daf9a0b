"""What becomes of a run whose training crashed, went back, or was started twice by mistake."""

from __future__ import annotations

import copy
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import bifurk
from bifurk.session import Session
from tests.client.training import new_training, train
from tests.server import Server
from tests.torch_python import run_with_torch

EVERY = 4
CRASHING = """
import os, signal, sys, torch, bifurk
from tests.client.training import new_training, train
torch.set_num_threads(1)
url, spool, checkpoint = sys.argv[1:]
model, optimizer = new_training()
monitor = bifurk.watch(model, optimizer, url=url, spool_dir=spool, project="p", run="crash",
                       attempt="first", every=4, overhead_budget=None)
train(model, optimizer, steps=6, monitor=monitor)
torch.save((model.state_dict(), optimizer.state_dict()), checkpoint)
train(model, optimizer, steps=6, monitor=monitor)
monitor.flush(120)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("attempts") / "data")
    yield server
    server.stop()


@pytest.fixture
def watch(server: Server, tmp_path: Path) -> Any:
    def begin(model: torch.nn.Module, optimizer: Any, run: str, **settings: Any) -> Session:
        told = {"project": "p", "every": EVERY, "overhead_budget": None, **settings}
        monitor = bifurk.watch(
            model, optimizer, run=run, url=server.url, spool_dir=tmp_path / "spool", **told
        )
        assert isinstance(monitor, Session)
        return monitor

    return begin


def run_of(server: Server, name: str, snapshots: int) -> dict[str, Any]:
    [found] = server.get(f"/api/v1/runs?project=p&run={name}")["items"]
    return server.wait_until_judged(found["id"], snapshots)


def steps(server: Server, run: dict[str, Any], query: str = "") -> list[int]:
    path = f"/api/v1/runs/{run['id']}/series?stat=std&tensor=output.bias{query}"
    [series] = server.get(path)["items"]
    return list(series["steps"])


def std_at(server: Server, run: dict[str, Any], step: int, query: str = "") -> tuple[str, float]:
    [tensor] = server.get(f"/api/v1/runs/{run['id']}/tensors?name=output.bias")["items"]
    path = f"/api/v1/runs/{run['id']}/tensors/{tensor['id']}/statistics?step={step}{query}"
    answer = server.get(path)
    return answer["attempt"], answer["values"]["std"]


def lies(run: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    names = ("state", "first_step", "last_step", "on_course", "course_end")
    return {one["attempt"]: tuple(one[name] for name in names) for one in run["attempts"]}


def test_a_run_resumed_after_a_crash_is_one_course_and_the_overlap_a_branch(
    server: Server, watch: Any, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint"
    ended = run_with_torch("-c", CRASHING, server.url, str(tmp_path / "killed"), str(checkpoint))
    assert ended.returncode == -signal.SIGKILL
    model, optimizer = new_training()
    kept = torch.load(checkpoint)
    model.load_state_dict(kept[0])
    optimizer.load_state_dict(kept[1])
    monitor = watch(model, optimizer, "crash", attempt="second")
    torch.manual_seed(7)
    train(model, optimizer, steps=6, monitor=monitor)
    monitor.close()
    run = run_of(server, "crash", 8)

    assert lies(run) == {
        "first": ("running", 0, 12, True, 8),
        "second": ("finished", 8, 12, True, None),
    }
    assert run["live_together"] == [], "a crash is no second job"
    assert steps(server, run) == [0, 1, 2, 4, 8, 12]
    assert steps(server, run, "&attempt=first") == [0, 1, 2, 4, 8, 12]
    assert steps(server, run, "&attempt=second") == [8, 12]
    course, branch = std_at(server, run, 12), std_at(server, run, 12, "&attempt=first")
    assert (course[0], branch[0]) == ("second", "first")
    assert course[1] != branch[1]
    logged = server.get(f"/api/v1/runs/{run['id']}/scalars/loss?attempt=first")
    assert logged["steps"] == [2, 4, 8, 12]
    compared = server.get(
        f"/api/v1/runs/{run['id']}/compare?step=12&attempt=first&with_attempt=second"
    )
    assert [compared[side]["attempt"] for side in ("this", "other")] == ["first", "second"]
    assert any(tensor["ks"] for tensor in compared["tensors"])
    status, problem = server.request(
        "GET", f"/api/v1/runs/{run['id']}/series?stat=std&attempt=third"
    )
    assert (status, problem["where"]) == (404, "attempt")
    assert "first, second" in problem["detail"]
    alerts = server.get(f"/api/v1/alerts?run={run['id']}")["items"]
    assert [alert["sentence"] for alert in alerts if alert["detected_step"] >= 8] == []

    page = server.get(f"/runs/{run['id']}")
    assert "the run&#39;s course before step 8, from there on a branch" in page
    assert "train at the same time" not in page
    figures = [
        server.get(f"/runs/{run['id']}/figures/overview{query}")
        for query in ("", "?attempt=first", "?attempt=second")
    ]
    assert ["branch first" in str(figure) for figure in figures] == [True, False, False]
    assert len({str(figure) for figure in figures}) == 3


def test_a_training_that_goes_back_is_refused_nothing(server: Server, watch: Any) -> None:
    model, optimizer = new_training()
    monitor = watch(model, optimizer, "back", attempt="a")
    train(model, optimizer, steps=6, monitor=monitor)
    kept = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    train(model, optimizer, steps=7, monitor=monitor)
    model.load_state_dict(kept[0])
    optimizer.load_state_dict(kept[1])
    train(model, optimizer, steps=7, monitor=monitor)
    monitor.close()
    run = run_of(server, "back", 8)
    assert lies(run) == {
        "a": ("finished", 0, 13, True, 8),
        "a.2": ("finished", 8, 13, True, None),
    }
    assert [one["dropped"] for one in run["attempts"]] == [{}, {}]
    assert run["live_together"] == []
    marks = server.get(f"/api/v1/runs/{run['id']}/marks")["items"]
    assert {"kind": "resume", "step": 6, "details": {"from_step": 13, "attempt": "a"}} in marks


def test_two_jobs_of_one_name_are_both_kept_and_both_told(
    server: Server, watch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [new_training(seed) for seed in (0, 1)]
    monitors = [
        watch(*job, "twice", attempt=name) for job, name in zip(jobs, ("one", "two"), strict=True)
    ]
    with caplog.at_level(logging.WARNING, logger="bifurk"):
        for _ in range(2):
            for (model, optimizer), monitor in zip(jobs, monitors, strict=True):
                train(model, optimizer, steps=4, monitor=monitor)
                monitor.flush(120)
        [found] = server.get("/api/v1/runs?project=p&run=twice")["items"]
        run = server.get(f"/api/v1/runs/{found['id']}")
        page = server.get(f"/runs/{found['id']}")
        for (model, optimizer), monitor in zip(jobs, monitors, strict=True):
            train(model, optimizer, steps=4)
            monitor.flush(120)
    assert run["live_together"] == ["one", "two"]
    assert "2 attempts of this run train at the same time" in page
    told = [record.getMessage() for record in caplog.records]
    for other in ("one", "two"):
        assert sum(f"p/twice, as attempt {other}:" in line for line in told) == 1
    for monitor in monitors:
        monitor.close()
    run = run_of(server, "twice", 12)
    assert run["live_together"] == []
    for name in ("one", "two"):
        assert steps(server, run, f"&attempt={name}") == [0, 1, 2, 4, 8, 12]
    assert std_at(server, run, 12)[0] == "two"
    assert std_at(server, run, 12)[1] != std_at(server, run, 12, "&attempt=one")[1]


def test_a_second_job_under_one_attempt_goes_on_under_its_own(
    server: Server, watch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = [new_training(seed) for seed in (0, 1)]
    first = watch(*jobs[0], "copied", attempt="nightly")
    train(*jobs[0], steps=5, monitor=first)
    first.flush(30)
    with caplog.at_level(logging.WARNING, logger="bifurk"):
        second = watch(*jobs[1], "copied", attempt="nightly")
        train(*jobs[1], steps=9, monitor=second)
        second.close()
    train(*jobs[0], steps=4, monitor=first)
    first.close()
    run = run_of(server, "copied", 10)
    own = f"nightly-{second._identity.writer[:8]}"  # type: ignore[index]
    assert {name: lie[:3] for name, lie in lies(run).items()} == {
        "nightly": ("finished", 0, 9),
        own: ("finished", 0, 9),
    }
    assert [one["dropped"] for one in run["attempts"]] == [{}, {}]
    for name in ("nightly", own):
        assert steps(server, run, f"&attempt={name}") == [0, 1, 2, 4, 8]
    warned = [one.getMessage() for one in caplog.records if "another job" in one.getMessage()]
    assert any(f"go on as attempt {own}" in line for line in warned)


def test_what_a_killed_second_job_left_is_sent_under_its_own_name_by_the_next(
    server: Server, watch: Any, tmp_path: Path
) -> None:
    first = watch(*new_training(0), "left", attempt="fixed")
    first.flush(30)
    jobs = new_training(1)
    offline = bifurk.watch(
        *jobs, project="p", run="left", attempt="fixed", every=EVERY, mode="offline",
        offline_dir=tmp_path / "offline", overhead_budget=None,
    )  # fmt: skip
    train(*jobs, steps=4)
    offline.close()
    ended = subprocess.run(
        [sys.executable, "-m", "bifurk", "sync", str(tmp_path / "offline"), "--url", server.url],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr + ended.stdout
    first.close()
    run = run_of(server, "left", 4)
    assert isinstance(offline, Session)
    own = f"fixed-{offline._identity.writer[:8]}"  # type: ignore[index]
    assert lies(run)[own][:3] == ("finished", 0, 4)
    assert lies(run)["fixed"][:2] == ("finished", None)
