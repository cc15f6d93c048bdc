"""robusttune: which trials of a hyperparameter search failed, where, why, and what to do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from robusttune import __version__

OK = 0
BAD_SOURCE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0; 2 for a source that cannot be read.
    """
    arguments = _parser().parse_args(argv)
    if arguments.command == "demo":
        from robusttune import demo

        return int(demo.run(Path(arguments.directory)))
    return _report(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="robusttune", description=__doc__)
    parser.add_argument("--version", action="version", version=f"robusttune {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="report on a search, also while it runs")
    report.add_argument("source", metavar="SOURCE", help="a Keras Tuner project folder")
    report.add_argument("--csv", metavar="DIR", help="write the tables there")
    demo = commands.add_parser("demo", help="run an unstable search on real data")
    demo.add_argument("directory", nargs="?", default="robusttune-demo", metavar="DIR")
    return parser


def _report(arguments: argparse.Namespace) -> int:
    from robusttune.report import Report

    try:
        report = Report.from_directory(arguments.source)
    except (OSError, ValueError) as error:
        print(f"robusttune: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
        return BAD_SOURCE
    print(report.summary())  # noqa: T201
    if arguments.csv:
        print("\n".join(map(str, report.to_csv(arguments.csv))))  # noqa: T201
    return OK
