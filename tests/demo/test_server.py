"""The demo against the real server: started, trained against, read, stopped."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import nn
from torch.optim import Optimizer

import bifurk
from bifurk_service.demo.api import Api, ApiError
from bifurk_service.demo.collect import embedding_course, matrix_spread, wait_until_judged
from bifurk_service.demo.runs import PROJECT, DemoRun, ModularAddition, TinyGpt
from bifurk_service.demo.server import ServerFailedError, serving
from bifurk_service.demo.worker import steps


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(tmp_path_factory.mktemp("demo-server")) as reader:
        yield reader


def trained(run: DemoRun, api: Api, spool_dir: Path) -> int:
    """Trains and waits for every verdict; flushed at each step, so that no snapshot is skipped."""
    monitors: list[bifurk.Monitor] = []

    def watch(model: nn.Module, optimizer: Optimizer) -> bifurk.Monitor:
        monitor = bifurk.watch(
            model,
            optimizer,
            project=PROJECT,
            run=run.name,
            every=run.every,
            url=api.url,
            spool_dir=spool_dir,
            overhead_budget=None,
        )
        monitors.append(monitor)
        return monitor

    for _ in steps(run, watch=watch):
        assert monitors[0].flush()
    wait_until_judged(api, [run])
    return api.run_id(PROJECT, run.name)


def test_the_embeddings_density_is_read_back_at_every_snapshot(api: Api, tmp_path: Path) -> None:
    run = DemoRun(name="short-modular", title="x", training=ModularAddition(steps=20), every=10)
    run_id = trained(run, api, tmp_path)
    course = embedding_course(api, run_id)
    assert course.steps.tolist() == [0, 1, 2, 4, 8, 10, 20]
    assert course.density.shape == (7, 120)
    assert (course.density.sum(axis=1) * 6 / 120).min() > 0.99
    assert api.run(run_id)["state"] == "finished"
    assert api.alerts(run_id) == ()


def test_the_spread_of_every_matrix_is_read_back(api: Api, tmp_path: Path) -> None:
    run = DemoRun(name="short-gpt", title="x", training=TinyGpt(steps=4), every=2)
    run_id = trained(run, api, tmp_path)
    spread = matrix_spread(api, run_id)
    assert spread.steps.tolist() == [0, 1, 2, 4]
    assert len(spread.tensors) == 27
    assert spread.tensors[0] == "token_embedding.weight"
    assert spread.tensors[-1] == "head.weight"


def test_after_the_demo_the_server_is_gone(tmp_path: Path) -> None:
    with serving(tmp_path) as reader:
        url = reader.url
    with pytest.raises(ApiError):
        Api(url).check_ready()


def test_a_server_that_cannot_start_is_told_with_its_log(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServerFailedError, match=f"cannot listen on 127.0.0.1:{port}"),
            serving(tmp_path, port=port),
        ):
            pass
