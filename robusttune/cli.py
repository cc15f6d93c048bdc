"""robusttune: which trials of a hyperparameter search failed, where, why, and what to do."""

from __future__ import annotations

import argparse
import io
import math
import operator
import os
import re
import sys
import webbrowser
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from robusttune._validation import check_path
from robusttune._version import __version__

if TYPE_CHECKING:
    from robusttune._report import Report

__all__ = ["main"]

OK = 0
GATE_FAILED = 1
BAD_SOURCE = 2
_LAST_PORT = 65535

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}
_MEASURES: dict[str, Callable[[Report], float]] = {
    "failure_rate": lambda report: report.failure_rate,
    "trials": lambda report: len(report.records),
    "failed": lambda report: sum(record.status == "failed" for record in report.records),
    "unstable": lambda report: sum(record.unstable for record in report.records),
    "regions": lambda report: len(report.find_regions()),
    "seconds_lost": lambda report: float(report.causes["seconds_lost"].sum()),
}


@dataclass(frozen=True)
class Gate:
    """A condition on a report, such as "failure_rate > 0.3", that makes the command fail."""

    text: str
    measure: str
    compare: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> Gate:
        """Read a condition.

        Raises:
            argparse.ArgumentTypeError: It is none; the message names what is known.
        """
        match = re.fullmatch(r"\s*(\w+)\s*(>=|<=|==|>|<)\s*(\S+)\s*", text)
        try:
            if match is None or match[1] not in _MEASURES or not math.isfinite(float(match[3])):
                raise ValueError
            return cls(text.strip(), match[1], match[2], float(match[3]))
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"expected e.g. 'failure_rate>0.3' over {', '.join(_MEASURES)}, got {text!r}"
            ) from None

    def fails(self, report: Report) -> str | None:
        """Return a line that says how the report meets the condition; None where it does not."""
        value = float(_MEASURES[self.measure](report))
        if not _OPERATORS[self.compare](value, self.limit):
            return None
        return f"{self.text}: {self.measure} is {value:.6g}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: The arguments; None: those of the process.

    Returns:
        0; 1 where a condition of --fail-on holds; 2 for a source that cannot be read.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may have letters that its encoding lacks
            stream.reconfigure(errors="backslashreplace")
    arguments = _parser().parse_args(argv)
    try:
        return _COMMANDS[arguments.command](arguments)
    except BrokenPipeError:  # the reader has seen enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (OSError, ValueError) as error:
        print(f"robusttune: {error}", file=sys.stderr)  # noqa: T201
        return BAD_SOURCE


def _parser() -> argparse.ArgumentParser:
    from robusttune._demo import TRIALS

    parser = argparse.ArgumentParser(prog="robusttune", description=__doc__)
    parser.add_argument("--version", action="version", version=f"robusttune {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="report on a search, also while it runs")
    report.add_argument(
        "source",
        metavar="SOURCE",
        help="a Keras Tuner project folder, an Optuna storage URL, or an SQLite or journal file",
    )
    report.add_argument("--csv", metavar="DIR", help="write the tables to this folder")
    report.add_argument(
        "--html", metavar="FILE", help="write the report to this file, as one HTML page"
    )
    report.add_argument("--study", metavar="NAME", help="name of the study in an Optuna storage")
    report.add_argument(
        "--bundle",
        metavar="FILE",
        help="write a zip file for a bug report, without data, values, names and paths",
    )
    report.add_argument(
        "--fail-on",
        metavar="CONDITION",
        type=Gate.parse,
        action="append",
        default=[],
        help="exit with status 1 if it holds, e.g. 'failure_rate>0.3'; over "
        + ", ".join(_MEASURES),
    )
    watch = commands.add_parser("watch", help="serve the report of a running search, as it runs")
    watch.add_argument("source", metavar="SOURCE", help="as for report; it need not exist yet")
    watch.add_argument("--study", metavar="NAME", help="name of the study in an Optuna storage")
    watch.add_argument("--port", metavar="N", type=_port, default=0, help="default: any free port")
    watch.add_argument(
        "--trials",
        metavar="N",
        type=_count,
        help="planned number of trials, to estimate the time left",
    )
    watch.add_argument("--no-browser", action="store_true", help="only print the address")
    demo = commands.add_parser("demo", help="run an unstable search on real data")
    demo.add_argument("directory", nargs="?", default="robusttune-demo", metavar="DIR")
    demo.add_argument(
        "--trials", metavar="N", type=_count, help=f"number of trials (default: {TRIALS})"
    )
    return parser


def _demo(arguments: argparse.Namespace) -> int:
    from robusttune import _demo as demo

    directory = check_path("DIR", arguments.directory)
    directory.mkdir(parents=True, exist_ok=True)
    return demo.run(directory, arguments.trials or demo.TRIALS)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an int >= 1, got {text!r}")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"expected a port, 0 to {_LAST_PORT}, got {text!r}")
    return int(text)


def _watch(arguments: argparse.Namespace) -> int:
    check_path("SOURCE", arguments.source)
    try:
        _serve(arguments)
    except KeyboardInterrupt:
        print()  # noqa: T201 - the shell's prompt is not to follow the ^C
    return OK


def _serve(arguments: argparse.Namespace) -> None:
    from robusttune._report.live import LivePage, LiveServer

    page = LivePage(arguments.source, arguments.study, planned=arguments.trials)
    with LiveServer(page, arguments.port) as server:
        port = server.server_port
        told = [
            f"The report of the search is at {server.url} until Ctrl-C.",
            f"From another machine: ssh -L {port}:127.0.0.1:{port} THIS_MACHINE, then the same"
            " address.",
        ]
        print("\n".join(told), flush=True)  # noqa: T201
        if not arguments.no_browser and _has_screen():
            webbrowser.open(server.url)
        server.serve_forever(poll_interval=0.2)


def _has_screen() -> bool:
    """Whether a browser can open a window; without one, some would take the terminal."""
    known = sys.platform in ("win32", "darwin")
    return known or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _report(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    check_path("SOURCE", arguments.source)
    csv = None if arguments.csv is None else check_path("--csv", arguments.csv)
    html = None if arguments.html is None else check_path("--html", arguments.html)
    bundle = None if arguments.bundle is None else check_path("--bundle", arguments.bundle)
    console = Console()
    report = _read(arguments.source, arguments.study)
    width = console.width if console.is_terminal else 100
    print(report.summary(width=width, color=console.is_terminal))  # noqa: T201 - its output
    written = [] if csv is None else report.to_csv(csv)
    written += [] if html is None else [report.to_html(html)]
    if bundle is not None:
        written.append(_bundle(report, bundle))
    for file in written:
        print(file)  # noqa: T201
    met = [line for gate in arguments.fail_on if (line := gate.fails(report))]
    for line in met:
        print(f"robusttune: {line}", file=sys.stderr)  # noqa: T201
    return GATE_FAILED if met else OK


def _bundle(report: Report, target: Path) -> Path:
    from robusttune._files import write_output
    from robusttune._report.bundle import contents_of, listed, zipped

    files = contents_of(report)
    print(f"In {target}, for a bug report:\n{listed(files)}")  # noqa: T201
    write_output(target, zipped(files))
    return target


def _read(source: str, study: str | None) -> Report:
    from robusttune._report import Report
    from robusttune._report.sources import read

    return Report(read(source, study))


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "report": _report,
    "watch": _watch,
    "demo": _demo,
}
