"""A folder of checkpoints through the whole pipeline, and tables of series, from the shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.utils.tensorboard import SummaryWriter
from typer.testing import CliRunner

from bifurk_service.cli import app
from tests.server import Server

BROKEN_STEP = 150


def _checkpoints(folder: Path) -> None:
    """Fifteen checkpoints of a model that trains, the last one with an infinite weight."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(160, 160), torch.nn.LayerNorm(160))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for step in range(1, BROKEN_STEP + 1):
        loss = model(torch.randn(8, 160)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10:
            continue
        if step == BROKEN_STEP:
            with torch.no_grad():
                model[0].weight[3, 4] = torch.inf
        inside = folder / f"checkpoint-{step}"
        inside.mkdir(parents=True)
        weights = {f"_orig_mod.{name}": value for name, value in model.state_dict().items()}
        if step % 20:
            save_file(weights, inside / "model.safetensors")
        else:
            torch.save({"state_dict": weights}, inside / "weights.pt")
        torch.save(optimizer.state_dict(), inside / "optimizer.pt")
        history = [{"step": step, "learning_rate": 1e-3, "loss": loss.item()}]
        state = {"global_step": step, "log_history": history}
        (inside / "trainer_state.json").write_text(json.dumps(state))


def test_checkpoints_become_a_run_like_any_other(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "small-model"
    _checkpoints(folder)
    done = CliRunner().invoke(app, ["replay", str(folder), "--url", server.url])
    assert done.exit_code == 0, done.output
    assert f"step {BROKEN_STEP}: checkpoint-{BROKEN_STEP} sent" in done.output
    assert "non_finite" in done.output
    [run] = server.get("/api/v1/runs?run=small-model")["items"]
    found = server.get(f"/api/v1/runs/{run['id']}")
    assert (found["state"], found["last_step"]) == ("finished", BROKEN_STEP)
    assert found["snapshots"]["judged"] == 15
    [weight] = server.get(f"/api/v1/runs/{run['id']}/tensors?name=0.weight")["items"]
    path = f"/api/v1/runs/{run['id']}/series?stat=std&tensor=0.weight"
    [series] = server.get(path)["items"]
    assert series["steps"] == list(range(10, BROKEN_STEP + 1, 10))
    [last_but_one] = folder.glob("checkpoint-140")
    stored = torch.load(last_but_one / "weights.pt", weights_only=True)["state_dict"]
    expected = stored["_orig_mod.0.weight"].double().std(correction=0).item()
    assert series["values"][-2] == pytest.approx(expected, rel=1e-3)
    spectrum = server.get(f"/api/v1/runs/{run['id']}/tensors/{weight['id']}/spectrum?step=140")
    assert spectrum["step"] == 140
    assert server.get(f"/api/v1/runs/{run['id']}/scalars/loss")["steps"][-1] == BROKEN_STEP

    again = CliRunner().invoke(app, ["replay", str(folder), "--url", server.url])
    assert again.exit_code == 0, again.output
    (folder / "checkpoint-140" / "weights.pt").unlink()
    save_file({"0.weight": torch.zeros(4, 4)}, folder / "checkpoint-140" / "model.safetensors")
    other = CliRunner().invoke(app, ["replay", str(folder), "--url", server.url])
    assert other.exit_code != 0
    assert "refused what was sent (conflict)" in str(other.exception)


def test_a_table_is_imported_under_the_files_own_name(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "my-metrics.csv"
    rows = [f"{step},w,std,{1 + step / 1000}" for step in range(20, 0, -1)]
    path.write_text("\n".join(["step,tensor,statistic,value", *rows]))
    done = CliRunner().invoke(app, ["import", "series", str(path), "--url", server.url])
    assert done.exit_code == 0, done.output
    assert "default/my-metrics: 20 of 20 values new, 20 new steps" in done.output
    again = CliRunner().invoke(app, ["import", "series", str(path), "--url", server.url])
    assert "0 of 20 values new, 0 new steps" in again.output
    path.write_text("step,statistic,value\n1,std,x\n")
    wrong = CliRunner().invoke(app, ["import", "series", str(path), "--url", server.url])
    assert "my-metrics.csv, line 2: value is a number" in str(wrong.exception)


def test_event_files_are_imported(server: Server, tmp_path: Path) -> None:
    with SummaryWriter(str(tmp_path / "events")) as writer:
        for step in range(5):
            writer.add_scalar("loss", 1.0 / (1 + step), step)
            writer.add_histogram("blocks.0.weight", torch.randn(100), step)
    done = CliRunner().invoke(
        app, ["import", "tensorboard", str(tmp_path / "events"), "--url", server.url]
    )
    assert done.exit_code == 0, done.output
    assert "40 of 40 values new, 5 new steps" in done.output


def test_a_folder_that_holds_nothing_is_told_so(tmp_path: Path, server: Server) -> None:
    for command in (["replay"], ["import", "tensorboard"]):
        done = CliRunner().invoke(app, [*command, str(tmp_path), "--url", server.url])
        assert done.exit_code == 1
        assert "no checkpoint with a step" in str(done.exception) or "no event file" in str(
            done.exception
        )
