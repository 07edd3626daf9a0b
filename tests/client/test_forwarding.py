"""Scalars and alerts in wandb, MLflow and TensorBoard, whose own contents stay as they are."""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bifurk
from bifurk.forwarding.forwards import THREAD_NAME, as_target
from bifurk.forwarding.target import sentence_of
from bifurk.monitor import InertMonitor
from bifurk.testing import InMemoryTransport
from tests.client import wandb_file
from tests.client.alerting import answer, found
from tests.client.said import SILENT
from tests.client.training import new_training, train
from tests.server import DEADLINE_SECONDS, wait_for

STEPS = 6
EVERY = 2
SAID = "warning regime_shift (firing): The rms of head.weight rose. http://bifurk.test/alerts/7"


@pytest.fixture
def forwarded() -> Callable[..., dict[int, float]]:
    """Trains, logs step / 10 as `loss`, forwards; the means that are due, by step."""

    def forwarded(
        *targets: Any,
        log: Callable[[int], Any] = lambda step: None,
        alerts: tuple[Any, ...] = (found(),),
        **settings: Any,
    ) -> dict[int, float]:
        model, optimizer = new_training()
        transport = InMemoryTransport([answer(), answer(*alerts)])
        given = {"run": "f", "every": EVERY, "log_start": False, "overhead_budget": None}
        given |= {"url": "http://bifurk.test", "transport": transport, **settings}
        with bifurk.watch(model, optimizer, **given) as monitor:
            for target in targets:
                monitor.forward(target)

            def each_step(step: int) -> None:
                monitor.log(loss=step / 10)
                log(step)
                assert monitor.flush()

            train(model, optimizer, steps=STEPS, each_step=each_step)
        # What is logged after a step rides with the next snapshot; the rest with the end.
        return {2: 0.1, 4: 0.25, 6: 0.45} | {STEPS: 0.6}

    return forwarded


class Recording:
    """A writer that keeps what it is told, and by which thread."""

    def __init__(self) -> None:
        self.scalars: list[tuple[str, float, int]] = []
        self.texts: list[tuple[str, str, int]] = []
        self.threads: set[str] = set()

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.threads.add(threading.current_thread().name)
        self.scalars.append((name, value, step))

    def add_text(self, name: str, text: str, step: int) -> None:
        self.texts.append((name, text, step))


def test_a_writer_is_told_the_mean_at_each_snapshot_and_every_news(forwarded: Any) -> None:
    writer, before = Recording(), set(threading.enumerate())
    forwarded(writer, writer, alerts=(found(state="resolved"), found()))
    assert writer.scalars == [
        ("bifurk/loss", pytest.approx(mean), step)
        for step, mean in ((2, 0.1), (4, 0.25), (6, 0.45), (6, 0.6))
    ]
    assert [name for name, _, _ in writer.texts] == ["bifurk/alerts"] * 2
    assert writer.texts[0][1:] == (SAID, 30)
    assert "resolved" in writer.texts[1][1]
    assert writer.threads == {THREAD_NAME}
    assert THREAD_NAME not in {thread.name for thread in {*threading.enumerate()} - before}


def test_who_is_told_changes_nothing_in_the_training() -> None:
    def trained(told: bool) -> tuple[list[float], float, float, float]:
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002 - the global state is what is looked at
        model, optimizer = new_training()
        transport = InMemoryTransport([answer(found(str(n))) for n in range(9)])
        monitor = bifurk.watch(model, optimizer, run="f", every=1, transport=transport)
        if told:
            monitor.on_alert(lambda alert: None)
            monitor.forward(Recording())
        losses = train(model, optimizer, monitor=monitor)
        monitor.close()
        numpy_draw = np.random.random()  # noqa: NPY002 - as above
        return losses, random.random(), numpy_draw, torch.rand(1).item()

    assert trained(told=True) == trained(told=False)


def test_offline_scalars_are_forwarded_all_the_same(forwarded: Any, tmp_path: Path) -> None:
    writer = Recording()
    settings: dict[str, Any] = {"transport": None, "url": None, "offline_dir": tmp_path}
    forwarded(writer, **settings)
    assert [step for _, _, step in writer.scalars] == [2, 4, 6, 6]
    assert writer.texts == []


