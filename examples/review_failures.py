"""Review the failures of a search with pandas, from the CSV files of a report.

Run it with `python examples/review_failures.py DIRECTORY`, where DIRECTORY is what
`robusttune report PROJECT --csv DIRECTORY` or `robusttune demo DIRECTORY` wrote. Of the demo it
prints:

    Failures by cause:
                             trials    seconds
    cause
    divergent_learning_rate       4   6.720487
    unsafe_loss                   5   7.873366
    unscaled_data                 4  15.451014

    The least certain verdicts first:
     number                   cause  confidence  epoch  step fix_verified
          1           unscaled_data        0.94    NaN   NaN         True
          6           unscaled_data        0.94    NaN   NaN         True
          8           unscaled_data        0.94    NaN   NaN         True
          9           unscaled_data        0.94    NaN   NaN         True
         10 divergent_learning_rate        0.88    0.0   2.0         True

    Evidence of trial 1 (unscaled_data):
    baseline_loss, batch_shapes, clipped_steps, dead_share, dead_share_at_start,
    diagnosis_seconds, failing_batch, first_batch, first_step, fix, gradient_norms,
    gradient_ratio_first_to_last_layer, grounds, input_scale, learning_rate, loss_function,
    losses, optimizer, ordinary_learning_rate, replays, start_loss, target_scale
"""

from __future__ import annotations

import json
import sys
import textwrap
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
        print(f"\nEvidence of trial {row.number} ({row.cause}):")
        print(textwrap.fill(", ".join(sorted(evidence)), 90))


if __name__ == "__main__":
    main(sys.argv[1])
