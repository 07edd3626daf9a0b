"""`bifurk runs` and `bifurk alerts` against a running server."""

from __future__ import annotations

import os
import pty
import subprocess
from contextlib import suppress

import pytest

from bifurk_service.commands.alerts import standing
from tests.api.filling import Caller, Filled, settled
from tests.cli.conftest import COMMAND, Run, document, environment
from tests.server import Server


def test_runs_are_listed_as_lines_for_other_programs(
    bifurk: Run, server: Server, filled: Filled
) -> None:
    listed = bifurk("runs", "ls", "--project", "tests", "--url", server.url)
    header, line = listed.stdout.splitlines()
    assert header.split("\t") == [
        "ID",
        "PROJECT",
        "RUN",
        "STATE",
        "STEP",
        "ALERTS",
        "LAST HEARD OF",
        "TAGS",
    ]
    assert line.split("\t")[:6] == [str(filled.run), "tests", "run", "finished", "50", "1 critical"]


def test_lists_are_the_rest_answers_as_json(bifurk: Run, server: Server, filled: Filled) -> None:
    rest = Caller(server)
    assert (
        document(bifurk("runs", "ls", "--json", BIFURK_URL=server.url))
        == (rest.get("/api/v1/runs")["items"])
    )
    assert (
        document(bifurk("alerts", "ls", "--json", BIFURK_URL=server.url))
        == (rest.get("/api/v1/alerts")["items"])
    )
    shown = document(bifurk("runs", "show", "tests/run", "--json", BIFURK_URL=server.url))
    assert settled(shown) == settled(rest.get(f"/api/v1/runs/{filled.run}"))


def test_a_terminal_gets_a_table(server: Server, filled: Filled) -> None:
    lead, follow = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "runs", "ls", "--url", server.url], stdout=follow, env=environment()
    ) as process:
        os.close(follow)
        output = all_of(lead)
        assert process.wait(timeout=60) == 0
    os.close(lead)
    assert "\t" not in output
    assert "finished" in output


def all_of(terminal: int) -> str:
    """What is written to it, until nobody writes any more, which is an error on Linux."""
    written = b""
    with suppress(OSError):
        while came := os.read(terminal, 65536):
            written += came
    return written.decode()


@pytest.mark.parametrize("name", ["{id}", "run", "tests/run"])
def test_a_run_is_shown_by_id_by_name_and_by_project_and_name(
    bifurk: Run, server: Server, filled: Filled, name: str
) -> None:
    shown = bifurk("runs", "show", name.format(id=filled.run), "--url", server.url)
    facts = dict(line.split("  ", 1) for line in shown.stdout.splitlines() if "  " in line)
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    assert facts["run"] == "tests/run"
    assert facts["snapshots"] == "6 judged, 6 total"
    assert facts["verdicts"] == "6 of 60 snapshots; first verdict near step 110"


def test_a_name_that_several_runs_have_is_asked_back(
    bifurk: Run, server: Server, filled: Filled
) -> None:
    for project in ("twins-a", "twins-b"):
        Caller(server).report(project, "twin")
    asked = bifurk("runs", "show", "twin", "--url", server.url)
    assert asked.returncode == 1
    assert "twins-a/twin, twins-b/twin" in asked.stderr


def test_a_run_whose_name_is_a_number_is_found(bifurk: Run, server: Server, filled: Filled) -> None:
    Caller(server).report("years", "202699")
    shown = document(bifurk("runs", "show", "202699", "--json", "--url", server.url))
    assert (shown["project"], shown["run"]) == ("years", "202699")


def test_a_run_is_tagged_listed_by_its_tags_and_untagged(
    bifurk: Run, server: Server, filled: Filled
) -> None:
    Caller(server).report("tagging", "tagged")
    at = ("--url", server.url)
    tagged = bifurk("runs", "tag", "tagging/tagged", "größe:12m", "lr=3e-4", *at)
    assert tagged.stdout == "tagging/tagged: größe:12m lr=3e-4\n"
    both = ("--tag", "lr=3e-4", "--tag", "größe:12m")
    [found] = document(bifurk("runs", "ls", *both, "--json", *at))
    assert found["run"] == "tagged"
    assert bifurk("runs", "ls", *both, *at).stdout.splitlines()[1].endswith("größe:12m lr=3e-4")
    assert "lr=3e-4" in bifurk("runs", "show", "tagging/tagged", *at).stdout
    untagged = bifurk("runs", "tag", "tagging/tagged", "--remove", "lr=3e-4", "never-there", *at)
    assert untagged.stdout == "tagging/tagged: größe:12m\n"
    assert document(bifurk("runs", "ls", *both, "--json", *at)) == []


def test_what_is_no_tag_is_refused_in_words(bifurk: Run, server: Server, filled: Filled) -> None:
    refused = bifurk("runs", "tag", "tests/run", "two words", "--url", server.url)
    assert refused.returncode == 1
    assert "expected a tag of 1 to 64 letters" in refused.stderr
    assert "'two words'" in refused.stderr


