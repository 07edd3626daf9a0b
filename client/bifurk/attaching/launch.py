"""Turns this process into the command, in an environment in which its training is watched."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NoReturn

from bifurk.attaching.naming import LAUNCH
from bifurk.config import WatchSettings
from bifurk.configure import PREFIX, given, resolve
from bifurk.identity import fresh_run

SITE: Final = Path(__file__).parent / "site"
WRONG_USAGE, CANNOT_RUN, NOT_FOUND = 2, 126, 127
"""Exit codes; the last two as shells have them."""
LONG_OPTIONS_WITH_VALUES: Final = ("--check-hash-based-pycs",)
TAKES_VALUE, ENDS_OPTIONS = "WX", "cm"
"""Letters of Python's options behind which a value comes, or the script's own arguments."""
ISOLATED: Final = frozenset("IE")
"""Letters of Python's own options that take nothing from outside."""

EPILOG: Final = """every other setting of bifurk.watch is taken from its variable BIFURK_<NAME>;
the command's output, exit code and signals are its own"""


def main(arguments: Sequence[str]) -> int:
    """Runs ``[options] -- command ...``; returns only where the command cannot be started."""
    options = parser().parse_args(arguments)
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        parser().error("no command; for example: bifurk run -- python train.py")
    try:
        environ = watched(os.environ, settings(options), command)
    except (TypeError, ValueError) as error:
        print(f"bifurk run: {error}", file=sys.stderr)
        return WRONG_USAGE
    if ISOLATED & set("".join(python_flags(command))):
        print("bifurk run: python -I and -E take nothing from outside: unwatched", file=sys.stderr)
    return start(command, environ)


def parser() -> argparse.ArgumentParser:
    """The options before the command."""
    made = argparse.ArgumentParser(
        prog="bifurk run",
        usage="bifurk run [options] -- COMMAND ...",
        description="Run a training script as it is, and watch its weights.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    made.add_argument("--url", help="the server; without it snapshots go to ./bifurk/")
    made.add_argument("--token", help="its token; better BIFURK_TOKEN")
    made.add_argument("--project", help="project the run belongs to")
    made.add_argument("--run", help="the run's name; a fresh one after the script without it")
    made.add_argument("--every", type=int, help="optimizer steps between snapshots")
    made.add_argument("--include", action="append", help="glob of names to watch; repeatable")
    made.add_argument("--exclude", action="append", help="glob of names to leave out; repeatable")
    made.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    return made


def settings(options: argparse.Namespace) -> WatchSettings:
    """What the options say, as arguments of ``watch``."""
    return WatchSettings(
        url=options.url,
        token=options.token,
        project=options.project,
        run=options.run,
        every=options.every,
        include=options.include,
        exclude=options.exclude,
    )


def watched(
    environ: Mapping[str, str], arguments: WatchSettings, command: Sequence[str]
) -> dict[str, str]:
    """The environment in which the command is watched.

    Raises:
        TypeError, ValueError: a setting cannot be used.
    """
    resolve(arguments, environ=environ)
    for glob in [*(arguments.get("include") or ()), *(arguments.get("exclude") or ())]:
        if "," in glob:
            raise ValueError(f"a glob holds no comma, got {glob!r}: repeat the option for each")
    found = dict(environ)
    found[LAUNCH] = secrets.token_hex(8)
    for name, value in arguments.items():
        if value is not None:
            found[PREFIX + name.upper()] = (
                ",".join(value) if isinstance(value, list) else str(value)
            )
    if "run" not in given({}, environ=found):
        found[f"{PREFIX}RUN"] = fresh_run(script_of(command))
    path = [str(SITE), *filter(None, [environ.get("PYTHONPATH")])]
    found["PYTHONPATH"] = os.pathsep.join(path)
    return found


def python_flags(command: Sequence[str]) -> list[str]:
    """The letters of the interpreter's own options, where the command is a Python: ``-IB``."""
    found = []
    rest = iter(command[1:] if Path(command[0]).name.startswith("python") else ())
    for argument in rest:
        if not argument.startswith("-") or argument == "-":
            break
        if argument.startswith("--"):
            if argument in LONG_OPTIONS_WITH_VALUES:
                next(rest, None)
            continue
        letters, last = _before_value(argument[1:])
        found.append(letters)
        if last is not None and last in ENDS_OPTIONS:
            break
        if last is not None and argument.endswith(last):
            next(rest, None)  # -W error; in -Xdev it is in the cluster itself
    return found


def _before_value(letters: str) -> tuple[str, str | None]:
    """Flags of a cluster up to one that takes a value, and that one."""
    for place, letter in enumerate(letters):
        if letter in TAKES_VALUE + ENDS_OPTIONS:
            return letters[:place], letter
    return letters, None


def script_of(command: Sequence[str]) -> str:
    """What a run of the command is called after: the script, the module, or the program."""
    script = next((argument for argument in command if argument.endswith(".py")), None)
    if script is not None:
        return Path(script).stem
    if "-m" in command[:-1]:
        return command[command.index("-m") + 1].rpartition(".")[2]
    return Path(command[0]).name


def start(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Becomes the command; returns an exit code where there is none to become."""
    try:
        _become(command, environ)
    except FileNotFoundError:
        print(f"bifurk run: {command[0]}: not found", file=sys.stderr)
        return NOT_FOUND
    except OSError as error:
        print(f"bifurk run: {command[0]}: {error.strerror or error}", file=sys.stderr)
        return CANNOT_RUN


def _become(command: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed by the shell
            stream.flush()
    os.execvpe(command[0], list(command), environ)  # noqa: S606 - no shell: arguments are as given
