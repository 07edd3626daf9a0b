"""``python -m bifurk sync|run``: the client's command line, without the service's packages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from bifurk.attaching import launch
from bifurk.config import WatchConfig
from bifurk.configure import resolve
from bifurk.sync import Summary, sync
from bifurk.transport import Transport, Urllib3Transport

WITHHELD = "the token is not sent to {url}, which only a file names: pass --url or set BIFURK_URL"

EXIT_CODES = """exit code: 0 all sent; 1 some refused or left; 2 stopped early or wrong usage"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; its exit code is the result."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["run"]:
        return launch.main(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        settings = resolve({"url": options.url, "token": options.token, "mode": "offline"})
        summary = _sync(options.folder, settings, keep=options.keep)
    except (ValueError, OSError) as error:
        print(f"bifurk sync: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("bifurk sync: interrupted; the same command goes on from here", file=sys.stderr)
        return 2
    _show(summary)
    return summary.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bifurk", description="The client of bifurk, a training-dynamics monitor."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "sync",
        help="send what an offline run or a dead process left in a folder",
        epilog=EXIT_CODES,
    )
    commands.add_parser("run", help="run a training script as it is, and watch its weights")
    command.add_argument("folder", metavar="DIR", type=Path, help="searched with all in it")
    command.add_argument("--url", help="the server; else BIFURK_URL, else the one recorded")
    command.add_argument("--token", help="else BIFURK_TOKEN; sent only where --url names a server")
    command.add_argument("--keep", action="store_true", help="do not delete what was sent")
    return parser


def _sync(folder: Path, settings: WatchConfig, *, keep: bool) -> Summary:
    @cache
    def connect(recorded: str | None) -> Transport:
        if settings.url is not None:
            return Urllib3Transport(settings.url, settings.token)
        if recorded is None:
            raise ValueError("where to? pass --url or set BIFURK_URL")
        if settings.token is not None:
            print(WITHHELD.format(url=recorded))
        return Urllib3Transport(recorded)

    return sync(folder, connect=connect, keep=keep, own_only=True, report=print)


def _show(summary: Summary) -> None:
    print(f"sent {summary.sent}, refused {summary.refused}, left {summary.left}")
    if summary.stopped is not None:
        print(f"bifurk sync: stopped: {summary.stopped}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