def test_tags_are_put_on_or_taken_off_all_or_none(
    bifurk: Run, server: Server, filled: Filled
) -> None:
    Caller(server).report("all-or-none", "tags")
    at = ("all-or-none/tags", "--url", server.url)
    for words in (("new", "bad tag"), ("new", "x" * 65), ("new", *map(str, range(32)))):
        assert bifurk("runs", "tag", *at, *words).returncode == 1
    crowded = bifurk("runs", "tag", *at, *map(str, range(33)))
    assert "would have 33 tags and may have 32; none was put on" in crowded.stderr
    assert bifurk("runs", "tag", *at, " old ", "old").stdout == "all-or-none/tags: old\n"
    assert bifurk("runs", "tag", *at, "--remove", "old", "bad tag").returncode == 1
    assert bifurk("runs", "tag", *at, "newer").stdout == "all-or-none/tags: newer old\n"


def test_a_run_is_deleted_only_when_somebody_says_so(
    bifurk: Run, server: Server, filled: Filled
) -> None:
    Caller(server).report("removing", "removed")
    asked = bifurk("runs", "rm", "removing/removed", "--url", server.url)
    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    removed = bifurk("runs", "rm", "removing/removed", "--yes", "--url", server.url)
    assert removed.returncode == 0
    assert "deleted removing/removed" in removed.stdout
    gone = bifurk("runs", "show", "removing/removed", "--url", server.url)
    assert gone.returncode == 1
    assert "no run 'removing/removed'" in gone.stderr


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--run", "tests/run"], 1),
        (["--run", "tests/run", "--since", "41"], 0),
        (["--project", "other", "--kind", "non_finite", "--severity", "critical"], 1),
        (["--project", "other", "--kind", "regime_shift", "--kind", "mode_split"], 0),
        (["--run", "tests/run", "--state", "resolved"], 0),
    ],
)
def test_alerts_are_listed_by_what_they_are(
    bifurk: Run, server: Server, filled: Filled, options: list[str], count: int
) -> None:
    listed = document(bifurk("alerts", "ls", "--json", *options, "--url", server.url))
    assert len(listed) == count


def test_an_alert_is_shown_with_its_sentence_first(
    bifurk: Run, server: Server, filled: Filled
) -> None:
    alert = Caller(server).get(f"/api/v1/alerts/{filled.alert}")
    shown = bifurk("alerts", "show", str(filled.alert), "--url", server.url).stdout
    assert shown.splitlines()[0] == alert["sentence"]
    assert "between steps 30 and 40" in shown
    assert all(tensor["name"] in shown for tensor in alert["tensors"])


def test_an_alert_is_acknowledged_and_resolved_with_a_note_for_its_history(
    bifurk: Run, server: Server, filled: Filled
) -> None:
    alert = str(filled.other_alert)
    for verb, note, state in (
        ("acknowledge", "looking", "acknowledged"),
        ("resolve", "a bad disk", "resolved"),
    ):
        moved = bifurk("alerts", verb, alert, "--note", note, "--url", server.url)
        assert moved.stdout == f"alert {alert} is {state}\n"
    again = bifurk("alerts", "resolve", alert, "--url", server.url)
    assert again.returncode == 0
    refused = bifurk("alerts", "acknowledge", alert, "--url", server.url)
    assert refused.returncode == 1
    assert "a resolved alert stays so" in refused.stderr
    changes = document(bifurk("alerts", "history", alert, "--json", "--url", server.url))
    assert changes == Caller(server).get(f"/api/v1/alerts/{alert}/history")["items"]
    header, *lines = bifurk("alerts", "history", alert, "--url", server.url).stdout.splitlines()
    assert header.split("\t") == ["AT", "CHANGE", "STATE", "SEVERITY", "WHO", "NOTE"]
    assert [line.split("\t")[1:] for line in lines] == [
        ["raised", "firing", "critical", "bifurk", "-"],
        ["acknowledged", "acknowledged", "critical", "anonymous", "looking"],
        ["resolved", "resolved", "critical", "anonymous", "a bad disk"],
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["acknowledge", "999999"], "no alert 999999"),
        (["history", "999999"], "no alert 999999"),
        (["resolve", "{alert}", "--note", "x" * 2001], "at most 2000 characters"),
        (["resolve", "{alert}", "--note", ""], "at least 1 character"),
    ],
)
def test_what_cannot_be_done_to_an_alert_is_said_in_a_line(
    bifurk: Run, server: Server, filled: Filled, arguments: list[str], said: str
) -> None:
    given = [argument.replace("{alert}", str(filled.alert)) for argument in arguments]
    refused = bifurk("alerts", *given, "--url", server.url)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_list_says_what_keeps_an_alert_from_standing_for_itself() -> None:
    alert = {"state": "resolved", "silenced_by": None, "superseded": False, "parent": None}
    assert standing(alert) == "resolved"
    marked = {"state": "firing", "silenced_by": "a rule", "superseded": True, "parent": 12}
    assert standing(marked) == "firing, silenced, superseded, part of 12"


def test_what_would_steer_a_terminal_is_not_printed(
    bifurk: Run, server: Server, filled: Filled
) -> None:
    rest = Caller(server)
    rest.report("escapes", "escaping")
    run = rest.run_id("escapes", "escaping")
    body = b'{"display_name": "\\u001b[2J\\u202e[red]x"}'
    headers = {"Content-Type": "application/json"}
    assert rest.request("PATCH", f"/api/v1/runs/{run}", body=body, headers=headers)[0] == 200
    shown = bifurk("runs", "show", str(run), "--url", server.url).stdout
    assert "�[2J�[red]x" in shown
