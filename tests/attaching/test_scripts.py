"""Scripts that know nothing of bifurk do what they do without it, and are watched."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bifurk.attaching.launch import SITE
from bifurk.wire import Part
from tests.attaching.launcher import SCRIPTS, Ended, Launcher


def names(part: Part) -> set[str]:
    return {tensor.name for tensor in part.tensors}


def parts_of(ended: Ended, run: str) -> list[Part]:
    return [part for part in ended.left.parts if part.manifest.run == run]


ONE_AFTER_THE_OTHER = """
import runpy, sys
sys.path[0], *scripts = sys.argv[1:]
sys.argv[1:] = ["--lr", "1"]
for script in scripts:
    print("=", script)
    runpy.run_path(f"{sys.path[0]}/{script}", run_name="__main__")
"""
TOGETHER = ("zoo.py", "lit.py", "transformer.py", "plain.py")
"""Scripts whose unwatched course is the same in one process as in one each, where torch is loaded
once: each seeds itself. The last one exits."""

WITHOUT_LOSS = ("--every", "20")
"""Of the longest script no more snapshots than there are buffers: none is left out, however slow
the disk that takes them."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the scripts say without bifurk."""
    launcher = Launcher(tmp_path_factory.mktemp("alone"))
    ended = launcher.as_it_is(sys.executable, "-c", ONE_AFTER_THE_OTHER, str(SCRIPTS), *TOGETHER)
    assert ended.code == 0, ended.stderr
    said = re.split(r"^= .*\n", ended.stdout, flags=re.MULTILINE)[1:]
    return dict(zip(TOGETHER, said, strict=True))


@pytest.mark.parametrize("script", ["transformer.py", "lit.py"])
def test_trainers_train_as_without_and_names_are_the_models(
    launcher: Launcher, alone: dict[str, str], script: str
) -> None:
    watched = launcher.watched(sys.executable, str(SCRIPTS / script))
    # transformers prints how long it took before these.
    own, weights = watched.stdout.splitlines()[-2:]
    assert (watched.code, [own, weights]) == (0, alone[script].splitlines()[-2:])
    assert all(names(part) == set(own.split()) for part in watched.left.parts)
    assert watched.left.steps == [0, 1, 2, 4, 8, 10]
    assert watched.left.state == "finished"


def test_a_plain_loop_is_watched_from_before_its_first_step(
    launcher: Launcher, alone: dict[str, str]
) -> None:
    command = (sys.executable, str(SCRIPTS / "plain.py"), "--lr", "1")
    watched = launcher.watched(*command, options=WITHOUT_LOSS)
    assert (watched.code, watched.stdout) == (0, alone["plain.py"])
    assert watched.left.steps == [0, 1, 2, 4, 8, 16, 20, 40]
    assert {part.manifest.optimizer for part in watched.left.parts} == {"AdamW"}
    [line] = watched.stderr.splitlines()
    assert line.startswith("bifurk: watches Sequential as plain-")


def test_two_networks_are_two_runs_each_with_its_own_names(
    launcher: Launcher, alone: dict[str, str]
) -> None:
    command = (sys.executable, str(SCRIPTS / "zoo.py"))
    watched = launcher.watched(*command, options=["--every", "10", "--run", "gan"])
    assert watched.stdout == alone["zoo.py"]
    of_generator, of_critic = (set(line.split()) for line in watched.stdout.splitlines()[:2])
    frozen = {"features.0.weight", "features.0.bias"}
    assert all(names(part) == of_critic - frozen for part in parts_of(watched, "gan"))
    assert all(names(part) == of_generator for part in parts_of(watched, "gan-Generator"))
    assert watched.left.runs == {("default", "gan"), ("default", "gan-Generator")}


def test_a_failure_is_the_scripts_own(launcher: Launcher) -> None:
    watched = launcher.watched(sys.executable, str(SCRIPTS / "plain.py"), "--fail")
    assert watched.code == 1
    assert watched.left.state == "failed"
    assert "RuntimeError: as asked" in watched.stderr