@pytest.mark.parametrize("error", [OSError("the disk is full"), SystemExit(3)])
def test_a_writer_that_fails_is_said_once_and_the_others_are_told(
    error: BaseException, forwarded: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(Recording):
        def add_scalar(self, name: str, value: float, step: int) -> None:
            raise error

    sound = Recording()
    forwarded(Broken(), sound)
    assert len(sound.scalars) == 4
    first, last = (record.getMessage() for record in caplog.records)
    assert first.startswith("forwarding to TensorBoard failed")
    assert last.startswith("4 values and alerts were not forwarded to TensorBoard")
    assert "Traceback" in caplog.text


def test_a_writer_that_hangs_keeps_nobody(forwarded: Any) -> None:
    released = threading.Event()

    class Hanging(Recording):
        def add_scalar(self, name: str, value: float, step: int) -> None:
            released.wait(DEADLINE_SECONDS)

    model, optimizer = new_training()
    transport = InMemoryTransport([answer(), answer(found())])
    monitor = bifurk.watch(model, optimizer, run="f", every=1, transport=transport)
    monitor.forward(Hanging())
    heard: list[str] = []
    monitor.on_alert(lambda alert: heard.append(alert.fingerprint))
    train(model, optimizer, steps=4, monitor=monitor)
    wait_for(lambda: heard, "the alert beside what hangs")
    assert not monitor.flush(0.5), "what hangs has not been forwarded"
    monitor.close(0.5)
    released.set()
    assert heard == ["event-1"]


@pytest.mark.parametrize("target", ["tensorboard", 7, None, object()])
def test_what_cannot_be_forwarded_to_is_refused(target: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="forward to one of"):
        as_target(target)


def test_a_setting_that_names_nothing_raises_in_watch() -> None:
    model, optimizer = new_training()
    with pytest.raises(ValueError, match="forward must be one of wandb, mlflow; got 'tensorboard'"):
        bifurk.watch(model, optimizer, mode="disabled", forward="tensorboard")


def test_a_monitor_that_does_nothing_forwards_nothing() -> None:
    InertMonitor().forward("anything")


@pytest.mark.parametrize("place", ["wandb", "mlflow"])
def test_without_an_active_run_there_is_one_warning_and_no_import(
    place: str,
    forwarded: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delitem(sys.modules, place, raising=False)
    forwarded(place, forward=(place,))
    assert place not in sys.modules
    [record] = [record for record in caplog.records if record.name == "bifurk"]
    assert f"nothing is forwarded: {place} has no active run" in record.getMessage()


def test_tensorboard_has_scalars_and_alerts_and_a_closed_writer_stays_closed(
    forwarded: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path))

    def log(step: int) -> None:
        if step < 5:
            writer.add_scalar("loss", step, step)
        elif step == 5:
            writer.close()

    forwarded(writer, log=log)
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    assert {tag: [e.step for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]} == {
        "loss": [1, 2, 3, 4],
        "bifurk/loss": [2, 4],
    }
    [text] = read.Tensors("bifurk/alerts/text_summary")
    assert text.tensor_proto.string_val[0].decode() == SAID
    assert len(list(tmp_path.iterdir())) == 1, "no new file behind the user's close"
    [record] = caplog.records
    assert record.getMessage().startswith("2 values and alerts were not forwarded to TensorBoard")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_mlflow_has_metrics_at_our_steps_and_a_tag_an_alert(mlflow: Any, forwarded: Any) -> None:
    with mlflow.start_run() as run:
        forwarded(forward="mlflow", log=lambda step: mlflow.log_metric("loss", step, step=step))
    client = mlflow.MlflowClient()
    history = client.get_metric_history(run.info.run_id, "bifurk/loss")
    means = [(metric.step, metric.value) for metric in history]
    assert means == [(2, 0.1), (4, pytest.approx(0.25)), (6, pytest.approx(0.45)), (6, 0.6)]
    assert len(client.get_metric_history(run.info.run_id, "loss")) == STEPS
    assert client.get_run(run.info.run_id).data.tags["bifurk.alert.7"] == SAID


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_mlflow_takes_any_name_that_was_logged(mlflow: Any) -> None:
    with mlflow.start_run() as run:
        target = as_target("mlflow")
        target.find()
        target.scalars(3, {"größe?": 1.0, "eval/loss (ema)": float("nan")})
    metrics = mlflow.MlflowClient().get_run(run.info.run_id).data.metrics
    assert set(metrics) == {"bifurk/gr__e_", "bifurk/eval/loss _ema_"}


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> Any:
    """wandb in offline mode, quiet."""
    for name, value in (("MODE", "offline"), ("SILENT", "true"), ("ERROR_REPORTING", "false")):
        monkeypatch.setenv(f"WANDB_{name}", value)
    import wandb

    return wandb


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("numbered", [False, True], ids=["numbered by wandb", "own steps"])
def test_wandb_keeps_every_row_of_the_users_own_and_ours_ride_along(
    wandb: Any, forwarded: Any, tmp_path: Path, numbered: bool
) -> None:
    quiet = wandb.Settings(console="off", x_disable_stats=True, x_disable_meta=True)
    run = wandb.init(project="tests", dir=str(tmp_path), settings=quiet)

    def log(step: int) -> None:
        if numbered:
            run.log({"loss": step}, step=step)
            run.log({"accuracy": -step}, step=step)
        else:
            run.log({"loss": step, "accuracy": -step})

    forwarded("wandb", log=log, alerts=(found("b", state="resolved", id=8), found()))
    run.finish()

    def written() -> list[Any]:
        found = [r for file in tmp_path.rglob("*.wandb") for r in wandb_file.records(file)]
        return found if "exit" in {r.WhichOneof("record_type") for r in found} else []

    records = wait_for(written, "the end of wandb's file")
    rows = wandb_file.rows(records)
    first = 1 if numbered else 0
    theirs = [{k: row[k] for k in ("_step", "loss", "accuracy")} for row in rows if "loss" in row]
    assert theirs == [
        {"_step": step - 1 + first, "loss": step, "accuracy": -step} for step in range(1, STEPS + 1)
    ]
    ours = [(row["bifurk/step"], row["bifurk/loss"]) for row in rows if "bifurk/step" in row]
    assert ours[:2] == [(2, 0.1), (4, pytest.approx(0.25))]
    assert ours[-1] == (6, 0.6)
    [metric] = [r.metric for r in records if r.WhichOneof("record_type") == "metric"]
    assert (metric.glob_name, metric.step_metric) == ("bifurk/*", "bifurk/step")
    [alert] = [r.alert for r in records if r.WhichOneof("record_type") == "alert"]
    assert (alert.title, alert.text, alert.level) == ("bifurk: regime_shift", SAID, "WARN")
    assert alert.wait_duration < 1_000


def test_a_sentence_without_a_page_ends_with_itself() -> None:
    assert sentence_of(SILENT) == "critical silent (firing): Nothing comes any more."
