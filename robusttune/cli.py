"""The `robusttune` command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="robusttune", description=__doc__)
    parser.parse_args(argv)
    return 0
