"""The main job: a real model trains through the hook, a real server tells what its weights did."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bifurk
from tests.server import Server

STEPS = 12
EVERY = 4


def train(
    server: Server, **settings: object
) -> tuple[torch.nn.Module, dict[int, dict[str, np.ndarray]]]:
    """Trains a small network through the hook; also what its weights were at every step."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    seen = {0: weights(model)}
    with bifurk.watch(
        model, optimizer, url=server.url, project="tests", run="main-job", every=EVERY, **settings
    ) as monitor:
        for step in range(1, STEPS + 1):
            inputs = torch.randn(32, 64)
            loss = model(inputs).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            monitor.log(loss=loss)
            seen[step] = weights(model)
    return model, seen


def weights(model: torch.nn.Module) -> dict[str, np.ndarray]:
    return {n: p.detach().double().numpy().copy() for n, p in model.named_parameters()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    server = Server(tmp_path_factory.mktemp("main-job") / "server")
    _, seen = train(server)
    run = server.get("/api/v1/runs?project=tests")["items"][0]
    run = server.wait_until_judged(run["id"], 6)
    yield server, run, seen
    server.stop()


def test_the_run_is_there_and_finished(trained) -> None:  # type: ignore[no-untyped-def]
    _, run, _ = trained
    assert run["state"] == "finished"
    assert run["last_step"] == STEPS
    assert run["snapshots"]["judged"] == run["snapshots"]["total"]


def test_stored_statistics_equal_numpy_on_the_actual_weights(trained) -> None:  # type: ignore[no-untyped-def]
    server, run, seen = trained
    for name, tolerance in (("0.weight", 1e-4), ("0.bias", 1e-12), ("2.weight", 1e-12)):
        [series] = server.get(f"/api/v1/runs/{run['id']}/series?stat=std&tensor={name}")["items"]
        assert series["steps"][-1] == STEPS
        for step, value in zip(series["steps"], series["values"], strict=True):
            assert value == pytest.approx(seen[step][name].std(), rel=tolerance)


def test_the_logged_loss_is_a_series(trained) -> None:  # type: ignore[no-untyped-def]
    server, run, _ = trained
    loss = server.get(f"/api/v1/runs/{run['id']}/scalars/loss")
    assert loss["steps"][-1] == STEPS
    assert all(np.isfinite(loss["mean"]))
