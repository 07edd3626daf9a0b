"""What the tests of the interface find on a server: a run that goes wrong, and another project."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bifurk.exact import Exact
from bifurk.wire import AttemptReport, Mark, Part, ScalarSummary, TensorPart, encode, encode_attempt
from tests.parts import address, make_part, put_body
from tests.server import Server, wait_for

SNAPSHOTS = 6
BROKEN_AT = 4
"""From this sequence on the bias holds a NaN, which a detector reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """Ids of what is on the server."""

    run: int
    tensor: int
    small_tensor: int
    alert: int
    other_run: int
    other_alert: int


class Caller:
    """Speaks to a server with one token, or with none."""

    def __init__(self, server: Server, token: str | None = None) -> None:
        self.server = server
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def request(self, method: str, path: str, **more: Any) -> tuple[int, Any]:
        """Status and body of a request."""
        headers = {**self.headers, **more.pop("headers", {})}
        return self.server.request(method, path, headers=headers, **more)

    def get(self, path: str) -> Any:
        """The JSON of a GET that must succeed."""
        status, answer = self.request("GET", path)
        assert status == 200, f"GET {path}: {status} {answer}"
        return answer

    def post_part(self, part: Part) -> None:
        """Sends a part that must be taken."""
        status, answer = put_body(self.server, address(part.manifest), encode(part), **self.headers)
        assert status == 201, answer

    def report(self, project: str, run: str, state: Any = "running") -> None:
        """Reports the state of the run's first attempt, which makes the run if it is new."""
        path = f"/api/v1/projects/{project}/runs/{run}/attempts/first"
        body = encode_attempt(AttemptReport(state=state))
        status, answer = self.request("PUT", path, body=body)
        assert status == 200, answer

    def wait_until_judged(self, run_id: int, snapshots: int) -> None:
        """Returns once this many snapshots of a run are judged."""
        wait_for(
            lambda: self.get(f"/api/v1/runs/{run_id}")["snapshots"]["judged"] >= snapshots,
            f"{snapshots} judged snapshots",
        )

    def run_id(self, project: str, run: str) -> int:
        """The id of a run."""
        [found] = self.get(f"/api/v1/runs?project={project}&run={run}")["items"]
        return int(found["id"])


def fill(caller: Caller) -> Filled:
    """Posts two runs, each with an alert, and waits until they are judged."""
    for sequence in range(SNAPSHOTS):
        caller.post_part(broken_part(sequence))
        caller.post_part(broken_part(sequence, project="other", run="secret"))
    caller.report("tests", "run", "finished")
    run, other = caller.run_id("tests", "run"), caller.run_id("other", "secret")
    caller.wait_until_judged(run, SNAPSHOTS)
    caller.wait_until_judged(other, SNAPSHOTS)
    return Filled(
        run=run,
        tensor=caller.get(f"/api/v1/runs/{run}/tensors?name=*weight")["items"][0]["id"],
        small_tensor=caller.get(f"/api/v1/runs/{run}/tensors?name=*bias")["items"][0]["id"],
        alert=caller.get(f"/api/v1/alerts?run={run}&kind=non_finite")["items"][0]["id"],
        other_run=other,
        other_alert=caller.get(f"/api/v1/alerts?run={other}")["items"][0]["id"],
    )


def settled(run: dict[str, Any]) -> dict[str, Any]:
    """A run as REST tells of it, but for its bytes: full values go a while after all is judged."""
    return {name: value for name, value in run.items() if name != "stored_bytes"}


def alerting_run(caller: Caller, project: str, run: str) -> tuple[int, int]:
    """A run that nobody else touches, and its alert: their ids."""
    for sequence in range(BROKEN_AT + 1):
        caller.post_part(broken_part(sequence, project=project, run=run))
    run_id = caller.run_id(project, run)
    caller.wait_until_judged(run_id, BROKEN_AT + 1)
    [alert] = caller.get(f"/api/v1/alerts?run={run_id}")["items"]
    return run_id, alert["id"]


def broken_part(sequence: int, **manifest: Any) -> Part:
    """A part of a run that logs, marks, and whose bias breaks at ``BROKEN_AT``."""
    value = 1.0 / (1 + sequence)
    scalar = ScalarSummary(last=value, mean=value, min=value, max=value, count=10)
    mark = Mark(kind="checkpoint", step=sequence * 10, details={"path": f"ckpt/{sequence}.pt"})
    part = make_part(
        sequence, scalars={"loss": scalar, "train/loss": scalar}, marks=(mark,), **manifest
    )
    if sequence < BROKEN_AT:
        return part
    return replace(part, tensors=tuple(map(_broken, part.tensors)))


def _broken(tensor: TensorPart) -> TensorPart:
    if not tensor.name.endswith("bias"):
        return tensor
    assert tensor.values is not None
    values = np.array(tensor.values.float64(), dtype=np.float32)
    values[7] = np.nan
    return replace(tensor, values=Exact(dtype="float32", data=values))