def test_a_module_is_watched_to_its_own_exit_code_and_the_sitecustomize_behind_ours_still_runs(
    launcher: Launcher,
) -> None:
    theirs = launcher.folder / "theirs"
    theirs.mkdir()
    (theirs / "sitecustomize.py").write_text("import sys; sys.stdout.write('theirs\\n')\n")
    path = os.pathsep.join(map(str, (theirs, SCRIPTS)))
    command = (sys.executable, "-m", "plain", "--three")
    watched = launcher.watched(*command, options=WITHOUT_LOSS, PYTHONPATH=path)
    assert (watched.code, watched.left.state) == (3, "finished")
    assert "RuntimeError" not in watched.stderr
    assert watched.stdout.startswith("theirs\n")
    assert all(part.manifest.run.startswith("plain-") for part in watched.left.parts)
    assert len(watched.left.parts) == 8


def test_of_the_processes_that_torchrun_starts_the_first_posts(launcher: Launcher) -> None:
    # Asks for a port of its own: the usual one may be another launch's.
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    watched = launcher.watched(*torchrun, "--nproc-per-node", "2", str(SCRIPTS / "ranks.py"))
    assert watched.code == 0
    assert watched.stdout.startswith("2 ")
    assert watched.stderr.count("bifurk: watches Linear as ranks-") == 1
    assert {part.manifest.run.rpartition("-")[0].split("-")[0] for part in watched.left.parts} == {
        "ranks"
    }
    assert watched.left.steps == [0, 1, 2, 4, 8, 10]


def test_a_python_without_bifurk_runs_unwatched_and_says_so(launcher: Launcher) -> None:
    hidden = launcher.folder / "hidden"
    hidden.mkdir()
    (hidden / "bifurk.py").write_text("raise ImportError('not for this one')\n")
    path = os.pathsep.join(map(str, (SITE, hidden)))
    command = ["env", f"PYTHONPATH={path}", sys.executable, "-c", "import torch; print('done')"]
    watched = launcher.watched(*command)
    assert (watched.code, watched.stdout) == (0, "done\n")
    assert "runs unwatched: ImportError: not for this one" in watched.stderr


LOOKED_FOR_AND_IMPORTED_IN_VAIN = """
import importlib.util, sys
importlib.util.find_spec("torch")
sys.modules["torch._C"] = None
try:
    import torch
except ImportError:
    for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        del sys.modules[name]
"""


def test_torch_may_have_been_asked_for_before(launcher: Launcher) -> None:
    script = f"{LOOKED_FOR_AND_IMPORTED_IN_VAIN}\n{(SCRIPTS / 'short.py').read_text()}"
    watched = launcher.watched(sys.executable, "-c", script)
    assert (watched.code, watched.stdout) == (0, "done\n")
    assert "bifurk: watches Linear as " in watched.stderr


def test_a_script_without_its_stderr_trains_on(launcher: Launcher) -> None:
    """Full, closed by the script, closed by the shell."""
    short = SCRIPTS / "short.py"
    closing = launcher.folder / "closing.py"
    closing.write_text(f"import sys\nsys.stderr.close()\n{short.read_text()}")
    python = sys.executable
    shell = f"{python} {short} 2>/dev/full && {python} {closing} && exec 2>&- && {python} {short}"
    watched = launcher.watched("sh", "-c", shell)
    assert (watched.code, watched.stdout) == (0, "done\n" * 3)
    assert len(watched.left.attempts) == 3


def test_processes_at_once_have_names_of_their_own(launcher: Launcher) -> None:
    watched = launcher.watched(sys.executable, str(SCRIPTS / "forks.py"), options=["--run", "both"])
    assert watched.code == 0
    assert watched.left.runs == {("default", "both"), ("default", "both-2")}


def test_streams_that_the_shell_has_closed_start_all_the_same(tmp_path: Path) -> None:
    command = f"{sys.executable} -m bifurk run -- true >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], cwd=tmp_path, check=False).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_reach_the_script_itself(launcher: Launcher, number: signal.Signals) -> None:
    script = launcher.folder / "waits.py"
    script.write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(5))\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "bifurk", "run", "--", sys.executable, str(script)],
        cwd=launcher.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        code = process.wait(120)
    assert code == (5 if number is signal.SIGTERM else -signal.SIGINT)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "no command"),
        (["--every", "0", "--", "true"], 2, "every"),
        (["--url", "nowhere", "--", "true"], 2, "url"),
        (["--", "no-such-program"], 127, "no-such-program: not found"),
        (["--", "."], 126, "."),
        (["--", "true"], 0, ""),
        (["--include", "a,b", "--", "true"], 2, "holds no comma"),
    ],
)
def test_what_cannot_be_started_is_said_before_anything_runs(
    arguments: list[str], code: int, said: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bifurk", "run", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stdout == ""
    assert not list(tmp_path.iterdir())
