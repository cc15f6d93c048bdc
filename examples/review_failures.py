"""Review the failures of a search with pandas, from the CSV files of a report.

Run it with `python examples/review_failures.py DIRECTORY`, where DIRECTORY is what
`robusttune report PROJECT --csv DIRECTORY` or `robusttune demo DIRECTORY` wrote.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd


def main(directory: str) -> None:
    """Print what a reviewer asks first."""
    failures = pd.read_csv(Path(directory) / "failures.csv")
    print("Failures by cause:")
    print(failures.groupby("cause").agg(trials=("trial_id", "size"), seconds=("seconds", "sum")))
    shown = ["number", "cause", "confidence", "epoch", "step", "fix_verified"]
    print("\nThe least certain verdicts first:")
    print(failures.sort_values("confidence")[shown].head(5).to_string(index=False))
    for row in failures.head(1).itertuples():
        evidence = json.loads(row.evidence)
        print(f"\nEvidence of trial {row.number} ({row.cause}): {', '.join(sorted(evidence))}")


if __name__ == "__main__":
    main(sys.argv[1])
